//! Checks of a zone beyond the syntax of its records.
//!
//! Errors refuse the zone; warnings report what is served but probably unintended.

use super::key::Key;
use super::node::{Node, RECORD_HEAD};
use crate::dns::diagnostic::{Fault, Report};
use crate::dns::{Name, Type, data_cmp, name};
use crate::zone::records::{Gathered, Records};
use crate::zone::{Lookup, Zone};

/// The maximum number of records of an RRset: as many as a message can count.
const MAX_RRSET: usize = 65_535;

/// The size of records in octets that always fit into a message with its question (RFC 1035 §4.2.2).
const MAX_MESSAGE: usize = 65_535 - 300;

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

/// Checks which types may coexist at a name.
pub(super) fn node(records: &Records, node: &[Gathered], is_apex: bool, report: &mut Report) {
    let owner = name::Display(records.owner(&node[0]));
    let first_of = |rtype: Type| node.iter().filter(|record| record.rtype == rtype).min_by_key(|record| record.place);
    if let Some(soa) = first_of(Type::SOA)
        && !is_apex
    {
        let reason = format!("the SOA record of {owner} is not at the apex of the zone");
        report.error(Fault::at(soa.place as usize, reason));
    }
    if let Some(cname) = first_of(Type::CNAME)
        && let Some(other) = node.iter().find(|record| !record.rtype.may_coexist_with_cname())
    {
        let reason = format!("{owner} has a CNAME record and other data ({}) too", other.rtype);
        report
            .error(Fault::at(cname.place as usize, reason).hint("an alias has no records of its own (RFC 2181 §10.1)"));
    }
    if let Some(ns) = first_of(Type::NS)
        && !is_apex
        && records.owner(ns).starts_with(b"\x01*")
    {
        let reason = format!("the wildcard {owner} is delegated");
        report.warning(Fault::at(ns.place as usize, reason).hint("its meaning is not defined (RFC 4592 §4.2)"));
    }
    // RFC 1035 §5.2, RFC 2181 §10.1, RFC 6672 §2.4: one each.
    for rtype in [Type::SOA, Type::CNAME, Type::DNAME] {
        let Some(first) = first_of(rtype) else { continue };
        let others = node
            .iter()
            .filter(|other| other.rtype == rtype && data_cmp(rtype, records.data(other), records.data(first)).is_ne());
        if let Some(second) = others.min_by_key(|other| other.place) {
            let reason = format!("{owner} has more than one {rtype} record");
            report.error(Fault::at(second.place as usize, reason).hint("it can have only one"));
        }
    }
    for rrset in node.chunk_by(|a, b| a.rtype == b.rtype) {
        let (count, rtype, place) = (rrset.len(), rrset[0].rtype, rrset[0].place as usize);
        if count > MAX_RRSET {
            let reason = format!("{owner} has {count} records of type {rtype}; the maximum is {MAX_RRSET}");
            report.error(Fault::at(place, reason));
        } else if rrset.iter().map(|record| RECORD_HEAD + records.data(record).len()).sum::<usize>() > MAX_MESSAGE {
            let reason = format!("the {count} records of type {rtype} of {owner} may not fit into one message");
            report.warning(Fault::at(place, reason).hint("no client can receive them; spread them over several names"));
        }
    }
}

/// Finds names that records above them hide from all answers; nodes are given in canonical order.
pub(super) struct Above<'r> {
    records: &'r Records,
    list: &'r [Gathered],
    /// The delegation that the next nodes may be below.
    cut: Option<&'r [u8]>,
    /// The owner of the DNAME record that the next nodes may be below.
    dname: Option<&'r [u8]>,
    /// The hosts of all NS records, sorted; built on first use.
    servers: Option<Vec<&'r [u8]>>,
}

impl<'r> Above<'r> {
    /// Starts at the apex of a zone with sorted records.
    pub(super) fn new(records: &'r Records, list: &'r [Gathered]) -> Self {
        Self { records, list, cut: None, dname: None, servers: None }
    }

    /// Checks the next node.
    pub(super) fn node(&mut self, node: &'r [Gathered], is_apex: bool, report: &mut Report) {
        let owner = self.records.owner(&node[0]);
        let below = |above: &&[u8]| name::is_at_or_below(owner, above);
        self.cut = self.cut.filter(below);
        self.dname = self.dname.filter(below);
        let has = |rtype: Type| node.iter().any(|record| record.rtype == rtype);
        if let Some(dname) = self.dname
            // Records that prove nonexistence are placed below the apex even if it owns a DNAME record (RFC 5155 §7.1).
            && let Some(record) = node.iter().find(|record| !matches!(record.rtype, Type::NSEC3 | Type::RRSIG))
        {
            let reason = format!("{} lies below the DNAME record of {}", name::Display(owner), name::Display(dname));
            let hint = "all names below it are redirected, so none can have records (RFC 6672 §2.4)";
            report.error(Fault::at(record.place as usize, reason).hint(hint));
        }
        let at_cut = self.cut.is_none() && !is_apex && has(Type::NS);
        if at_cut {
            self.cut = Some(owner);
        }
        if let Some(cut) = self.cut {
            self.hidden(cut, at_cut, node, report);
        } else if self.dname.is_none() && has(Type::DNAME) {
            self.dname = Some(owner);
        }
    }

    /// Reports records at or below a delegation that are neither its own nor glue (RFC 1034 §4.2.1).
    fn hidden(&mut self, cut: &[u8], at_cut: bool, node: &[Gathered], report: &mut Report) {
        let owner = self.records.owner(&node[0]);
        let hidden = node.iter().find(|record| match record.rtype {
            Type::NS | Type::DS | Type::NSEC | Type::RRSIG => !at_cut,
            Type::A | Type::AAAA => !self.is_server(owner),
            _ => true,
        });
        let Some(record) = hidden else { return };
        let (owner, cut) = (name::Display(owner), name::Display(cut));
        let place =
            if at_cut { "has been delegated".to_string() } else { format!("lies below the delegation of {cut}") };
        let reason = format!("{owner} {place}, so its {} record is never shown", record.rtype);
        let hint = format!("move it to the zone {cut}, or remove the delegation's NS records");
        report.warning(Fault::at(record.place as usize, reason).hint(hint));
    }

    /// Returns whether an NS record of the zone refers to this host.
    fn is_server(&mut self, host: &[u8]) -> bool {
        let servers = self.servers.get_or_insert_with(|| {
            let all = self.list.iter().filter(|record| record.rtype == Type::NS);
            let mut servers: Vec<_> = all.map(|record| self.records.data(record)).collect();
            servers.sort_unstable_by(|a, b| name::canonical_cmp(a, b));
            servers
        });
        servers.binary_search_by(|server| name::canonical_cmp(server, host)).is_ok()
    }
}

/// Returns the TTL of an RRset (RFC 2181 §5.2), or of the signatures that cover one type: the smallest of its records.
pub(super) fn ttl(rrset: &[Gathered], records: &Records, report: &mut Report) -> u32 {
    let smallest = rrset.iter().map(|record| record.ttl).min().unwrap_or(0);
    if let Some(other) = rrset.iter().filter(|record| record.ttl != smallest).min_by_key(|record| record.place) {
        let owner = name::Display(records.owner(other));
        let covering =
            other.rtype.covers(records.data(other)).map_or(String::new(), |rtype| format!(" that cover {rtype}"));
        let reason =
            format!("the {} records of {owner}{covering} have different TTLs; {smallest} is used for all", other.rtype);
        report.warning(Fault::at(other.place as usize, reason).hint("give them the same TTL (RFC 2181 §5.2)"));
    }
    smallest
}

/// Reports a duplicate record.
pub(super) fn duplicate(record: &Gathered, rtype: Type, report: &mut Report) {
    report.warning(Fault::at(record.place as usize, format!("this {rtype} record is a duplicate")));
}

/// Checks that the name servers and mail hosts within the zone have addresses (RFC 1034 §4.2.1, RFC 2181 §10.3).
pub(super) fn targets(records: &Records, list: &[Gathered], zone: &Zone, report: &mut Report) {
    let mut key = Key::empty();
    for record in list {
        let front = match record.rtype {
            Type::NS => 0,
            Type::MX => 2,
            Type::SRV => 6,
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
            | Lookup::EmptyWildcard { .. }
            | Lookup::NoName { .. } => Some("has no address"),
            // Only the delegation's own servers need addresses here (RFC 9471 §2.1).
            Lookup::Delegation { cut, .. }
                if record.rtype == Type::NS && name::eq(cut.owner(), records.owner(record)) =>
            {
                (!zone.node_at(target, &key).is_some_and(has_address))
                    .then_some("has no address, and no other server can provide it")
            }
            Lookup::Delegation { .. } | Lookup::Redirected(_) => None,
        };
        if let Some(problem) = problem {
            let fault = Fault::at(place, format!("the host of this {} record, {shown}, {problem}", record.rtype));
            report.warning(match problem {
                "is an alias" => fault.hint("name the host itself (RFC 2181 §10.3)"),
                _ => fault.hint("add its A or AAAA record, or, if the name is absolute, end it with a dot"),
            });
        }
    }
}
