//! A change in DNS terms, for reviewers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Tree;
use super::state::{Now, Pair, State, changed_paths, compare};
use crate::dns::{Name, Type, print};
use crate::keys::{Grant, Keyring};
use crate::tsig::Key;
use crate::zone::{self, Change, Zone};

/// The maximum width of the owner column.
const WIDEST_OWNER: usize = 40;

/// Returns what differs between two states of a repository, zone by zone: records, zones and keys removed
/// and added.
///
/// Of keys, only names and grants are shown. If only the serial number of an SOA record changed, only that is shown.
/// The text is empty if nothing changed; `colour` adds terminal colours.
#[must_use]
pub fn diff(old: &dyn Tree, new: &dyn Tree, colour: bool) -> String {
    let (old, new) = (State::of(old), State::of(new));
    let changed = changed_paths(Some(&old), &new);
    let mut zones: BTreeMap<Name, (String, &[String])> = BTreeMap::new();
    let included = compare(Some(&old), &new, &changed, |pair| {
        let apex = pair.apex.clone();
        let was_there = old.zones.contains_key(&apex);
        // A file that never was a valid zone may turn out to be a part of others.
        let is_zone = matches!(&pair.now, Now::Read(_, _, reading) if reading.zone.is_some());
        let never = new.zones.get(&apex).filter(|_| pair.before.is_none() && !is_zone);
        let text = zone_change(&pair, was_there);
        zones.insert(apex, (text, never.map_or(&[], Vec::as_slice)));
    });
    zones.retain(|_, (_, files)| files.is_empty() || !files.iter().all(|path| included.contains_key(path)));
    let mut text: String = zones.into_values().map(|(text, _)| text).collect();
    text += &key_changes(&old, &new, &changed);
    for (path, reason) in old.failures().into_iter().chain(new.failures()) {
        let _ = writeln!(text, "! {path} cannot be read: {reason}");
    }
    if colour { coloured(&text) } else { text }
}

/// Describes how a zone changed.
fn zone_change(Pair { apex, before, now }: &Pair<'_>, was_there: bool) -> String {
    let after = match now {
        Now::Read(_, _, reading) => reading.zone.as_ref(),
        _ => None,
    };
    match (before, after, now) {
        // It was a part of others or invalid, so nothing was served.
        (None, None, Now::Gone(_)) => String::new(),
        (Some(before), None, Now::Gone(_)) => format!("- zone {apex}: {}\n", size(before)),
        (None, None, _) => format!("! zone {apex} cannot be read; `zonule check` says why\n"),
        (Some(before), None, _) => {
            format!("! zone {apex} cannot be read any more; `zonule check` says why; it was {}\n", size(before))
        }
        (None, Some(after), _) if was_there => format!("+ zone {apex}, which was not good: {}\n", size(after)),
        (None, Some(after), _) => format!("+ zone {apex}: {}\n", size(after)),
        (Some(before), Some(after), _) => changes(apex, before, after),
    }
}

fn size(zone: &Zone) -> String {
    let count = zone.record_count();
    format!("serial {}, {count} record{}", zone.serial(), if count == 1 { "" } else { "s" })
}

/// Describes the records of a zone that differ.
fn changes(apex: &Name, before: &Zone, after: &Zone) -> String {
    let difference = zone::difference(before, after);
    if difference.is_empty() {
        return String::new();
    }
    let (from, to) = (difference.old, difference.new);
    let remark = if to.is_newer_than(from) { "" } else { ", which is not higher" };
    let mut text = format!("zone {apex}: serial {from} -> {to}{remark}\n");
    let shown = difference.changes.iter().filter(|change| !is_serial_only(change));
    let mut lines: Vec<(char, String, String, String, String)> = Vec::new();
    for change in shown {
        let mut add = |sign, ttl: Option<u32>, data: &[Box<[u8]>]| {
            let (owner, ttl) = (change.owner.to_string(), ttl.unwrap_or_default().to_string());
            lines.extend(data.iter().map(|data| {
                let printed = print::data(change.rtype, data);
                (sign, owner.clone(), ttl.clone(), change.rtype.to_string(), printed)
            }));
        };
        add('-', change.old_ttl, &change.removed);
        add('+', change.new_ttl, &change.added);
    }
    let width =
        |field: fn(&(char, String, String, String, String)) -> usize| lines.iter().map(field).max().unwrap_or(0);
    let owners = width(|line| line.1.len()).min(WIDEST_OWNER);
    let (ttls, types) = (width(|line| line.2.len()), width(|line| line.3.len()));
    for (sign, owner, ttl, rtype, data) in &lines {
        let _ = writeln!(text, "  {sign} {owner:<owners$} {ttl:>ttls$} IN {rtype:<types$} {data}");
    }
    text
}

/// Returns whether nothing but the serial number of an SOA record changed.
fn is_serial_only(change: &Change) -> bool {
    let without = |data: &[Box<[u8]>]| {
        let mut data = data.first()?.to_vec();
        let at = data.len().checked_sub(20)?;
        data.drain(at..at + 4);
        Some(data)
    };
    change.rtype == Type::SOA && change.old_ttl == change.new_ttl && without(&change.removed) == without(&change.added)
}

/// Describes the keys removed and added in all key files together.
fn key_changes(old: &State<'_>, new: &State<'_>, changed: &BTreeSet<String>) -> String {
    let mut text = String::new();
    if !old.keys.iter().chain(&new.keys).any(|path| changed.contains(path)) {
        return text;
    }
    let keys = |state: &State<'_>| -> BTreeMap<Name, Arc<Key>> {
        let texts: Vec<_> =
            state.keys.iter().filter_map(|path| Some((path, Zeroizing::new(state.keys(path)?)))).collect();
        let (ring, _) = Keyring::load(&[], texts.iter().map(|(path, text)| (path.as_str(), text.as_slice())));
        ring.iter().map(|key| (key.name().clone(), key.clone())).collect()
    };
    let (before, after) = (keys(old), keys(new));
    let grant = |name: &Name| Grant::of(name).map_or("it may do nothing".to_string(), |grant| grant.to_string());
    for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
        let _ = match (before.get(name), after.get(name)) {
            (Some(_), None) => writeln!(text, "- key {name}: {}", grant(name)),
            (None, Some(_)) => writeln!(text, "+ key {name}: {}", grant(name)),
            (Some(before), Some(after)) if before != after => {
                writeln!(text, "! key {name} has another secret or algorithm")
            }
            _ => Ok(()),
        };
    }
    text
}

/// Colours lines by their signs.
fn coloured(text: &str) -> String {
    let colour = |line: &str| match line.trim_start().as_bytes() {
        [b'-', ..] => "\x1b[31m",
        [b'+', ..] => "\x1b[32m",
        [b'!', ..] => "\x1b[1;33m",
        _ => "\x1b[1m",
    };
    text.lines().map(|line| format!("{}{line}\x1b[0m\n", colour(line))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::{A, Memory, zone};

    #[test]
    fn what_changes_in_dns_terms() {
        let key = |name: &str, number: u32| format!("{name} DNSKEY 0 3 {number} {A}\n");
        let old = Memory::of([
            ("a.example", zone(1, "www A 192.0.2.1\nwww 5 TXT x\nlonger.name A 192.0.2.1\n")),
            ("b.example", zone(1, "")),
            ("c.example", zone(1, "$INCLUDE parts/mail\n")),
            ("d.example", zone(1, "")),
            ("e.example", "x".to_string()),
            ("parts/mail", "@ MX 1 ns\n".to_string()),
            ("a.example._keys", key("one._update", 163) + &key("two._update", 163) + &key("three._transfer", 163)),
        ]);
        let new = old.with([
            ("a.example", Some(zone(2, "www A 192.0.2.2\nwww 5 TXT x\nlonger.name 120 A 192.0.2.1\n"))),
            ("b.example", None),
            ("d.example", Some("x".to_string())),
            ("e.example", Some(zone(3, ""))),
            ("f.example", Some(zone(4, ""))),
            ("g.example", Some("x".to_string())),
            ("parts/mail", Some("@ MX 2 ns\n".to_string())),
            ("parts/none", Some("x\n".to_string())),
            (
                "a.example._keys",
                Some(key("two._update", 163) + &key("three._transfer", 164) + &key("four._notify", 163)),
            ),
        ]);
        let expected = "\
zone a.example.: serial 1 -> 2
  - longer.name.a.example.  60 IN A 192.0.2.1
  + longer.name.a.example. 120 IN A 192.0.2.1
  - www.a.example.          60 IN A 192.0.2.1
  + www.a.example.          60 IN A 192.0.2.2
- zone b.example.: serial 1, 3 records
zone c.example.: serial 1 -> 1, which is not higher
  - c.example. 60 IN MX 1 ns.c.example.
  + c.example. 60 IN MX 2 ns.c.example.
! zone d.example. cannot be read any more; `zonule check` says why; it was serial 1, 3 records
+ zone e.example., which was not good: serial 3, 3 records
+ zone f.example.: serial 4, 3 records
! zone g.example. cannot be read; `zonule check` says why
+ key four._notify.a.example.: notify at and below a.example.
! key three._transfer.a.example. has another secret or algorithm
- key one._update.a.example.: update at and below a.example.
";
        let text = diff(&old, &new, false);
        assert_eq!(text, expected);
        assert!(!text.contains("AAEC"));
        assert!(diff(&old, &new, true).contains("\x1b[31m- zone b.example.: serial 1, 3 records\x1b[0m\n"));
        assert_eq!(diff(&new, &new, true), "");
    }
}
