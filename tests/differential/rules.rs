//! The differences that are explained: each a rule as narrow as can be, and the reason why both are right.

use zonule_harness::Peer;

use crate::compare::{Case, Difference};

/// An explanation.
pub(crate) struct Rule {
    /// What it is called in `docs/differences.md`.
    pub(crate) name: &'static str,
    /// Who differs from us in this.
    pub(crate) peers: &'static [Peer],
    /// Whether it explains a difference.
    pub(crate) explains: fn(&Case<'_>, &Difference) -> bool,
}

/// All of them.
pub(crate) const RULES: &[Rule] = &[];
