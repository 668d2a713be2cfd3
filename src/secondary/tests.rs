//! Helpers that build zones and messages for the tests of the secondary.

mod incoming;
mod network;
mod outgoing;
mod timers;

use std::sync::Arc;

use crate::dns::message::{class, request};
use crate::dns::{Name, Type};
use crate::tsig::{Algorithm, Key};
use crate::zone::{Difference, Zone};
use crate::zonefile::read;

/// The time in seconds since 1970 at which the tests begin.
const UNIX: u64 = 1_800_000_000;

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn key() -> Arc<Key> {
    Arc::new(Key::new(name("k._transfer.example.org"), Algorithm::Sha256, vec![7; 32]).unwrap())
}

/// The zone example.org with this serial number and these lines.
fn zone(serial: u32, lines: &str) -> Arc<Zone> {
    zone_of("example.org", serial, lines)
}

fn zone_of(apex: &str, serial: u32, lines: &str) -> Arc<Zone> {
    let text = format!("$TTL 60\n@ SOA ns host {serial} 900 300 3600 60\n@ NS ns\nns A 192.0.2.1\n{lines}");
    let reading = read(&name(apex), apex, text.as_bytes());
    Arc::new(reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics)))
}

/// A record in a message: owner, type, TTL, data.
type Raw = (Name, Type, u32, Vec<u8>);

fn soa(zone: &Zone) -> Raw {
    let rrset = zone.soa().unwrap();
    (zone.apex().clone(), Type::SOA, rrset.ttl(), rrset.rdata().next().unwrap().to_vec())
}

/// The records of a whole zone's transfer (RFC 5936 §2.2).
fn whole(zone: &Zone) -> Vec<Raw> {
    let mut records = vec![soa(zone)];
    for node in zone.iter() {
        for rrset in node.rrsets().filter(|rrset| rrset.rtype() != Type::SOA) {
            let owner = Name::from_wire(node.owner()).unwrap();
            records.extend(rrset.rdata().map(|data| (owner.clone(), rrset.rtype(), rrset.ttl(), data.to_vec())));
        }
    }
    records.push(soa(zone));
    records
}

/// The records of a transfer of differences that leads through these versions (RFC 1995 §4).
fn differences(versions: &[&Zone]) -> Vec<Raw> {
    let newest = versions.last().unwrap();
    let mut records = vec![soa(newest)];
    for pair in versions.windows(2) {
        let Difference { changes, .. } = crate::zone::difference(pair[0], pair[1]);
        let changes: Vec<_> = changes.iter().filter(|change| change.rtype != Type::SOA).collect();
        records.push(soa(pair[0]));
        for change in &changes {
            let raw = |data: &[u8]| (change.owner.clone(), change.rtype, change.old_ttl.unwrap(), data.to_vec());
            records.extend(change.removed.iter().map(|data| raw(data)));
        }
        records.push(soa(pair[1]));
        for change in &changes {
            let raw = |data: &[u8]| (change.owner.clone(), change.rtype, change.new_ttl.unwrap(), data.to_vec());
            records.extend(change.added.iter().map(|data| raw(data)));
        }
    }
    records.push(soa(newest));
    records
}

/// A reply to a request, with these records in the answer section.
fn reply(to: &[u8], rcode: u8, records: &[Raw]) -> Vec<u8> {
    let mut reader = crate::dns::message::Reader::new(to).unwrap();
    let id = reader.header().id;
    let question = reader.question().unwrap().unwrap();
    let mut message = request(id, 0x8400 | u16::from(rcode), &question.name, question.qtype);
    message[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    for (owner, rtype, ttl, data) in records {
        message.extend_from_slice(owner.as_wire());
        message.extend(rtype.0.to_be_bytes());
        message.extend(class::IN.to_be_bytes());
        message.extend(ttl.to_be_bytes());
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend_from_slice(data);
    }
    message
}
