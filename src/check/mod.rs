//! What is wrong with a state of the repository, told before the server hears of it.
//!
//! ```text
//! Tree (old), Tree (new) ─ check ─► Findings ─ text, json, github ─► whoever made the change
//! ```
//!
//! [`check()`] reads files as [`Primary::load`](crate::primary::Primary::load) does, with the same reader, and finds what the
//! server would report, and beyond that what it could only repair or regret: a zone changed without a higher serial
//! number, and a zone that is gone. Nothing here knows of git or of a file system; a [`Tree`] is whatever has files.

mod bump;

pub use bump::{bump, next_serial};

use crate::git::{File, ObjectId};
use crate::zone::{Diagnostic, Name, Serial, Severity};

/// One state of a repository: its files by path, read on demand.
pub trait Tree {
    /// Returns all regular files, paths from the root; those with the same id have the same content.
    fn files(&self) -> Vec<File>;

    /// Reads a file's content.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String>;
}

/// What is asked of a change.
#[derive(Clone, Debug)]
pub struct Options {
    /// Zones may be deleted.
    pub allow_deletion: bool,
    /// How the one who deletes a zone says that it is meant: the hint of that finding.
    pub deletion_hint: String,
}

impl Default for Options {
    fn default() -> Self {
        let deletion_hint = "bring the file back, or say that you mean it".to_string();
        Self { allow_deletion: false, deletion_hint }
    }
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A zone's file, or one it includes, does not read well.
    Zone,
    /// A zone changed and its serial number is not higher.
    Serial,
    /// A zone is gone.
    Deletion,
    /// Several files are named for one zone.
    Ambiguous,
    /// A file looks like a zone's, but its name is none.
    Misnamed,
    /// A key file does not read well.
    Keys,
    /// A file cannot be had.
    Unreadable,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is.
    pub kind: Kind,
    /// The zone it was found in; `None` for key files and misnamed ones.
    pub zone: Option<Name>,
    /// For [`Kind::Serial`], the serial number that must be exceeded.
    pub above: Option<Serial>,
    /// Where, why and what to do.
    pub diagnostic: Diagnostic,
    /// The line it is about, printable, a character for each column; `None` where there is none or it may be secret.
    pub source: Option<String>,
}

/// All that is wrong with a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What was found, in order of file, line and column; what is about a whole file behind the rest of that file.
    pub findings: Vec<Finding>,
    /// How many zones were read.
    pub zones: usize,
    /// How many key files were read.
    pub key_files: usize,
}

impl Findings {
    /// Returns whether there is an error: the change should be refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.diagnostic.severity == Severity::Error)
    }

    /// Returns this for people: each finding with its line and a caret; `colour` for a terminal that has colours.
    #[must_use]
    pub fn text(&self, colour: bool) -> String {
        let _ = colour;
        String::new()
    }

    /// Returns this as one JSON document; `docs/checking.md` describes it.
    #[must_use]
    pub fn json(&self) -> String {
        String::new()
    }

    /// Returns this as annotations of a GitHub workflow.
    #[must_use]
    pub fn github(&self) -> String {
        String::new()
    }
}

/// Checks the state `new`, of which `old` is what was before.
///
/// Only zones of whose files one changed, included ones among them, are read; all of them if `old` is `None`.
#[must_use]
pub fn check(old: Option<&dyn Tree>, new: &dyn Tree, options: &Options) -> Findings {
    let _ = (old, new.files(), options);
    Findings::default()
}
