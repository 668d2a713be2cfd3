//! Condensation of consecutive differences (RFC 1995 §5).

use std::cmp::Ordering;
use std::sync::Arc;

use crate::dns::{Type, data_cmp};
use crate::zone::{Change, Difference};

/// Merges consecutive differences, oldest first, into one.
///
/// The result equals what [`crate::zone::difference`] returns for the first and last version: records that are added
/// and removed again, or removed and added again, are omitted.
///
/// Returns `None` if the list is empty or its differences are not consecutive. Also returns `None` if a record was
/// removed and added again in another letter case, because the result would omit the change although the last version
/// has the new letter case.
#[must_use]
pub fn condense(differences: &[Arc<Difference>]) -> Option<Difference> {
    let (first, last) = (differences.first()?, differences.last()?);
    if differences.windows(2).any(|pair| pair[0].new != pair[1].old) {
        return None;
    }
    let mut changes: Vec<&Change> = differences.iter().flat_map(|difference| &difference.changes).collect();
    // The sort is stable, so the changes of an RRset stay in chronological order.
    let key = |change: &Change| (change.rtype, change.covers);
    changes.sort_by(|a, b| a.owner.cmp(&b.owner).then(key(a).cmp(&key(b))));
    if changes
        .windows(2)
        .any(|pair| pair[0].owner == pair[1].owner && pair[0].owner.as_wire() != pair[1].owner.as_wire())
    {
        return None;
    }
    let mut net = Vec::new();
    for rrset in changes.chunk_by(|a, b| a.owner == b.owner && key(a) == key(b)) {
        net.extend(condense_rrset(rrset).ok()?);
    }
    Some(Difference { old: first.old, new: last.new, changes: net })
}

/// The data of records in canonical order.
type Records<'d> = Vec<&'d [u8]>;

/// The error that a record changed only its letter case.
struct LetterCaseChanged;

/// Condenses the changes of one RRset; returns `None` if they cancel each other out.
///
/// A change of the TTL lists all records of the RRset, so all removed records have the first TTL and all added records
/// have the last.
fn condense_rrset(changes: &[&Change]) -> Result<Option<Change>, LetterCaseChanged> {
    let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return Ok(None) };
    if changes.len() == 1 {
        return Ok(Some((*first).clone()));
    }
    let (rtype, covers) = (first.rtype, first.covers);
    let mut is_exact = true;
    let mut compare = |a: &[u8], b: &[u8]| is_exact &= a == b;
    let (mut removed, mut added): (Records<'_>, Records<'_>) = (Vec::new(), Vec::new());
    for change in changes {
        let (mut still_added, mut gone): (Records<'_>, Records<'_>) = (Vec::new(), Vec::new());
        merge(rtype, &added, &slices(&change.removed), |recent, old| match (recent, old) {
            (Some(data), None) => still_added.push(data),
            (None, Some(data)) => gone.push(data),
            (Some(recent), Some(old)) => compare(recent, old),
            (None, None) => {}
        });
        removed = union(rtype, &removed, &gone);
        added = union(rtype, &still_added, &slices(&change.added));
    }
    let (old_ttl, new_ttl) = (first.old_ttl, last.new_ttl);
    let owner = last.owner.clone();
    let mut net = Change { owner, rtype, covers, old_ttl, new_ttl, removed: Vec::new(), added: Vec::new() };
    merge(rtype, &removed, &added, |old, new| {
        if let (Some(old), Some(new)) = (old, new) {
            compare(old, new);
        }
        if !(old.is_some() && new.is_some() && old_ttl == new_ttl) {
            net.removed.extend(old.map(Box::from));
            net.added.extend(new.map(Box::from));
        }
    });
    let has_changes = !net.removed.is_empty() || !net.added.is_empty();
    if is_exact { Ok(has_changes.then_some(net)) } else { Err(LetterCaseChanged) }
}

fn slices(data: &[Box<[u8]>]) -> Records<'_> {
    data.iter().map(|data| &**data).collect()
}

fn union<'d>(rtype: Type, a: &[&'d [u8]], b: &[&'d [u8]]) -> Records<'d> {
    let mut union = Vec::with_capacity(a.len() + b.len());
    merge(rtype, a, b, |a, b| union.extend(b.or(a)));
    union
}

/// Merges two lists of records in canonical order and calls `visit` for each record, once for those in both lists.
fn merge<'d>(rtype: Type, a: &[&'d [u8]], b: &[&'d [u8]], mut visit: impl FnMut(Option<&'d [u8]>, Option<&'d [u8]>)) {
    let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
    loop {
        let order = match (a.peek(), b.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(a), Some(b)) => data_cmp(rtype, a, b),
        };
        let a = if order.is_le() { a.next() } else { None };
        let b = if order.is_ge() { b.next() } else { None };
        visit(a, b);
    }
}
