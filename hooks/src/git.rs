//! The repository, read and changed by git itself as a child process.
//!
//! git knows where objects are: in packs, in alternates, and in the quarantine a push waits in until the hook has ruled on it.
//! One `git cat-file --batch` serves all reads of a run, and a state of the repository is one `git ls-tree`, so the
//! number of processes does not depend on the number of zones.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use zonule::check::Tree;
use zonule::git::{File, ObjectId};

use crate::error::{Error, Result};

/// The most octets of a file that is read: no zone can have more.
const MOST_OCTETS: u64 = 1 << 30;

/// A repository, as git finds it from a directory and the environment that a hook is run with.
pub(crate) struct Git {
    directory: PathBuf,
    batch: RefCell<Option<Batch>>,
}

/// A running `git cat-file --batch`.
struct Batch {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

/// The files of a commit, or of what is to become one.
pub(crate) struct Snapshot<'g> {
    git: &'g Git,
    files: Vec<File>,
}

impl Git {
    /// Names the repository that `directory` belongs to. Nothing is looked up yet.
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

    /// Runs git with `input`, which it has to read to its end, and returns what it printed.
    pub(crate) fn feed<A: AsRef<OsStr>>(&self, arguments: &[A], input: &[u8]) -> Result<Vec<u8>> {
        let failed = |what: String| Error::Git { command: command_line(arguments), what };
        let mut command = self.command(arguments);
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(not_started(arguments))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Should it end without reading, its own words say why.
            let _ = stdin.write_all(input);
        }
        let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(failed(format!("{} ({})", String::from_utf8_lossy(&output.stderr).trim_end(), output.status)))
        }
    }

    /// Returns whether git, run so, ends well; what it prints is of no interest.
    pub(crate) fn holds<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Result<bool> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(command.status().map_err(not_started(arguments))?.success())
    }

    /// Returns the directory it is about.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the files of a commit or a tree.
    pub(crate) fn snapshot(&self, tree: &str) -> Result<Snapshot<'_>> {
        let arguments = ["ls-tree", "-r", "-z", "--full-tree", tree];
        let listed = self.run(&arguments)?;
        let mut files = Vec::new();
        for entry in listed.split(|octet| *octet == 0).filter(|entry| !entry.is_empty()) {
            let unclear = |what: &str| Error::Git { command: command_line(&arguments), what: what.to_owned() };
            let entry = String::from_utf8_lossy(entry);
            let (fields, path) = entry.split_once('\t').ok_or_else(|| unclear("a line without a path"))?;
            let mut fields = fields.split(' ');
            let (mode, id) = (fields.next().unwrap_or_default(), fields.nth(1).unwrap_or_default());
            // Symbolic links and submodules are none of ours, and a path that is not UTF-8 names no zone.
            if !mode.starts_with("100") || path.contains(char::REPLACEMENT_CHARACTER) {
                continue;
            }
            let id = ObjectId::from_hex(id.as_bytes())
                .map_err(|_| unclear("object names that are not SHA-1; the server reads no other repositories"))?;
            files.push(File { path: path.to_owned(), id });
        }
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
            None => self.batch()?,
        };
        let content = batch.read(id).map_err(|what| Error::Git { command: "git cat-file --batch".to_owned(), what })?;
        // After an error nobody knows what comes next in the pipe: the next read begins with another child.
        *slot = Some(batch);
        Ok(content)
    }

    fn batch(&self) -> Result<Batch> {
        let arguments = ["cat-file", "--batch"];
        let mut command = self.command(&arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(not_started(&arguments))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(replies)) => Ok(Batch { child, requests, replies: BufReader::new(replies) }),
            _ => Err(Error::Git { command: command_line(&arguments), what: "it has no pipes".to_owned() }),
        }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.directory).args(arguments);
        // Refusals are told apart by what git says.
        command.env("LC_ALL", "C");
        command
    }
}

impl Batch {
    fn read(&mut self, id: &ObjectId) -> std::result::Result<Vec<u8>, String> {
        let broken = |error: std::io::Error| error.to_string();
        writeln!(self.requests, "{id}").and_then(|()| self.requests.flush()).map_err(broken)?;
        let mut header = String::new();
        self.replies.read_line(&mut header).map_err(broken)?;
        let mut words = header.split_whitespace().skip(1);
        let (kind, size) = (words.next().unwrap_or("nothing"), words.next().and_then(|size| size.parse::<u64>().ok()));
        let Some(size) = size.filter(|_| kind == "blob") else { return Err(format!("{id} is {kind}, not a file")) };
        if size > MOST_OCTETS {
            return Err(format!("{id} has {size} octets; a zone's file may have {MOST_OCTETS}"));
        }
        let mut content = Vec::new();
        (&mut self.replies).take(size).read_to_end(&mut content).map_err(broken)?;
        let mut end = [0];
        self.replies.read_exact(&mut end).map_err(broken)?;
        if content.len() as u64 == size && end == *b"\n" { Ok(content) } else { Err("it ended early".to_owned()) }
    }
}

impl Drop for Batch {
    /// Ends the child: nobody reads what it might still say.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
