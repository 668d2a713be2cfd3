//! Which files a commit may change: files of one zone that no other zone uses.
//!
//! A key's grant is about names, but a commit changes files, and `$INCLUDE` can make one file part of several zones. So the
//! files of every commit are checked, whoever asked for it: each must be the zone's own file or a part that no other zone
//! uses, or it is new and its place is free. What counts is which zones *use* a file, not whose name it bears. Zones
//! that are broken or not served count as users, and so do zones that include a file that is missing.

use crate::zonefile;
use std::collections::BTreeMap;
use std::fmt;

use super::{Place, Primary, Source};
use crate::dns::Name;
use crate::dns::message::Rcode;
use crate::git::ObjectId;
use crate::update::Refusal;
use crate::zonefile::{FileRole, IncludeError, stray_name};

/// The commit that another is made upon.
pub(crate) trait Base {
    /// Why it cannot be read.
    type Error: fmt::Display;

    /// Returns the content of a file.
    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, Self::Error>;

    /// Returns the names of all that is at the root: files, directories, links and submodules.
    fn names(&self) -> Result<Vec<String>, Self::Error>;
}

/// Files by path with their new content; `None` for a file that is deleted.
pub(super) type Files = BTreeMap<String, Option<Vec<u8>>>;

impl Primary {
    /// Checks that a commit for the zone `apex` may change `files`, upon the commit `base` that this was loaded from.
    ///
    /// # Errors
    ///
    /// REFUSED, with the file and the reason. SERVFAIL if `base` cannot be read.
    pub(super) fn check_files(&self, apex: &Name, files: &Files, base: &impl Base) -> Result<(), Refusal> {
        let source = self.sources.get(apex.as_wire()).map(AsRef::as_ref);
        for (path, text) in files {
            let is_there = source.is_some_and(|source| source.has(path));
            if text.is_none() && source.is_some_and(|source| source.is_linked()) {
                return Err(refused(format!("the file {path} is a symbolic link; delete the zone in git")));
            }
            if text.is_none() || source.is_none() {
                check_copies(path, text.is_some(), base)?;
            }
            if source.is_none() && text.is_some() {
                check_place(apex, path, base)?;
            } else if !is_there {
                return Err(refused(format!("the file {path} does not belong to the zone {apex}")));
            }
            if let Some(user) = self.other_user(apex, path) {
                return Err(refused(match text {
                    _ if !is_there => format!("the file {path} would be created, but the zone {user} includes it"),
                    None => {
                        format!(
                            "the file {path} would be deleted, but the zone {user} uses it too; delete the zone in git"
                        )
                    }
                    Some(_) => format!(
                        "the file {path} would change, but the zone {user} uses it too; change it in git and raise the \
                         serials of both"
                    ),
                }));
            }
            match (source, text) {
                (Some(source), Some(text)) => self.check_part(apex, source, path, text, files, base)?,
                (Some(source), None) => self.check_left(apex, source, files)?,
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Returns a zone other than `apex` that uses the file `path`, be it there or not.
    fn other_user(&self, apex: &Name, path: &str) -> Option<&Name> {
        let uses = |source: &Source| source.apex != *apex && source.mentions(path);
        self.sources.iter().find(|source| uses(source)).map(|source| &source.apex)
    }

    /// Checks that a changed part does not become a zone of its own.
    fn check_part(
        &self,
        apex: &Name,
        source: &Source,
        path: &str,
        text: &[u8],
        files: &Files,
        base: &impl Base,
    ) -> Result<(), Refusal> {
        let FileRole::Zone(other) = FileRole::of(path) else { return Ok(()) };
        if other == *apex {
            return Ok(());
        }
        let open = |path: &str| match (files.get(path), source.included.get(path)) {
            (Some(Some(text)), _) => Ok(text.clone()),
            (None, Some(Some(place))) => {
                base.read(&place.id).map_err(|error| IncludeError::Unreadable(error.to_string()))
            }
            _ => Err(IncludeError::Missing),
        };
        match zonefile::read_including(&other, path, text, open).zone {
            None => Ok(()),
            Some(_) => {
                Err(refused(format!("the file {path}, a part of the zone {apex}, would become a zone of its own")))
            }
        }
    }

    /// Checks that deleting a zone leaves no part of it that would be read as a zone.
    fn check_left(&self, apex: &Name, source: &Source, files: &Files) -> Result<(), Refusal> {
        let left = source.included.iter().filter(|(path, place)| place.is_some() && !files.contains_key(*path));
        for (path, _) in left {
            if matches!(FileRole::of(path), FileRole::Zone(_)) && self.other_user(apex, path).is_none() {
                let reason = format!(
                    "the file {path}, a part of the zone, would be left and read as a broken zone; delete both in git"
                );
                return Err(refused(reason));
            }
        }
        Ok(())
    }
}

impl Source {
    /// Returns whether the zone's own file is a link.
    fn is_linked(&self) -> bool {
        self.files.iter().any(|(own, place)| place.as_ref().is_some_and(|place| place.path != *own))
    }

    /// Returns whether a file is one the zone is read from.
    fn has(&self, path: &str) -> bool {
        self.bears(path) || matches!(self.included.get(path), Some(Some(_)))
    }

    /// Returns whether a file bears the zone's name, or a link does that leads to it.
    fn bears(&self, path: &str) -> bool {
        let leads_there = |place: &Place| place.path == path;
        self.files.iter().any(|(own, place)| own == path || place.as_ref().is_some_and(leads_there))
    }

    /// Returns whether a file is one the zone is read from, or would be if it was there.
    fn mentions(&self, path: &str) -> bool {
        self.bears(path) || self.included.contains_key(path)
    }
}

/// Checks that the place of a new zone's file is free.
///
/// Letter case is ignored: a clone on a file system that ignores it could not hold both files.
fn check_place(apex: &Name, path: &str, base: &impl Base) -> Result<(), Refusal> {
    if FileRole::of(path) != FileRole::Zone(apex.clone()) {
        return Err(refused(format!("a zone of this name cannot have a file: {path}")));
    }
    let names = base.names().map_err(|error| Refusal::new(Rcode::SERVER_FAILURE, error.to_string()))?;
    let folded = |name: &str| name.to_lowercase().to_uppercase();
    let this = folded(path);
    let is_taken = |name: &&String| folded(name) == this || FileRole::of(name) == FileRole::Zone(apex.clone());
    match names.iter().find(is_taken) {
        None => Ok(()),
        Some(name) => Err(refused(format!("the zone's file would be {path}, but the repository already has {name}"))),
    }
}

/// Checks that no file comes to be taken for a copy of another, or for a zone, because a file comes or goes.
fn check_copies(path: &str, comes: bool, base: &impl Base) -> Result<(), Refusal> {
    let names = base.names().map_err(|error| Refusal::new(Rcode::SERVER_FAILURE, error.to_string()))?;
    let is_copy = |name: &str, is_there: bool| {
        let has = |other: &str| if other == path { is_there } else { names.iter().any(|name| name == other) };
        stray_name(name, has).is_some()
    };
    if comes && is_copy(path, true) {
        return Err(refused(format!("the zone's file would be {path}, which would be taken for a copy of another")));
    }
    let others = || names.iter().filter(|name| *name != path);
    match others().find(|name| is_copy(name, comes) != is_copy(name, !comes)) {
        None => Ok(()),
        Some(name) if comes => Err(refused(format!("the file {name} would be taken for a copy of the new zone's"))),
        Some(name) => Err(refused(format!(
            "the file {name}, a copy of the zone's by its name, would be left and read as a zone; delete both in git"
        ))),
    }
}

fn refused(reason: String) -> Refusal {
    Refusal::new(Rcode::REFUSED, reason)
}

#[cfg(test)]
mod tests;
