//! Commit messages for updates.
//!
//! The first line summarizes the change. The removed and added records follow, then the client, the key and the serial
//! numbers:
//!
//! ```text
//! example.org: add A for host7 (nsupdate by certbot._update.example.org)
//!
//! + host7.example.org. 3600 IN A 192.0.2.7
//!
//! Client: 192.0.2.5
//! Key: certbot._update.example.org
//! Serial: 7 -> 8
//! ```
//!
//! Names and data are printed in escaped ASCII, so that a client cannot forge a line.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::dns::{Name, Serial, Type, data_cmp, print};
use crate::text::is_printable;
use crate::zone::{Change, RRset, Zone, difference};

/// The maximum number of characters in the first line, which lists of commits show.
const MAX_SUMMARY: usize = 100;

/// The maximum number of records that are listed.
const MAX_RECORDS: usize = 50;

/// The maximum number of characters in the line of a record.
const MAX_LINE: usize = 500;

/// The maximum number of types or names that the first line lists.
const MAX_LISTED: usize = 3;

/// The maximum number of characters in an author's name.
const MAX_AUTHOR: usize = 40;

/// Returns the message of the commit that changes the zone from `before` to `after` for an update that `client` signed
/// with `key`; `None` stands for no zone.
#[must_use]
pub fn commit_message(key: &Name, client: IpAddr, zone: &Name, before: Option<&Zone>, after: Option<&Zone>) -> String {
    let mut changes = match (before, after) {
        (Some(before), Some(after)) => difference(before, after).changes,
        _ => Vec::new(),
    };
    changes.retain(|change| !is_new_serial_only(change));
    let what = match (before, after) {
        (Some(_), Some(after)) if changes.is_empty() => format!("raise the serial to {}", after.serial()),
        (Some(_), Some(_)) => summary(&changes, zone, MAX_LISTED),
        (Some(_), None) => "delete the zone".into(),
        _ => "create the zone".into(),
    };
    let key = without_dot(key);
    let by = format!(" (nsupdate by {key})");
    let shorter = || if changes.is_empty() { what.clone() } else { summary(&changes, zone, 0) };
    let mut message = first_line(zone, [&format!("{what}{by}"), &what, &shorter()]);

    let mut records = Lines::default();
    for change in &changes {
        let mut push = |sign, ttl: Option<u32>, all: &[Box<[u8]>]| {
            for data in all {
                records.push(sign, change.owner.as_wire(), ttl.unwrap_or(0), change.rtype, data);
            }
        };
        push('-', change.old_ttl, &change.removed);
        push('+', change.new_ttl, &change.added);
    }
    match (before, after) {
        (Some(zone), None) => records.push_zone('-', zone),
        (None, Some(zone)) => records.push_zone('+', zone),
        _ => {}
    }
    records.finish(&mut message);

    let serial = |zone: Option<&Zone>| zone.map_or_else(|| "none".into(), |zone| zone.serial().to_string());
    message += &format!("\nClient: {client}\nKey: {key}\nSerial: {} -> {}\n", serial(before), serial(after));
    message
}

/// Returns the message of the commit that raises a zone's serial number because `author` did not do so in `commit`.
#[must_use]
pub fn serial_message(zone: &Name, serial: Serial, author: &str, commit: &str) -> String {
    let shown = |text: &str| text.chars().filter(|c| is_printable(*c)).take(MAX_AUTHOR).collect::<String>();
    let (author, commit) = (shown(author), shown(commit));
    let what = format!("raise the serial to {serial}");
    first_line(
        zone,
        [&format!("{what} (not raised by {author} in {commit})"), &format!("{what} (not raised in {commit})"), &what],
    )
}

/// Returns the first of the alternative summaries that fits into the line; truncates the last one if none does.
fn first_line(zone: &Name, summaries: [&str; 3]) -> String {
    let zone = without_dot(zone);
    let fits = |line: &String| line.chars().count() <= MAX_SUMMARY;
    let mut lines = summaries.iter().map(|what| format!("{zone}: {what}"));
    let mut line = lines.clone().find(fits).or_else(|| lines.next_back()).unwrap_or_default();
    clip(&mut line, MAX_SUMMARY);
    line.push('\n');
    line
}

/// The kind of a change to an RRset.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Add,
    Remove,
    Change,
    ChangeTtl,
}

impl Kind {
    fn of(change: &Change) -> Self {
        let Change { rtype, old_ttl, new_ttl, removed, added, .. } = change;
        let mut pairs = removed.iter().zip(added);
        if removed.is_empty() {
            Self::Add
        } else if added.is_empty() {
            Self::Remove
        } else if old_ttl != new_ttl
            && removed.len() == added.len()
            && pairs.all(|(a, b)| data_cmp(*rtype, a, b).is_eq())
        {
            Self::ChangeTtl
        } else {
            Self::Change
        }
    }

    /// Returns the verb before the types and the preposition before the names.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Add => ("add", "for"),
            Self::Remove => ("remove", "of"),
            Self::Change => ("change", "of"),
            Self::ChangeTtl => ("change TTL of", "of"),
        }
    }
}

/// Summarizes changes, of which there is at least one; lists have up to `max` items.
fn summary(changes: &[Change], zone: &Name, max: usize) -> String {
    let owners: Vec<&Name> = changes.iter().map(|change| &change.owner).collect::<BTreeSet<_>>().into_iter().collect();
    let types: BTreeSet<Type> = changes.iter().map(|change| change.rtype).collect();
    let kinds: Vec<Kind> = changes.iter().map(Kind::of).collect();
    let types: Vec<String> = types.iter().map(Type::to_string).collect();
    let names: Vec<String> = owners.iter().map(|owner| relative(owner, zone)).collect();
    if let ([owner], [a, b], 1..) = (&*names, changes, max)
        && a.rtype != b.rtype
    {
        match (kinds[0], kinds[1]) {
            (Kind::Remove, Kind::Add) if a.new_ttl.is_none() => {
                return format!("replace {} of {owner} by {}", a.rtype, b.rtype);
            }
            (Kind::Add, Kind::Remove) if b.new_ttl.is_none() => {
                return format!("replace {} of {owner} by {}", b.rtype, a.rtype);
            }
            _ => {}
        }
    }
    let kind = if kinds.iter().all(|kind| *kind == kinds[0]) { kinds[0] } else { Kind::Change };
    let (verb, preposition) = kind.words();
    // A list of types together with a list of names would not say which name has which type.
    let what = if types.len() <= max && (types.len() == 1 || names.len() == 1) {
        listed(&types)
    } else {
        counted(changes.len(), "RRset")
    };
    let whose = if names.len() <= max.max(1) { listed(&names) } else { counted(names.len(), "name") };
    format!("{verb} {what} {preposition} {whose}")
}

/// Joins words to a list: `a, b and c`.
fn listed(words: &[String]) -> String {
    match words {
        [front @ .., last] if !front.is_empty() => format!("{} and {last}", front.join(", ")),
        _ => words.concat(),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Returns a name relative to the zone.
fn relative(name: &Name, zone: &Name) -> String {
    let (name, zone) = (name.to_string(), zone.to_string());
    if name.len() == zone.len() {
        return "the apex".into();
    }
    let below = name.get(..name.len().saturating_sub(zone.len())).unwrap_or(&name);
    below.strip_suffix('.').unwrap_or(below).to_string()
}

fn without_dot(name: &Name) -> String {
    let text = name.to_string();
    text.strip_suffix('.').filter(|text| !text.is_empty()).map_or(text.clone(), str::to_string)
}

/// Truncates a text to `max` characters.
fn clip(text: &mut String, max: usize) {
    if text.chars().count() > max {
        *text = text.chars().take(max - 3).collect();
        text.push_str("...");
    }
}

/// Returns whether a change consists only of a new serial number in the SOA record.
fn is_new_serial_only(change: &Change) -> bool {
    let without_serial = |all: &[Box<[u8]>]| {
        let mut data = all.first()?.clone();
        data.last_chunk_mut::<20>()?[..4].fill(0);
        Some(data)
    };
    change.rtype == Type::SOA
        && change.old_ttl == change.new_ttl
        && without_serial(&change.removed)
            .zip(without_serial(&change.added))
            .is_some_and(|(old, new)| data_cmp(Type::SOA, &old, &new).is_eq())
}

/// The lines of records; only the first [`MAX_RECORDS`] are stored, the rest are counted.
#[derive(Default)]
struct Lines {
    text: String,
    count: usize,
}

impl Lines {
    fn push(&mut self, sign: char, owner: &[u8], ttl: u32, rtype: Type, data: &[u8]) {
        self.count += 1;
        if self.count > MAX_RECORDS {
            return;
        }
        let mut line = format!("{sign} {}", print::record(owner, ttl, rtype, data));
        clip(&mut line, MAX_LINE);
        self.text += &line;
        self.text.push('\n');
    }

    fn push_zone(&mut self, sign: char, zone: &Zone) {
        let mut push = |owner: &[u8], rrset: RRset<'_>| {
            for data in rrset.rdata() {
                self.push(sign, owner, rrset.ttl(), rrset.rtype(), data);
            }
        };
        zone.iter().take(MAX_RECORDS).for_each(|node| node.rrsets().for_each(|rrset| push(node.owner(), rrset)));
        self.count = zone.record_count();
    }

    /// Appends the lines and the number of records that were left out.
    fn finish(self, message: &mut String) {
        if self.count == 0 {
            return;
        }
        message.push('\n');
        *message += &self.text;
        if let more @ 1.. = self.count.saturating_sub(MAX_RECORDS) {
            *message += &format!("... and {more} more\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zonefile::read;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    fn zone_of(serial: u32, lines: &str) -> Zone {
        let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns.x.\n{lines}");
        let reading = read(&name("example.org"), "example.org", text.as_bytes());
        reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
    }

    fn message(before: Option<&str>, after: Option<&str>) -> String {
        let (before, after) = (before.map(|lines| zone_of(7, lines)), after.map(|lines| zone_of(8, lines)));
        let key = name("certbot._update.example.org");
        commit_message(&key, [192, 0, 2, 5].into(), &name("example.org"), before.as_ref(), after.as_ref())
    }

    #[test]
    fn complete_message() {
        assert_eq!(
            message(Some("host7 TXT \"a\\\"\\010\"\nb A 192.0.2.1\n"), Some("host7 A 192.0.2.7\nb 5 A 192.0.2.1\n")),
            "example.org: change 3 RRsets of b and host7 (nsupdate by certbot._update.example.org)\n\n\
             - b.example.org. 60 IN A 192.0.2.1\n\
             + b.example.org. 5 IN A 192.0.2.1\n\
             + host7.example.org. 60 IN A 192.0.2.7\n\
             - host7.example.org. 60 IN TXT \"a\\\"\\010\"\n\n\
             Client: 192.0.2.5\nKey: certbot._update.example.org\nSerial: 7 -> 8\n"
        );
        assert_eq!(
            message(None, Some("")),
            "example.org: create the zone (nsupdate by certbot._update.example.org)\n\n\
             + example.org. 60 IN NS ns.x.\n\
             + example.org. 60 IN SOA ns.example.org. host.example.org. 8 1 1 1 1\n\n\
             Client: 192.0.2.5\nKey: certbot._update.example.org\nSerial: none -> 8\n"
        );
    }

    #[test]
    fn first_lines() {
        for (before, after, what) in [
            ("", "", "raise the serial to 8"),
            ("", "host7 A 192.0.2.7", "add A for host7"),
            ("host7 A 192.0.2.6", "host7 A 192.0.2.6\nhost7 A 192.0.2.7", "add A for host7"),
            ("", "host7 A 192.0.2.7\nhost7 AAAA ::1", "add A and AAAA for host7"),
            ("", "a A 192.0.2.7\na AAAA ::1\na TXT x", "add A, TXT and AAAA for a"),
            ("", "a A 192.0.2.7\na AAAA ::1\na TXT x\na MX 1 x.", "add 4 RRsets for a"),
            ("_acme-challenge.www TXT x", "", "remove TXT of _acme-challenge.www"),
            ("www A 192.0.2.1\nwww A 192.0.2.2", "www A 192.0.2.1", "remove A of www"),
            ("www A 192.0.2.1", "www A 192.0.2.2", "change A of www"),
            ("www A 192.0.2.1", "www 5 A 192.0.2.1", "change TTL of A of www"),
            ("www A 192.0.2.1", "www 5 A 192.0.2.2", "change A of www"),
            ("www A 192.0.2.1", "www CNAME x.", "replace A of www by CNAME"),
            ("www CNAME x.", "www A 192.0.2.1", "replace CNAME of www by A"),
            ("www A 192.0.2.1", "www A 192.0.2.2\nwww TXT x", "change A and TXT of www"),
            ("@ TXT x", "@ TXT y", "change TXT of the apex"),
            ("", "a A 192.0.2.1\nb A 192.0.2.1", "add A for a and b"),
            ("", "a A 192.0.2.1\nb A 192.0.2.1\nc A 192.0.2.1\nd A 192.0.2.1", "add A for 4 names"),
            ("a TXT x\nb TXT x\nb A 192.0.2.1", "", "remove 3 RRsets of a and b"),
            ("a TXT x\nb TXT x\nc TXT x", "b A 192.0.2.1\nd TXT x\n", "change 5 RRsets of 4 names"),
        ] {
            let message = message(Some(before), Some(after));
            let line = message.lines().next().unwrap();
            assert_eq!(line, format!("example.org: {what} (nsupdate by certbot._update.example.org)"));
        }
        assert!(message(Some(""), None).starts_with("example.org: delete the zone (nsupdate by "));
        assert!(message(Some(""), None).ends_with("Serial: 7 -> none\n"));
    }

    /// Changes to the other fields of the SOA record are reported like any other change.
    #[test]
    fn other_soa_fields_are_reported() {
        let old = zone_of(7, "");
        let text = "$TTL 60\n@ SOA ns host 8 2 1 1 1\n@ NS ns.x.\n";
        let new = read(&name("example.org"), "", text.as_bytes()).zone.unwrap();
        let message = commit_message(&name("k"), [192, 0, 2, 5].into(), &name("example.org"), Some(&old), Some(&new));
        assert!(
            message.starts_with("example.org: change SOA of the apex (nsupdate by k)\n\n- example.org. 60 IN SOA ")
        );
    }

    #[test]
    fn long_messages_are_truncated() {
        let lines: String = (0..200).map(|n| format!("h{n:03} TXT {}\n", "\\255".repeat(200))).collect();
        let message = self::message(Some(""), Some(&lines));
        assert!(message.starts_with("example.org: add TXT for 200 names (nsupdate by "));
        assert!(message.contains("\n... and 150 more\n"), "{message}");
        assert_eq!(message.lines().count(), 1 + 1 + 50 + 1 + 1 + 3);
        assert!(message.lines().all(|line| line.len() <= MAX_LINE));

        let label = |octet: &str, count| vec![octet.repeat(50); count].join(".");
        let (long, short) = (label("k", 3), label("k", 1));
        for (key, zone, owner, line) in [
            (&*short, "example.org", &*short, format!("example.org: add TXT for {short}")),
            ("k", "example.org", &*long, format!("example.org: {}...", &format!("add 1 RRset for {long}")[..84])),
            ("k", &*long, "a", format!("{}...", &long[..97])),
        ] {
            let text = |serial, more: &str| format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns.x.\n{more}\n");
            let read = |text: String| read(&name(zone), "", text.as_bytes()).zone.unwrap();
            let (old, new) = (read(text(7, "")), read(text(8, &format!("{owner} TXT x"))));
            let message = commit_message(&name(key), [192, 0, 2, 5].into(), &name(zone), Some(&old), Some(&new));
            assert_eq!(message.lines().next().unwrap(), line);
        }
    }

    #[test]
    fn no_line_can_be_forged() {
        let evil = Name::from_wire(b"\x05a\nb\x1bc\0").unwrap();
        let (old, new) = (zone_of(7, ""), zone_of(8, "a\\010b TXT \"x\\010Key: y\""));
        let message = commit_message(&evil, [192, 0, 2, 5].into(), &name("example.org"), Some(&old), Some(&new));
        assert_eq!(
            message,
            "example.org: add TXT for a\\010b (nsupdate by a\\010b\\027c)\n\n\
             + a\\010b.example.org. 60 IN TXT \"x\\010Key: y\"\n\n\
             Client: 192.0.2.5\nKey: a\\010b\\027c\nSerial: 7 -> 8\n"
        );
    }

    #[test]
    fn serials() {
        let zone = name("example.org");
        let message = |author: &str| serial_message(&zone, Serial(8), author, "1234567");
        assert_eq!(message("J\u{f6}rg"), "example.org: raise the serial to 8 (not raised by J\u{f6}rg in 1234567)\n");
        assert_eq!(message("a\n\u{202e}b"), "example.org: raise the serial to 8 (not raised by ab in 1234567)\n");
        assert!(message(&"x".repeat(1000)).chars().count() <= MAX_SUMMARY + 1);
    }
}
