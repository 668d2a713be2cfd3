//! Symbolic links of a repository, resolved within it as in a file system.

use std::collections::BTreeMap;
use std::convert::Infallible;

use super::{File, ObjectId};

/// Maximum number of links followed to reach a file.
const MAX_LINKS: usize = 16;

/// An entry of a repository.
pub(super) enum Node {
    /// A regular file.
    File(ObjectId),
    /// A symbolic link with this target.
    Link(String),
    /// A directory.
    Directory,
    /// Nothing, or a submodule.
    Nothing,
}

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A regular file, with its own path.
    File(String, ObjectId),
    /// Nothing, or a directory reached without a link.
    Nothing,
    /// A directory reached through a link, with its own path.
    Directory(String),
    /// A broken link.
    Broken {
        /// The reason.
        reason: String,
        /// The path at which nothing exists, if that is the reason.
        missing: Option<String>,
    },
}

/// Resolves a path, with parts separated by `/`, any of which may be a link.
///
/// # Errors
///
/// Those of `look`, which returns what is at a path.
pub(super) fn follow<E>(path: &str, mut look: impl FnMut(&str) -> Result<Node, E>) -> Result<Way, E> {
    let broken = |reason: String| {
        let reason = format!("the symbolic link {path} leads {reason}");
        let reason = reason.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        Ok(Way::Broken { reason, missing: None })
    };
    let mut rest: Vec<String> = path.split('/').rev().map(str::to_string).collect();
    let (mut at, mut links) = (Vec::<String>::new(), 0);
    let mut found = Node::Directory;
    while let Some(part) = rest.pop() {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                if at.pop().is_none() {
                    return broken("out of the repository".into());
                }
                found = Node::Directory;
                continue;
            }
            _ => at.push(part),
        }
        let here = at.join("/");
        found = look(&here)?;
        match &found {
            Node::Link(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return broken(format!("in a circle, or over more than {MAX_LINKS} links"));
                }
                if target.starts_with('/') {
                    return broken(format!("out of the repository: {target}"));
                }
                at.pop();
                rest.extend(target.split('/').rev().map(str::to_string));
                found = Node::Directory;
            }
            Node::Nothing if links == 0 => return Ok(Way::Nothing),
            Node::Nothing => {
                return broken(format!("to {here}, which is not there")).map(|way| match way {
                    Way::Broken { reason, .. } => Way::Broken { reason, missing: Some(here) },
                    way => way,
                });
            }
            Node::File(_) if !rest.is_empty() && links == 0 => return Ok(Way::Nothing),
            Node::File(_) if !rest.is_empty() => return broken(format!("through {here}, which is no directory")),
            Node::File(_) | Node::Directory => {}
        }
    }
    let here = at.join("/");
    Ok(match found {
        Node::File(id) => Way::File(here, id),
        _ if links > 0 => Way::Directory(here),
        _ => Way::Nothing,
    })
}

/// The files and links of a commit by path.
#[derive(Clone, Debug, Default)]
pub struct Listing(BTreeMap<String, File>);

impl Listing {
    /// Creates a listing of the files and links of a commit.
    #[must_use]
    pub fn new(files: Vec<File>) -> Self {
        Self(files.into_iter().map(|file| (file.path.clone(), file)).collect())
    }

    /// Iterates over the files and links in the order of their paths.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.0.values()
    }

    /// Returns the target of a path.
    #[must_use]
    pub fn follow(&self, path: &str) -> Way {
        // Nearly all paths are regular files.
        if let Some(File { id, link: None, .. }) = self.0.get(path) {
            return Way::File(path.to_string(), *id);
        }
        let look = |path: &str| -> Result<Node, Infallible> {
            Ok(match self.0.get(path) {
                Some(File { link: Some(target), .. }) => Node::Link(target.clone()),
                Some(file) => Node::File(file.id),
                None => {
                    let below = format!("{path}/");
                    let is_directory =
                        self.0.range(below.clone()..).next().is_some_and(|(path, _)| path.starts_with(&below));
                    if is_directory { Node::Directory } else { Node::Nothing }
                }
            })
        };
        match follow(path, look) {
            Ok(way) => way,
            Err(never) => match never {},
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::git::blob_id;

    fn file(path: &str, link: Option<&str>) -> File {
        File { path: path.into(), id: blob_id(path.as_bytes()), link: link.map(str::to_string) }
    }

    #[test]
    fn links_lead_to_files_or_give_a_reason() {
        let listing = Listing::new(vec![
            file("a", None),
            file("d/f", None),
            file("to-a", Some("a")),
            file("to-to-a", Some("./to-a")),
            file("d/up", Some("../to-to-a")),
            file("dir", Some("d")),
            file("through", Some("dir/../dir/f")),
            file("gone", Some("nothing")),
            file("out", Some("../a")),
            file("absolute", Some("/etc/passwd")),
            file("x", Some("y")),
            file("y", Some("x")),
            file("self", Some("self/a")),
            file("under", Some("a/b")),
            file("empty", Some("")),
        ]);
        let leads = |path: &str, real: &str| {
            assert_eq!(listing.follow(path), Way::File(real.into(), blob_id(real.as_bytes())), "{path}");
        };
        for path in ["a", "to-a", "to-to-a", "d/up", "dir/up"] {
            leads(path, "a");
        }
        leads("through", "d/f");
        leads("dir/f", "d/f");
        assert_eq!(listing.follow("dir"), Way::Directory("d".into()));
        for path in ["d", "nothing", "d/nothing", "a/b"] {
            assert_eq!(listing.follow(path), Way::Nothing, "{path}");
        }
        for (path, reason) in [
            ("gone", "to nothing, which is not there"),
            ("dir/none", "to d/none, which is not there"),
            ("out", "out of the repository"),
            ("absolute", "out of the repository: /etc/passwd"),
            ("x", "in a circle, or over more than 16 links"),
            ("self", "in a circle, or over more than 16 links"),
            ("under", "through a, which is no directory"),
        ] {
            match listing.follow(path) {
                Way::Broken { reason: told, .. } => {
                    assert_eq!(told, format!("the symbolic link {path} leads {reason}"));
                }
                way => panic!("{path}: {way:?}"),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Finds the files that the file system finds, and no others.
        #[test]
        fn links_resolve_as_in_a_file_system(links in proptest::collection::btree_map("(d/|d/e/)?[l-p]", "((\\.\\./|\\./|d/|d/e/|[l-p]/){0,3})([l-pf]|\\.\\.|d)", 0..8)) {
            let root = std::env::temp_dir().join(format!("zonule-links-{}", std::process::id()));
            let _ = fs::remove_dir_all(&root);
            fs::create_dir_all(root.join("r/d/e")).unwrap();
            let mut files = Vec::new();
            for path in ["f", "d/f", "d/e/f"] {
                fs::write(root.join("r").join(path), path).unwrap();
                files.push(file(path, None));
            }
            for (path, target) in &links {
                symlink(target, root.join("r").join(path)).unwrap();
                files.push(file(path, Some(target)));
            }
            let listing = Listing::new(files);
            for path in links.keys() {
                let read = fs::read_to_string(root.join("r").join(path)).ok();
                match listing.follow(path) {
                    Way::File(real, _) => prop_assert_eq!(read, Some(real), "{}", path),
                    // A path that leaves the repository and returns counts as outside.
                    Way::Broken { reason, .. } if reason.contains("out of") => {}
                    way => prop_assert!(read.is_none() || format!("{way:?}").contains("circle"), "{} {:?} {:?}", path, way, read),
                }
            }
            fs::remove_dir_all::<&Path>(&root).unwrap();
        }
    }
}
