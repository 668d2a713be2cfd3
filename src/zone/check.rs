//! What must hold for a zone beyond its records being readable.
//!
//! Errors refuse the zone; warnings tell of what is served but hardly meant.

use super::assemble::{Gathered, Records};
use super::diagnostic::{Fault, Report};
use super::key::Key;
use super::name::{self, Name};
use super::node::Node;
use super::rtype::Type;
use super::zone::{Lookup, Zone};

/// The most records one RRset may have; no message could carry more.
const MAX_RRSET: usize = 10_000 * 4;

/// Checks that the apex has one SOA record and NS records (RFC 1035 §5.2, RFC 1034 §4.2.1).
pub(super) fn apex(records: &Records, list: &[Gathered], apex: &Name, report: &mut Report) {
    let at_apex = |record: &&Gathered| records.owner(record).len() == apex.as_wire().len();
    let of = |rtype| list.iter().take_while(at_apex).filter(move |record| record.rtype == rtype);
    if of(Type::SOA).next().is_none() {
        let hint = format!("a zone begins with `@ SOA` and its data; the zone is {apex} by its file's name");
        report.error(Fault::file(format!("there is no SOA record at {apex}")).hint(hint));
    }
    if of(Type::NS).next().is_none() {
        let hint = "name the zone's servers with `@ NS` records";
        report.error(Fault::file(format!("there is no NS record at {apex}")).hint(hint));
    }
}

/// Checks which types stand together at one name.
pub(super) fn node(records: &Records, node: &[Gathered], is_apex: bool, report: &mut Report) {
    let owner = name::Display(records.owner(&node[0]));
    let first_of = |rtype: Type| node.iter().filter(|record| record.rtype == rtype).min_by_key(|record| record.place);
    if let Some(soa) = first_of(Type::SOA) {
        if !is_apex {
            let reason = format!("the SOA record of {owner} does not stand at the top of the zone");
            report.error(Fault::at(soa.place as usize, reason));
        } else if let Some(second) =
            node.iter().filter(|r| r.rtype == Type::SOA && r.place != soa.place).map(|r| r.place).min()
        {
            report.error(Fault::at(second as usize, "there is a second SOA record").hint("a zone has just one"));
        }
    }
    if let Some(cname) = first_of(Type::CNAME) {
        // RFC 2181 §10.1, RFC 4034 §2.5: only the records that sign it may stand beside a CNAME.
        let other =
            node.iter().find(|r| !matches!(r.rtype, Type::CNAME | Type::RRSIG | Type::NSEC | Type(24 | 25 | 30)));
        if let Some(other) = other {
            let reason = format!("{owner} has a CNAME record and other data ({}) too", other.rtype);
            report.error(
                Fault::at(cname.place as usize, reason).hint("an alias has no records of its own (RFC 2181 §10.1)"),
            );
        }
    }
    // RFC 2181 §10.1, RFC 6672 §2.4: one target each.
    for rtype in [Type::CNAME, Type::DNAME] {
        let mut of = node.iter().filter(|record| record.rtype == rtype);
        if let (Some(first), Some(second)) = (of.next(), of.next())
            && !name::eq(records.data(first), records.data(second))
        {
            let place = first.place.max(second.place) as usize;
            report.error(Fault::at(place, format!("{owner} has a second {rtype} record")).hint("it can have only one"));
        }
    }
    for rrset in node.chunk_by(|a, b| a.rtype == b.rtype) {
        if rrset.len() > MAX_RRSET {
            let reason = format!(
                "{owner} has {} records of type {}, at most {MAX_RRSET} are possible",
                rrset.len(),
                rrset[0].rtype
            );
            report.error(Fault::at(rrset[0].place as usize, reason));
        }
    }
}

/// Returns the one TTL of an RRset (RFC 2181 §5.2): the smallest.
pub(super) fn ttl(rrset: &[Gathered], records: &Records, report: &mut Report) -> u32 {
    let smallest = rrset.iter().map(|record| record.ttl).min().unwrap_or(0);
    // Signatures of different RRsets stand at one name and are an RRset only in form.
    if rrset[0].rtype == Type::RRSIG {
        return smallest;
    }
    if let Some(other) = rrset.iter().filter(|record| record.ttl != smallest).min_by_key(|record| record.place) {
        let owner = name::Display(records.owner(other));
        let reason = format!("the {} records of {owner} have different TTLs; {smallest} is taken for all", other.rtype);
        report.warning(Fault::at(other.place as usize, reason).hint("give them the same TTL (RFC 2181 §5.2)"));
    }
    smallest
}

/// Tells of a record that is there twice.
pub(super) fn duplicate(record: &Gathered, rtype: Type, report: &mut Report) {
    report.warning(Fault::at(record.place as usize, format!("this {rtype} record stands here for the second time")));
}

/// Checks that the servers and mail hosts a zone names in itself have addresses (RFC 1034 §4.2.1, RFC 2181 §10.3).
pub(super) fn targets(records: &Records, list: &[Gathered], zone: &Zone, report: &mut Report) {
    let mut key = Key::new(&[0]);
    for record in list {
        let front = match record.rtype {
            Type::NS => 0,
            Type::MX => 2,
            _ => continue,
        };
        let Some(target) = records.data(record).get(front..) else { continue };
        if target == [0] || !name::is_at_or_below(target, zone.apex().as_wire()) {
            continue;
        }
        key.set(target);
        let has_address = |node: &Node| node.rrset(Type::A).or(node.rrset(Type::AAAA)).is_some();
        let is_alias = |node: &Node| node.rrset(Type::CNAME).is_some();
        let place = record.place as usize;
        let shown = name::Display(target);
        let problem = match zone.lookup(target, &key) {
            Lookup::Node(node) | Lookup::Wildcard(node) if has_address(node) => None,
            Lookup::Node(node) | Lookup::Wildcard(node) if is_alias(node) => Some("is an alias"),
            Lookup::Node(_)
            | Lookup::Wildcard(_)
            | Lookup::EmptyNonTerminal
            | Lookup::EmptyWildcard
            | Lookup::NoName => Some("has no address"),
            // Only the delegation's own servers need addresses here (RFC 9471 §2.1).
            Lookup::Delegation { cut, .. }
                if record.rtype == Type::NS && name::eq(cut.owner(), records.owner(record)) =>
            {
                (!zone.node_at(target, &key).is_some_and(has_address))
                    .then_some("has no address, and nobody else can tell it")
            }
            Lookup::Delegation { .. } | Lookup::Redirected(_) => None,
        };
        if let Some(problem) = problem {
            let fault = Fault::at(place, format!("the host of this {} record, {shown}, {problem}", record.rtype));
            report.warning(match problem {
                "is an alias" => fault.hint("name the host itself (RFC 2181 §10.3)"),
                _ => fault.hint("add its A or AAAA record; if the name is meant as it stands, end it in a dot"),
            });
        }
    }
}
