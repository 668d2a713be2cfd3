//! Validates the signed zones that are served, in a thread of its own, and logs what validators would reject.
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
use crate::dnssec::{Finding, validate};
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
    // The signed zones, and what was logged about each last.
    let mut signed: BTreeMap<Name, (Arc<Zone>, Vec<Finding>)> = BTreeMap::new();
    let mut next = server.clock.now().0 + INTERVAL;
    loop {
        match server.changes.take(next.saturating_sub(server.clock.now().0)) {
            Some(Item::Message(apex, Some(zone))) => check(&mut signed, apex, zone, VERIFIED),
            Some(Item::Message(apex, None)) => drop(signed.remove(&apex)),
            // Nobody sends any.
            Some(Item::Datagram(..)) => {}
            None => {
                next = server.clock.now().0 + INTERVAL;
                let zones: Vec<_> = signed.iter().map(|(apex, (zone, _))| (apex.clone(), Arc::clone(zone))).collect();
                zones.into_iter().for_each(|(apex, zone)| check(&mut signed, apex, zone, 0));
            }
        }
    }
}

/// Validates a zone, verifying at most so many signatures, and logs what was not found before.
fn check(signed: &mut BTreeMap<Name, (Arc<Zone>, Vec<Finding>)>, apex: Name, zone: Arc<Zone>, limit: usize) {
    let validation = validate(&zone, seconds(), limit);
    let before = signed.remove(&apex).map(|(_, findings)| findings).unwrap_or_default();
    if !validation.is_signed {
        return;
    }
    let is_new = |finding: &&Finding| !before.contains(finding);
    for finding in validation.findings.iter().filter(is_new) {
        let level = match finding.severity {
            Severity::Error => log::Level::Error,
            Severity::Warning => log::Level::Warn,
        };
        log::log!(level, "zone {apex}: DNSSEC: {finding}");
    }
    let more = (validation.errors + validation.warnings).saturating_sub(validation.findings.len());
    if more > 0 && validation.findings.iter().any(|finding| is_new(&finding)) {
        log::warn!("zone {apex}: DNSSEC: and {more} more findings; `zonule check` lists them");
    }
    if validation.findings.is_empty() && !before.is_empty() {
        log::info!("zone {apex}: DNSSEC: nothing is wrong any more");
    }
    if validation.unverified > 0 && limit > 0 {
        log::info!(
            "zone {apex}: DNSSEC: {} signatures were not verified, because there are many",
            validation.unverified
        );
    }
    signed.insert(apex, (zone, validation.findings));
}
