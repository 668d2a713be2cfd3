//! Key files that changed, read together with those they could contradict.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::state::State;
use super::{Finding, Kind, whole};
use crate::keys::Keyring;
use crate::zone::{Name, Severity};

/// Returns how many key files were read that changed, and what is wrong with them. No finding shows any of their lines.
///
/// The keys of `<zone>._keys` all are below that zone. So only files for zones above or below that of a changed file can
/// have keys of the same names.
pub(super) fn check(new: &State<'_>, changed: &BTreeSet<String>) -> (usize, Vec<Finding>) {
    let (changed, others): (Vec<&String>, Vec<&String>) = new.keys.iter().partition(|path| changed.contains(*path));
    let zones: BTreeSet<Name> = changed.iter().map(|path| zone_of(path)).collect();
    let others = others.into_iter().filter(|path| {
        let zone = zone_of(path);
        zones.iter().any(|changed| changed.is_at_or_below(&zone) || zone.is_at_or_below(changed))
    });
    let mut found = Vec::new();
    let mut texts = Vec::new();
    // A contradiction is told of the later file, and should be of the one that changed.
    for path in others.chain(changed.iter().copied()) {
        match new.text(path) {
            Ok(text) => texts.push((path.as_str(), Zeroizing::new(text))),
            Err(reason) => {
                let hint = "see that the repository is whole (`git fsck`)";
                found.push(whole(Kind::Unreadable, None, Severity::Error, path, &reason, hint));
            }
        }
    }
    let (_, told) = Keyring::load(&[], texts.iter().map(|(path, text)| (*path, text.as_slice())));
    let told = told.into_iter().filter(|diagnostic| changed.contains(&&diagnostic.file));
    found.extend(told.map(|diagnostic| Finding {
        kind: Kind::Keys,
        zone: None,
        above: None,
        diagnostic,
        source: None,
    }));
    (changed.len(), found)
}

/// Returns the name all keys of a file are below.
fn zone_of(path: &str) -> Name {
    path.strip_suffix("._keys").and_then(|zone| Name::from_text(zone).ok()).unwrap_or_else(Name::root)
}
