//! Files that are part of several zones, which updates cannot change.

use std::collections::BTreeSet;

use super::state::{Included, State};
use super::{Finding, Kind, keys, whole};
use crate::dns::{Name, Severity};
use crate::zonefile::FileRole;

/// The maximum number of zones listed.
const MAX_NAMED: usize = 3;

/// Finds changed files that are part of several zones, some of which a key of the repository may update.
///
/// `parts` are top-level files that were read as zones but are not. Keys from the server's arguments are not known here.
pub(super) fn check(
    new: &State<'_>,
    changed: &BTreeSet<String>,
    included: &Included,
    good: &BTreeSet<Name>,
    parts: &BTreeSet<Name>,
) -> Vec<Finding> {
    let users = |path: &String, zones: &BTreeSet<Name>| {
        let mut users: BTreeSet<Name> = zones.difference(parts).cloned().collect();
        match FileRole::of(path) {
            FileRole::Zone(own) if good.contains(&own) => drop(users.insert(own)),
            _ => {}
        }
        users
    };
    let all = included.iter().filter(|(path, _)| changed.contains(*path) && new.paths.contains_key(*path));
    let shared: Vec<_> =
        all.map(|(path, zones)| (path, users(path, zones))).filter(|(_, zones)| zones.len() > 1).collect();
    if shared.is_empty() {
        return Vec::new();
    }
    let updatable = keys::updatable(new);
    let reaches = |zone: &Name| updatable.iter().any(|name| name.is_at_or_below(zone) || zone.is_at_or_below(name));
    let findings = shared.into_iter().filter(|(_, zones)| zones.iter().any(reaches)).map(|(path, zones)| {
        let named: Vec<String> = zones.iter().take(MAX_NAMED).map(Name::to_string).collect();
        let more = zones.len().saturating_sub(MAX_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let reason =
            format!("{path} is part of several zones ({}{more}), so updates cannot change it", named.join(", "));
        let hint =
            "change it in git and raise the serials of these zones; keep records that updates change in a zone's own file";
        whole(Kind::Shared, None, Severity::Warning, path, &reason, hint)
    });
    findings.collect()
}
