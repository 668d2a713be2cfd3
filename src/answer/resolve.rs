//! The resolution of a question in the served zones (RFC 1034 §4.3.2 as updated).

use super::query::Query;
use super::writer::{Full, Section, Writer};
use super::{ExtendedError, Verdict, ZoneVersion, additional};
use crate::dns::Type;
use crate::dns::message::{HEADER, Rcode};
use crate::dns::name::{self, MAX_NAME};
use crate::zone::node::Marks;
use crate::zone::{Denied, Entry, Key, Lookup, Node, RRset, Zone, Zones};

/// The maximum number of aliases that are followed for a question.
const MAX_CHAIN: usize = 16;

/// Finds the answer to a question and writes its records.
#[inline]
pub(super) fn resolve(zones: &Zones, query: &Query<'_>, writer: &mut Writer<'_>) -> Verdict<'static> {
    let mut key = Key::empty();
    key.set(query.name);
    let zone = match find_zone(zones, query.qtype, query.name, &key) {
        None => return Verdict::of(Rcode::REFUSED).because(ExtendedError::NOT_AUTHORITATIVE),
        Some(Entry::Broken(_, fault)) => return Verdict::of(Rcode::SERVER_FAILURE).because(fault.into()),
        Some(Entry::Zone(zone)) => zone,
    };
    let mut verdict = Verdict { authoritative: true, ..Verdict::of(Rcode::NO_ERROR) };
    let edns = query.extras.edns;
    let dnssec = edns.is_some_and(|edns| edns.dnssec_ok);
    verdict.zone_version = edns.filter(|edns| edns.zone_version).map(|_| ZoneVersion::of(zone));
    let (qtype, qname) = (query.qtype, query.name);
    let mut answer = Resolution { qtype, qname, dnssec, writer, verdict, dname_at: None, proofs: Proofs::new() };
    let result = match answer.step(zone, None, query.name, &key) {
        Ok(Step::Done) => Ok(()),
        Ok(Step::Alias(target)) => answer.follow(zones, target),
        Err(Full) => Err(Full),
    };
    if result.and_then(|()| answer.prove()).is_err() {
        answer.verdict.truncated = true;
    }
    answer.verdict
}

/// Returns the zone that answers a question: the closest enclosing one, or for DS its parent (RFC 4035 §3.1.4.1).
#[inline]
fn find_zone<'z>(zones: &'z Zones, qtype: Type, name: &[u8], key: &Key) -> Option<&'z Entry> {
    let entry = zones.find(name, key)?;
    if qtype != Type::DS || entry.apex().as_wire().len() != name.len() || name.len() == 1 {
        return Some(entry);
    }
    let parent = name::parent(name);
    let Some(above) = zones.find(parent, &Key::new(parent)) else { return Some(entry) };
    match above.zone().map(|zone| zone.lookup(name, key)) {
        None | Some(Lookup::Delegation { at_cut: true, .. }) => Some(above),
        Some(_) => Some(entry),
    }
}

/// A name in its own buffer.
struct Target {
    octets: [u8; MAX_NAME],
    len: usize,
}

impl Target {
    fn new(name: &[u8]) -> Option<Self> {
        let mut octets = [0; MAX_NAME];
        octets.get_mut(..name.len())?.copy_from_slice(name);
        Some(Self { octets, len: name.len() })
    }

    fn as_wire(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

/// The result of looking up one name in a chain of aliases.
#[allow(clippy::large_enum_variant, reason = "it lives on the stack; boxing would allocate")]
enum Step {
    /// The answer is complete.
    Done,
    /// The answer continues at another name.
    Alias(Target),
}

/// The maximum number of nodes whose NSEC or NSEC3 records prove an answer: one for each wildcard that an alias matched,
/// and three for the end of the chain.
const MAX_PROOFS: usize = MAX_CHAIN + 3;

/// The nodes whose NSEC or NSEC3 records belong to the answer, no two the same.
type Proofs<'z> = heapless::Vec<&'z Node, MAX_PROOFS>;

/// An answer that is being built.
struct Resolution<'a, 'r, 'z> {
    qtype: Type,
    qname: &'a [u8],
    /// Whether the client requests DNSSEC records (RFC 4035 §3.1).
    dnssec: bool,
    writer: &'a mut Writer<'r>,
    verdict: Verdict<'static>,
    /// The offset in the message of the last DNAME record's owner.
    dname_at: Option<usize>,
    /// The proofs that are not written yet: they follow the answer section.
    proofs: Proofs<'z>,
}

impl<'z> Resolution<'_, '_, 'z> {
    /// Answers for one name in a zone; `owner` is the name, or `None` if it is the one in the question.
    #[inline]
    fn step(&mut self, zone: &'z Zone, owner: Option<&[u8]>, name: &[u8], key: &Key) -> Result<Step, Full> {
        match zone.lookup(name, key) {
            Lookup::Node(node) => self.node(zone, owner, node, None),
            Lookup::Wildcard(node) => self.node(zone, owner, node, Some(name)),
            Lookup::Delegation { cut, at_cut: true } if self.qtype == Type::DS => self.node(zone, owner, cut, None),
            Lookup::Delegation { cut, .. } => {
                // After an alias in our zones, the answer stays authoritative (RFC 1035 §4.1.1).
                self.verdict.authoritative &= owner.is_some();
                self.referral(zone, cut)
            }
            Lookup::Redirected(node) => self.redirected(owner, name, node),
            Lookup::EmptyNonTerminal => self.negative(zone, Denied::NoData(name)),
            Lookup::EmptyWildcard { encloser } => self.negative(zone, Denied::Name { name, encloser }),
            Lookup::NoName { encloser } => {
                // RFC 6604 §3: the code refers to the last name of the chain.
                self.verdict.rcode = Rcode::NAME_ERROR;
                self.negative(zone, Denied::Name { name, encloser })
            }
        }
    }

    /// Answers from the node of a name, or of the wildcard that matches the name `expanded`.
    #[inline]
    fn node(
        &mut self,
        zone: &'z Zone,
        owner: Option<&[u8]>,
        node: &'z Node,
        expanded: Option<&[u8]>,
    ) -> Result<Step, Full> {
        let rrset = match self.qtype {
            // RFC 8482 §4.1: one RRset is enough.
            Type::ANY => node.rrsets().find(|rrset| !matches!(rrset.rtype(), Type::RRSIG | Type::NSEC | Type::NSEC3)),
            qtype => node.rrset(qtype),
        };
        if let Some(rrset) = rrset {
            match self.signatures(node, rrset) {
                None if owner.is_none() => self.writer.answer(rrset)?,
                signatures => self.writer.signed(Section::Answer, owner, rrset, signatures)?,
            }
            self.deny_closer(zone, node, expanded);
            if additional::is_due(rrset.rtype()) {
                self.prove()?;
                additional::add(self.writer, zone, rrset, owner.unwrap_or(self.qname), self.dnssec);
            }
            return Ok(Step::Done);
        }
        if node.marks().has(Marks::CNAME)
            && let Some(cname) = node.rrset(Type::CNAME)
        {
            self.writer.signed(Section::Answer, owner, cname, self.signatures(node, cname))?;
            self.deny_closer(zone, node, expanded);
            return Ok(cname.rdata().next().and_then(Target::new).map_or(Step::Done, Step::Alias));
        }
        match expanded {
            None => self.negative(zone, Denied::NoData(node.owner())),
            Some(name) => self.negative(zone, Denied::Name { name, encloser: name::parent(node.owner()).len() }),
        }
    }

    /// Returns the signatures of a node's RRset if the client requests them and there are any.
    #[inline]
    fn signatures<'n>(&self, node: &'n Node, rrset: RRset<'_>) -> Option<RRset<'n>> {
        if self.dnssec { node.signatures(rrset.rtype()) } else { None }
    }

    /// Notes the proof that no name is closer to `expanded` than the wildcard that matches it.
    #[inline]
    fn deny_closer(&mut self, zone: &'z Zone, wildcard: &'z Node, expanded: Option<&[u8]>) {
        if let (true, Some(name)) = (self.dnssec, expanded) {
            self.deny(zone, Denied::CloserName { name, encloser: name::parent(wildcard.owner()).len() });
        }
    }

    /// Notes the nodes that prove what is denied, if the zone is signed.
    fn deny(&mut self, zone: &'z Zone, denied: Denied<'_>) {
        zone.deny(denied, &mut |node| {
            if !self.proofs.iter().any(|other| other.is_same(node)) {
                // There is room for every chain that is followed; a proof too many would be left out.
                let _ = self.proofs.push(node);
            }
        });
    }

    /// Writes the proofs noted so far (RFC 4035 §3.1.3, RFC 5155 §7.2).
    #[inline]
    fn prove(&mut self) -> Result<(), Full> {
        if self.proofs.is_empty() { Ok(()) } else { self.write_proofs() }
    }

    fn write_proofs(&mut self) -> Result<(), Full> {
        for node in std::mem::take(&mut self.proofs) {
            for rrset in [Type::NSEC, Type::NSEC3].into_iter().filter_map(|rtype| node.rrset(rtype)) {
                self.writer.signed(Section::Authority, Some(node.owner()), rrset, node.signatures(rrset.rtype()))?;
            }
        }
        Ok(())
    }

    /// Follows aliases as long as they stay in the served zones.
    fn follow(&mut self, zones: &'z Zones, first: Target) -> Result<(), Full> {
        // The offsets in the message of the names answered so far: that of the question, then the targets of aliases.
        let mut seen = [HEADER; MAX_CHAIN];
        let mut key = Key::empty();
        let mut target = first;
        for hop in 1..MAX_CHAIN {
            let name = target.as_wire();
            if seen[..hop].iter().any(|&at| self.writer.name_is(at, name)) {
                return Ok(());
            }
            seen[hop] = self.writer.data_at();
            key.set(name);
            let Some(Entry::Zone(zone)) = find_zone(zones, self.qtype, name, &key) else { return Ok(()) };
            match self.step(zone, Some(name), name, &key)? {
                Step::Done => return Ok(()),
                Step::Alias(next) => target = next,
            }
        }
        Ok(())
    }

    /// Answers below a DNAME record (RFC 6672 §3.2).
    fn redirected(&mut self, owner: Option<&[u8]>, name: &[u8], node: &'z Node) -> Result<Step, Full> {
        let Some(dname) = node.rrset(Type::DNAME) else { return Ok(Step::Done) };
        let Some(to) = dname.rdata().next() else { return Ok(Step::Done) };
        // A chain that passes the same DNAME again includes it only once.
        if !self.dname_at.is_some_and(|at| self.writer.name_is(at, node.owner())) {
            self.dname_at = Some(self.writer.position());
            self.writer.signed(Section::Answer, Some(node.owner()), dname, self.signatures(node, dname))?;
        }
        let front = &name[..name.len() - node.owner().len()];
        let mut octets = [0; MAX_NAME];
        let len = front.len() + to.len();
        let Some(space) = octets.get_mut(..len) else {
            self.verdict.rcode = Rcode::YX_DOMAIN;
            return Ok(Step::Done);
        };
        space[..front.len()].copy_from_slice(front);
        space[front.len()..].copy_from_slice(to);
        let target = Target { octets, len };
        self.writer.synthesized(owner, target.as_wire(), dname.ttl())?;
        // A query for CNAME is answered by the alias itself, as in other servers. A DNAME that points below itself
        // would redirect endlessly.
        if self.qtype == Type::CNAME || name::is_at_or_below(to, node.owner()) {
            return Ok(Step::Done);
        }
        Ok(Step::Alias(target))
    }

    /// Adds the SOA record of a negative answer (RFC 2308 §2) and, for clients that request it, the proof.
    fn negative(&mut self, zone: &'z Zone, denied: Denied<'_>) -> Result<Step, Full> {
        let Some(soa) = zone.soa() else { return Ok(Step::Done) };
        if self.dnssec {
            self.deny(zone, denied);
        }
        self.writer.negative(zone.apex().as_wire(), soa, self.dnssec.then(|| zone.soa_signatures()).flatten())?;
        self.prove()?;
        Ok(Step::Done)
    }

    /// Adds a referral to the servers of a delegated zone, with the addresses that are in this zone and, for clients that
    /// request it, the delegation's DS records or the proof that it has none (RFC 4035 §3.1.4, RFC 5155 §7.2.7).
    fn referral(&mut self, zone: &'z Zone, cut: &'z Node) -> Result<Step, Full> {
        let Some(servers) = cut.rrset(Type::NS) else { return Ok(Step::Done) };
        self.writer.rrset(Section::Authority, Some(cut.owner()), servers)?;
        if self.dnssec && zone.is_signed() {
            match cut.rrset(Type::DS) {
                Some(ds) => self.writer.signed(Section::Authority, Some(cut.owner()), ds, cut.signatures(Type::DS))?,
                None => self.deny(zone, Denied::NoData(cut.owner())),
            }
            self.prove()?;
        }
        // RFC 9471 §3.1: the addresses of servers within the delegated zone are not available elsewhere, so they come
        // first, and TC is set if they do not fit; those of other hosts may be omitted.
        for in_domain in [true, false] {
            for host in servers.rdata().filter(|host| name::is_at_or_below(host, cut.owner()) == in_domain) {
                // A host with too many addresses must not prevent the others from being added.
                if additional::glue(self.writer, zone, host, self.dnssec).is_err() && in_domain {
                    return Err(Full);
                }
            }
        }
        Ok(Step::Done)
    }
}
