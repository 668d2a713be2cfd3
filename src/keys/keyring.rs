//! The set of all keys.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::file::{self, Findings};
use super::grant::Grant;
use crate::dns::{Diagnostic, Name};
use crate::tsig::Key;

/// The place reported for a key from the boot arguments.
pub const ARGUMENT: &str = "--tsig-key";

/// The set of all keys, looked up by name in any letter case.
///
/// It is immutable: a commit that changes keys creates a new keyring.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: HashMap<Name, Arc<Key>>,
}

impl Keyring {
    /// Collects the keys of the boot arguments and of key files, given by path and text.
    ///
    /// Also returns errors about keys that are left out, and warnings, file by file and at most a few dozen a
    /// file.
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

    /// Returns the key with a name.
    pub fn get(&self, name: &Name) -> Option<&Arc<Key>> {
        self.keys.get(name)
    }

    /// Returns the grant of the key with a name; `None` if there is no such key or its name contains no grant.
    pub fn grant(&self, name: &Name) -> Option<Grant> {
        self.get(name).and_then(|key| Grant::of(key.name()))
    }

    /// Iterates over all keys in arbitrary order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.keys.values()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns whether there are no keys.
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
    /// Whether a different key has the same name.
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
                        "the key {} is also in {} with another {what}; neither is used",
                        key.name(),
                        found.place
                    );
                    findings.error(line, column, reason, Some("keep only one of them, or rename one"));
                }
            }
            Entry::Vacant(entry) => {
                remark(&key, line, column, findings);
                entry.insert(Found { key, place, refused: false });
            }
        }
    }
}

/// Adds warnings about a key that takes effect.
fn remark(key: &Key, line: u32, column: u32, findings: &mut Findings) {
    if Grant::of(key.name()).is_none() {
        let reason = format!("the key {} may do nothing: its name contains no grant", key.name());
        let hint = "name it <any>._update.<zone>, <any>._transfer.<zone> or <any>._notify.<zone>";
        findings.warning(line, column, reason, Some(hint));
    }
    let (len, whole) = (key.secret_len(), key.algorithm().output_len());
    if len < whole / 2 {
        let reason = format!("the secret of the key {} has only {len} octets; {whole} are recommended", key.name());
        findings.warning(line, column, reason, Some("generate one of 32 octets with `openssl rand -base64 32`"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const B: &str = "BBECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn load(arguments: &[String], files: &[(&str, String)]) -> (Keyring, Vec<String>) {
        let configured: Vec<_> = arguments.iter().map(|text| Arc::new(Key::parse_argument(text).unwrap())).collect();
        let (ring, findings) = Keyring::load(&configured, files.iter().map(|(path, text)| (*path, text.as_bytes())));
        (ring, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn from_everywhere() {
        let arguments = [format!("a._update:sha256:{A}")];
        let files = [
            ("example.org._keys", format!("b._update DNSKEY 0 3 163 {A}\n")),
            ("_keys", format!("c._notify.example.net DNSKEY 0 3 163 {A}\n")),
        ];
        let (ring, findings) = load(&arguments, &files);
        assert_eq!(findings, [""; 0]);
        assert_eq!((ring.len(), ring.is_empty()), (3, false));
        let name = Name::from_text("B._UPDATE.example.ORG").unwrap();
        assert_eq!(ring.get(&name).unwrap().name(), &name);
        assert_eq!(ring.grant(&name).unwrap().to_string(), "update at and below example.org.");
        assert!(ring.grant(&Name::from_text("x._update.example.org").unwrap()).is_none());
        assert_eq!(ring.iter().count(), 3);
        assert!(Keyring::default().is_empty());
    }

    /// Different keys with the same name are both left out, whichever comes first.
    #[test]
    fn one_name_twice() {
        let arguments = [format!("a._update:sha256:{A}"), format!("A._update:sha256:{A}")];
        let files = |one: &str, two: &str| {
            [
                ("_keys", format!("\na._update DNSKEY 0 3 {one}\n")),
                ("example.org._keys", format!("b._update DNSKEY 0 3 {two}\n")),
            ]
        };
        let (ring, findings) = load(&arguments, &files(&format!("163 {A}"), &format!("163 {A}")));
        assert_eq!((ring.len(), findings.len()), (2, 0), "{findings:?}");

        let (ring, findings) = load(&arguments, &files(&format!("163 {B}"), &format!("163 {A}")));
        assert_eq!(ring.len(), 1);
        assert_eq!(findings.len(), 1);
        let expected =
            "_keys:2:1: error: the key a._update. is also in --tsig-key with another secret; neither is used (hint: ";
        assert!(findings[0].starts_with(expected), "{findings:?}");

        let again = format!("163 {A}\nb._update DNSKEY 0 3 164 {A}\nb._update DNSKEY 0 3 163 {A}");
        let (ring, findings) = load(&[], &files(&format!("163 {A}"), &again));
        assert_eq!(ring.len(), 1);
        assert!(findings[0].starts_with("example.org._keys:2:1: error: the key b._update.example.org. is also in example.org._keys:1 with another algorithm"), "{findings:?}");
        assert_eq!(findings.len(), 1);
        assert!(findings.iter().all(|finding| !finding.contains("ECAw")));
    }

    #[test]
    fn remarks() {
        let files = [("_keys", "laptop DNSKEY 0 3 163 c2VjcmV0\n".to_string())];
        let (ring, findings) = load(&[], &files);
        assert_eq!(ring.len(), 1);
        assert!(findings[0].starts_with("_keys:1:1: warning: the key laptop. may do nothing"), "{findings:?}");
        assert!(
            findings[1]
                .starts_with("_keys:1:1: warning: the secret of the key laptop. has only 6 octets; 32 are recommended"),
            "{findings:?}"
        );
    }

    #[test]
    fn ten_thousand() {
        let text: String = (0..10_000).map(|n| format!("k{n}._update DNSKEY 0 3 163 {A}\n")).collect();
        let (ring, findings) = load(&[], &[("example.org._keys", text)]);
        assert_eq!((ring.len(), findings.len()), (10_000, 0));
    }
}
