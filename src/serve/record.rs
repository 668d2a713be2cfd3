//! What the writer knows of the record of what was served, and what it still has to add.
//!
//! The record is git's only memory of which versions secondaries may have: a branch can be rewritten, merged and pulled
//! into any shape, and its shape does not show which of its commits were served. So each commit is recorded before it
//! is served; if the commit is ours, in the same push. Of several servers of one branch, the first records a commit and
//! the others find it there; a server that is about to record something else first reads what the others served.

use std::time::{Duration, Instant};

use crate::config::Author;
use crate::git::{Entry, Error, ObjectId, Signature};

/// Maximum number of entries that wait for a remote that accepts none; beyond that, the oldest is dropped.
const MOST: usize = 64;

/// How long to wait before retrying on a remote that has declined the record.
const REFUSED: Duration = Duration::from_secs(600);

/// The record, as far as it is known.
#[derive(Default)]
pub(super) struct Record {
    /// The newest entry known.
    tip: Option<ObjectId>,
    /// Contents of the newest entry: the directory and the text.
    says: Option<(ObjectId, String)>,
    /// Whether the remote has accepted an entry since the start.
    is_proven: bool,
    /// What was served and is not recorded yet, oldest first.
    served: Vec<Note>,
    /// What is to be served next and is not recorded yet.
    next: Option<Note>,
    /// When the remote last declined entries.
    refused: Option<Instant>,
}

/// Contents of a future entry.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Note {
    pub(super) tree: ObjectId,
    pub(super) text: String,
    /// When it was written, in seconds since 1970.
    pub(super) seconds: u64,
}

/// How the newest entry relates to what a server knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is the newest entry known.
    Known,
    /// It is what was to be recorded next.
    Next,
    /// Another server has served something else since.
    News,
}

impl Note {
    fn says(&self, tree: ObjectId, text: &str) -> bool {
        self.tree == tree && self.text.trim() == text.trim()
    }
}

impl Record {
    /// Sets what is to be served next, replacing what was to be served before.
    pub(super) fn add(&mut self, note: Note) {
        let says_so = |(tree, text): &(ObjectId, String)| note.says(*tree, text);
        let is_known = match self.served.last() {
            Some(last) => last.says(note.tree, &note.text),
            None => self.says.as_ref().is_some_and(says_so),
        };
        self.next = Some(note).filter(|_| !is_known);
    }

    /// Records that what is served last stays served.
    pub(super) fn add_nothing(&mut self) {
        self.next = None;
    }

    /// Records that what was to be served next is now served, recorded or not.
    pub(super) fn is_served(&mut self) {
        self.served.extend(self.next.take());
        if self.served.len() > MOST {
            self.served.remove(0);
        }
    }

    /// Returns whether something is to be recorded and the remote may accept it.
    pub(super) fn is_due(&self) -> bool {
        self.is_taken() && (self.next.is_some() || !self.served.is_empty())
    }

    /// Returns whether the remote accepts entries, as far as is known.
    fn is_taken(&self) -> bool {
        self.refused.is_none_or(|refused| refused.elapsed() >= REFUSED)
    }

    /// Returns whether the remote has accepted an entry since the start.
    pub(super) fn is_proven(&self) -> bool {
        self.is_proven
    }

    /// Returns the entries to be pushed; the last one is for what is to be served next.
    pub(super) fn entries(&self, author: &Author) -> Result<Vec<Entry>, Error> {
        self.entries_up_to(self.next.as_ref(), author)
    }

    /// Does the same as [`entries`](Record::entries), with `next` to be served in place of what was to be.
    pub(super) fn entries_up_to(&self, next: Option<&Note>, author: &Author) -> Result<Vec<Entry>, Error> {
        if !self.is_taken() {
            return Ok(Vec::new());
        }
        let mut before = self.tip;
        let entry = |note: &Note| {
            let author = Signature::new(&author.name, &author.email, note.seconds);
            let entry = Entry::new(before, note.tree, &author, &note.text)?;
            before = Some(entry.id());
            Ok(entry)
        };
        self.served.iter().chain(next).map(entry).collect()
    }

    /// Returns the directories and texts of the entries to be pushed.
    #[cfg(test)]
    pub(super) fn notes(&self) -> Vec<(ObjectId, String)> {
        self.served.iter().chain(&self.next).map(|note| (note.tree, note.text.clone())).collect()
    }

    /// Records that the remote has these entries. The last of them is `note`, unless it is what was to be served next.
    pub(super) fn accepted(&mut self, entries: &[Entry], note: Option<Note>) {
        let Some(last) = entries.last() else { return };
        self.tip = Some(last.id());
        let note = note.or_else(|| self.next.take()).or_else(|| self.served.pop());
        self.says = note.map(|note| (note.tree, note.text));
        self.served.clear();
        self.next = None;
        self.refused = None;
        self.is_proven = true;
    }

    /// Records that the newest entry is `id` with these contents, and compares it with what is known.
    pub(super) fn found(&mut self, id: ObjectId, tree: ObjectId, text: &str) -> Found {
        let is_next = self.next.as_ref().is_some_and(|next| next.says(tree, text));
        let found = match self.tip {
            Some(tip) if tip == id => Found::Known,
            _ if is_next => Found::Next,
            _ => Found::News,
        };
        if found != Found::Known {
            self.tip = Some(id);
            self.says = Some((tree, text.to_string()));
            // What is to be served next is already there, or must first be compared with what is there.
            self.next = None;
        }
        found
    }

    /// Records that the record does not exist.
    pub(super) fn is_gone(&mut self) {
        self.tip = None;
        self.says = None;
    }

    /// Records that the remote declines entries; logs it once.
    pub(super) fn refuse(&mut self, why: &str) {
        if self.refused.is_none() {
            log::warn!(
                "the remote does not take the record of what is served: {why}; until it does, secondaries get whole zones \
                 after a reboot, and what is pushed while no server runs is not compared with what was served before"
            );
        }
        self.refused = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(number: u8) -> Note {
        let id = |octet| ObjectId::from_bytes_or_panic(&[octet; 20]);
        Note { tree: id(number), text: format!("note {number}"), seconds: 1 }
    }

    fn entries(record: &Record) -> Vec<Entry> {
        record.entries(&Author { name: "x".into(), email: "x@example".into() }).unwrap()
    }

    #[test]
    fn what_is_served_without_a_record_is_recorded_later_and_what_was_not_served_is_not() {
        let mut record = Record::default();
        record.add(note(1));
        record.add(note(2));
        assert_eq!(entries(&record).len(), 1, "the first was not served");
        record.is_served();
        record.add(note(2));
        assert_eq!(entries(&record).len(), 1, "it is known");
        record.add(note(3));
        let both = entries(&record);
        assert_eq!(both.len(), 2);
        record.accepted(&both, None);
        assert!(!record.is_due() && record.is_proven());
        record.add(note(3));
        assert!(!record.is_due(), "it says so");
        record.is_served();
        assert!(!record.is_due());
    }

    #[test]
    fn another_server_may_be_first() {
        let mut record = Record::default();
        let id = note(9).tree;
        record.add(note(1));
        assert_eq!(record.found(id, note(1).tree, "note 1\n"), Found::Next);
        assert!(!record.is_due());
        record.add(note(2));
        assert_eq!(record.found(note(8).tree, note(3).tree, "note 3"), Found::News);
        assert!(!record.is_due(), "it is to be compared first");
        assert_eq!(record.found(note(8).tree, note(3).tree, "note 3"), Found::Known);
        record.add(note(3));
        assert!(!record.is_due());
    }

    #[test]
    fn a_remote_that_declines_is_left_alone() {
        let mut record = Record::default();
        record.add(note(1));
        record.refuse("no");
        assert!(!record.is_due() && entries(&record).is_empty());
        for number in 0..=MOST as u8 {
            record.add(note(number));
            record.is_served();
        }
        assert_eq!(record.served.len(), MOST);
    }
}
