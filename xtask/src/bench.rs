//! `cargo xtask bench`: measures, and says what it measured on.

use crate::cargo::{Error, Result};

/// Runs the benches that `words` name.
pub(crate) fn bench(words: &[&str]) -> Result<()> {
    Err(Error::Usage(format!("`bench` knows no `{}`", words.join(" "))))
}
