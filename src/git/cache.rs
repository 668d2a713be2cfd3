//! A bounded cache of inflated objects, which serve as bases of deltas.

use super::ObjectId;
use std::collections::VecDeque;

/// Recently used bases, inflated; the least recently used are dropped when the bound is exceeded.
pub(super) struct Cache {
    /// The most recent last.
    entries: VecDeque<(ObjectId, Vec<u8>)>,
    bytes: usize,
    bound: usize,
}

impl Cache {
    pub(super) fn new(bound: usize) -> Self {
        Cache { entries: VecDeque::new(), bytes: 0, bound }
    }

    /// Returns the content of `id` without making it more recent.
    pub(super) fn peek(&self, id: &ObjectId) -> Option<&[u8]> {
        self.entries.iter().rev().find(|entry| entry.0 == *id).map(|entry| &entry.1[..])
    }

    pub(super) fn holds(&self, id: &ObjectId) -> bool {
        self.entries.iter().any(|entry| entry.0 == *id)
    }

    /// Returns the content of `id` and makes it the most recent.
    pub(super) fn get(&mut self, id: &ObjectId) -> Option<&[u8]> {
        let at = self.entries.iter().rposition(|entry| entry.0 == *id)?;
        let entry = self.entries.remove(at)?;
        self.entries.push_back(entry);
        self.entries.back().map(|entry| &entry.1[..])
    }

    /// Adds content as the most recent. The last entry stays whatever its size: it is the next base.
    pub(super) fn put(&mut self, id: ObjectId, content: Vec<u8>) {
        /// Keeps the search short: a chain of deltas needs its last member, several deltas of one object need their
        /// base.
        const MAX: usize = 64;
        self.bytes += content.len();
        self.entries.push_back((id, content));
        while self.entries.len() > 1 && (self.bytes > self.bound || self.entries.len() > MAX) {
            if let Some((_, old)) = self.entries.pop_front() {
                self.bytes -= old.len();
            }
        }
    }
}
