//! When to tell again that something is still waited for: ever more rarely.

use crate::net::machine::{Nanos, SECOND};

/// When it is told for the first time.
const FIRST: Nanos = 8 * SECOND;
/// How many times as long as the last time the next takes.
const FACTOR: Nanos = 3;
/// The longest time between two.
const LONGEST: Nanos = 3600 * SECOND;

/// The time of a wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    since: Nanos,
    next: Nanos,
}

impl Patience {
    /// Begins to wait.
    pub(super) fn new(now: Nanos) -> Self {
        Self { since: now, next: now + FIRST }
    }

    /// Returns the seconds waited if it is time to tell of them.
    pub(super) fn ends(&mut self, now: Nanos) -> Option<u64> {
        if now < self.next {
            return None;
        }
        let waited = now - self.since;
        self.next = now + ((FACTOR - 1) * waited).min(LONGEST);
        Some(waited / SECOND)
    }

    /// Returns when it is time.
    pub(super) fn next(&self) -> Nanos {
        self.next
    }
}
