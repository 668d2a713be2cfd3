//! Tests for sent notifications, event by event (RFC 1996 §3.6–§3.8, §4). For tests together with secondaries, see
//! `secondary/tests/network.rs`.

use proptest::prelude::*;

use super::*;
use crate::notify::reply;
use crate::tsig::{Algorithm, Key, Policy, verify};
use crate::zonefile::read;

const UNIX: u64 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn zone(apex: &str, serial: u32) -> Zone {
    let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns.example.\n");
    read(&name(apex), apex, text.as_bytes()).zone.unwrap()
}

fn key() -> Arc<Key> {
    Arc::new(Key::new(name("k._transfer.example.org"), Algorithm::Sha256, vec![7; 32]).unwrap())
}

fn target(last: u8) -> Target {
    Target { address: SocketAddr::from(([192, 0, 2, last], 53)), key: None }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A notifier and the time.
struct Scene {
    notifier: Notifier,
    uptime: Duration,
    random: u32,
    warnings: Vec<String>,
}

type Sent = Vec<(SocketAddr, Vec<u8>)>;

impl Scene {
    fn new() -> Self {
        Self { notifier: Notifier::new(Limits::default()), uptime: millis(5000), random: 0, warnings: Vec::new() }
    }

    fn event(&mut self, event: Event<'_>) -> Sent {
        let random = &mut self.random;
        let mut random = || {
            *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *random >> 8
        };
        let now = Now { uptime: self.uptime, unix: UNIX + self.uptime.as_secs() };
        let mut sent = Vec::new();
        for effect in self.notifier.handle(now, event, &mut random) {
            match effect {
                Effect::Send { to, message } => sent.push((to, message)),
                Effect::Log(Level::Warn, text) => self.warnings.push(text),
                Effect::Log(..) => {}
            }
        }
        sent
    }

    fn changed(&mut self, zone: &Zone, targets: &[Target]) -> Sent {
        self.event(Event::Changed { zone, targets: targets.to_vec() })
    }

    fn reply(&mut self, (to, message): &(SocketAddr, Vec<u8>), code: Rcode) -> Sent {
        let message = reply(message, code).unwrap();
        self.event(Event::Reply { source: *to, message: &message })
    }

    /// Advances time until an action is due.
    fn wait(&mut self) -> (Duration, Sent) {
        let due = self.notifier.wake().expect("something is due");
        let passed = due.saturating_sub(self.uptime);
        self.uptime = self.uptime.max(due);
        (passed, self.event(Event::Tick))
    }
}

fn id(sent: &Sent) -> [u8; 2] {
    [sent[0].1[0], sent[0].1[1]]
}

/// RFC 1996 §3.7, §4.1: another implementation can read a notification.
#[test]
fn message() {
    let mut scene = Scene::new();
    let sent = scene.changed(&zone("example.org", 77), &[target(1)]);
    let message = hickory_proto::op::Message::from_vec(&sent[0].1).unwrap();
    assert_eq!(message.op_code, hickory_proto::op::OpCode::Notify);
    assert!(message.metadata.authoritative && !message.metadata.recursion_desired);
    assert_eq!(message.queries[0].to_string(), "example.org. IN SOA");
    assert_eq!(message.answers.len(), 1);
    assert!(message.answers[0].to_string().contains(" 77 1 1 1 1"), "{}", message.answers[0]);
    // The hint is omitted if there is no room for it.
    let long = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(40));
    let sent = scene.changed(&zone(&long, 77), &[target(1)]);
    assert!(sent[0].1.len() < 512);
    assert!(hickory_proto::op::Message::from_vec(&sent[0].1).unwrap().answers.is_empty());
}

/// RFC 1996 §3.6: retransmission with doubling timeouts, then a warning.
#[test]
fn retransmission() {
    let mut scene = Scene::new();
    let first = scene.changed(&zone("example.org", 1), &[target(1)]);
    assert_eq!(first.len(), 1);
    for wait in [1, 2, 4, 8, 16] {
        assert_eq!(scene.wait(), (Duration::from_secs(wait), first.clone()));
    }
    assert_eq!(scene.wait(), (Duration::from_secs(32), vec![]));
    assert!(scene.notifier.is_idle() && scene.notifier.wake().is_none());
    assert_eq!(scene.warnings, ["example.org.: no reply from 192.0.2.1:53 to 6 notifications of serial 1; giving up"]);
}

/// RFC 1996 §3.8, §4.8: replies are matched by source, ID and question; NOERROR ends the job, and so does a refusal.
#[test]
fn replies() {
    for (code, ends, warnings) in [
        (Rcode::NO_ERROR, true, 0),
        (Rcode::SERVER_FAILURE, false, 0),
        (Rcode::NOT_IMPLEMENTED, true, 1),
        (Rcode::REFUSED, true, 1),
        (Rcode::NOT_AUTHORITATIVE, true, 1),
    ] {
        let mut scene = Scene::new();
        let sent = scene.changed(&zone("example.org", 1), &[target(1)]);
        scene.reply(&sent[0], code);
        assert_eq!(scene.warnings.len(), warnings);
        assert!(scene.warnings.iter().all(|text| text.contains("192.0.2.1:53")));
        let (_, again) = scene.wait_or_idle();
        assert_eq!(again.is_empty(), ends, "{code}");
    }
    let mut scene = Scene::new();
    let sent = scene.changed(&zone("example.org", 1), &[target(1)]);
    let (to, message) = &sent[0];
    scene.event(Event::Reply {
        source: SocketAddr::new(to.ip(), 54),
        message: &reply(message, Rcode::NO_ERROR).unwrap(),
    });
    scene.event(Event::Reply { source: target(2).address, message: &reply(message, Rcode::NO_ERROR).unwrap() });
    scene.event(Event::Reply { source: *to, message });
    for (at, flip) in [(0, 1), (2, 0x80), (2, 8), (13, 1), (12 + 14, 1), (12 + 16, 1)] {
        let mut other = reply(message, Rcode::NO_ERROR).unwrap();
        other[at] ^= flip;
        scene.event(Event::Reply { source: *to, message: &other });
    }
    let mut none = reply(message, Rcode::NO_ERROR).unwrap();
    none[5] = 0;
    none.truncate(12);
    scene.event(Event::Reply { source: *to, message: &none });
    assert_eq!(scene.wait().1, sent, "none of these was the reply");
    none[3] = 4;
    scene.event(Event::Reply { source: *to, message: &none });
    assert!(scene.notifier.is_idle(), "a server without NOTIFY need not repeat the question");
}

impl Scene {
    fn wait_or_idle(&mut self) -> (Duration, Sent) {
        if self.notifier.wake().is_some() { self.wait() } else { (Duration::ZERO, Vec::new()) }
    }
}

#[test]
fn ipv6() {
    let mut scene = Scene::new();
    let address = "[fe80::1%3]:53".parse().unwrap();
    let sent = scene.changed(&zone("example.org", 1), &[Target { address, key: None }]);
    assert_eq!(sent[0].0, address);
    let source = "[fe80::1]:53".parse().unwrap();
    scene.event(Event::Reply { source, message: &reply(&sent[0].1, Rcode::NO_ERROR).unwrap() });
    assert!(scene.wait().1.is_empty() && scene.notifier.is_idle());
}

/// RFC 8945 §5.4: the reply to a signed notification must be signed.
#[test]
fn signed() {
    let mut scene = Scene::new();
    let signed = Target { key: Some(key()), ..target(1) };
    let sent = scene.changed(&zone("example.org", 1), std::slice::from_ref(&signed));
    let (to, message) = &sent[0];
    let unix = UNIX + scene.uptime.as_secs();
    let verified = verify(message, |_| Some(key()), &Policy::default(), unix).unwrap().unwrap();
    let unsigned = reply(&verified.message, Rcode::NO_ERROR).unwrap();
    scene.event(Event::Reply { source: *to, message: &unsigned });
    scene.event(Event::Reply { source: *to, message: &unsigned });
    assert_eq!(scene.warnings.len(), 1, "logged once");
    assert_eq!(scene.wait().1, sent, "the same octets, so that any reply can be verified");
    let (mut good, len) = (unsigned.clone(), unsigned.len());
    good.resize(len + verified.request.room(), 0);
    let end = verified.request.sign(&mut good, len, unix).unwrap();
    good.truncate(end);
    scene.event(Event::Reply { source: *to, message: &good });
    assert!(scene.wait().1.is_empty() && scene.notifier.is_idle());
}

/// A newer version replaces an unacknowledged one when that would be retransmitted; after a reply it is sent at once,
/// subject to the interval.
#[test]
fn superseded() {
    let mut scene = Scene::new();
    let first = scene.changed(&zone("example.org", 1), &[target(1)]);
    scene.uptime += millis(10);
    for serial in 2..50 {
        assert!(scene.changed(&zone("example.org", serial), &[target(1)]).is_empty());
    }
    let (waited, second) = scene.wait();
    assert_eq!(waited, millis(990));
    assert_ne!(id(&first), id(&second), "the reply to the first does not acknowledge the second");
    scene.reply(&first[0], Rcode::NO_ERROR);
    assert!(!scene.notifier.is_idle());
    scene.changed(&zone("example.org", 50), &[target(1)]);
    scene.uptime += millis(10);
    assert!(scene.reply(&second[0], Rcode::NO_ERROR).is_empty());
    let (waited, third) = scene.wait();
    assert_eq!(waited, millis(490));
    scene.uptime += millis(10);
    scene.reply(&third[0], Rcode::NO_ERROR);
    assert!(scene.wait().1.is_empty() && scene.notifier.is_idle());
    assert_eq!(scene.changed(&zone("example.org", 51), &[target(1)]).len(), 1, "at once");
}

#[test]
fn a_dead_server_gets_few_messages() {
    let mut scene = Scene::new();
    let mut sent = 0;
    for serial in 0..10_000 {
        scene.uptime += millis(100);
        sent += scene.event(Event::Tick).len();
        sent += scene.changed(&zone("example.org", serial), &[target(1)]).len();
    }
    assert!((50..200).contains(&sent), "{sent} in 1000 s");
}

/// Ten thousand zones at start and one dead secondary of two: the other is notified at once.
#[test]
fn many_zones() {
    let mut scene = Scene::new();
    let mut sent = Vec::new();
    for n in 0..10_000 {
        sent.extend(scene.changed(&zone(&format!("z{n}.example"), 1), &[target(1), target(2)]));
        assert!(scene.notifier.outstanding <= 64);
    }
    let mut acknowledged = 0;
    while let Some(message) = sent.pop() {
        if message.0 == target(2).address {
            acknowledged += 1;
            sent.extend(scene.reply(&message, Rcode::NO_ERROR));
        }
    }
    assert_eq!(acknowledged, 10_000);
    // The dead one gets few messages from now on.
    let mut later = 0;
    while scene.uptime < Duration::from_secs(3600) {
        later += scene.wait().1.len();
    }
    assert!((32 * 5..32 * 5 + 6 * 60).contains(&later), "{later} in an hour");
    assert!(scene.warnings.len() < 100);
    // When it is back, one reply releases all other jobs.
    let mut acknowledged = 0;
    let mut sent = Vec::new();
    while acknowledged < 9000 {
        sent.extend(scene.wait_or_idle().1);
        while let Some(message) = sent.pop() {
            acknowledged += 1;
            sent.extend(scene.reply(&message, Rcode::NO_ERROR));
        }
        assert!(scene.uptime < Duration::from_secs(3700));
    }
}

#[test]
fn removed_zones_and_targets() {
    let mut scene = Scene::new();
    scene.changed(&zone("example.org", 1), &[target(1), target(2)]);
    scene.changed(&zone("a.example.org", 1), &[target(1)]);
    scene.changed(&zone("example.org", 2), &[target(2)]);
    assert_eq!(scene.notifier.outstanding, 2);
    scene.event(Event::Removed { apex: &name("example.org") });
    assert_eq!(scene.notifier.outstanding, 1, "not the zone below");
    scene.event(Event::Removed { apex: &name("a.example.org") });
    assert!(scene.notifier.is_idle() && scene.notifier.wake().is_none());
    assert!(scene.notifier.index.is_empty() && scene.notifier.peers.values().all(|peer| peer.ids.is_empty()));
}

#[derive(Clone, Debug)]
enum Step {
    Change(u8, u8),
    Remove(u8),
    Acknowledge(prop::sample::Index, Rcode),
    Garbage(Vec<u8>, u8),
    Wait,
    Pass(u64),
}

/// The answer of a target, usually NOERROR.
const CODES: &[Rcode] = &[Rcode::NO_ERROR, Rcode::NO_ERROR, Rcode::NO_ERROR, Rcode::SERVER_FAILURE, Rcode::REFUSED];

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..4_u8, 0..16_u8).prop_map(|(zone, targets)| Step::Change(zone, targets)),
        (0..4_u8).prop_map(Step::Remove),
        (any::<prop::sample::Index>(), prop::sample::select(CODES)).prop_map(|(at, code)| Step::Acknowledge(at, code)),
        (proptest::collection::vec(any::<u8>(), 0..40), 1..5_u8).prop_map(|(octets, from)| Step::Garbage(octets, from)),
        Just(Step::Wait),
        (0..2000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    /// Whatever happens, limits hold, the bookkeeping is consistent, and all jobs end.
    #[test]
    fn any_events(steps in proptest::collection::vec(any_step(), 0..100)) {
        let limits = Limits { outstanding: 5, per_target: 2, ..Limits::default() };
        let mut scene = Scene { notifier: Notifier::new(limits), ..Scene::new() };
        let (mut sent, mut serial) = (Sent::new(), 0);
        for step in steps {
            sent.extend(match step {
                Step::Change(zone_at, targets) => {
                    serial += 1;
                    let targets: Vec<_> = (0..4).filter(|bit| targets >> bit & 1 == 1).map(target).collect();
                    scene.changed(&zone(&format!("z{zone_at}.example"), serial), &targets)
                }
                Step::Remove(zone) => scene.event(Event::Removed { apex: &name(&format!("z{zone}.example")) }),
                Step::Acknowledge(_, _) if sent.is_empty() => Vec::new(),
                Step::Acknowledge(at, code) => {
                    let message = at.get(&sent).clone();
                    scene.reply(&message, code)
                }
                Step::Garbage(octets, from) => scene.event(Event::Reply { source: target(from).address, message: &octets }),
                Step::Wait => scene.wait_or_idle().1,
                Step::Pass(time) => {
                    scene.uptime += millis(time);
                    scene.event(Event::Tick)
                }
            });
            let Notifier { jobs, index, peers, outstanding, timers, .. } = &scene.notifier;
            let waiting = jobs.values().filter(|job| matches!(job.state, State::Waiting(_))).count();
            let queued = jobs.values().filter(|job| matches!(job.state, State::Queued)).count();
            prop_assert!(*outstanding <= 5 && peers.values().all(|peer| peer.ids.len() <= 2));
            prop_assert_eq!(*outstanding, waiting);
            prop_assert_eq!(peers.values().map(|peer| peer.ids.len()).sum::<usize>(), waiting);
            prop_assert_eq!(peers.values().map(|peer| peer.queue.len()).sum::<usize>(), queued);
            prop_assert_eq!((index.len(), timers.len()), (jobs.len(), jobs.len() - queued));
            prop_assert!(queued == 0 || waiting > 0, "queued jobs wait for a slot");
        }
        for _ in 0..4 * 4 * 7 * 2 {
            scene.wait_or_idle();
        }
        prop_assert!(scene.notifier.is_idle());
    }
}
