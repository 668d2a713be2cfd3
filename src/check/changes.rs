//! Which zones a change touches, for those who announce it.

use super::Tree;
use super::state::{Now, State, changed_paths, compare};
use crate::zone::{Zone, difference};

/// What became of a zone.
#[derive(Clone, Debug)]
pub enum ZoneChange {
    /// It is new, or good for the first time.
    Added(Zone),
    /// Its records are others; as it is now.
    Changed(Zone),
    /// Its file is gone; as it was.
    Deleted(Zone),
}

/// Returns the zones that differ between two states, those that read well.
///
/// A zone that was good and is no longer is not among them: the server keeps to what it has.
#[must_use]
pub fn zone_changes(old: Option<&dyn Tree>, new: &dyn Tree) -> Vec<ZoneChange> {
    let (old, new) = (old.map(State::of), State::of(new));
    let changed = changed_paths(old.as_ref(), &new);
    let mut changes = Vec::new();
    compare(old.as_ref(), &new, &changed, |pair| {
        let (gone, after) = match pair.now {
            Now::Gone(_) => (true, None),
            Now::Read(_, _, reading) => (false, reading.zone),
            Now::Ambiguous(_) | Now::Unreadable => (false, None),
        };
        changes.extend(match (pair.before, after) {
            (None, Some(after)) => Some(ZoneChange::Added(after)),
            (Some(before), Some(after)) => {
                (!difference(&before, &after).is_empty()).then_some(ZoneChange::Changed(after))
            }
            (Some(before), None) if gone => Some(ZoneChange::Deleted(before)),
            (_, None) => None,
        });
    });
    changes
}
