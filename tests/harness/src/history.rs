//! Access to a repository's history.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::peer::find;
use crate::{Error, Remote, Result, run};

/// A commit, from `git log`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id in hexadecimal.
    pub id: String,
    /// Its parents' ids.
    pub parents: Vec<String>,
    /// The name and address of the author: `Name <mail@example.org>`.
    pub author: String,
    /// The name and address of the committer.
    pub committer: String,
    /// The message's first line.
    pub subject: String,
    /// The whole message.
    pub message: String,
    /// The changed lines of all files, each after its `+` or `-`.
    pub changes: Vec<String>,
}

impl Commit {
    /// The value of a trailer, for example of `Serial: 7 -> 8`.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        let mut lines = self.message.lines().rev().take_while(|line| !line.is_empty());
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn parse(text: &str) -> Option<Commit> {
        let mut fields = text.split('\u{1f}');
        let [id, parents, author, committer, subject, message, diff] = std::array::from_fn(|_| fields.next());
        let changed =
            |line: &&str| line.starts_with(['+', '-']) && !line.starts_with("+++ ") && !line.starts_with("--- ");
        Some(Commit {
            id: id?.trim().to_owned(),
            parents: parents?.split_whitespace().map(str::to_owned).collect(),
            author: author?.to_owned(),
            committer: committer?.to_owned(),
            subject: subject?.to_owned(),
            message: message?.to_owned(),
            changes: diff?.lines().filter(changed).map(str::to_owned).collect(),
        })
    }
}

impl Remote {
    /// The commits of the branch `main`, the first one first.
    pub fn log(&self) -> Result<Vec<Commit>> {
        // Control characters that no text here contains, so that a message cannot be mistaken for a field.
        let format = "--format=%x1e%H%x1f%P%x1f%an <%ae>%x1f%cn <%ce>%x1f%s%x1f%B%x1f";
        let text = self.git_bare(&["log", "--reverse", "--topo-order", "--patch", "--unified=0", format, "main"])?;
        let commits: Option<Vec<Commit>> = text.split('\u{1e}').skip(1).map(Commit::parse).collect();
        commits.ok_or(Error::Failed { command: "git log".to_owned(), output: text })
    }

    /// The id of the head of `main`.
    pub fn head(&self) -> Result<String> {
        self.git_bare(&["rev-parse", "main"]).map(|id| id.trim().to_owned())
    }

    /// The text of a file in the head of `main`.
    pub fn show(&self, file: &str) -> Result<String> {
        self.git_bare(&["show", &format!("main:{file}")])
    }

    /// Runs `git fsck` and returns its output, which is empty if the repository is intact.
    pub fn fsck(&self) -> Result<String> {
        self.git_bare(&["fsck", "--strict", "--full", "--no-dangling", "--no-progress"])
    }

    /// The records of the zone whose file is `zone` in the head of `main`, as BIND reads it, one per line: owner, TTL,
    /// class, type and data, separated by one space. `scratch` is a directory to write to.
    pub fn records(&self, zone: &str, scratch: &Path) -> Result<Vec<String>> {
        self.records_of(zone, zone, scratch)
    }

    /// Returns records like [`Remote::records`], of the zone whose file is `file`.
    pub fn records_of(&self, zone: &str, file: &str, scratch: &Path) -> Result<Vec<String>> {
        let directory = scratch.join("head");
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).map_err(Error::io("cannot make a directory for the head"))?;
        // The whole tree: a zone may include other files.
        let tree = format!("--work-tree={}", directory.display());
        let index = scratch.join("head-index");
        let _ = fs::remove_file(&index);
        let mut checkout = crate::git(&scratch.join("zones.git"));
        checkout.args([&tree, "--git-dir=.", "checkout", "--quiet", "--force", "main", "--", "."]);
        run(checkout.env("GIT_INDEX_FILE", &index))?;
        let mut command = Command::new(find("named-compilezone"));
        command.current_dir(&directory).args(["-q", "-i", "none", "-k", "ignore", "-s", "full", "-o", "-", zone, file]);
        let text = run(&mut command)?;
        let record = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // Keys, signatures and digests are split into pieces, which dig does not do.
            let whole = match words.get(3) {
                Some(&"DNSKEY" | &"DS" | &"ZONEMD") => 7,
                Some(&"RRSIG") => 12,
                _ => words.len(),
            };
            let (words, pieces) = words.split_at(whole.min(words.len()));
            let last = Some(pieces.concat()).filter(|last| !last.is_empty());
            words.iter().map(ToString::to_string).chain(last).collect::<Vec<_>>().join(" ")
        };
        Ok(text.lines().filter(|line| !line.starts_with(';')).map(record).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sandbox;

    #[test]
    fn reads_a_history() {
        let sandbox = Sandbox::new("history").unwrap();
        let remote =
            Remote::with_files(sandbox.path(), [("example.org", "$TTL 1h\n@ SOA a b 1 2 3 4 5\n@ NS a\n")]).unwrap();
        remote.write("example.org", "$TTL 1h\n@ SOA a b 2 2 3 4 5\n@ NS a\na A 192.0.2.1\n").unwrap();
        remote.push("Add a\n\n+ a A 192.0.2.1\n\nClient: 127.0.0.1\nSerial: 1 -> 2").unwrap();
        let log = remote.log().unwrap();
        assert_eq!(log.len(), 2);
        assert_eq!(log[1].parents, [log[0].id.clone()]);
        assert_eq!((log[1].subject.as_str(), log[1].trailer("Serial")), ("Add a", Some("1 -> 2")));
        assert_eq!(log[1].author, "Zonule Operator <hostmaster@example.org>");
        assert_eq!(log[1].trailer("+ a A 192.0.2.1"), None);
        assert_eq!(log[1].changes, ["-@ SOA a b 1 2 3 4 5", "+@ SOA a b 2 2 3 4 5", "+a A 192.0.2.1"]);
        assert_eq!(remote.fsck().unwrap(), "");
        assert_eq!(
            remote.records("example.org", sandbox.path()).unwrap(),
            [
                "example.org. 3600 IN SOA a.example.org. b.example.org. 2 2 3 4 5",
                "example.org. 3600 IN NS a.example.org.",
                "a.example.org. 3600 IN A 192.0.2.1",
            ]
        );
    }
}
