//! Zone data: names, RRsets, the trie that holds them, and the master-file reader.

/// Placeholder until the zone room lands.
#[derive(Clone, Debug, Default)]
pub struct Catalog;
