//! Minimal edits of zone files: only what an update changes is written anew.
