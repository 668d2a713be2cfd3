//! Tests for the timers of RFC 1034 §4.3.5 and RFC 1035 §3.3.13, NOTIFY, failover and limits, event by event.

use std::net::SocketAddr;
use std::time::Duration;

use log::Level;

use super::*;
use crate::dns::Serial;
use crate::dns::message::Reader;
use crate::notify::Now;
use crate::secondary::{Effect, Event, Failure, Limits, Order, Outcome, Primary, Secondary, TransferError};

const FIRST: &str = "192.0.2.1:53";
const SECOND: &str = "192.0.2.2:53";

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A secondary, the time, and the effects since the last check.
struct Scene {
    secondary: Secondary,
    uptime: Duration,
    random: u32,
    effects: Vec<Effect>,
}

impl Scene {
    fn new() -> Self {
        let secondary = Secondary::new(Limits::default());
        Self { secondary, uptime: seconds(100), random: 1, effects: Vec::new() }
    }

    /// A secondary that follows example.org from these primaries.
    fn following(primaries: &[&str]) -> Self {
        let mut scene = Self::new();
        scene.event(Event::Follow {
            apex: name("example.org"),
            primaries: primaries.iter().map(|at| primary(at)).collect(),
        });
        scene
    }

    /// The same, with this version already transferred.
    fn holding(zone: &Arc<Zone>, primaries: &[&str]) -> Self {
        let mut scene = Self::following(primaries);
        let order = scene.order();
        assert!(order.held.is_none());
        scene.ended(&order, Ok(outcome(zone)));
        assert_eq!(scene.served(), [zone.serial().0]);
        scene
    }

    fn event(&mut self, event: Event<'_>) {
        let random = &mut self.random;
        let mut random = || {
            *random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            *random
        };
        let now = Now { uptime: self.uptime, unix: UNIX + self.uptime.as_secs() };
        self.effects.extend(self.secondary.handle(now, event, &mut random));
    }

    fn ended(&mut self, order: &Order, result: Result<Outcome, Failure>) {
        self.event(Event::Ended { order: order.id, result });
    }

    /// Advances time until an action is due, and returns how long that took.
    fn wait(&mut self) -> Duration {
        let due = self.secondary.wake().expect("something is due");
        let passed = due.saturating_sub(self.uptime);
        self.uptime = self.uptime.max(due);
        self.event(Event::Tick);
        passed
    }

    fn orders(&mut self) -> Vec<Order> {
        let mut orders = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Transfer(order) => {
                orders.push(order.clone());
                false
            }
            _ => true,
        });
        orders
    }

    fn order(&mut self) -> Order {
        let mut orders = self.orders();
        assert_eq!(orders.len(), 1, "{:?}", self.effects);
        orders.remove(0)
    }

    /// The only datagram sent.
    fn query(&mut self) -> (SocketAddr, Vec<u8>) {
        let mut queries = Vec::new();
        self.effects.retain(|effect| match effect {
            Effect::Send { to, message } => {
                queries.push((*to, message.clone()));
                false
            }
            _ => true,
        });
        assert_eq!(queries.len(), 1, "{:?}", self.effects);
        queries.remove(0)
    }

    /// Answers an SOA query with the SOA record of a zone.
    fn answer(&mut self, (to, query): &(SocketAddr, Vec<u8>), zone: &Zone) {
        self.event(Event::Reply { source: *to, message: &reply(query, 0, &[soa(zone)]) });
    }

    fn served(&mut self) -> Vec<u32> {
        let served = self.effects.iter().filter_map(|effect| match effect {
            Effect::Serve(zone) => Some(zone.serial().0),
            _ => None,
        });
        let served = served.collect();
        self.effects.retain(|effect| !matches!(effect, Effect::Serve(_)));
        served
    }

    fn warnings(&self) -> Vec<&str> {
        let warnings = self.effects.iter().filter_map(|effect| match effect {
            Effect::Log(Level::Warn | Level::Error, text) => Some(text.as_str()),
            _ => None,
        });
        warnings.collect()
    }
}

fn primary(address: &str) -> Primary {
    Primary { address: address.parse().unwrap(), key: None }
}

fn outcome(zone: &Arc<Zone>) -> Outcome {
    Outcome::Zone { zone: (**zone).clone(), remarks: Vec::new(), incremental: false }
}

fn unreachable() -> Result<Outcome, Failure> {
    Err(Failure::Unreachable("no route".into()))
}

/// At boot there is no version, so the whole zone is requested immediately; then REFRESH applies.
#[test]
fn boot_and_refresh() {
    let mut scene = Scene::holding(&zone(5, ""), &[FIRST]);
    let waited = scene.wait();
    assert!((seconds(810)..=seconds(900)).contains(&waited), "{waited:?}");
    let query = scene.query();
    assert_eq!(query.0, FIRST.parse().unwrap());
    scene.answer(&query, &zone(5, ""));
    assert!(scene.orders().is_empty());
    assert!(scene.wait() >= seconds(810));
    let query = scene.query();
    scene.answer(&query, &zone(4, ""));
    assert!(scene.orders().is_empty(), "an older serial is not followed");
    scene.wait();
    let query = scene.query();
    scene.answer(&query, &zone(6, ""));
    let order = scene.order();
    assert_eq!(order.held.as_ref().unwrap().serial(), Serial(5), "differences are requested");
    scene.ended(&order, Ok(outcome(&zone(6, ""))));
    assert_eq!(scene.served(), [6]);
    assert!(scene.wait() >= seconds(810));
}

/// Without a reply over UDP, TCP is tried; without any reply, RETRY applies, then EXPIRE; then the zone recovers.
#[test]
fn retry_and_expire() {
    let mut scene = Scene::holding(&zone(5, ""), &[FIRST]);
    let started = scene.uptime;
    scene.wait();
    scene.query();
    for wait in [1, 2] {
        assert_eq!(scene.wait(), seconds(wait));
        scene.query();
    }
    assert_eq!(scene.wait(), seconds(4));
    let order = scene.order();
    assert!(order.held.is_some());
    scene.ended(&order, unreachable());
    assert_eq!(scene.warnings().len(), 1, "{:?}", scene.warnings());
    assert_eq!(scene.secondary.wake().map(|wake| wake - scene.uptime > seconds(269)), Some(true));
    let mut expired = false;
    for _ in 0..1000 {
        scene.wait();
        for order in scene.orders() {
            scene.ended(&order, unreachable());
        }
        if scene.effects.iter().any(|effect| matches!(effect, Effect::Expire(apex) if *apex == name("example.org"))) {
            assert!(!expired, "once");
            assert_eq!(scene.uptime - started, seconds(3600));
            expired = true;
        }
        scene.effects.retain(|effect| matches!(effect, Effect::Log(Level::Warn, _)));
        // Reminders are logged at growing intervals: six in the first hour, then one an hour.
        let hours = (scene.uptime - started).as_secs() as usize / 3600;
        assert!(scene.warnings().len() <= 7 + hours, "{:?}", scene.warnings());
    }
    assert!(expired && scene.warnings().len() > 7);
    // The current version is valid again.
    while !scene.effects.iter().any(|effect| matches!(effect, Effect::Send { .. })) {
        for order in scene.orders() {
            scene.ended(&order, unreachable());
        }
        scene.wait();
    }
    let query = scene.query();
    scene.answer(&query, &zone(5, ""));
    assert_eq!(scene.served(), [5]);
}

/// While there is nothing to serve, retries are quick at first, and at least one per minute for network failures.
#[test]
fn retries_without_any_version() {
    let mut scene = Scene::following(&[FIRST]);
    let (mut tries, started) = (0, scene.uptime);
    while scene.uptime - started < seconds(600) {
        for order in scene.orders() {
            tries += 1;
            scene.ended(&order, unreachable());
        }
        scene.wait();
    }
    assert!((10..25).contains(&tries), "{tries}");
}

/// RFC 1996 §3.11, §4.3–§4.5: a notification triggers a check immediately, unless it is not newer; several trigger one
/// check.
#[test]
fn notifications() {
    let apex = name("example.org");
    let mut scene = Scene::holding(&zone(5, ""), &[FIRST, SECOND]);
    let second: SocketAddr = SECOND.parse().unwrap();
    assert!(scene.secondary.is_primary(&apex, second.ip()) && scene.secondary.follows(&apex));
    assert!(!scene.secondary.is_primary(&apex, "192.0.2.3".parse().unwrap()));
    scene.uptime += seconds(5);
    scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: Some(Serial(5)) });
    scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: Some(Serial(4)) });
    assert!(scene.effects.iter().all(|effect| matches!(effect, Effect::Log(..))), "{:?}", scene.effects);
    for _ in 0..100 {
        scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: Some(Serial(6)) });
    }
    let query = scene.query();
    assert_eq!(query.0, second, "the notifying primary is queried first");
    scene.answer(&query, &zone(6, ""));
    let order = scene.order();
    // A notification during a transfer triggers another round, unless the transfer covers it.
    scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: Some(Serial(6)) });
    scene.ended(&order, Ok(outcome(&zone(6, ""))));
    assert!(scene.secondary.wake().unwrap() > scene.uptime + seconds(800));
    scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: None });
    assert_eq!(scene.wait(), Duration::from_millis(500));
    let query = scene.query();
    scene.answer(&query, &zone(7, ""));
    let order = scene.order();
    scene.event(Event::Notified { apex: &apex, source: second.ip(), serial: Some(Serial(8)) });
    scene.ended(&order, Ok(outcome(&zone(7, ""))));
    assert_eq!(scene.wait(), Duration::from_millis(500));
    scene.query();
}

/// Differences that do not match lead to a full transfer from the same primary; an invalid transfer replaces nothing.
#[test]
fn bad_transfers() {
    let mut scene = Scene::holding(&zone(5, ""), &[FIRST]);
    scene.event(Event::Notified { apex: &name("example.org"), source: [192, 0, 2, 1].into(), serial: Some(Serial(6)) });
    scene.wait();
    let query = scene.query();
    scene.answer(&query, &zone(6, ""));
    let order = scene.order();
    assert!(order.held.is_some());
    scene.ended(&order, Err(Failure::Transfer(TransferError::Mismatch("x".into()))));
    let order = scene.order();
    assert!(order.held.is_none() && order.primary == primary(FIRST));
    scene.ended(&order, Err(Failure::Transfer(TransferError::Invalid("x".into()))));
    assert!(scene.orders().is_empty() && scene.served().is_empty());
    assert_eq!(scene.warnings().len(), 1);
    // A newer version is known to exist, so the next round does not wait for RETRY.
    assert!(scene.wait() <= seconds(1));
    let query = scene.query();
    scene.answer(&query, &zone(6, ""));
    let order = scene.order();
    scene.ended(&order, Ok(outcome(&zone(4, ""))));
    assert!(scene.served().is_empty(), "an older version replaces nothing");
    scene.ended(&order, Ok(outcome(&zone(9, ""))));
    assert!(scene.served().is_empty(), "an order ends once");
}

/// A lost connection is retried soon, once more for differences and then for the whole zone.
#[test]
fn broken_connections() {
    let mut scene = Scene::holding(&zone(5, ""), &[FIRST]);
    scene.wait();
    let mut waits = Vec::new();
    for differences in [true, true, false, false] {
        let query = scene.query();
        scene.answer(&query, &zone(6, ""));
        let order = scene.order();
        assert_eq!(order.held.is_some(), differences);
        scene.ended(&order, Err(Failure::Lost("reset".into())));
        waits.push(scene.wait());
    }
    let close =
        |wait: &Duration, seconds: u64| *wait <= self::seconds(seconds) && *wait > self::seconds(seconds) * 8 / 10;
    assert!(waits.iter().zip([1, 2, 4, 8]).all(|(wait, seconds)| close(wait, seconds)), "{waits:?}");
    assert!(scene.served().is_empty());
    let query = scene.query();
    scene.answer(&query, &zone(6, ""));
    let order = scene.order();
    scene.ended(&order, Ok(outcome(&zone(6, ""))));
    assert_eq!(scene.served(), [6]);
}

#[test]
fn failover() {
    let mut scene = Scene::new();
    let apexes: Vec<Name> = (0..20).map(|n| name(&format!("z{n}.example"))).collect();
    for apex in &apexes {
        scene.event(Event::Follow { apex: apex.clone(), primaries: vec![primary(FIRST), primary(SECOND)] });
    }
    let orders = scene.orders();
    assert_eq!(orders.len(), 8, "the limit for one primary");
    assert!(orders.iter().all(|order| order.primary == primary(FIRST)));
    scene.ended(&orders[0], unreachable());
    // All zones that waited for the first primary move to the second.
    let more = scene.orders();
    assert_eq!(more.len(), 8);
    assert!(more.iter().all(|order| order.primary == primary(SECOND)));
    assert_eq!(scene.warnings().len(), 1);
    let mut running: Vec<Order> = orders.into_iter().skip(1).chain(more).collect();
    let mut served = 0;
    while let Some(order) = running.pop() {
        let at_first = order.primary == primary(FIRST);
        let zone = zone_of(&order.apex.to_string(), 1, "");
        scene.ended(&order, if at_first { unreachable() } else { Ok(outcome(&zone)) });
        served += scene.served().len();
        running.extend(scene.orders());
        assert!(running.len() <= 16);
    }
    assert_eq!(served, 20);
}

/// Ten thousand zones at boot: few transfers at a time, and all zones in the end.
#[test]
fn many_zones() {
    let mut scene = Scene::new();
    let mut running = std::collections::VecDeque::new();
    for n in 0..10_000 {
        let primary = primary([FIRST, SECOND][n % 2]);
        scene.event(Event::Follow { apex: name(&format!("z{n}.example")), primaries: vec![primary] });
        running.extend(scene.orders());
    }
    assert_eq!(running.len(), 16);
    let mut served = 0;
    while let Some(order) = running.pop_front() {
        scene.ended(&order, Ok(outcome(&zone_of(&order.apex.to_string(), 1, ""))));
        served += scene.served().len();
        running.extend(scene.orders());
        assert!(running.len() <= 16);
    }
    assert_eq!(served, 10_000);
    // Random delays spread the following queries.
    let first = scene.secondary.wake().unwrap();
    scene.uptime = first + seconds(10);
    scene.effects.clear();
    scene.event(Event::Tick);
    let queries = scene.effects.iter().filter(|effect| matches!(effect, Effect::Send { .. })).count();
    assert_eq!(queries, 256, "the limit of outstanding queries");
}

#[test]
fn waiting_zones_are_checked_when_a_primary_returns() {
    let mut scene = Scene::new();
    let apexes: Vec<Name> = (0..100).map(|n| name(&format!("z{n}.example"))).collect();
    for apex in &apexes {
        scene.event(Event::Follow { apex: apex.clone(), primaries: vec![primary(FIRST)] });
    }
    let started = scene.uptime;
    while scene.uptime - started < seconds(200) {
        for order in scene.orders() {
            scene.ended(&order, unreachable());
        }
        scene.wait();
    }
    // One warning for all zones, and reminders after one and three minutes.
    assert!(scene.warnings().len() <= 3, "{:?}", scene.warnings());
    let back = scene.uptime;
    let mut served = 0;
    while served < 100 {
        for order in scene.orders() {
            let zone = zone_of(&order.apex.to_string(), 1, "");
            scene.ended(&order, Ok(outcome(&zone)));
        }
        served += scene.served().len();
        scene.wait();
    }
    assert!(scene.uptime - back < seconds(800 + 75), "{:?}", scene.uptime - back);
}

#[test]
fn stalled_transfers_are_aborted() {
    let mut scene = Scene::following(&[FIRST]);
    let order = scene.order();
    for _ in 0..10 {
        scene.uptime += seconds(50);
        scene.event(Event::Progress { order: order.id });
    }
    assert_eq!(scene.wait(), seconds(60));
    assert!(scene.effects.iter().any(|effect| matches!(effect, Effect::Abort { order: id } if *id == order.id)));
    scene.wait();
    let order = scene.order();
    let started = scene.uptime;
    while !scene.effects.iter().any(|effect| matches!(effect, Effect::Abort { order: id } if *id == order.id)) {
        scene.uptime += seconds(50);
        scene.event(Event::Progress { order: order.id });
    }
    assert_eq!(scene.uptime - started, seconds(3600), "however much progress there is");
}

#[test]
fn unrelated_replies_are_ignored() {
    let old = zone(5, "");
    let new = zone(6, "");
    let mut scene = Scene::new();
    let signed = Primary { address: FIRST.parse().unwrap(), key: Some(key()) };
    scene.event(Event::Follow { apex: name("example.org"), primaries: vec![signed] });
    let order = scene.order();
    scene.ended(&order, Ok(outcome(&old)));
    scene.wait();
    let (to, query) = scene.query();
    let good = reply(&query, 0, &[soa(&new)]);
    scene.event(Event::Reply { source: to, message: &good });
    assert!(scene.orders().is_empty(), "the reply is not signed");
    let verified =
        crate::tsig::verify(&query, |_| Some(key()), &crate::tsig::Policy::default(), UNIX + scene.uptime.as_secs());
    let request = verified.unwrap().unwrap().request;
    let len = good.len();
    let mut signed = good.clone();
    signed.resize(len + request.room(), 0);
    let end = request.sign(&mut signed, len, UNIX + scene.uptime.as_secs()).unwrap();
    signed.truncate(end);
    let mut other = signed.clone();
    other[15] ^= 0x20;
    scene.event(Event::Reply { source: to, message: &other });
    let elsewhere = SECOND.parse().unwrap();
    scene.event(Event::Reply { source: elsewhere, message: &signed });
    assert!(scene.orders().is_empty());
    scene.event(Event::Reply { source: to, message: &signed });
    assert_eq!(scene.orders().len(), 1);
}

/// An error reply leads to the next primary; a truncated one leads to TCP.
#[test]
fn error_replies() {
    let held = zone(5, "");
    let apex = name("example.org");
    let no = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut scene = Scene::holding(&held, &[FIRST, SECOND]);
        scene.event(Event::Notified { apex: &apex, source: [192, 0, 2, 1].into(), serial: None });
        scene.wait();
        let (to, query) = scene.query();
        let mut message = reply(&query, 0, &[soa(&held)]);
        change(&mut message);
        assert!(Reader::new(&message).is_ok());
        scene.event(Event::Reply { source: to, message: &message });
        scene
    };
    for change in [&|message: &mut Vec<u8>| message[3] |= 5, &|message: &mut Vec<u8>| message[2] &= !4]
        as [&dyn Fn(&mut Vec<u8>); 2]
    {
        let mut scene = no(change);
        assert_eq!(scene.query().0, SECOND.parse().unwrap());
    }
    assert!(no(&|message| message[2] |= 2).order().held.is_some());
    let mut scene = no(&|message| message[12 + 14] = 1);
    assert!(scene.orders().is_empty() && scene.wait() == seconds(1), "the message is a reply to something else");
}

#[test]
fn zones_are_followed_and_forgotten() {
    let apex = name("example.org");
    let mut scene = Scene::following(&[FIRST]);
    let order = scene.order();
    scene.event(Event::Follow { apex: apex.clone(), primaries: vec![primary(FIRST)] });
    assert!(scene.orders().is_empty(), "nothing has changed");
    scene.event(Event::Follow { apex: apex.clone(), primaries: vec![primary(SECOND)] });
    assert!(scene.effects.iter().any(|effect| matches!(effect, Effect::Abort { order: id } if *id == order.id)));
    let order = scene.order();
    assert_eq!(order.primary, primary(SECOND));
    scene.effects.clear();
    scene.event(Event::Forget { apex: &apex });
    assert!(matches!(&scene.effects[..], [Effect::Abort { .. }, Effect::Withdraw(_)]), "{:?}", scene.effects);
    assert_eq!(scene.secondary.wake(), None);
    scene.effects.clear();
    scene.ended(&order, Ok(outcome(&zone(5, ""))));
    scene.event(Event::Forget { apex: &apex });
    scene.event(Event::Notified { apex: &apex, source: [192, 0, 2, 1].into(), serial: None });
    assert!(scene.effects.is_empty(), "{:?}", scene.effects);
}

#[test]
fn messages_that_a_primary_can_repeat_are_rate_limited() {
    let (old, held) = (zone(4, ""), zone(5, ""));
    let mut scene = Scene::holding(&held, &[FIRST]);
    scene.effects.clear();
    for _ in 0..500 {
        // Every check finds an older version, and notifications trigger checks.
        scene.event(Event::Notified { apex: &name("example.org"), source: "192.0.2.1".parse().unwrap(), serial: None });
        scene.wait();
        let query = scene.query();
        scene.answer(&query, &old);
    }
    let logged = |effects: &[Effect]| {
        let lines = effects.iter().filter(|effect| matches!(effect, Effect::Log(level, _) if *level <= Level::Info));
        lines.count()
    };
    let minutes = (scene.uptime - seconds(100)).as_secs() as usize / 60 + 1;
    let lines = logged(&scene.effects);
    assert!((1..=minutes * 20 + 20).contains(&lines), "{lines} lines in {minutes} minutes");
    assert!(lines < 250, "{lines}");
}
