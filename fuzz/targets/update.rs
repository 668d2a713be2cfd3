//! Any octets as an update, of an existing and of a missing zone; the result must be a readable zone.
#![no_main]

use std::net::IpAddr;
use std::sync::LazyLock;
use zonule::zonefile;

use libfuzzer_sys::fuzz_target;
use zonule::dns::{Name, print};
use zonule::update::{Effect, MAX_REASON, Scope, Update, commit_message};
use zonule::zone::{Zone, difference};

static ZONE: LazyLock<Zone> = LazyLock::new(|| {
    let text = include_bytes!("../seeds/zone_file/example.org");
    let apex = Name::from_text("example.org").expect("a good name");
    zonefile::read(&apex, "example.org", text).zone.expect("a good zone")
});

fuzz_target!(|message: &[u8]| {
    let update = match Update::parse(message) {
        Ok(update) => update,
        Err(refusal) => {
            assert!(!refusal.reason.is_empty() && refusal.reason.len() <= MAX_REASON && refusal.reason.is_ascii());
            return;
        }
    };
    if update.zone() == ZONE.apex() {
        match update.apply(Some(&ZONE), Scope::Zones) {
            Ok(Effect::Amended(amendments)) => {
                let amended = ZONE.amend(&amendments).expect("a zone");
                assert!(amended.serial().is_newer_than(ZONE.serial()));
                assert_eq!(difference(&ZONE, &amended).amendments(&amended), amendments);
                check(&update, Some(&ZONE), &amended);
            }
            Ok(Effect::Created(_)) => panic!("an existing zone was created"),
            Ok(Effect::Unchanged | Effect::Deleted) | Err(_) => {}
        }
    }
    if let Ok(effect) = update.apply(None, Scope::Zones) {
        let Effect::Created(amendments) = effect else { panic!("a missing zone was changed") };
        let created = Zone::of(update.zone().clone(), &amendments).expect("a zone");
        check(&update, None, &created);
    }
});

/// Checks that a zone's text reads as the same zone, and that its commit message is valid.
fn check(update: &Update, before: Option<&Zone>, after: &Zone) {
    let mut text = String::new();
    for node in after.iter() {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                text += &print::record(node.owner(), rrset.ttl(), rrset.rtype(), data);
                text.push('\n');
            }
        }
    }
    let reading = zonefile::read(after.apex(), "printed", text.as_bytes());
    let again = reading.zone.unwrap_or_else(|| panic!("{:?}\n{text}", reading.diagnostics));
    assert!(difference(after, &again).is_empty());
    let client = IpAddr::from([192, 0, 2, 1]);
    let message = commit_message(update.zone(), client, update.zone(), before, Some(after));
    assert!(message.chars().all(|letter| matches!(letter, ' '..='~' | '\n')));
    assert!(message.lines().next().is_some_and(|line| (1..=100).contains(&line.len())));
}
