//! What is served, as a function of what the repository holds.
//!
//! Values in, values out: [`Primary::load`] takes the files of a commit and yields the next catalog with
//! a list of what changed. It reads only the files whose contents changed, and a file that cannot be
//! served leaves the zone's last good version in place.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::git::{File, ObjectId};
use crate::zone::{self, Catalog, Diagnostic, Entry, FileRole, Name, Serial, Severity, Zone};

/// The zones as of the last commit loaded.
#[derive(Debug, Default)]
pub struct Primary {
    catalog: Catalog,
    sources: BTreeMap<Name, Source>,
}

/// The files a zone was last read from: what need not be read again.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    files: Vec<(String, ObjectId)>,
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
    /// A zone has new contents.
    Changed {
        /// The zone's apex.
        apex: Name,
        /// The serial number before.
        from: Serial,
        /// The serial number now; secondaries follow only if it is greater.
        to: Serial,
        /// How many resource records it has now.
        records: usize,
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
    /// Returns what is served.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Returns how many good zones are served, and how many records they have together.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let records = self.catalog.iter().filter_map(zone_in).map(Zone::record_count);
        records.fold((0, 0), |(zones, sum), records| (zones + 1, sum + records))
    }

    /// Takes over `files`, all the files of a commit, reading those that changed with `read`.
    pub fn load<E: fmt::Display>(
        &mut self,
        files: Vec<File>,
        mut read: impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let sources = assign(files, &mut changes);
        let gone: Vec<Name> = self.sources.keys().filter(|apex| !sources.contains_key(apex)).cloned().collect();
        for apex in gone {
            let serial = self.served(&apex);
            self.catalog.remove(&apex);
            self.sources.remove(&apex);
            changes.push(Change::Removed { apex, serial });
        }
        for (apex, source) in sources {
            if self.sources.get(&apex) == Some(&source) {
                continue;
            }
            let before = self.served(&apex);
            match zone_of(&apex, &source, &mut read, &mut changes) {
                Some(zone) => {
                    let (serial, records) = (zone.serial(), zone.record_count());
                    self.catalog.insert(Arc::new(zone));
                    changes.push(match before {
                        Some(from) => Change::Changed { apex: apex.clone(), from, to: serial, records },
                        None => Change::Added { apex: apex.clone(), serial, records },
                    });
                }
                None => {
                    if before.is_none() {
                        self.catalog.insert_broken(apex.clone());
                    }
                    changes.push(Change::Refused { apex: apex.clone(), kept: before });
                }
            }
            self.sources.insert(apex, source);
        }
        changes
    }

    /// Returns the serial number `apex` is served with.
    fn served(&self, apex: &Name) -> Option<Serial> {
        self.catalog.get(apex).and_then(zone_in).map(Zone::serial)
    }
}

fn zone_in(entry: &Entry) -> Option<&Zone> {
    match entry {
        Entry::Zone(zone) => Some(zone),
        Entry::Broken(_) => None,
    }
}

/// Sorts files by the zone they describe.
fn assign(files: Vec<File>, changes: &mut Vec<Change>) -> BTreeMap<Name, Source> {
    let mut sources: BTreeMap<Name, Source> = BTreeMap::new();
    for file in files {
        match FileRole::of(&file.path) {
            FileRole::Zone(apex) => {
                sources.entry(apex).or_insert_with(|| Source { files: Vec::new() }).files.push((file.path, file.id));
            }
            FileRole::Misnamed { reason } => changes.push(Change::Unusable { file: file.path, reason }),
            FileRole::Keys | FileRole::Foreign => {}
        }
    }
    sources
}

fn zone_of<E: fmt::Display>(
    apex: &Name,
    source: &Source,
    read: &mut impl FnMut(&ObjectId) -> Result<Vec<u8>, E>,
    changes: &mut Vec<Change>,
) -> Option<Zone> {
    let [(file, id)] = source.files.as_slice() else {
        let all: Vec<&str> = source.files.iter().map(|(file, _)| file.as_str()).collect();
        let reason = format!("{} all name the zone {apex}; keep one of them", all.join(", "));
        changes.push(Change::Unusable { file: all[0].to_string(), reason });
        return None;
    };
    let text = match read(id) {
        Ok(text) => text,
        Err(error) => {
            changes.push(Change::Unusable { file: file.clone(), reason: error.to_string() });
            return None;
        }
    };
    let reading = zone::read(apex, file, &text);
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
            Change::Changed { apex, from, to, records } if from < to => {
                log::info!("zone {apex} serial {from} -> {to}, {records} records");
            }
            Change::Changed { apex, from, to, records } => log::warn!(
                "zone {apex} changed, but its serial went {from} -> {to}, {records} records: \
                 raise the serial in the SOA, or secondaries keep the old contents"
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
            list.push(File { path: (*path).to_string(), id });
        }
        Files(blobs, list)
    }

    fn zone(serial: u32) -> String {
        format!("$TTL 60\n@ SOA ns hostmaster {serial} 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n")
    }

    fn load(primary: &mut Primary, contents: &[(&str, &str)]) -> Vec<String> {
        let Files(blobs, list) = files(contents);
        let changes = primary.load(list, |id| blobs.get(id).cloned().ok_or("no such blob"));
        let name = |change: &Change| match change {
            Change::Added { apex, serial, .. } => format!("+{apex} {serial}"),
            Change::Changed { apex, from, to, .. } => format!("{apex} {from}>{to}"),
            Change::Removed { apex, serial } => format!("-{apex} {}", serial.map_or(0, |serial| serial.0)),
            Change::Refused { apex, kept } => format!("!{apex} {}", kept.map_or(0, |serial| serial.0)),
            Change::Remark(diagnostic) => diagnostic.to_string(),
            Change::Unusable { file, reason } => format!("{file}: {reason}"),
        };
        changes.iter().map(name).collect()
    }

    #[test]
    fn a_zone_is_added_changed_and_removed() {
        let mut primary = Primary::default();
        let (one, two) = (zone(1), zone(2));
        assert_eq!(load(&mut primary, &[("example.org", &one), ("README.md", "hi")]), ["+example.org. 1"]);
        assert_eq!(load(&mut primary, &[("example.org", &one)]), [""; 0]);
        assert_eq!(load(&mut primary, &[("example.org", &two)]), ["example.org. 1>2"]);
        assert_eq!(load(&mut primary, &[("example.org.zone", &two)]), ["example.org. 2>2"]);
        assert_eq!(load(&mut primary, &[]), ["-example.org. 2"]);
        assert_eq!(primary.size(), (0, 0));
    }

    #[test]
    fn a_broken_zone_keeps_its_last_good_version_and_hinders_no_other() {
        let mut primary = Primary::default();
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
        let mut primary = Primary::default();
        let changes = load(&mut primary, &[("a.example", "rubbish\n")]);
        assert!(changes.contains(&"!a.example. 0".to_string()), "{changes:?}");
        let apex = Name::from_text("a.example").unwrap();
        assert!(primary.catalog().get(&apex).is_some_and(|entry| zone_in(entry).is_none()));
        let one = zone(1);
        assert_eq!(load(&mut primary, &[("a.example", &one)]), ["+a.example. 1"]);
    }

    #[test]
    fn two_files_for_one_zone_are_refused_by_name() {
        let mut primary = Primary::default();
        let (one, two) = (zone(1), zone(2));
        load(&mut primary, &[("example.org", &one)]);
        let changes = load(&mut primary, &[("example.org", &two), ("Example.ORG.zone", &two)]);
        assert!(changes[0].contains("example.org, Example.ORG.zone all name the zone example.org."), "{changes:?}");
        assert_eq!(changes[1], "!example.org. 1");
    }
}
