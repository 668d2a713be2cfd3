//! Comparison of two states of a repository: which zones must be read, and the result of reading them.
//!
//! A zone changes when one of its own files does, or one that it includes. Which zones include a file is not known without
//! reading them, so when a file changed that may be a part, the other zones' texts are searched for `$INCLUDE`, and those
//! that have one are read. Any file may be a part except one that was a valid zone, or is new and a valid zone. Such a
//! file could be included as well; but it has the SOA record of its own apex, so a zone that includes it is a copy of it,
//! and the same findings apply to both. A deleted file may always have been a part.

use crate::zonefile;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::Tree;
use crate::dns::Name;
use crate::git::ObjectId;
use crate::primary::Checkout;
use crate::zone::Zone;
use crate::zonefile::{FileRole, IncludeError, Reading, may_be_part};

/// A state of a repository, with its files sorted by role.
pub(super) struct State<'t> {
    tree: &'t dyn Tree,
    /// The files by path, with the ids of their contents; links have those of their targets.
    pub(super) paths: BTreeMap<String, ObjectId>,
    checkout: Checkout,
    /// Top-level links that do not lead to a file, with the reason.
    pub(super) broken: Vec<(String, Option<Name>, String)>,
    /// The files of each zone; there should be exactly one.
    pub(super) zones: BTreeMap<Name, Vec<String>>,
    pub(super) keys: Vec<String>,
    /// Files that look like zones, and why their names are not valid.
    pub(super) misnamed: Vec<(String, String)>,
    failures: RefCell<BTreeMap<String, String>>,
}

/// A zone that may have changed.
pub(super) struct Pair<'p> {
    pub(super) apex: &'p Name,
    /// The old version, if it was valid.
    pub(super) before: Option<Zone>,
    pub(super) now: Now<'p>,
}

/// The new state of a zone.
pub(super) enum Now<'p> {
    /// It has no file any more; these were its files.
    Gone(&'p [String]),
    /// It has several files.
    Ambiguous(&'p [String]),
    /// Its file could not be read; see [`State::failures`].
    Unreadable,
    /// It was read.
    Read(&'p str, Text, Reading),
}

/// The text of a zone's own file.
pub(super) type Text = Vec<u8>;

impl<'t> State<'t> {
    pub(super) fn of(tree: &'t dyn Tree) -> Self {
        let mut state = State {
            tree,
            paths: BTreeMap::new(),
            checkout: Checkout::new(tree.files()),
            broken: Vec::new(),
            zones: BTreeMap::new(),
            keys: Vec::new(),
            misnamed: Vec::new(),
            failures: RefCell::default(),
        };
        let mut broken = Vec::new();
        for (file, id, role) in state.checkout.roles() {
            let mut check = |apex: Option<&Name>| {
                let found =
                    if apex.is_some() { state.checkout.part(&file.path) } else { state.checkout.place(&file.path) };
                if let Err(error) = found {
                    broken.push((file.path.clone(), apex.cloned(), error.to_string()));
                }
            };
            match role {
                FileRole::Zone(apex) => {
                    check(Some(&apex));
                    state.zones.entry(apex).or_default().push(file.path.clone());
                }
                FileRole::Keys => {
                    check(None);
                    state.keys.push(file.path.clone());
                }
                FileRole::Misnamed { reason } => state.misnamed.push((file.path.clone(), reason)),
                FileRole::Foreign => {}
            }
            state.paths.insert(file.path.clone(), id);
        }
        state.broken = broken;
        state
    }

    /// Gets a zone's file or one that may be included.
    pub(super) fn open(&self, path: &str) -> Result<Text, IncludeError> {
        let place = self.checkout.part(path)?;
        self.fetch(path, &place.id).map_err(IncludeError::Unreadable)
    }

    /// Gets a key file.
    pub(super) fn keys(&self, path: &str) -> Option<Text> {
        self.fetch(path, &self.checkout.place(path).ok()?.id).ok()
    }

    fn fetch(&self, path: &str, id: &ObjectId) -> Result<Text, String> {
        self.tree
            .read(id)
            .inspect_err(|reason| drop(self.failures.borrow_mut().insert(path.to_string(), reason.clone())))
    }

    /// Returns the path of the file that a path leads to over links, if it does.
    pub(super) fn behind(&self, path: &str) -> Option<String> {
        self.checkout.behind(path)
    }

    /// Gets a file; `None` if it is not there or cannot be read.
    pub(super) fn text(&self, path: &str) -> Option<Text> {
        self.open(path).ok()
    }

    /// Returns the files that could not be read when that was tried, and why.
    pub(super) fn failures(&self) -> BTreeMap<String, String> {
        self.failures.take()
    }

    /// Reads a zone from the text of its own file and the files it includes.
    pub(super) fn read(&self, apex: &Name, path: &str, text: &[u8]) -> Reading {
        let mut reading = zonefile::read_including(apex, path, text, |path| self.open(path));
        // A file used through a link also counts under its own path.
        let own =
            reading.included.iter().chain([&path.to_string()]).filter_map(|path| self.behind(path)).collect::<Vec<_>>();
        reading.included.extend(own);
        reading
    }

    /// Reads a zone if it has exactly one file.
    pub(super) fn zone(&self, apex: &Name) -> Option<Reading> {
        let [path] = self.zones.get(apex)?.as_slice() else { return None };
        Some(self.read(apex, path, &self.text(path)?))
    }

    /// Returns the ids of a zone's files.
    fn ids(&self, apex: &Name) -> Vec<Option<ObjectId>> {
        self.zones.get(apex).into_iter().flatten().map(|path| self.paths.get(path).copied()).collect()
    }
}

/// Returns the paths that differ or exist in only one of the states; all of `new` if there is no old state.
pub(super) fn changed_paths(old: Option<&State<'_>>, new: &State<'_>) -> BTreeSet<String> {
    let differs = |path: &str, other: &State<'_>, id: &ObjectId| other.paths.get(path) != Some(id);
    let come = new.paths.iter().filter(|(path, id)| old.is_none_or(|old| differs(path, old, id)));
    let gone = old.into_iter().flat_map(|old| old.paths.iter()).filter(|(path, _)| !new.paths.contains_key(*path));
    come.chain(gone).map(|(path, _)| path.clone()).collect()
}

/// Included files, each with the zones that include it.
pub(super) type Included = BTreeMap<String, BTreeSet<Name>>;

/// Visits the zones that may have changed, each once: deleted ones first, those with a changed part last.
///
/// Returns the included paths, each with the zones that include it. The list of zones is complete for changed files that
/// may be parts; for others it is as complete as needed for visited files that are not valid zones.
pub(super) fn compare(
    old: Option<&State<'_>>,
    new: &State<'_>,
    changed: &BTreeSet<String>,
    mut visit: impl FnMut(Pair<'_>),
) -> Included {
    let before = |apex: &Name| old.and_then(|old| old.zone(apex));
    // Files that may be parts of zones whose own files did not change.
    let mut parts: BTreeSet<String> = changed.iter().filter(|path| may_be_part(path).is_ok()).cloned().collect();
    for (apex, files) in old.into_iter().flat_map(|old| &old.zones) {
        if !new.zones.contains_key(apex) {
            visit(Pair { apex, before: before(apex).and_then(|reading| reading.zone), now: Now::Gone(files) });
        }
    }

    let mut included = Included::new();
    let mut include = |apex: &Name, reading: &Reading| {
        for path in &reading.included {
            included.entry(path.clone()).or_default().insert(apex.clone());
        }
    };
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    let mut todo: Vec<&Name> = match old {
        None => new.zones.keys().collect(),
        Some(old) => new.zones.keys().filter(|apex| old.ids(apex) != new.ids(apex)).collect(),
    };
    // Files that were part of a zone visited so far but no longer are.
    let mut released: BTreeSet<String> = BTreeSet::new();
    // One of those is not a valid zone, so it must be known whether it is still a part.
    let mut is_doubtful = false;
    while let Some(apex) = todo.pop() {
        if !done.insert(apex) {
            continue;
        }
        let Some((apex, files)) = new.zones.get_key_value(apex) else { continue };
        let before = before(apex);
        let mut let_go: BTreeSet<String> = before.iter().flat_map(|reading| reading.included.iter().cloned()).collect();
        let before = before.and_then(|reading| reading.zone);
        let was_good = before.is_some();
        let now = match files.as_slice() {
            [path] => match new.text(path) {
                Some(text) => {
                    let reading = new.read(apex, path, &text);
                    include(apex, &reading);
                    let_go.retain(|path| !reading.included.contains(path));
                    let is_new = old.is_none_or(|old| !old.paths.contains_key(path));
                    if was_good || (is_new && reading.zone.is_some()) {
                        parts.remove(path);
                    } else if !changed.contains(path) {
                        is_doubtful = true;
                    }
                    Now::Read(path, text, reading)
                }
                None => Now::Unreadable,
            },
            files => Now::Ambiguous(files),
        };
        released.append(&mut let_go);
        visit(Pair { apex, before, now });
        if todo.is_empty() && !released.is_empty() {
            let is_free = |apex: &&Name| !done.contains(apex);
            let zones = new.zones.iter().filter(|(_, files)| files.iter().any(|path| released.contains(path)));
            todo.extend(zones.map(|(apex, _)| apex).filter(is_free));
            released.clear();
        }
    }

    if old.is_none() || (parts.is_empty() && !is_doubtful) {
        return included;
    }
    for (apex, files) in new.zones.iter().filter(|(apex, _)| !done.contains(apex)) {
        let [path] = files.as_slice() else { continue };
        let Some(text) = new.text(path) else { continue };
        if !has_include(&text) {
            continue;
        }
        let now = new.read(apex, path, &text);
        include(apex, &now);
        if now.included.iter().any(|path| parts.contains(path)) {
            let before = before(apex).and_then(|reading| reading.zone);
            visit(Pair { apex, before, now: Now::Read(path, text, now) });
        }
    }
    included
}

/// Returns whether a text may include another file.
fn has_include(text: &[u8]) -> bool {
    const WORD: &[u8] = b"$include";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|octet| *octet == b'$') {
        rest = &rest[at..];
        if rest.get(..WORD.len()).is_some_and(|word| word.eq_ignore_ascii_case(WORD)) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}
