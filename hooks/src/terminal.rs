//! What people are told.
//!
//! Whoever listens may be gone: a push that was broken off, a pager that was closed. That is no reason to end early, and so
//! nothing here fails.

use std::env;
use std::io::{IsTerminal as _, Write as _, stderr, stdout};

/// Says something about what is going on.
pub(crate) fn say(text: &str) {
    let _ = stderr().write_all(text.as_bytes());
}

/// Prints what was asked for.
pub(crate) fn print(text: &str) {
    let _ = stdout().write_all(text.as_bytes());
}

/// Returns whether what is said may be coloured (<https://no-color.org>).
pub(crate) fn colour() -> bool {
    let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !plain && env::var_os("TERM").is_none_or(|term| term != "dumb") && stderr().is_terminal()
}
