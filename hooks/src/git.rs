//! The repository, read and changed by git itself as a child process.
//!
//! git finds objects in packs, in alternates, and in the quarantine of a push that the hook has not accepted yet.
//! One `git cat-file --batch` serves all reads of a run, and a state of the repository is one `git ls-tree`, so the
//! number of processes does not depend on the number of zones.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zonule::check::Tree;
use zonule::git::local::{Contents, listed};
use zonule::git::{File, ObjectId};

use crate::error::{Error, Result};

/// A repository, as git finds it from a directory and a hook's environment.
pub(crate) struct Git {
    directory: PathBuf,
    batch: RefCell<Option<Contents>>,
}

/// The files of a commit, or of a future one.
pub(crate) struct Snapshot<'g> {
    git: &'g Git,
    files: Vec<File>,
}

impl Git {
    /// Refers to the repository that `directory` belongs to, without looking it up yet.
    pub(crate) fn at(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), batch: RefCell::new(None) }
    }

    /// Runs git and returns what it printed.
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<Vec<u8>> {
        self.feed(arguments, &[])
    }

    /// Runs git and returns the first line it printed, without its end.
    pub(crate) fn line<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<String> {
        let printed = self.run(arguments)?;
        Ok(String::from_utf8_lossy(&printed).lines().next().unwrap_or_default().to_owned())
    }

    /// Returns the object that a revision names, if there is one.
    pub(crate) fn revision(&self, name: &str) -> Result<Option<String>> {
        let arguments = ["rev-parse", "--quiet", "--verify", name];
        if self.holds(&arguments)? { self.line(&arguments).map(Some) } else { Ok(None) }
    }

    /// Runs git with `input`, which it has to read to its end, and returns what it printed.
    pub(crate) fn feed<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Result<Vec<u8>> {
        let failed = |what: String| Error::Git { command: command_line(arguments), what };
        let mut command = self.command(arguments);
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_started(arguments))?;
        if let Some(mut stdin) = child.stdin.take() {
            // If git ends without reading, its error output says why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failed(format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim_end(), output.status)))
        }
    }

    /// Returns whether git succeeds with these arguments; its output is ignored.
    pub(crate) fn holds<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<bool> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().map_err(not_started(arguments))?.success())
    }

    /// Returns the directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the files of a commit or a tree.
    pub(crate) fn snapshot(&self, tree: &str) -> Result<Snapshot<'_>> {
        let arguments = ["ls-tree", "-r", "-z", "--full-tree", tree];
        let listed_by_git = self.run(&arguments)?;
        // A path that is not UTF-8 cannot be a zone.
        let (files, _) = listed(&listed_by_git, |id| self.read(id).map_err(|error| error.to_string()))
            .map_err(|what| Error::Git { command: command_line(&arguments), what })?;
        Ok(Snapshot { git: self, files })
    }

    /// Returns a state without any file.
    pub(crate) fn nothing(&self) -> Snapshot<'_> {
        Snapshot { git: self, files: Vec::new() }
    }

    /// Returns the content of a file.
    pub(crate) fn read(&self, id: &ObjectId) -> Result<Vec<u8>> {
        let mut slot = self.batch.borrow_mut();
        let mut batch = match slot.take() {
            Some(batch) => batch,
            None => Contents::start(self.command::<&str>(&[])).map_err(not_started(&["cat-file"]))?,
        };
        let content = batch.read(id).map_err(|what| Error::Git { command: "git cat-file --batch".to_owned(), what })?;
        // After an error the state of the pipe is undefined: the next read starts another child.
        *slot = Some(batch);
        Ok(content)
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.directory).args(arguments);
        // Errors are distinguished by git's messages.
        command.env("LC_ALL", "C");
        command
    }
}

impl Snapshot<'_> {
    /// Returns the files in the order of their paths.
    pub(crate) fn listed(&self) -> &[File] {
        &self.files
    }
}

impl Tree for Snapshot<'_> {
    fn files(&self) -> Vec<File> {
        self.files.clone()
    }

    fn read(&self, id: &ObjectId) -> std::result::Result<Vec<u8>, String> {
        self.git.read(id).map_err(|error| error.to_string())
    }
}

fn command_line<A: AsRef<OsStr>>(arguments: &[A]) -> String {
    arguments.iter().fold("git".to_owned(), |line, word| line + " " + &word.as_ref().to_string_lossy())
}

fn not_started<A: AsRef<OsStr>>(arguments: &[A]) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::Git { command: command_line(arguments), what: format!("git cannot be started: {error}") }
}
