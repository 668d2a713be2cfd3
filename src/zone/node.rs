//! A name's RRsets in one block of octets, ready to be copied into a reply.
//!
//! A node is a single shared allocation, so an answer touches one place in memory:
//!
//! ```text
//! marks, length of the name, the name,
//! then by ascending type: type (2), count (2), length of the image (4), image
//! ```
//!
//! The image is the RRset as it stands in the answer section of a message: for each record `C0 0C` (a
//! pointer to the name in the question), type, class, TTL, data length, data. When the node's name was
//! asked for, copying the image is the answer; elsewhere the two octets in front of each record are
//! replaced. Names within data are not compressed here, since that depends on the message.

use std::ops::BitOr;
use std::sync::Arc;

use crate::dns::{Type, name};
use crate::zone::Named;

/// Octets in front of a record's data in an image: owner pointer, type, class, TTL, data length.
pub(crate) const RECORD_HEAD: usize = 12;

/// Octets in front of an RRset's image.
const RRSET_HEAD: usize = 8;

/// A pointer to the name that follows a message's header: the question's.
pub(crate) const QUESTION_POINTER: [u8; 2] = [0xc0, 12];

/// The properties of a node that a lookup checks before it looks for a type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks(u8);

impl Marks {
    /// Nothing special.
    pub(crate) const NONE: Self = Self(0);
    /// The node is a delegation: it has NS records and is not the apex.
    pub(crate) const CUT: Self = Self(1);
    /// The node has a DNAME record, which redirects all names below it.
    pub(crate) const DNAME: Self = Self(2);
    /// The node has a CNAME record.
    pub(crate) const CNAME: Self = Self(4);
    /// The node only owns NSEC3 records and their signatures, so its name does not exist (RFC 5155 §7.2.8).
    pub(crate) const HASHED: Self = Self(8);

    /// Returns whether any of the marks of `other` is set.
    #[inline]
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A name of a zone that owns records (RFC 1034 §3.1), with its RRsets.
#[derive(Clone)]
pub struct Node(Arc<[u8]>);

impl Named for Node {
    #[inline]
    fn name(&self) -> &[u8] {
        &self.0[2..2 + usize::from(self.0[1])]
    }
}

impl Node {
    /// Returns the owner name in wire form.
    #[inline]
    pub fn owner(&self) -> &[u8] {
        self.name()
    }

    /// Returns whether two nodes are one allocation, which makes them equal without comparing contents.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Returns whether two nodes have the same owner and records, to the octet.
    pub(crate) fn is_equal(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Returns how many records there are.
    pub(crate) fn record_count(&self) -> usize {
        self.types().map(|rrset| usize::from(rrset.len())).sum()
    }

    /// Returns the node's marks.
    #[inline]
    pub(crate) fn marks(&self) -> Marks {
        Marks(self.0[0])
    }

    /// Returns all records of a type, as a question asks for them; signatures whatever they cover.
    #[inline]
    pub fn rrset(&self, rtype: Type) -> Option<RRset<'_>> {
        self.types().find(|rrset| rrset.rtype == rtype)
    }

    /// Returns the RRset of a type; of signatures, those that cover a type.
    pub(crate) fn rrset_covering(&self, rtype: Type, covers: Option<Type>) -> Option<RRset<'_>> {
        self.rrset(rtype)?.by_type_covered().find(|rrset| rrset.covers() == covers)
    }

    /// Returns the signatures that cover a type.
    #[inline]
    pub(crate) fn signatures(&self, covers: Type) -> Option<RRset<'_>> {
        self.rrset_covering(Type::RRSIG, Some(covers))
    }

    /// Iterates over the RRsets by ascending type, signatures by the type they cover.
    ///
    /// The records of each share a TTL.
    pub fn rrsets(&self) -> impl Iterator<Item = RRset<'_>> {
        self.types().flat_map(RRset::by_type_covered)
    }

    /// Iterates over all records, those of one type at a time, by ascending type.
    #[inline]
    pub(crate) fn types(&self) -> impl Iterator<Item = RRset<'_>> {
        let mut rest = &self.0[2 + usize::from(self.0[1])..];
        std::iter::from_fn(move || {
            let (head, tail) = rest.split_first_chunk::<RRSET_HEAD>()?;
            let [t0, t1, c0, c1, l0, l1, l2, l3] = *head;
            let (image, after) = tail.split_at_checked(u32::from_be_bytes([l0, l1, l2, l3]) as usize)?;
            rest = after;
            Some(RRset { rtype: Type(u16::from_be_bytes([t0, t1])), count: u16::from_be_bytes([c0, c1]), image })
        })
    }
}

/// All records of one name and type (RFC 2181 §5), which share one TTL.
///
/// Signatures form an RRset for each type that they cover: their TTL is that of the RRset they sign (RFC 4034 §3).
#[derive(Clone, Copy)]
pub struct RRset<'n> {
    rtype: Type,
    count: u16,
    image: &'n [u8],
}

impl<'n> RRset<'n> {
    /// Returns the records' type.
    #[inline]
    pub fn rtype(&self) -> Type {
        self.rtype
    }

    /// Returns how many records there are; at least one.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "an RRset is never empty")]
    pub fn len(&self) -> u16 {
        self.count
    }

    /// Returns the type that all of the records cover, if they are signatures.
    #[inline]
    pub fn covers(&self) -> Option<Type> {
        self.rtype.covers(self.image.get(RECORD_HEAD..)?)
    }

    /// Splits signatures by the type that they cover; records of another type stay together.
    fn by_type_covered(self) -> impl Iterator<Item = Self> {
        let mut rest = Some(self);
        std::iter::from_fn(move || {
            let whole = rest.take()?;
            let Some(covers) = whole.covers() else { return Some(whole) };
            let is_other = |record: &&[u8]| whole.rtype.covers(&record[RECORD_HEAD..]) != Some(covers);
            // In canonical order, signatures that cover the same type stand side by side.
            let (mut count, mut octets) = (0, 0);
            for record in whole.records().take_while(|record| !is_other(record)) {
                count += 1;
                octets += record.len();
            }
            let (image, after) = whole.image.split_at(octets);
            rest = (count < whole.count).then_some(Self { count: whole.count - count, image: after, ..whole });
            Some(Self { count, image, ..whole })
        })
    }

    /// Returns the time to live of the first record, in seconds.
    #[inline]
    pub fn ttl(&self) -> u32 {
        match *self.image {
            [_, _, _, _, _, _, a, b, c, d, ..] => u32::from_be_bytes([a, b, c, d]),
            _ => 0,
        }
    }

    /// Iterates over the records' data, uncompressed.
    pub fn rdata(&self) -> impl Iterator<Item = &'n [u8]> + use<'n> {
        self.records().map(|record| &record[RECORD_HEAD..])
    }

    /// Returns the records as they stand in the answer section of a message that asks for their owner.
    #[inline]
    pub(crate) fn image(&self) -> &'n [u8] {
        self.image
    }

    /// Iterates over the image record by record.
    #[inline]
    pub(crate) fn records(&self) -> impl Iterator<Item = &'n [u8]> + use<'n> {
        let mut rest = self.image;
        std::iter::from_fn(move || {
            let len = RECORD_HEAD + usize::from(u16::from_be_bytes([*rest.get(10)?, rest[11]]));
            let (record, after) = rest.split_at_checked(len)?;
            rest = after;
            Some(record)
        })
    }
}

/// Builds nodes one after the other, reusing its buffers.
#[derive(Default)]
pub(crate) struct NodeBuilder {
    octets: Vec<u8>,
    /// The start of the image of the current RRset; its head is before it.
    image: Option<usize>,
    count: u16,
}

impl NodeBuilder {
    /// Starts a node.
    pub(crate) fn begin(&mut self, owner: &[u8]) {
        self.octets.clear();
        self.image = None;
        self.octets.push(0);
        self.octets.push(u8::try_from(owner.len()).expect("a name has at most 255 octets"));
        self.octets.extend_from_slice(owner);
    }

    /// Starts the RRset of a type, which must be greater than those before.
    pub(crate) fn begin_rrset(&mut self, rtype: Type) {
        self.end_rrset();
        self.octets.extend_from_slice(&rtype.0.to_be_bytes());
        self.octets.extend_from_slice(&[0; RRSET_HEAD - 2]);
        self.image = Some(self.octets.len());
        self.count = 0;
    }

    /// Adds a record to the RRset; `data` has at most 65,535 octets.
    pub(crate) fn push(&mut self, rtype: Type, ttl: u32, data: &[u8]) {
        let mut head = [0; RECORD_HEAD];
        head[..2].copy_from_slice(&QUESTION_POINTER);
        head[2..4].copy_from_slice(&rtype.0.to_be_bytes());
        head[5] = 1; // class IN
        head[6..10].copy_from_slice(&ttl.to_be_bytes());
        head[10..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        self.octets.extend_from_slice(&head);
        self.octets.extend_from_slice(data);
        // An RRset with more records is refused before it is served.
        self.count = self.count.saturating_add(1);
    }

    fn end_rrset(&mut self) {
        let Some(image) = self.image.take() else { return };
        let len = (self.octets.len() - image) as u32;
        self.octets[image - 6..image - 4].copy_from_slice(&self.count.to_be_bytes());
        self.octets[image - 4..image].copy_from_slice(&len.to_be_bytes());
    }

    /// Returns the node.
    pub(crate) fn finish(&mut self, is_apex: bool) -> Node {
        self.end_rrset();
        let mut marks = Marks::NONE;
        let (mut has_hash, mut has_others) = (false, false);
        let node = Node(self.octets.as_slice().into());
        for rrset in node.types() {
            match rrset.rtype() {
                Type::NSEC3 => has_hash = true,
                Type::RRSIG => continue,
                Type::NS if !is_apex => marks = marks | Marks::CUT,
                Type::DNAME => marks = marks | Marks::DNAME,
                Type::CNAME => marks = marks | Marks::CNAME,
                _ => {}
            }
            has_others |= rrset.rtype() != Type::NSEC3;
        }
        if has_hash && !has_others {
            marks = Marks::HASHED;
        }
        if marks == Marks::NONE {
            return node;
        }
        self.octets[0] = marks.0;
        Node(self.octets.as_slice().into())
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({} ", name::Display(self.owner()))?;
        f.debug_list().entries(self.types().map(|rrset| rrset.rtype().to_string())).finish()?;
        f.write_str(")")
    }
}
