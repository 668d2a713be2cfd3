//! What is served, as a function of what the repository holds.
//!
//! Values in, values out: [`Primary::load`] takes the files of a commit and yields the next catalog and keys with a list
//! of what changed; `Primary::prepare` takes an update and yields the commit that makes it so. Neither knows of
//! sockets, threads or the remote. A copy of a `Primary` shares all with the original, so whoever has to try a change
//! before it is true makes a copy, changes that, and keeps the one that turns out right.
//!
//! Loading reads only zones of whose files one changed, included files among them, and a file that cannot be served
//! leaves the zone's last good version in place. A file at the root that another zone's file includes, and that makes no
//! zone of its own and never did, is a part of others and not reported as a broken zone. Which files are included is
//! known only when all zones have been read, so that is decided last.
//!
//! A serial number names one content. Whatever is loaded is compared, to the letter, with what was served last under the
//! zone's name, also if the file was gone in between or the server was down: [`Primary::recall`] takes over what the
//! record says was served before, [`Primary::note`] writes it.

mod checkout;
mod files;
mod former;
mod update;

use crate::zonefile;
pub(crate) use checkout::{Checkout, Place};
pub(crate) use files::Base;
pub(crate) use former::names;
use former::{Former, Formers};
pub use update::{Commit, Origin};

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::dns::{Diagnostic, Name, Serial, Severity, Type};
use crate::git::{File, ObjectId};
use crate::keys::Keyring;
use crate::tsig::Key;
use crate::zone::{self, Entry, Fault, Named, Trie, Zone, Zones};
use crate::zonefile::{FileRole, IncludeError};

/// Decides whether a zone may be served, by more than its records; the error says why not.
pub type ZoneJudge = Arc<dyn Fn(&Zone) -> Result<(), String> + Send + Sync>;

/// The zones and keys as of the last commit loaded.
#[derive(Clone)]
pub struct Primary {
    policy: SerialPolicy,
    judge: Option<ZoneJudge>,
    zones: Zones,
    sources: Trie<Arc<Source>>,
    /// What was served last of the zones whose files do not say so.
    formers: Formers,
    configured: Arc<[Arc<Key>]>,
    keyring: Arc<Keyring>,
    /// The files these keys come from, and their contents; `None` until the first commit is loaded.
    key_files: Option<Arc<[(String, ObjectId)]>>,
    /// The files that were reported to be of no use, and their contents.
    strays: Arc<BTreeMap<String, ObjectId>>,
}

/// What becomes of a zone whose contents were changed without a higher serial number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SerialPolicy {
    /// A higher serial number is committed by the server itself.
    #[default]
    Bump,
    /// The last good version is served until somebody raises it.
    Strict,
}

/// The files a zone was last read from: what need not be read again.
#[derive(Clone, Debug)]
struct Source {
    apex: Name,
    /// The files that bear the zone's name, and where they are; one, if all is well.
    files: Vec<(String, Option<Place>)>,
    /// The files these include, by path, and where they are; `None` for one that is not there.
    included: BTreeMap<String, Option<Place>>,
    /// What is served is what the files say, and not an earlier version.
    is_served: bool,
    /// The files say something new, but not with a serial number above this one.
    not_above: Option<Serial>,
}

impl Named for Arc<Source> {
    fn name(&self) -> &[u8] {
        self.apex.as_wire()
    }
}

/// What a commit did, for the log and for those who follow a zone.
#[derive(Debug)]
pub enum Change {
    /// A zone is served that was not before.
    Added {
        /// The zone's apex.
        apex: Name,
        /// The serial number it begins with.
        serial: Serial,
        /// How many resource records it has.
        records: usize,
    },
    /// A zone has new contents and a higher serial number.
    Changed {
        /// The zone's apex.
        apex: Name,
        /// The serial number before.
        from: Serial,
        /// The serial number now.
        to: Serial,
        /// How many resource records it has now.
        records: usize,
    },
    /// A zone has new contents, but no higher serial number, which secondaries need to follow.
    NotRaised {
        /// The zone's apex.
        apex: Name,
        /// The serial number before.
        from: Serial,
        /// The serial number in the file.
        to: Serial,
        /// The new contents are not served for that reason.
        held: bool,
    },
    /// A zone's file is gone.
    Removed {
        /// The zone's apex.
        apex: Name,
        /// The serial number it was last served with, if it was served.
        serial: Option<Serial>,
    },
    /// A zone's file cannot be served.
    Refused {
        /// The zone's apex.
        apex: Name,
        /// The serial number of the last good version, which is still served, if there is one.
        kept: Option<Serial>,
    },
    /// There are other keys now.
    Keys {
        /// How many, those from the arguments among them.
        count: usize,
    },
    /// A remark about a file's contents.
    Remark(Diagnostic),
    /// A file that cannot be read or assigned to a zone.
    Unusable {
        /// The file's path in the repository.
        file: String,
        /// Why.
        reason: String,
    },
}

impl Primary {
    /// Returns what is served before anything is loaded: nothing, with the keys of the arguments.
    #[must_use]
    pub fn new(policy: SerialPolicy, configured: Vec<Arc<Key>>) -> Self {
        let configured: Arc<[Arc<Key>]> = configured.into();
        let (keyring, _) = Keyring::load(&configured, std::iter::empty());
        Primary {
            policy,
            judge: None,
            zones: Zones::default(),
            sources: Trie::default(),
            formers: Formers::default(),
            configured,
            keyring: Arc::new(keyring),
            key_files: None,
            strays: Arc::default(),
        }
    }

    /// Returns this with a judge of zones, who decides about every zone that is loaded or updated from now on.
    #[must_use]
    pub fn judged_by(self, judge: Option<ZoneJudge>) -> Self {
        Primary { judge, ..self }
    }

    /// Returns the source zones: what the files say and updates edit. What is served is made of them
    /// ([`Publisher`](crate::publish::Publisher)).
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Returns the keys that clients may sign with.
    #[must_use]
    pub fn keyring(&self) -> &Arc<Keyring> {
        &self.keyring
    }

    /// Returns the path of a zone's file.
    #[must_use]
    pub fn file_of(&self, apex: &Name) -> Option<&str> {
        match self.sources.get(apex.as_wire())?.files.as_slice() {
            [(path, _)] => Some(path),
            _ => None,
        }
    }

    /// Returns how many good zones are served, and how many records they have together.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let records = self.zones.iter().filter_map(Entry::zone).map(|zone| zone.record_count());
        records.fold((0, 0), |(zones, sum), records| (zones + 1, sum + records))
    }

    /// Returns the zones that were changed without a higher serial number and are to get one.
    pub fn not_raised(&self) -> impl Iterator<Item = &Name> {
        self.sources.iter().filter(|source| source.is_served && source.not_above.is_some()).map(|source| &source.apex)
    }

    /// Writes what the record has to say of what is served, beside the files of `commit`.
    #[must_use]
    pub fn note(&self, commit: &ObjectId) -> String {
        let mut note = format!("Serve commit {}\n\nCommit: {commit}\n", commit.to_hex_with_len(10));
        note += &self.formers.to_lines();
        note
    }

    /// Takes over what the record says was served: `files`, and the `note` that was written then.
    ///
    /// Entries of the record are recalled in their order. Returns the changes, and whether all that was served is known: not
    /// if a zone was served with a version that these files do not have and no entry recalled before had.
    pub fn recall<E: fmt::Display>(
        &mut self,
        files: Vec<File>,
        read: impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
        note: &str,
    ) -> (Vec<Change>, bool) {
        let changes = self.load(files, read);
        let mut is_all = true;
        for (apex, former) in Formers::parse(note) {
            let is_it = self.served(&apex).is_some_and(|zone| Former::of(&zone) == former);
            let is_compared = |source: &Arc<Source>| source.is_served && source.not_above.is_some();
            match self.sources.get(apex.as_wire()) {
                Some(source) if is_it || is_compared(source) => {}
                source => {
                    // Forgotten, so that the file is compared with this when it is loaded.
                    is_all &= source.is_none();
                    self.zones.remove(&apex);
                    self.sources.remove(apex.as_wire());
                    self.formers.insert(apex, former);
                }
            }
        }
        (changes, is_all)
    }

    /// Returns whether what is served is not what the zone's file says.
    #[cfg(test)]
    pub(crate) fn serves_other(&self, apex: &Name) -> bool {
        self.sources.get(apex.as_wire()).is_some_and(|source| !source.is_served || source.not_above.is_some())
    }

    /// Goes on serving `zone`, whatever its file says, until that says something newer.
    pub(crate) fn hold(&mut self, zone: &Arc<Zone>) {
        let apex = zone.apex();
        if let Some(source) = self.sources.get(apex.as_wire()) {
            let mut source = Source::clone(source);
            source.is_served = false;
            source.not_above = Some(zone.serial());
            self.sources.insert(Arc::new(source));
        }
        self.formers.insert(apex.clone(), Former::of(zone));
        self.zones.insert(Arc::clone(zone));
    }

    /// Takes over `files`, all the files of a commit, reading those that changed with `read`.
    pub fn load<E: fmt::Display>(
        &mut self,
        files: Vec<File>,
        mut read: impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let tree = Checkout::new(files);
        let Assigned { sources, keys, strays } = assign(&tree);
        self.load_keys(keys, &tree, &mut read, &mut changes);
        let mut known = BTreeMap::new();
        for (file, id, reason) in strays {
            if self.strays.get(&file) != Some(&id) {
                changes.push(Change::Unusable { file: file.clone(), reason });
            }
            known.insert(file, id);
        }
        let gone: Vec<Name> = self
            .sources
            .iter()
            .map(|source| &source.apex)
            .filter(|apex| !sources.contains_key(apex))
            .cloned()
            .collect();
        for apex in gone {
            let served = self.served(&apex);
            let serial = served.as_ref().map(|zone| zone.serial());
            if let Some(zone) = served {
                self.formers.insert(apex.clone(), Former::of(&zone));
            }
            self.zones.remove(&apex);
            self.sources.remove(apex.as_wire());
            changes.push(Change::Removed { apex, serial });
        }
        // What is wrong with zones that never were good: told unless they prove to be parts of others.
        let mut refused: BTreeMap<Name, Vec<Change>> = BTreeMap::new();
        for (apex, files) in sources {
            let last = self.sources.get(apex.as_wire());
            if last.is_some_and(|source| source.files == files && source.is_current(&tree)) {
                continue;
            }
            let not_above = last.and_then(|source| source.not_above);
            let before = self.served(&apex);
            let mut source = Source { apex, files, included: BTreeMap::new(), is_served: false, not_above: None };
            let mut told = Vec::new();
            let zone = zone_of(&mut source, &tree, &mut read, &mut told);
            let zone = zone.filter(|zone| match self.judge(zone) {
                Ok(()) => true,
                Err(reason) => {
                    let file = source.files.first().map_or(String::new(), |(file, _)| file.clone());
                    told.push(Change::Unusable { file, reason });
                    false
                }
            });
            let apex = source.apex.clone();
            match (zone, before) {
                (Some(zone), before) => {
                    changes.append(&mut told);
                    self.take(&mut source, zone, before, not_above, &mut changes);
                }
                (None, Some(before)) => {
                    source.not_above = not_above;
                    if self.formers.get(&apex).is_none() {
                        self.formers.insert(apex.clone(), Former::of(&before));
                    }
                    changes.append(&mut told);
                    changes.push(Change::Refused { apex, kept: Some(before.serial()) });
                }
                (None, None) => {
                    told.push(Change::Refused { apex: apex.clone(), kept: None });
                    refused.insert(apex, told);
                }
            }
            self.sources.insert(Arc::new(source));
        }
        self.forget_parts(&mut refused);
        for (apex, mut told) in refused {
            self.zones.insert_broken(apex, Fault::Errors);
            changes.append(&mut told);
        }
        self.strays = Arc::new(known);
        changes
    }

    /// Takes over a zone that has been read well, unless its serial number stands against it.
    fn take(
        &mut self,
        source: &mut Source,
        zone: Zone,
        before: Option<Arc<Zone>>,
        not_above: Option<Serial>,
        changes: &mut Vec<Change>,
    ) {
        let apex = source.apex.clone();
        let (to, records) = (zone.serial(), zone.record_count());
        source.is_served = true;
        let Some(before) = before else {
            let held = match self.formers.get(&apex).filter(|former| !former.leads_to(&zone)) {
                None => {
                    self.formers.remove(&apex);
                    changes.push(Change::Added { apex, serial: to, records });
                    false
                }
                Some(Former { serial: from, .. }) => {
                    source.not_above = Some(from);
                    let held = self.holds(&zone);
                    changes.push(Change::NotRaised { apex, from, to, held });
                    held
                }
            };
            if held {
                source.is_served = false;
                self.zones.insert_broken(source.apex.clone(), Fault::Errors);
            } else {
                self.zones.insert(Arc::new(zone));
            }
            return;
        };
        let from = not_above.unwrap_or(before.serial());
        let is_same = zone::is_identical(&before, &zone);
        if to.is_newer_than(from) {
            changes.push(Change::Changed { apex: apex.clone(), from, to, records });
        } else if !(is_same && self.formers.get(&apex).is_none_or(|former| former.leads_to(&zone))) {
            let held = self.holds(&zone);
            changes.push(Change::NotRaised { apex: apex.clone(), from, to, held });
            source.is_served = !held;
            source.not_above = Some(from);
            if self.formers.get(&apex).is_none() {
                self.formers.insert(apex, Former::of(&before));
            }
            if !held {
                self.zones.insert(Arc::new(zone));
            }
            return;
        }
        self.formers.remove(&apex);
        self.zones.insert(Arc::new(zone));
    }

    /// Returns whether a zone whose serial number is not higher is held back instead of being given another one, which would
    /// invalidate the signature of its SOA record.
    fn holds(&self, zone: &Zone) -> bool {
        let is_signed = || zone.node(zone.apex()).is_some_and(|apex| apex.rrset(Type::RRSIG).is_some());
        self.policy == SerialPolicy::Strict || is_signed()
    }

    /// Takes over the keys of `files` if these changed.
    fn load_keys<E: fmt::Display>(
        &mut self,
        files: Vec<(String, ObjectId)>,
        tree: &Checkout,
        read: &mut impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
        changes: &mut Vec<Change>,
    ) {
        if self.key_files.as_deref() == Some(files.as_slice()) {
            return;
        }
        let mut texts = Vec::new();
        for (path, _) in &files {
            let text = tree
                .place(path)
                .map_err(|error| error.to_string())
                .and_then(|place| read(&place.id).map_err(|e| e.to_string()));
            match text {
                Ok(text) => texts.push((path.as_str(), Zeroizing::new(text))),
                Err(reason) => changes.push(Change::Unusable { file: path.clone(), reason }),
            }
        }
        let (keyring, remarks) =
            Keyring::load(&self.configured, texts.iter().map(|(path, text)| (*path, text.as_slice())));
        changes.extend(remarks.into_iter().map(Change::Remark));
        if !keyring.is_empty() || !self.keyring.is_empty() {
            changes.push(Change::Keys { count: keyring.len() });
        }
        self.keyring = Arc::new(keyring);
        self.key_files = Some(files.into());
    }

    /// Takes zones out that never were good and whose file another zone's file includes.
    fn forget_parts(&mut self, refused: &mut BTreeMap<Name, Vec<Change>>) {
        let included: BTreeSet<&String> = self.sources.iter().flat_map(|source| source.included.keys()).collect();
        let is_part = |source: &&Arc<Source>| {
            self.served(&source.apex).is_none() && source.files.iter().all(|(path, _)| included.contains(path))
        };
        let parts: Vec<Name> = self.sources.iter().filter(is_part).map(|source| source.apex.clone()).collect();
        for apex in parts {
            // Not remembered, it is looked at again when next something changes; it may then be a part no longer.
            self.sources.remove(apex.as_wire());
            self.zones.remove(&apex);
            refused.remove(&apex);
        }
    }

    /// Returns whether a zone may be served; the error says why not.
    fn judge(&self, zone: &Zone) -> Result<(), String> {
        self.judge.as_ref().map_or(Ok(()), |judge| judge(zone))
    }

    /// Returns the zone that is served under the name `apex`.
    fn served(&self, apex: &Name) -> Option<Arc<Zone>> {
        self.zones.get(apex).and_then(Entry::zone).cloned()
    }
}

impl Source {
    /// Returns whether the included files are in a commit what they were.
    fn is_current(&self, tree: &Checkout) -> bool {
        self.included.iter().all(|(path, place)| tree.part(path).ok() == *place)
    }
}

/// The files of a commit, sorted by what they are.
#[derive(Default)]
struct Assigned {
    /// The files that bear a zone's name, by zone, and where they are.
    sources: BTreeMap<Name, Vec<(String, Option<Place>)>>,
    /// Those with keys, and their contents.
    keys: Vec<(String, ObjectId)>,
    /// Those that are of no use, their contents and why.
    strays: Vec<(String, ObjectId, String)>,
}

/// Sorts files by the zone they describe, those of keys apart.
fn assign(tree: &Checkout) -> Assigned {
    let mut assigned = Assigned::default();
    for (file, id, role) in tree.roles() {
        let path = file.path.clone();
        match role {
            FileRole::Zone(apex) => {
                let place = tree.part(&path).ok();
                assigned.sources.entry(apex).or_default().push((path, place));
            }
            FileRole::Keys => assigned.keys.push((path, id)),
            FileRole::Misnamed { reason } => assigned.strays.push((path, id, reason)),
            FileRole::Foreign => {}
        }
    }
    assigned
}

/// Reads a zone, and notes in `source` which files it includes.
fn zone_of<E: fmt::Display>(
    source: &mut Source,
    tree: &Checkout,
    read: &mut impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
    changes: &mut Vec<Change>,
) -> Option<Zone> {
    let open = |read: &mut dyn FnMut(&ObjectId) -> Result<Vec<u8>, E>, path: &str| {
        let place = tree.part(path)?;
        read(&place.id).map_err(|error| IncludeError::Unreadable(error.to_string()))
    };
    // A file that is included over a link is used under its own path, too; so is one that is not there.
    let with_places = |paths: Vec<String>| {
        let all = paths.into_iter().flat_map(|path| tree.behind(&path).into_iter().chain([path]));
        all.map(|path| (path.clone(), tree.part(&path).ok())).collect::<Vec<_>>()
    };
    let [(file, _)] = source.files.as_slice() else {
        // None of them makes the zone, but what they include is used.
        for (file, place) in &source.files {
            let Some(Ok(text)) = place.as_ref().map(|place| read(&place.id)) else { continue };
            let reading = zonefile::read_including(&source.apex, file, &text, |path| open(read, path));
            source.included.extend(with_places(reading.included));
        }
        let all: Vec<&str> = source.files.iter().map(|(file, _)| file.as_str()).collect();
        let reason = format!("{} all name the zone {}; keep one of them", all.join(", "), source.apex);
        changes.push(Change::Unusable { file: all[0].to_string(), reason });
        return None;
    };
    let text = match open(read, file) {
        Ok(text) => text,
        Err(error) => {
            source.included.extend(tree.behind(file).map(|end| (end.clone(), tree.part(&end).ok())));
            changes.push(Change::Unusable { file: file.clone(), reason: error.to_string() });
            return None;
        }
    };
    let reading = zonefile::read_including(&source.apex, file, &text, |path| open(read, path));
    source.included = with_places(reading.included).into_iter().collect();
    changes.extend(reading.diagnostics.into_iter().map(Change::Remark));
    reading.zone
}

impl Change {
    /// Writes this to the log at the level it deserves; `first` marks the load at start.
    pub fn log(&self, first: bool) {
        let usual = if first { log::Level::Debug } else { log::Level::Info };
        match self {
            Change::Added { apex, serial, records } => {
                log::log!(usual, "zone {apex} added with serial {serial}, {records} records");
            }
            Change::Changed { apex, from, to, records } => {
                log::info!("zone {apex} serial {from} -> {to}, {records} records");
            }
            Change::NotRaised { apex, from, to, held: false } => log::warn!(
                "zone {apex} changed, but its serial went {from} -> {to}: a higher one is committed, lest secondaries \
                 keep the old contents"
            ),
            Change::NotRaised { apex, from, to, held: true } => log::error!(
                "zone {apex} changed, but its serial went {from} -> {to}: the new contents are not served; raise the serial \
                 in the SOA above {from} and push"
            ),
            Change::Removed { apex, serial: Some(serial) } => log::info!("zone {apex} removed, was at serial {serial}"),
            Change::Removed { apex, serial: None } => log::info!("zone {apex} removed, was never good"),
            Change::Refused { apex, kept: Some(serial) } => {
                log::error!("zone {apex} refused: serial {serial} is still served; mend the file and push");
            }
            Change::Refused { apex, kept: None } => {
                log::error!(
                    "zone {apex} refused: there is no good version, so it answers SERVFAIL; mend the file and push"
                );
            }
            Change::Keys { count } => log::log!(usual, "keys: {count}"),
            Change::Remark(diagnostic) => match diagnostic.severity {
                Severity::Error => log::error!("{diagnostic}"),
                Severity::Warning => log::warn!("{diagnostic}"),
            },
            Change::Unusable { file, reason } => log::error!("{file}: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A repository's files and their contents.
    struct Files(HashMap<ObjectId, Vec<u8>>, Vec<File>);

    fn files(contents: &[(&str, &str)]) -> Files {
        let mut blobs = HashMap::new();
        let mut list = Vec::new();
        for (path, text) in contents {
            let id = gix_object::compute_hash(gix_hash::Kind::Sha1, gix_object::Kind::Blob, text.as_bytes()).unwrap();
            blobs.insert(id, text.as_bytes().to_vec());
            list.push(File { path: (*path).to_string(), id, link: None });
        }
        Files(blobs, list)
    }

    fn zone(serial: u32) -> String {
        format!("$TTL 60\n@ SOA ns hostmaster {serial} 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n")
    }

    fn load(primary: &mut Primary, contents: &[(&str, &str)]) -> Vec<String> {
        let Files(blobs, list) = files(contents);
        primary.load(list, |id| blobs.get(id).cloned().ok_or("no such blob")).iter().map(short).collect()
    }

    fn short(change: &Change) -> String {
        match change {
            Change::Added { apex, serial, .. } => format!("+{apex} {serial}"),
            Change::Changed { apex, from, to, .. } => format!("{apex} {from}>{to}"),
            Change::NotRaised { apex, from, to, held } => {
                format!("{apex} {from}~{to}{}", if *held { " held" } else { "" })
            }
            Change::Keys { count } => format!("{count} keys"),
            Change::Removed { apex, serial } => format!("-{apex} {}", serial.map_or(0, |serial| serial.0)),
            Change::Refused { apex, kept } => format!("!{apex} {}", kept.map_or(0, |serial| serial.0)),
            Change::Remark(diagnostic) => diagnostic.to_string(),
            Change::Unusable { file, reason } => format!("{file}: {reason}"),
        }
    }

    #[test]
    fn a_zone_is_added_changed_and_removed() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let (one, two) = (zone(1), zone(2));
        assert_eq!(load(&mut primary, &[("example.org", &one), ("README.md", "hi")]), ["+example.org. 1"]);
        assert_eq!(load(&mut primary, &[("example.org", &one)]), [""; 0]);
        assert_eq!(load(&mut primary, &[("example.org", &two)]), ["example.org. 1>2"]);
        assert_eq!(load(&mut primary, &[("example.org.zone", &two)]), [""; 0]);
        assert_eq!(load(&mut primary, &[]), ["-example.org. 2"]);
        assert_eq!(primary.size(), (0, 0));
    }

    #[test]
    fn a_broken_zone_keeps_its_last_good_version_and_hinders_no_other() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let (one, two) = (zone(1), zone(2));
        load(&mut primary, &[("a.example", &one), ("b.example", &one)]);
        let changes = load(&mut primary, &[("a.example", "@ SOA broken\n"), ("b.example", &two)]);
        assert!(changes.contains(&"!a.example. 1".to_string()), "{changes:?}");
        assert!(changes.contains(&"b.example. 1>2".to_string()), "{changes:?}");
        assert!(changes.iter().any(|change| change.starts_with("a.example:1:")), "{changes:?}");
        assert_eq!(load(&mut primary, &[("a.example", &two), ("b.example", &two)]), ["a.example. 1>2"]);
    }

    #[test]
    fn a_zone_that_never_was_good_is_known_and_then_mended() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let changes = load(&mut primary, &[("a.example", "rubbish\n")]);
        assert!(changes.contains(&"!a.example. 0".to_string()), "{changes:?}");
        let apex = Name::from_text("a.example").unwrap();
        assert!(primary.zones().get(&apex).is_some_and(|entry| entry.zone().is_none()));
        let one = zone(1);
        assert_eq!(load(&mut primary, &[("a.example", &one)]), ["+a.example. 1"]);
    }

    #[test]
    fn links_that_lead_to_no_zone_are_errors_that_name_them() {
        let one = zone(1);
        let secret = "x._update.example.org. hmac-sha256 AAAA";
        let texts = [("example.org", one.as_str()), ("keys/all", secret), ("example.org._keys", ""), ("parts/x", "")];
        let Files(mut blobs, mut list) = files(&texts);
        for (path, target) in [
            ("dangling.example", "nothing"),
            ("circle.example", "circle.example"),
            ("absolute.example", "/etc/passwd"),
            ("outside.example", "../x"),
            ("directory.example", "parts"),
            ("parts-too", "parts"),
            ("secret.example", "example.org._keys"),
            ("hidden.example", "keys/all"),
            ("_keys", "keys/all"),
            ("lost._keys", "nothing"),
            ("good.example", "example.org"),
        ] {
            list.push(File {
                path: path.into(),
                id: crate::git::blob_id(target.as_bytes()),
                link: Some(target.into()),
            });
        }
        list.sort();
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let mut load = |list: &[File]| -> Vec<String> {
            let read = |id: &ObjectId| blobs.get(id).cloned().ok_or("no such blob");
            primary.load(list.to_vec(), read).iter().map(short).collect()
        };
        let changes = load(&list);
        for (path, reason) in [
            ("dangling.example", "leads to nothing, which is not there; make it lead to a file"),
            ("circle.example", "leads in a circle"),
            ("absolute.example", "leads out of the repository: /etc/passwd"),
            ("outside.example", "leads out of the repository"),
            ("directory.example", "leads to the directory parts"),
            ("secret.example", "leads to example.org._keys, which is a key file"),
            ("hidden.example", "keys/all is what a link leads to that is named like a key file"),
            ("lost._keys", "leads to nothing, which is not there"),
        ] {
            let found = changes.iter().filter(|change| change.starts_with(&format!("{path}: ")));
            let found: Vec<_> = found.collect();
            assert!(found.len() == 1 && found[0].contains(reason), "{path}: {found:?} of {changes:?}");
        }
        assert!(changes.contains(&"+good.example. 1".to_string()), "{changes:?}");
        assert!(!changes.iter().any(|change| change.contains("parts-too") || change.contains("AAAA")), "{changes:?}");
        assert_eq!(load(&list), <[String; 0]>::default(), "all of it was told");
        // A link that comes to lead elsewhere is another file.
        let two = zone(2);
        blobs.insert(crate::git::blob_id(two.as_bytes()), two.clone().into_bytes());
        let mut load = |list: &[File]| -> Vec<String> {
            let read = |id: &ObjectId| blobs.get(id).cloned().ok_or("no such blob");
            primary.load(list.to_vec(), read).iter().map(short).collect()
        };
        list.iter_mut()
            .filter(|file| file.path == "example.org")
            .for_each(|file| file.id = crate::git::blob_id(two.as_bytes()));
        assert_eq!(load(&list), ["good.example. 1>2", "example.org. 1>2"]);
        list.retain(|file| file.path != "example.org");
        let changes = load(&list);
        assert!(
            changes.iter().any(|change| change == "!good.example. 2"),
            "the last good version is kept: {changes:?}"
        );
    }

    #[test]
    fn what_is_left_behind_is_named_once_and_not_served() {
        let (one, bad) = (zone(1), "line one is wrong\nline two, too\n");
        let texts = [
            ("example.org", one.as_str()),
            ("example.org.bak", &one),
            ("example.org~", &one),
            ("_KEYS", "x secret-text"),
            ("named.conf", "key \"x\" { secret \"secret-text\"; };"),
            ("tsig", "key \"x\" { secret \"secret-text\"; };"),
            ("db.example.net", bad),
            ("other.example.jnl", ";BIND LOG V9\n\0\0"),
            ("private.bak", &one),
            ("example.com", "version https://git-lfs.github.com/spec/v1\n"),
        ];
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let changes = load(&mut primary, &texts);
        for (path, count) in [
            ("example.org.bak", 1),
            ("example.org~", 1),
            ("_KEYS", 1),
            ("named.conf", 1),
            ("tsig", 1),
            ("db.example.net", 1),
            ("other.example.jnl", 1),
            ("example.com", 1),
        ] {
            let found = changes.iter().filter(|change| change.starts_with(&format!("{path}: ")));
            assert_eq!(found.count(), count, "{path}: {changes:?}");
        }
        assert!(!changes.iter().any(|change| change.contains("secret-text")), "{changes:?}");
        assert!(changes.contains(&"+private.bak. 1".to_string()), "a good zone of its own: {changes:?}");
        let entries: Vec<_> = primary.zones().iter().map(|entry| entry.apex().to_string()).collect();
        assert!(!entries.contains(&"example.org.bak.".to_string()) && !entries.contains(&"named.conf.".to_string()));
        assert_eq!(load(&mut primary, &texts), <[String; 0]>::default());
    }

    #[test]
    fn two_files_for_one_zone_are_refused_by_name() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let (one, two) = (zone(1), zone(2));
        load(&mut primary, &[("example.org", &one)]);
        let changes = load(&mut primary, &[("example.org", &two), ("Example.ORG.zone", &two)]);
        assert!(changes[0].contains("Example.ORG.zone, example.org all name the zone Example.ORG."), "{changes:?}");
        assert_eq!(changes[1], "!Example.ORG. 1");
    }

    #[test]
    fn a_change_of_an_included_file_reads_the_zones_that_include_it() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let with = |serial| zone(serial) + "$INCLUDE parts/mail\n";
        let (a, b, c) = (with(1), with(2), zone(3));
        let zones = [("a.example", a.as_str()), ("b.example", &b), ("c.example", &c)];
        let load_with = |primary: &mut Primary, parts: &[(&str, &str)]| load(primary, &[&zones[..], parts].concat());

        let missing = "error: there is no file parts/mail in the repository";
        let changes = load_with(&mut primary, &[]);
        assert!(changes.iter().any(|change| change.starts_with(&format!("a.example:5:10: {missing}"))), "{changes:?}");
        assert!(changes.contains(&"!a.example. 0".to_string()), "{changes:?}");
        assert!(changes.contains(&"+c.example. 3".to_string()), "{changes:?}");
        let one = [("parts/mail", "@ MX 1 mail.example.net.\n")];
        assert_eq!(load_with(&mut primary, &one), ["+a.example. 1", "+b.example. 2"], "it came");
        assert_eq!(load_with(&mut primary, &one), [""; 0]);
        let two = [("parts/mail", "@ MX 2 mail.example.net.\n"), ("parts/other", "")];
        assert_eq!(load_with(&mut primary, &two), ["a.example. 1~1", "b.example. 2~2"], "it changed");
        let changes = load_with(&mut primary, &[]);
        assert!(changes.contains(&"!a.example. 1".to_string()), "it is gone: {changes:?}");
        assert_eq!(primary.size().0, 3, "and the last good versions are served");
        let changes = load_with(&mut primary, &[("parts/mail", "@ MX x\n")]);
        assert!(changes.iter().any(|change| change.starts_with("parts/mail:1:6: error: ")), "{changes:?}");
    }

    #[test]
    fn a_file_that_is_only_a_part_of_zones_is_none_itself() {
        let mut primary = Primary::new(SerialPolicy::Bump, Vec::new());
        let with = zone(1) + "$INCLUDE mail\n";
        let without = zone(2);
        let part = ("mail", "@ MX 1 mail.example.net.\n");
        // Read before and after the zone that includes it, whose name sorts behind or in front of its own.
        for apex in ["z.example", "a.example"] {
            let changes = load(&mut primary, &[part, (apex, &with)]);
            assert!(changes.contains(&format!("+{apex}. 1")), "{changes:?}");
            assert!(!changes.iter().any(|change| change.contains("mail")), "{changes:?}");
            assert_eq!(primary.zones().len(), 1);
        }
        let changes = load(&mut primary, &[part, ("a.example", &without)]);
        assert!(changes.contains(&"!mail. 0".to_string()), "nobody includes it now: {changes:?}");
        assert_eq!(primary.zones().len(), 2);
        let changes = load(&mut primary, &[part, ("a.example", &with)]);
        assert_eq!(changes, ["a.example. 2~1"]);
        assert_eq!(primary.zones().len(), 1, "it is a part again");
        // A file that makes a zone is a zone, whoever includes it.
        let both = zone(5);
        let changes = load(&mut primary, &[("mail", &both), ("a.example", &with)]);
        assert!(changes.contains(&"+mail. 5".to_string()), "{changes:?}");
    }
}
