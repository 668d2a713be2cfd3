//! All keys there are at a time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::file::{self, Findings};
use super::grant::Grant;
use crate::dns::{Diagnostic, Name};
use crate::tsig::Key;

/// Where findings about a key from the boot arguments point to.
pub const ARGUMENT: &str = "--tsig-key";

/// All keys there are at a time, found by their names in any letter case.
///
/// It is immutable: a commit that brings other keys brings another keyring.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: HashMap<Name, Arc<Key>>,
}

impl Keyring {
    /// Collects the keys of the boot arguments and of key files, given by path and text.
    ///
    /// Returns along with the keys what is wrong with those that are left out (errors), and what should be looked at
    /// (warnings), file by file and at most some dozens of each file.
    pub fn load<'f>(
        configured: &[Arc<Key>],
        files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
    ) -> (Self, Vec<Diagnostic>) {
        let mut ring = Collection::default();
        let mut findings = Findings::new(ARGUMENT);
        for key in configured {
            ring.add(key.clone(), 0, 0, &mut findings);
        }
        let mut diagnostics = findings.finish();
        for (path, text) in files {
            let mut findings = Findings::new(path);
            for (key, line, column) in file::read(path, text, &mut findings) {
                ring.add(Arc::new(key), line, column, &mut findings);
            }
            diagnostics.extend(findings.finish());
        }
        let keys = ring.0.into_iter().filter(|(_, found)| !found.refused);
        (Self { keys: keys.map(|(name, found)| (name, found.key)).collect() }, diagnostics)
    }

    /// Returns the key of a name.
    pub fn get(&self, name: &Name) -> Option<&Arc<Key>> {
        self.keys.get(name)
    }

    /// Returns what the key of a name may do; nothing if there is no such key or its name spells no grant.
    pub fn grant(&self, name: &Name) -> Option<Grant> {
        self.get(name).and_then(|key| Grant::of(key.name()))
    }

    /// Iterates over all keys, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// Keys by name, with the place of the first of each.
#[derive(Default)]
struct Collection(HashMap<Name, Found>);

struct Found {
    key: Arc<Key>,
    place: String,
    /// There is another key of its name.
    refused: bool,
}

impl Collection {
    fn add(&mut self, key: Arc<Key>, line: u32, column: u32, findings: &mut Findings) {
        let place = if line > 0 { format!("{}:{line}", findings.file()) } else { findings.file().to_string() };
        match self.0.entry(key.name().clone()) {
            Entry::Occupied(mut entry) => {
                let found = entry.get_mut();
                if *found.key != *key {
                    found.refused = true;
                    let what = if found.key.algorithm() == key.algorithm() { "secret" } else { "algorithm" };
                    let reason = format!(
                        "the key {} is in {} too, with another {what}; neither is used",
                        key.name(),
                        found.place
                    );
                    findings.error(line, column, reason, Some("keep one of them, or give one another name"));
                }
            }
            Entry::Vacant(entry) => {
                remark(&key, line, column, findings);
                entry.insert(Found { key, place, refused: false });
            }
        }
    }
}

/// Says what should be looked at in a key that takes effect.
fn remark(key: &Key, line: u32, column: u32, findings: &mut Findings) {
    if Grant::of(key.name()).is_none() {
        let reason = format!("the key {} may do nothing: its name spells no grant", key.name());
        let hint = "name it <any>._update.<zone>, <any>._transfer.<zone> or <any>._notify.<zone>";
        findings.warning(line, column, reason, Some(hint));
    }
    let (len, whole) = (key.secret_len(), key.algorithm().output_len());
    if len < whole / 2 {
        let reason = format!("the secret of the key {} has {len} octets only, {whole} would be right", key.name());
        findings.warning(line, column, reason, Some("`openssl rand -base64 32` makes one of 32"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "BBECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn load(arguments: &[String], files: &[(&str, String)]) -> (Keyring, Vec<String>) {
        let configured: Vec<_> = arguments.iter().map(|text| Arc::new(Key::parse_argument(text).unwrap())).collect();
        let (ring, told) = Keyring::load(&configured, files.iter().map(|(path, text)| (*path, text.as_bytes())));
        (ring, told.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn from_everywhere() {
        let arguments = [format!("a._update:sha256:{A}")];
        let files = [
            ("example.org._keys", format!("b._update DNSKEY 0 3 163 {A}\n")),
            ("_keys", format!("c._notify.example.net DNSKEY 0 3 163 {A}\n")),
        ];
        let (ring, told) = load(&arguments, &files);
        assert_eq!(told, [""; 0]);
        assert_eq!((ring.len(), ring.is_empty()), (3, false));
        let name = Name::from_text("B._UPDATE.example.ORG").unwrap();
        assert_eq!(ring.get(&name).unwrap().name(), &name);
        assert_eq!(ring.grant(&name).unwrap().to_string(), "update at and below example.org.");
        assert!(ring.grant(&Name::from_text("x._update.example.org").unwrap()).is_none());
        assert_eq!(ring.iter().count(), 3);
        assert!(Keyring::default().is_empty());
    }

    /// Keys that are not the same but have one name are both left out, whichever comes first.
    #[test]
    fn one_name_twice() {
        let arguments = [format!("a._update:sha256:{A}"), format!("A._update:sha256:{A}")];
        let files = |one: &str, two: &str| {
            [
                ("_keys", format!("\na._update DNSKEY 0 3 {one}\n")),
                ("example.org._keys", format!("b._update DNSKEY 0 3 {two}\n")),
            ]
        };
        let (ring, told) = load(&arguments, &files(&format!("163 {A}"), &format!("163 {A}")));
        assert_eq!((ring.len(), told.len()), (2, 0), "{told:?}");

        let (ring, told) = load(&arguments, &files(&format!("163 {B}"), &format!("163 {A}")));
        assert_eq!(ring.len(), 1);
        assert_eq!(told.len(), 1);
        let expected =
            "_keys:2:1: error: the key a._update. is in --tsig-key too, with another secret; neither is used (hint: ";
        assert!(told[0].starts_with(expected), "{told:?}");

        let again = format!("163 {A}\nb._update DNSKEY 0 3 164 {A}\nb._update DNSKEY 0 3 163 {A}");
        let (ring, told) = load(&[], &files(&format!("163 {A}"), &again));
        assert_eq!(ring.len(), 1);
        assert!(told[0].starts_with("example.org._keys:2:1: error: the key b._update.example.org. is in example.org._keys:1 too, with another algorithm"), "{told:?}");
        assert_eq!(told.len(), 1);
        assert!(told.iter().all(|told| !told.contains("ECAw")));
    }

    #[test]
    fn remarks() {
        let files = [("_keys", "laptop DNSKEY 0 3 163 c2VjcmV0\n".to_string())];
        let (ring, told) = load(&[], &files);
        assert_eq!(ring.len(), 1);
        assert!(told[0].starts_with("_keys:1:1: warning: the key laptop. may do nothing"), "{told:?}");
        assert!(
            told[1].starts_with("_keys:1:1: warning: the secret of the key laptop. has 6 octets only, 32"),
            "{told:?}"
        );
    }

    #[test]
    fn ten_thousand() {
        let text: String = (0..10_000).map(|n| format!("k{n}._update DNSKEY 0 3 163 {A}\n")).collect();
        let (ring, told) = load(&[], &[("example.org._keys", text)]);
        assert_eq!((ring.len(), told.len()), (10_000, 0));
    }
}
