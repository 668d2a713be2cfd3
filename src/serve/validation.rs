//! Validates the signed zones that are served, in a thread of its own, and logs errors that validators would report.
//!
//! Zones are validated when they change, and once an hour for signatures that expire. The thread never delays answers:
//! it gets zones that are served already. With `--dnssec-bogus=refuse`, [`judge`] decides before that.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::mailbox::{Item, Mailbox};
use super::{GIT_STACK, Server, seconds};
use crate::config::BogusPolicy;
use crate::dns::{Name, Severity};
use crate::dnssec::{Flaw, Validation, validate};
use crate::primary::ZoneJudge;
use crate::zone::Zone;

/// The interval at which the validity of all signatures is checked.
const INTERVAL: Duration = Duration::from_secs(3600);

/// The maximum number of signatures that are verified each time a zone changes.
const VERIFIED: usize = 20_000;

/// The zones that have changed: the served version, or `None` if the zone is no longer served.
pub(super) type Changes = Mailbox<Name, Option<Arc<Zone>>>;

/// Returns the judge of zones before they are served, if the policy wants one.
pub(super) fn judge(policy: BogusPolicy) -> Option<ZoneJudge> {
    let judge = |zone: &Zone| {
        let validation = validate(zone, seconds(), usize::MAX);
        match validation.first_error() {
            None => Ok(()),
            Some(error) => {
                Err(format!("--dnssec-bogus=refuse: validators would reject the zone {}: {error}", zone.apex()))
            }
        }
    };
    (policy == BogusPolicy::Refuse).then(|| Arc::new(judge) as ZoneJudge)
}

/// Starts the thread.
pub(super) fn start(server: Arc<Server>) -> io::Result<()> {
    let thread = thread::Builder::new().name("dnssec".to_string()).stack_size(GIT_STACK);
    thread.spawn(move || run(&server)).map(drop)
}

fn run(server: &Server) {
    let mut watch = Watch::default();
    let mut next = server.clock.now().0 + INTERVAL;
    loop {
        let lines = match server.changes.take(next.saturating_sub(server.clock.now().0)) {
            Some(Item::Message(apex, Some(zone))) => watch.changed(apex, zone, seconds()),
            Some(Item::Message(apex, None)) => {
                watch.signed.remove(&apex);
                Vec::new()
            }
            // This mailbox gets no datagrams.
            Some(Item::Datagram(..)) => Vec::new(),
            None => {
                next = server.clock.now().0 + INTERVAL;
                watch.later(seconds())
            }
        };
        lines.into_iter().for_each(|(level, text)| log::log!(level, "{text}"));
    }
}

/// A line for the log.
type Line = (log::Level, String);

/// The signed zones that are served, each with the result of its last validation.
#[derive(Default)]
struct Watch {
    signed: BTreeMap<Name, (Arc<Zone>, Validation)>,
}

impl Watch {
    /// Validates a zone that has changed, at the time `unix`, and returns what was not reported before.
    fn changed(&mut self, apex: Name, zone: Arc<Zone>, unix: u64) -> Vec<Line> {
        let before = self.signed.remove(&apex).map(|(_, validation)| validation.findings).unwrap_or_default();
        let validation = validate(&zone, unix, VERIFIED);
        if !validation.is_signed {
            return Vec::new();
        }
        let lines = report(&apex, &validation, &before);
        self.signed.insert(apex, (zone, validation));
        lines
    }

    /// Validates the zones again in which time may have changed something, and returns what was not reported before.
    fn later(&mut self, unix: u64) -> Vec<Line> {
        let is_due = |(_, (_, validation)): &(&Name, &(Arc<Zone>, Validation))| validation.may_change(unix);
        let due: Vec<_> =
            self.signed.iter().filter(is_due).map(|(apex, (zone, _))| (apex.clone(), zone.clone())).collect();
        due.into_iter().flat_map(|(apex, zone)| self.changed(apex, zone, unix)).collect()
    }
}

/// Returns the findings that the previous validation did not have, as log lines.
fn report(apex: &Name, validation: &Validation, before: &[Flaw]) -> Vec<Line> {
    let new = validation.findings.iter().filter(|finding| !before.contains(finding));
    let line = |finding: &Flaw| {
        let level = match finding.severity {
            Severity::Error => log::Level::Error,
            Severity::Warning => log::Level::Warn,
        };
        (level, format!("zone {apex}: DNSSEC: {finding}"))
    };
    let mut lines: Vec<Line> = new.map(line).collect();
    let more = validation.more();
    if more > 0 && !lines.is_empty() {
        let text = format!("zone {apex}: DNSSEC: and {more} more findings; `zonule check` lists them");
        lines.push((log::Level::Warn, text));
    }
    if validation.findings.is_empty() && !before.is_empty() {
        lines.push((log::Level::Info, format!("zone {apex}: DNSSEC: nothing is wrong any more")));
    }
    if validation.unverified > 0 && before.is_empty() {
        let count = validation.unverified;
        let text = format!("zone {apex}: DNSSEC: {count} signatures were not verified, because there are many");
        lines.push((log::Level::Info, text));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Type;
    use crate::dnssec::{KeyAlgorithm, MasterSecret, Role, SigningKey, SigningPolicy, sign};
    use crate::zone::Amendment;
    use crate::zonefile::read;

    const DAY: u64 = 86_400;

    /// Returns a zone that is signed for a day, and the same with an address that is not the one signed.
    fn signed(day: u64) -> [Arc<Zone>; 2] {
        let apex = Name::from_text("example.org").unwrap();
        let text = b"$TTL 60\n@ SOA ns host 1 1 1 1 1\n@ NS ns\nns A 192.0.2.1\n";
        let zone = read(&apex, "zone", text).zone.unwrap();
        let key = SigningKey::derive(&MasterSecret::new([1; 32]), &apex, Role::Csk, KeyAlgorithm::ED25519, 1).unwrap();
        let good = sign(&zone, &[key], &SigningPolicy::default(), day as u32, None).unwrap();
        let node = good.node(&Name::from_text("ns.example.org").unwrap()).unwrap();
        let amendment = Amendment {
            owner: Name::from_wire(node.owner()).unwrap(),
            rtype: Type::A,
            covers: None,
            ttl: 60,
            data: vec![[192, 0, 2, 2].into()],
        };
        let bad = good.amend(&[amendment]).unwrap();
        [Arc::new(good), Arc::new(bad)]
    }

    fn levels(lines: &[Line]) -> Vec<log::Level> {
        lines.iter().map(|(level, _)| *level).collect()
    }

    #[test]
    fn each_finding_is_reported_once_and_its_end_too() {
        let apex = Name::from_text("example.org").unwrap();
        let ([good, bad], mut watch, now) = (signed(20_000), Watch::default(), 20_000 * DAY);
        assert_eq!(watch.changed(apex.clone(), Arc::clone(&good), now), []);
        assert_eq!(levels(&watch.changed(apex.clone(), Arc::clone(&bad), now)), [log::Level::Error]);
        // The signature stays wrong.
        assert_eq!(watch.later(now + 3600), []);
        assert_eq!(watch.changed(apex.clone(), bad, now), []);
        assert_eq!(levels(&watch.changed(apex, good, now)), [log::Level::Info]);
        assert_eq!(watch.later(now + 3600), []);
    }

    #[test]
    fn signatures_expire_without_a_change() {
        let ([good, _], mut watch, now) = (signed(20_000), Watch::default(), 20_000 * DAY);
        assert_eq!(watch.changed(Name::from_text("example.org").unwrap(), good, now), []);
        // Those that were renewed six days before end first, after a fortnight.
        let ends = |day: u64, watch: &mut Watch| levels(&watch.later(now + day * DAY));
        let warned = (1..15).find(|day| ends(*day, &mut watch) == [log::Level::Warn]).unwrap();
        assert!((4..13).contains(&warned), "{warned}");
        assert!(levels(&watch.later(now + 15 * DAY)).contains(&log::Level::Error));
    }
}
