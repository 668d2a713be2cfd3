//! The NSEC and NSEC3 records that prove what does not exist in a signed zone (RFC 4035 §3.1.3, RFC 5155 §7.2).
//!
//! NSEC records are at the names of the zone, so the predecessor of a name in canonical order is found in the zone's own trie.
//! NSEC3 records are at hashes of names, which no query asks for; a second trie holds just their nodes, so that
//! the one that matches or covers a hash is also found in one descent, whatever names are in between.

use super::node::Node;
use crate::dns::name::{self, MAX_NAME};
use crate::dns::{Type, nsec3};
use crate::zone::{Key, Lookup, Named, Trie, Zone};

/// The maximum number of iterations for which hashes are computed (RFC 5155 §10.3); a zone with more cannot prove anything.
///
/// Validators ignore proofs with far fewer (RFC 9276 §3.2), and every query would pay for them.
const MAX_ITERATIONS: u16 = 2500;

/// The length of the first label of an NSEC3 record's owner: a SHA-1 hash in base32hex (RFC 5155 §3).
const HASH_LABEL: usize = 32;

/// The kind of denial in a negative or expanded answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Denied<'q> {
    /// The name exists, but has no records of the type.
    NoData(&'q [u8]),
    /// The name does not exist; `encloser` is the length in octets of its closest encloser.
    Name { name: &'q [u8], encloser: usize },
    /// No name closer than the wildcard that matches exists.
    CloserName { name: &'q [u8], encloser: usize },
    /// The wildcard that matches the name has no records of the type.
    WildcardNoData { name: &'q [u8], encloser: usize },
}

/// How a zone proves nonexistence.
#[derive(Clone, Default)]
pub(super) enum Denial {
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

/// The parameters of a hash (RFC 5155 §3.1).
#[derive(Clone, PartialEq, Eq)]
struct Parameters {
    iterations: u16,
    salt: Box<[u8]>,
}

impl Parameters {
    /// Parses the data of a usable NSEC3PARAM record (RFC 5155 §4.1).
    fn of(data: &[u8]) -> Option<Self> {
        let &[algorithm, flags, i0, i1, len, ref salt @ ..] = data else { return None };
        let iterations = u16::from_be_bytes([i0, i1]);
        let usable = algorithm == 1 && flags == 0 && salt.len() == usize::from(len) && iterations <= MAX_ITERATIONS;
        usable.then(|| Self { iterations, salt: salt.into() })
    }

    /// Returns whether a node owns an NSEC3 record with these parameters.
    fn has(&self, node: &Node) -> bool {
        let is_ours = |data: &[u8]| match data {
            [1, _, i0, i1, len, rest @ ..] => {
                u16::from_be_bytes([*i0, *i1]) == self.iterations
                    && rest.get(..usize::from(*len)).is_some_and(|salt| *salt == *self.salt)
            }
            _ => false,
        };
        node.rrset(Type::NSEC3).is_some_and(|rrset| rrset.rdata().any(is_ours))
    }

    /// Writes the owner of the NSEC3 record of a name and returns its length; `None` if it would be too long.
    fn owner(&self, name: &[u8], apex: &[u8], owner: &mut [u8; MAX_NAME]) -> Option<usize> {
        let len = 1 + HASH_LABEL + apex.len();
        let (label, rest) = owner.get_mut(..len)?.split_at_mut(1 + HASH_LABEL);
        label[0] = HASH_LABEL as u8;
        label[1..].copy_from_slice(&nsec3::label(&nsec3::hash(name, self.iterations, &self.salt)));
        rest.copy_from_slice(apex);
        Some(len)
    }
}

impl Denial {
    /// Determines how a zone proves nonexistence.
    ///
    /// While a zone changes from one chain to another it has several; NSEC3PARAM says which are complete (RFC 5155 §4).
    pub(super) fn of(apex: &Node, nodes: &Trie<Node>) -> Self {
        match Self::parameters(apex, nodes) {
            None if apex.rrset(Type::NSEC).is_some() => Self::Nsec,
            None => Self::None,
            Some(parameters) => {
                let mut chain = Trie::default();
                nodes.iter().filter(|node| parameters.has(node)).for_each(|node| drop(chain.insert(node.clone())));
                Self::Nsec3(Box::new(Chain { parameters, nodes: chain }))
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
                Some(after) if chain.parameters.has(after) => drop(chain.nodes.insert(after.clone())),
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
        apex.rrset(Type::NSEC3PARAM)?.rdata().filter_map(Parameters::of).find(|parameters| {
            let mut owner = [0; MAX_NAME];
            let len = parameters.owner(apex.owner(), apex.owner(), &mut owner);
            len.and_then(|len| nodes.get(&owner[..len])).is_some_and(|node| parameters.has(node))
        })
    }
}

impl Zone {
    /// Returns whether the zone has a chain of NSEC or NSEC3 records, as a signed zone must.
    #[inline]
    pub(crate) fn is_signed(&self) -> bool {
        !matches!(self.denial, Denial::None)
    }

    /// Passes to `add` the nodes whose NSEC or NSEC3 records prove what is denied; a node may come twice, and none come
    /// from a zone that is not signed.
    ///
    /// The names are at or below the apex.
    pub(crate) fn deny<'z>(&'z self, denied: Denied<'_>, add: &mut impl FnMut(&'z Node)) {
        match &self.denial {
            Denial::None => {}
            Denial::Nsec => self.deny_by_nsec(denied, add),
            Denial::Nsec3(chain) => self.deny_by_nsec3(chain, denied, add),
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
            Denied::Name { name, encloser } | Denied::WildcardNoData { name, encloser } => {
                add_for(name);
                with_wildcard(suffix(name, encloser), add_for);
            }
        }
    }

    /// Returns the node whose NSEC record matches or covers the name of a key.
    fn at_or_before(&self, key: &Key) -> Option<&Node> {
        let node = self.nodes.floor(key)?;
        if node.rrset(Type::NSEC).is_some() {
            return Some(node);
        }
        // Glue has no NSEC record, and neither has what a DNAME record hides: the node above them has.
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
            Denied::CloserName { name, encloser } => {
                if let Some((node, _)) = chain.at_or_before(next_closer(name, encloser), apex) {
                    add(node);
                }
            }
            Denied::NoData(name) => match chain.at_or_before(name, apex) {
                Some((node, true)) => add(node),
                // §7.2.4: an unsigned delegation, or a name that exists only because of some, may be left out.
                _ => {
                    if name.len() > apex.len() {
                        chain.enclose(name, parent_len(name), apex, add);
                    }
                }
            },
            // §7.2.2, §7.2.5.
            Denied::Name { name, encloser } | Denied::WildcardNoData { name, encloser } => {
                let encloser = chain.enclose(name, encloser, apex, add);
                with_wildcard(suffix(name, encloser), |name| {
                    if let Some((node, _)) = chain.at_or_before(name, apex) {
                        add(node);
                    }
                });
            }
        }
    }
}

impl Chain {
    /// Returns the node whose NSEC3 record matches or covers a name, and whether it matches.
    fn at_or_before(&self, name: &[u8], apex: &[u8]) -> Option<(&Node, bool)> {
        let mut owner = [0; MAX_NAME];
        let len = self.parameters.owner(name, apex, &mut owner)?;
        let owner = &owner[..len];
        // The last record covers what comes before the first (RFC 5155 §3.1.7).
        let mut key = Key::empty();
        key.set(owner);
        let node = self.nodes.floor(&key).or_else(|| self.nodes.last())?;
        Some((node, name::eq(node.name(), owner)))
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
                    len = parent_len(suffix(name, len));
                    continue;
                }
                _ => {}
            }
            if let Some((node, _)) = self.at_or_before(next_closer(name, len), apex) {
                add(node);
            }
            return len;
        }
    }
}

/// Returns the suffix of a name that has `len` octets.
fn suffix(name: &[u8], len: usize) -> &[u8] {
    &name[name.len().saturating_sub(len)..]
}

/// Returns the length in octets of the parent of a name that is not the root.
fn parent_len(name: &[u8]) -> usize {
    name.len().saturating_sub(1 + usize::from(name[0]))
}

/// Returns the suffix of a name that is one label longer than its suffix of `encloser` octets.
fn next_closer(name: &[u8], encloser: usize) -> &[u8] {
    let mut rest = name;
    while rest.len() > encloser {
        let parent = parent_len(rest);
        if parent <= encloser {
            break;
        }
        rest = suffix(rest, parent);
    }
    rest
}

/// Calls `use_name` with the wildcard directly below a name, unless it would be too long.
fn with_wildcard(encloser: &[u8], mut use_name: impl FnMut(&[u8])) {
    let mut wire = [0; MAX_NAME];
    if let Some(target) = wire.get_mut(..encloser.len() + 2) {
        target[..2].copy_from_slice(b"\x01*");
        target[2..].copy_from_slice(encloser);
        use_name(target);
    }
}
