//! The NSEC and NSEC3 records that prove what does not exist in a signed zone (RFC 4035 §3.1.3, RFC 5155 §7.2).
//!
//! NSEC records are at the names of the zone, so the predecessor of a name in canonical order is found in the zone's own trie.
//! NSEC3 records are at hashes of names, which no query asks for; a second trie holds just their nodes, so that
//! the one that matches or covers a hash is also found in one descent, whatever names are in between.

use super::node::Node;
use crate::dns::Type;
use crate::dns::name::{self, MAX_NAME};
use crate::dns::nsec3::{self, Parameters};
use crate::zone::trie::Builder;
use crate::zone::{Key, Lookup, Named, Trie, Zone};

/// The maximum number of iterations for which hashes are computed (RFC 5155 §10.3); a zone with more cannot prove anything.
///
/// Validators ignore proofs with far fewer (RFC 9276 §3.2), and every query would pay for them.
const MAX_ITERATIONS: u16 = 2500;

/// The kind of denial in a negative or expanded answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Denied<'q> {
    /// The name exists, but has no records of the type.
    NoData(&'q [u8]),
    /// Neither the name nor the wildcard that would match it has such records; `encloser` is the length in octets of the
    /// name's closest encloser.
    Name { name: &'q [u8], encloser: usize },
    /// No name closer than the wildcard that matches exists.
    CloserName { name: &'q [u8], encloser: usize },
}

/// How a zone proves nonexistence.
#[derive(Clone, Default)]
pub(super) enum Proof {
    /// It cannot: it has no chain of NSEC or NSEC3 records.
    #[default]
    None,
    /// By NSEC records.
    Nsec,
    /// By NSEC3 records.
    Nsec3(Box<Chain>),
}

/// A chain of NSEC3 records with the same parameters (RFC 5155 §4).
#[derive(Clone)]
pub(super) struct Chain {
    parameters: Parameters,
    /// The nodes that own the chain's records.
    nodes: Trie<Node>,
}

impl Proof {
    /// Determines how a zone proves nonexistence.
    ///
    /// While a zone changes from one chain to another it has several; NSEC3PARAM says which are complete (RFC 5155 §4).
    pub(super) fn of(apex: &Node, nodes: &Trie<Node>) -> Self {
        match Self::parameters(apex, nodes) {
            None if apex.rrset(Type::NSEC).is_some() => Self::Nsec,
            None => Self::None,
            Some(parameters) => {
                let mut chain = Builder::new();
                nodes.iter().filter(|node| has(node, &parameters)).for_each(|node| chain.push(node.clone()));
                Self::Nsec3(Box::new(Chain { parameters, nodes: chain.finish() }))
            }
        }
    }

    /// Returns whether a change of the zone's nodes must be reported to [`Self::amended`].
    pub(super) fn is_by_nsec3(&self) -> bool {
        matches!(self, Self::Nsec3(_))
    }

    /// Returns how the amended zone proves nonexistence; `changed` are the nodes before and after.
    pub(super) fn amended(self, apex: &Node, nodes: &Trie<Node>, changed: &[(Option<Node>, Option<Node>)]) -> Self {
        let Self::Nsec3(mut chain) = self else { return Self::of(apex, nodes) };
        if Self::parameters(apex, nodes).as_ref() != Some(&chain.parameters) {
            return Self::of(apex, nodes);
        }
        for (before, after) in changed {
            match after {
                Some(after) if has(after, &chain.parameters) => drop(chain.nodes.insert(after.clone())),
                _ => {
                    if let Some(before) = before {
                        chain.nodes.remove(before.owner());
                    }
                }
            }
        }
        Self::Nsec3(chain)
    }

    /// Returns the parameters of a chain that is announced as complete and has a record for the apex.
    fn parameters(apex: &Node, nodes: &Trie<Node>) -> Option<Parameters> {
        let usable = apex.rrset(Type::NSEC3PARAM)?.rdata().filter_map(Parameters::of);
        usable.filter(|parameters| parameters.iterations <= MAX_ITERATIONS).find(|parameters| {
            let mut buffer = [0; MAX_NAME];
            let owner = nsec3::owner(&parameters.hash(apex.owner()), apex.owner(), &mut buffer);
            owner.and_then(|owner| nodes.get(owner)).is_some_and(|node| has(node, parameters))
        })
    }
}

/// Returns whether a node owns an NSEC3 record with these parameters.
fn has(node: &Node, parameters: &Parameters) -> bool {
    node.rrset(Type::NSEC3).is_some_and(|rrset| rrset.rdata().any(|data| parameters.record(data).is_some()))
}

impl Zone {
    /// Returns whether the zone has a chain of NSEC or NSEC3 records, as a signed zone must.
    #[inline]
    pub(crate) fn is_signed(&self) -> bool {
        !matches!(self.proof, Proof::None)
    }

    /// Passes the nodes whose NSEC or NSEC3 records prove the denial to `add`; a node may be passed twice, and none is
    /// passed if the zone is not signed.
    ///
    /// The names are at or below the apex.
    pub(crate) fn deny<'z>(&'z self, denied: Denied<'_>, add: &mut impl FnMut(&'z Node)) {
        match &self.proof {
            Proof::None => {}
            Proof::Nsec => self.deny_by_nsec(denied, add),
            Proof::Nsec3(chain) => self.deny_by_nsec3(chain, denied, add),
        }
    }

    /// RFC 4035 §3.1.3.
    fn deny_by_nsec<'z>(&'z self, denied: Denied<'_>, add: &mut impl FnMut(&'z Node)) {
        let mut key = Key::empty();
        let mut add_for = |name: &[u8]| {
            key.set(name);
            if let Some(node) = self.at_or_before(&key) {
                add(node);
            }
        };
        match denied {
            Denied::NoData(name) | Denied::CloserName { name, .. } => add_for(name),
            Denied::Name { name, encloser } => {
                add_for(name);
                if let Some(wildcard) = name::wildcard(suffix(name, encloser), &mut [0; MAX_NAME]) {
                    add_for(wildcard);
                }
            }
        }
    }

    /// Returns the node whose NSEC record matches or covers the name of a key.
    fn at_or_before(&self, key: &Key) -> Option<&Node> {
        let node = self.nodes.floor(key)?;
        if node.rrset(Type::NSEC).is_some() {
            return Some(node);
        }
        // Glue and names below a DNAME record have no NSEC records; the node above them has one.
        match self.lookup(node.owner(), &Key::new(node.owner())) {
            Lookup::Delegation { cut, .. } => Some(cut),
            Lookup::Redirected(dname) => Some(dname),
            _ => None,
        }
        .filter(|node| node.rrset(Type::NSEC).is_some())
    }

    /// RFC 5155 §7.2.2 to §7.2.7.
    fn deny_by_nsec3<'z>(&'z self, chain: &'z Chain, denied: Denied<'_>, add: &mut impl FnMut(&'z Node)) {
        let apex = self.name.as_wire();
        match denied {
            // §7.2.6: the wildcard itself proves that its parent exists.
            Denied::CloserName { name, encloser } => chain.add(next_closer(name, encloser), apex, add),
            Denied::NoData(name) => match chain.at_or_before(name, apex) {
                Some((node, true)) => add(node),
                // §7.2.4: with opt-out, an unsigned delegation has no record, nor a name that exists only above such.
                _ if name.len() > apex.len() => drop(chain.enclose(name, name::parent(name).len(), apex, add)),
                _ => {}
            },
            // §7.2.2, §7.2.5.
            Denied::Name { name, encloser } => {
                let encloser = chain.enclose(name, encloser, apex, add);
                if let Some(wildcard) = name::wildcard(suffix(name, encloser), &mut [0; MAX_NAME]) {
                    chain.add(wildcard, apex, add);
                }
            }
        }
    }
}

impl Chain {
    /// Returns the node whose NSEC3 record matches or covers a name, and whether it matches.
    fn at_or_before(&self, name: &[u8], apex: &[u8]) -> Option<(&Node, bool)> {
        let mut buffer = [0; MAX_NAME];
        let owner = nsec3::owner(&self.parameters.hash(name), apex, &mut buffer)?;
        let mut key = Key::empty();
        key.set(owner);
        // The last record covers what comes before the first (RFC 5155 §3.1.7).
        let node = self.nodes.floor(&key).or_else(|| self.nodes.last())?;
        Some((node, name::eq(node.name(), owner)))
    }

    /// Adds the node whose NSEC3 record matches or covers a name.
    fn add<'z>(&'z self, name: &[u8], apex: &[u8], add: &mut impl FnMut(&'z Node)) {
        if let Some((node, _)) = self.at_or_before(name, apex) {
            add(node);
        }
    }

    /// Adds the proof of the closest encloser of a name (RFC 5155 §7.2.1) and returns the encloser's length in octets.
    ///
    /// The search begins at the suffix of `encloser` octets and goes up until a record matches: with opt-out, names that
    /// exist only because of unsigned delegations have none.
    fn enclose<'z>(&'z self, name: &[u8], encloser: usize, apex: &[u8], add: &mut impl FnMut(&'z Node)) -> usize {
        let mut len = encloser;
        loop {
            match self.at_or_before(suffix(name, len), apex) {
                Some((node, true)) => add(node),
                _ if len > apex.len() => {
                    len = name::parent(suffix(name, len)).len();
                    continue;
                }
                _ => {}
            }
            self.add(next_closer(name, len), apex, add);
            return len;
        }
    }
}

/// Returns the suffix of a name that has `len` octets.
fn suffix(name: &[u8], len: usize) -> &[u8] {
    &name[name.len().saturating_sub(len)..]
}

/// Returns the suffix of a name that is one label longer than its suffix of `encloser` octets.
fn next_closer(name: &[u8], encloser: usize) -> &[u8] {
    let mut rest = name;
    while name::parent(rest).len() > encloser {
        rest = name::parent(rest);
    }
    rest
}
