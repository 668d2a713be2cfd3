//! The zones affected by a change, for announcements.

use super::Tree;
use super::state::{Now, State, changed_paths, compare};
use crate::zone::{Zone, difference};

/// How a zone changed.
#[derive(Clone, Debug)]
pub enum ZoneChange {
    /// It is new, or loads for the first time.
    Added(Zone),
    /// Its records changed; the new version.
    Changed(Zone),
    /// Its file was deleted; the old version.
    Deleted(Zone),
}

/// Returns the valid zones that differ between two states.
///
/// A zone that has become invalid is not among them: the server keeps its last valid version.
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
