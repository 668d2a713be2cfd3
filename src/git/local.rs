//! A repository on this machine, read by git itself as a child process.
//!
//! For programs other than the server, which reads remotes only. git finds objects in packs, in alternates, and in
//! the quarantine of a push that a hook has not accepted yet. One `git cat-file --batch` serves all reads.

use super::{File, ObjectId, tree};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The maximum size of a file that is read, in octets: no zone can be larger.
const MAX_OCTETS: u64 = 1 << 30;

/// Returns the regular files and links that `git ls-tree -r -z` has listed, and the paths among them that are not
/// UTF-8, escaped: those cannot be zones. Submodules are left out. `read` returns the targets of links.
///
/// # Errors
///
/// Those of `read`; git's output has another form; the repository does not use SHA-1.
pub fn listed(
    printed: &[u8],
    mut read: impl FnMut(&ObjectId) -> Result<Vec<u8>, String>,
) -> Result<(Vec<File>, Vec<String>), String> {
    let (mut files, mut odd) = (Vec::new(), Vec::new());
    // Each entry is `mode type id\tpath`.
    for entry in printed.split(|octet| *octet == 0).filter(|entry| entry.starts_with(b"1") && !entry.starts_with(b"16"))
    {
        let at = entry.iter().position(|octet| *octet == b'\t').ok_or("git lists files in a form not known")?;
        let (head, path) = (&entry[..at], &entry[at + 1..]);
        let id = head.rsplit(|octet| *octet == b' ').next().unwrap_or_default();
        let id = ObjectId::from_hex(id)
            .map_err(|_| "object names that are not SHA-1; the server reads no other repositories")?;
        match std::str::from_utf8(path) {
            Ok(path) => {
                let link = if entry.starts_with(b"120") { Some(tree::link_target(&read(&id)?)) } else { None };
                files.push(File { path: path.to_owned(), id, link });
            }
            Err(_) => odd.push(path.escape_ascii().to_string()),
        }
    }
    Ok((files, odd))
}

/// A running `git cat-file --batch`.
#[derive(Debug)]
pub struct Contents {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Contents {
    /// Starts git; `git` is a command without arguments that runs in the repository.
    ///
    /// # Errors
    ///
    /// git cannot be started.
    pub fn start(mut git: Command) -> io::Result<Self> {
        git.args(["cat-file", "--batch"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = git.spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(requests), Some(replies)) => Ok(Self { child, requests, replies: BufReader::new(replies) }),
            _ => Err(io::Error::other("it has no pipes")),
        }
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    ///
    /// The reason why the file cannot be read. The state of the output is then undefined, so use a new child for other
    /// files.
    pub fn read(&mut self, id: &ObjectId) -> Result<Vec<u8>, String> {
        let broken = |error: io::Error| error.to_string();
        writeln!(self.requests, "{id}").and_then(|()| self.requests.flush()).map_err(broken)?;
        // `id blob size`, the content and a line's end, or `id missing`.
        let mut header = String::new();
        self.replies.read_line(&mut header).map_err(broken)?;
        let mut words = header.split_whitespace().skip(1);
        let (kind, size) = (words.next().unwrap_or("nothing"), words.next().and_then(|size| size.parse::<u64>().ok()));
        let Some(size) = size.filter(|_| kind == "blob") else { return Err(format!("{id} is {kind}")) };
        if size > MAX_OCTETS {
            return Err(format!("{id} has {size} octets; a zone's file may have {MAX_OCTETS}"));
        }
        let mut content = Vec::new();
        (&mut self.replies).take(size).read_to_end(&mut content).map_err(broken)?;
        let mut end = [0];
        self.replies.read_exact(&mut end).map_err(broken)?;
        if content.len() as u64 == size && end == *b"\n" { Ok(content) } else { Err("it ended early".to_owned()) }
    }
}

impl Drop for Contents {
    /// Ends the child, since its output is no longer read.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_files_and_links() {
        let id = "1234567890123456789012345678901234567890";
        let printed = format!(
            "100644 blob {id}\ta b\0120000 blob {id}\tlink\0160000 commit {id}\tmodule\0100755 blob {id}\tc/d\0"
        );
        let (files, odd) = listed(printed.as_bytes(), |_| Ok(b"a b".to_vec())).unwrap();
        assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a b", "link", "c/d"]);
        assert_eq!(files[1].link.as_deref(), Some("a b"));
        assert!(files.iter().all(|file| file.id == ObjectId::from_hex(id.as_bytes()).unwrap()) && odd.is_empty());
        let odd_name = [format!("100644 blob {id}\t").as_bytes(), b"\xff\0"].concat();
        assert_eq!(listed(&odd_name, |_| Err(String::new())).unwrap(), (Vec::new(), vec!["\\xff".to_owned()]));
        let long = format!("100644 blob {id}{}\ta\0", "0".repeat(24));
        assert!(listed(long.as_bytes(), |_| Err(String::new())).unwrap_err().contains("not SHA-1"));
        assert!(listed(b"100644 blob", |_| Err(String::new())).is_err());
    }
}
