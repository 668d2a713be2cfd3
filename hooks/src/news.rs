//! Which zones changed between two states, as they were and as they are.

use std::collections::{BTreeMap, BTreeSet};

use zonule::git::ObjectId;
use zonule::zone::{FileRole, IncludeError, Name, Reading, Zone, difference, read_including};

use crate::error::Result;
use crate::git::{Git, Snapshot};

/// What became of a zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// It is new.
    Added,
    /// Its content is another.
    Changed,
    /// It is gone.
    Deleted,
    /// It is as it was, but a key file changed that it may be the zone of: whoever looks finds the keys, too.
    Keys,
}

/// A zone that changed.
pub(crate) struct News {
    /// What became of it.
    pub(crate) what: What,
    /// The zone as it is, or as it was before it was deleted.
    pub(crate) zone: Zone,
}

/// Returns the zones that changed, in canonical order of their names.
///
/// Read are those of whose own files one changed; and, if a file changed that makes no zone by itself, also those that
/// include others. For keys that changed, one zone stands that they may be for.
pub(crate) fn news(git: &Git, old: Option<&Snapshot<'_>>, new: &Snapshot<'_>, commit: &str) -> Result<Vec<News>> {
    let nothing = git.nothing();
    let old = old.unwrap_or(&nothing);
    let (before, after) = (by_path(old), by_path(new));
    let paths: BTreeSet<&str> = before.keys().chain(after.keys()).copied().collect();
    let changed: BTreeSet<&str> = paths.iter().copied().filter(|path| before.get(path) != after.get(path)).collect();
    let mut news = Vec::new();
    let mut parts = changed.iter().any(|path| FileRole::of(path) == FileRole::Foreign && path.contains('/'));
    let mut done = BTreeSet::new();
    let mut look = |paths: &mut dyn Iterator<Item = &&str>| -> Result<bool> {
        let mut parts = false;
        // A zone's file may have been renamed: what counts is the zone.
        let mut apexes: BTreeMap<Name, (Option<&str>, Option<&str>)> = BTreeMap::new();
        for path in paths {
            let FileRole::Zone(apex) = FileRole::of(path) else { continue };
            let (was, is) = apexes.entry(apex).or_default();
            *was = before.contains_key(path).then_some(*path).or(*was);
            *is = after.contains_key(path).then_some(*path).or(*is);
        }
        for (apex, (was, is)) in apexes {
            if !done.insert(apex.clone()) {
                continue;
            }
            let there = is.is_some();
            let read = |files: &Paths<'_>, path: Option<&str>| -> Result<Option<Zone>> {
                path.map_or(Ok(None), |path| Ok(read_zone(git, files, path, &apex)?.and_then(|reading| reading.zone)))
            };
            let (was, is) = (read(&before, was)?, read(&after, is)?);
            match (was, is) {
                (Some(was), Some(is)) if was.serial() != is.serial() || !difference(&was, &is).is_empty() => {
                    news.push(News { what: What::Changed, zone: is });
                }
                (Some(_), Some(_)) => {}
                (None, Some(zone)) => news.push(News { what: What::Added, zone }),
                (Some(zone), None) if !there => news.push(News { what: What::Deleted, zone }),
                // The server keeps to what it has, and there is no news.
                (Some(_), None) => {}
                // It never was a zone, but may be a part of one.
                (None, None) => parts = true,
            }
        }
        Ok(parts)
    };
    parts |= look(&mut changed.iter())?;
    if parts {
        let including = including(git, commit)?;
        look(&mut including.iter().filter_map(|path| paths.get(path.as_str())))?;
    }
    for path in changed.iter().filter(|path| FileRole::of(path) == FileRole::Keys) {
        let Ok(of) = Name::from_text(path.strip_suffix("._keys").unwrap_or(".")) else { continue };
        // Keys may be for names within a zone, and for all zones below a name; one of those will do.
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

/// Returns the paths of files that seem to include others.
fn including(git: &Git, commit: &str) -> Result<Vec<String>> {
    // git goes through the objects faster than they can be handed to us.
    let arguments = ["grep", "-l", "-z", "-i", "-F", "-e", "$INCLUDE", commit];
    if !git.holds(&arguments)? {
        return Ok(Vec::new());
    }
    let listed = git.run(&arguments)?;
    let listed = String::from_utf8_lossy(&listed);
    // Each path stands behind the commit and a colon.
    Ok(listed.split('\0').filter_map(|line| line.split_once(':')).map(|(_, path)| path.to_owned()).collect())
}

/// Files by their paths.
pub(crate) type Paths<'s> = BTreeMap<&'s str, ObjectId>;

/// Returns the files of a state by their paths.
pub(crate) fn by_path<'s>(snapshot: &'s Snapshot<'_>) -> Paths<'s> {
    snapshot.listed().iter().map(|file| (file.path.as_str(), file.id)).collect()
}

/// Reads a zone, `None` if its file is not there.
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
