//! Determines which zones changed between two states of a repository.

use std::collections::{BTreeMap, BTreeSet};

use zonule::check::{ZoneChange, zone_changes};
use zonule::dns::Name;
use zonule::git::{File, Listing, ObjectId, Way};
use zonule::zone::Zone;
use zonule::zonefile::{FileRole, IncludeError, Reading, read_including, zone_of_file};

use crate::error::Result;
use crate::git::{Git, Snapshot};

/// The kind of a zone's change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It is new.
    Added,
    /// Its content changed.
    Changed,
    /// It was deleted.
    Deleted,
    /// It did not change, but a key file did that may belong to it: a server that polls finds the keys, too.
    Keys,
}

/// A zone that changed.
pub(crate) struct News {
    /// The kind of change.
    pub(crate) what: What,
    /// The zone now, or before it was deleted.
    pub(crate) zone: Zone,
}

/// Returns the zones that changed, in canonical order of their names. For changed keys, one zone is returned that they
/// may apply to.
pub(crate) fn news(git: &Git, old: Option<&Snapshot<'_>>, new: &Snapshot<'_>) -> Result<Vec<News>> {
    let nothing = git.nothing();
    let old = old.unwrap_or(&nothing);
    let mut news: Vec<News> = zone_changes(Some(old), new)
        .into_iter()
        .map(|change| match change {
            ZoneChange::Added(zone) => News { what: What::Added, zone },
            ZoneChange::Changed(zone) => News { what: What::Changed, zone },
            ZoneChange::Deleted(zone) => News { what: What::Deleted, zone },
        })
        .collect();
    let (before, after) = (by_path(old), by_path(new));
    let paths: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let changed = paths.iter().filter(|path| before.get(*path) != after.get(*path));
    for path in changed.filter(|path| FileRole::of(path) == FileRole::Keys) {
        let Ok(of) = zone_of_file(path.strip_suffix("._keys").unwrap_or(".")) else { continue };
        // Keys may apply to names within a zone, and to all zones below a name; one of those suffices.
        let concerned = |apex: &Name| apex.is_at_or_below(&of) || of.is_at_or_below(apex);
        if news.iter().any(|news| concerned(news.zone.apex())) {
            continue;
        }
        for path in after.keys() {
            let FileRole::Zone(apex) = FileRole::of(path) else { continue };
            if concerned(&apex)
                && let Some(zone) = read_zone(git, &after, path, &apex)?.and_then(|reading| reading.zone)
            {
                news.push(News { what: What::Keys, zone });
                break;
            }
        }
    }
    news.sort_by(|a, b| a.zone.apex().cmp(b.zone.apex()));
    Ok(news)
}

/// Files by their paths.
pub(crate) type Paths<'s> = BTreeMap<&'s str, ObjectId>;

/// Returns the files of a state by their paths, with links resolved.
pub(crate) fn by_path<'s>(snapshot: &'s Snapshot<'_>) -> Paths<'s> {
    let listing = Listing::new(snapshot.listed().to_vec());
    let id = |file: &File| match listing.follow(&file.path) {
        Way::File(_, id) => Some(id),
        _ => None,
    };
    snapshot.listed().iter().filter_map(|file| Some((file.path.as_str(), id(file)?))).collect()
}

/// Reads a zone, `None` if its file does not exist.
pub(crate) fn read_zone(git: &Git, files: &Paths<'_>, path: &str, apex: &Name) -> Result<Option<Reading>> {
    let Some(id) = files.get(path) else { return Ok(None) };
    let text = git.read(id)?;
    Ok(Some(read_including(apex, path, &text, |path| open(git, files, path))))
}

/// Returns the content of a file that is included.
pub(crate) fn open(git: &Git, files: &Paths<'_>, path: &str) -> std::result::Result<Vec<u8>, IncludeError> {
    let id = files.get(path).ok_or(IncludeError::Missing)?;
    git.read(id).map_err(|error| IncludeError::Unreadable(error.to_string()))
}
