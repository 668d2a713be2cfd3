//! Changed key files, read together with those they could conflict with.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::state::State;
use super::{Finding, Kind};
use crate::dns::Name;
use crate::keys::{Keyring, Operation};
use crate::zonefile::zone_of_file;

/// Returns the number of changed key files that were read, and the findings in them, none of which shows a line.
///
/// All keys of `<zone>._keys` are below that zone, so only files for zones above or below that of a changed file can
/// have keys of the same names.
pub(super) fn check(new: &State<'_>, changed: &BTreeSet<String>) -> (usize, Vec<Finding>) {
    let (changed, others): (Vec<&String>, Vec<&String>) = new.keys.iter().partition(|path| changed.contains(*path));
    let zones: BTreeSet<Name> = changed.iter().map(|path| zone_of(path)).collect();
    let others = others.into_iter().filter(|path| {
        let zone = zone_of(path);
        zones.iter().any(|changed| changed.is_at_or_below(&zone) || zone.is_at_or_below(changed))
    });
    // A conflict is reported for the later file, but should be reported for the changed one.
    let read = |path: &String| Some((path.clone(), Zeroizing::new(new.keys(path)?)));
    let texts: Vec<_> = others.chain(changed.iter().copied()).filter_map(read).collect();
    let (_, diagnostics) = Keyring::load(&[], texts.iter().map(|(path, text)| (path.as_str(), text.as_slice())));
    let diagnostics = diagnostics.into_iter().filter(|diagnostic| changed.contains(&&diagnostic.file));
    let found =
        diagnostics.map(|diagnostic| Finding { kind: Kind::Keys, zone: None, above: None, diagnostic, source: None });
    (changed.len(), found.collect())
}

/// Returns the names at and below which the keys of all files allow updates.
pub(super) fn updatable(new: &State<'_>) -> Vec<Name> {
    let texts: Vec<_> = new.keys.iter().filter_map(|path| Some((path, Zeroizing::new(new.keys(path)?)))).collect();
    let (ring, _) = Keyring::load(&[], texts.iter().map(|(path, text)| (path.as_str(), text.as_slice())));
    let grants = ring.iter().filter_map(|key| ring.grant(key.name()));
    grants.filter(|grant| grant.operation() == Operation::Update).map(|grant| grant.subtree().clone()).collect()
}

/// Returns the name at or below which all keys of a file are.
fn zone_of(path: &str) -> Name {
    path.strip_suffix("._keys").and_then(|zone| zone_of_file(zone).ok()).unwrap_or_else(Name::root)
}
