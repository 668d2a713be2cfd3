//! A revision of a git repository, read with git's own program.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use zonule::check::Tree;
use zonule::git::{File, ObjectId};

/// The files of a revision below the directory git was run in.
pub(super) struct Revision {
    directory: PathBuf,
    files: Vec<File>,
    /// What reads them, once one has been asked for.
    reader: RefCell<Option<Reader>>,
}

/// A running `git cat-file --batch`.
struct Reader {
    child: Child,
    /// `None` when it is to end.
    ids: Option<ChildStdin>,
    contents: BufReader<ChildStdout>,
}

impl Revision {
    /// Lists the files of the revision `name`, as seen from `directory`.
    pub(super) fn list(directory: &Path, name: &str) -> Result<Self, String> {
        let tree = format!("{name}^{{tree}}");
        let tree = git(directory, &["rev-parse", "--verify", "--quiet", "--end-of-options", &tree])
            .map_err(|error| error.or(format!("there is no revision {name} in {}", directory.display())))?;
        let tree = String::from_utf8_lossy(&tree).trim().to_string();
        let listing =
            git(directory, &["ls-tree", "-r", "-z", &tree]).map_err(|error| error.or(format!("cannot list {name}")))?;
        let mut files = Vec::new();
        // Each is `mode type id\tpath`; links and submodules are no files of ours.
        for entry in listing.split(|octet| *octet == 0).filter(|entry| entry.starts_with(b"100")) {
            let Ok(entry) = std::str::from_utf8(entry) else {
                eprintln!("zonule: left out: the file name \"{}\" is not UTF-8", entry.escape_ascii());
                continue;
            };
            let (head, path) = entry.split_once('\t').ok_or("git lists files in a form not known")?;
            let id = head.rsplit(' ').next().unwrap_or_default();
            let id = ObjectId::from_hex(id.as_bytes())
                .map_err(|_| "only repositories whose objects are named by SHA-1 can be read")?;
            files.push(File { path: path.to_string(), id });
        }
        Ok(Self { directory: directory.to_path_buf(), files, reader: RefCell::new(None) })
    }
}

impl Tree for Revision {
    fn files(&self) -> Vec<File> {
        self.files.clone()
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        let mut slot = self.reader.borrow_mut();
        let reader = match slot.as_mut() {
            Some(reader) => reader,
            None => slot.insert(Reader::start(&self.directory)?),
        };
        reader.read(id).map_err(|error| format!("git cat-file: {error}"))
    }
}

impl Reader {
    fn start(directory: &Path) -> Result<Self, String> {
        let mut command = command(directory, &["cat-file", "--batch"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(not_started)?;
        let (ids, contents) = (child.stdin.take(), child.stdout.take().ok_or("git has no output")?);
        Ok(Self { child, ids, contents: BufReader::new(contents) })
    }

    fn read(&mut self, id: &ObjectId) -> std::io::Result<Vec<u8>> {
        let ids = self.ids.as_mut().ok_or(ErrorKind::BrokenPipe)?;
        writeln!(ids, "{id}")?;
        ids.flush()?;
        // `id blob size`, the content and a line's end, or `id missing`.
        let mut head = String::new();
        self.contents.read_line(&mut head)?;
        let mut words = head.split_whitespace().skip(1);
        let size = words.next().filter(|kind| *kind == "blob").and_then(|_| words.next()?.parse().ok());
        let size = size.ok_or_else(|| std::io::Error::other(format!("it says {:?}", head.trim_end())))?;
        let mut content = Vec::new();
        let got = self.contents.by_ref().take(size).read_to_end(&mut content)?;
        self.contents.read_exact(&mut [0])?;
        if got as u64 == size { Ok(content) } else { Err(ErrorKind::UnexpectedEof.into()) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It ends when there is nothing more to ask.
        self.ids = None;
        let _ = self.child.wait();
    }
}

/// Lists the files of a work tree below `directory`, those not yet known to git among them, but none it is to ignore.
pub(super) fn work_files(directory: &Path) -> Result<Vec<String>, String> {
    let listing = git(directory, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .map_err(|error| error.or(format!("{} is in no work tree of git", directory.display())))?;
    let mut paths: Vec<String> = listing
        .split(|octet| *octet == 0)
        .filter(|path| !path.is_empty())
        .filter_map(|path| String::from_utf8(path.to_vec()).ok())
        .collect();
    // One that is in conflict is listed for each side.
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// Why git did not do what was asked.
struct GitError {
    /// What kept it from running, or its own words.
    said: String,
}

impl GitError {
    /// Returns git's own words, or what it means when it says nothing.
    fn or(self, meaning: String) -> String {
        if self.said.is_empty() { meaning } else { format!("{meaning}: {}", self.said) }
    }
}

fn git(directory: &Path, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
    let output = command(directory, arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| GitError { said: not_started(error) })?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(GitError { said: String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ") })
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments);
    command
}

fn not_started(error: std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "the program git is needed for this, and is not to be found: install it".to_string(),
        _ => format!("cannot run git: {error}"),
    }
}
