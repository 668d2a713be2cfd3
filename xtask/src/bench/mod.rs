//! `cargo xtask bench`: measures, and says what it measured.

mod guest;
mod load;
mod qps;

use crate::cargo::{Error, Result};

/// Runs the benches that `words` name.
pub(crate) fn bench(words: &[&str]) -> Result<()> {
    for word in words {
        println!("==> {word}");
        match *word {
            "qps" => qps::qps()?,
            _ => return Err(Error::Usage(format!("`bench` knows no `{word}`"))),
        }
    }
    Ok(())
}
