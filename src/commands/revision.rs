//! A revision of a git repository, read with git's own program.

use std::cell::RefCell;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zonule::check::Tree;
use zonule::git::local::{Contents, listed};
use zonule::git::{File, ObjectId};
use zonule::text;

/// The files of a revision below the directory git was run in.
pub(super) struct Revision {
    directory: PathBuf,
    files: Vec<File>,
    /// The process that reads them, started on first use.
    reader: RefCell<Option<Contents>>,
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
        let mut reader = None;
        let (files, odd) = listed(&listing, |id| {
            let reader = match &mut reader {
                Some(reader) => reader,
                slot => slot.insert(Contents::start(command(directory, &[])).map_err(not_started)?),
            };
            reader.read(id)
        })?;
        for path in odd {
            eprintln!("zonule: left out: the file name \"{}\" is not UTF-8", text::escaped(&path));
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
        let mut reader = match slot.take() {
            Some(reader) => reader,
            None => Contents::start(command(&self.directory, &[])).map_err(not_started)?,
        };
        let content = reader.read(id).map_err(|error| format!("git cat-file: {error}"))?;
        *slot = Some(reader);
        Ok(content)
    }
}

/// Lists the files of a work tree below `directory`, including untracked but not ignored ones.
pub(super) fn work_files(directory: &Path) -> Result<Vec<String>, String> {
    let listing = git(directory, &["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .map_err(|error| error.or(format!("{} is not in a git work tree", directory.display())))?;
    let mut paths: Vec<String> = listing
        .split(|octet| *octet == 0)
        .filter(|path| !path.is_empty())
        .filter_map(|path| String::from_utf8(path.to_vec()).ok())
        .collect();
    // A file in conflict is listed once for each side.
    paths.sort_unstable();
    paths.dedup();
    Ok(paths)
}

/// A failure of git.
struct GitError {
    /// Why it could not run, or its error output.
    said: String,
}

impl GitError {
    /// Returns `meaning` followed by git's error output, if any.
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
        ErrorKind::NotFound => "cannot run git: the program was not found; install git".to_string(),
        _ => format!("cannot run git: {error}"),
    }
}
