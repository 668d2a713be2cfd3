//! From a commit to its files: reading untrusted commits and trees.

use super::{
    Error, Limits, ObjectId,
    pack::HASH,
    store::{Object, Store},
    zlib::Zlib,
};
use crate::text::printable;
use gix_object::{CommitRefIter, Kind, TreeRefIter, tree::EntryKind, tree::EntryRef};
use std::collections::BTreeSet;

/// Maximum length of a file's path in bytes, as in file systems.
pub(super) const MAX_PATH: usize = 4096;

/// A summary of a commit, for log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CommitInfo {
    /// The commit's id.
    pub id: ObjectId,
    /// The id of its root directory.
    pub tree: ObjectId,
    /// The author's name, printable; empty if there is none.
    pub author: String,
    /// The first line of the message, printable, cut at 300 bytes.
    pub summary: String,
}

#[cfg(test)]
impl CommitInfo {
    /// A commit by an author, for tests.
    pub(crate) fn new(id: ObjectId, author: &str) -> Self {
        CommitInfo { id, tree: id, author: author.into(), summary: String::new() }
    }
}

/// A regular file or a symbolic link of a commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// Its path from the root of the repository, parts separated by `/`.
    pub path: String,
    /// The id of its content: equal ids are equal files.
    pub id: ObjectId,
    /// The target as written, if it is a symbolic link.
    pub link: Option<String>,
}

/// A source of objects.
pub(super) trait Lookup {
    /// Returns the kind of the object `id`, if it is present.
    fn kind(&self, id: &ObjectId) -> Option<Kind>;

    /// Returns the content of an object that is present.
    fn content(&self, id: &ObjectId, zlib: &mut Zlib) -> Result<Vec<u8>, Error>;
}

/// Objects that are held and those about to be added.
#[derive(Clone, Copy)]
pub(super) struct Objects<'a> {
    pub(super) held: &'a Store,
    pub(super) new: Option<&'a Store>,
}

impl<'a> Objects<'a> {
    pub(super) fn get(&self, id: &ObjectId) -> Option<&'a Object> {
        self.held.get(id).or_else(|| self.new.and_then(|new| new.get(id)))
    }
}

impl Lookup for Objects<'_> {
    fn kind(&self, id: &ObjectId) -> Option<Kind> {
        self.get(id).map(|object| object.kind)
    }

    fn content(&self, id: &ObjectId, zlib: &mut Zlib) -> Result<Vec<u8>, Error> {
        self.get(id).ok_or(Error::Missing { id: *id })?.inflate(zlib)
    }
}

/// Checks that an object is there and of this kind.
fn expect(objects: &dyn Lookup, id: &ObjectId, kind: Kind) -> Result<(), Error> {
    match objects.kind(id).ok_or(Error::Missing { id: *id })? {
        found if found == kind => Ok(()),
        found => Err(Error::Object { id: *id, what: format!("it is a {found} where a {kind} is named") }),
    }
}

/// Reads a commit. Only its tree must be valid; the rest is for display.
pub(super) fn commit(objects: &dyn Lookup, id: ObjectId, zlib: &mut Zlib) -> Result<CommitInfo, Error> {
    if objects.kind(&id).is_some_and(|kind| kind != Kind::Commit) {
        return Err(Error::NotACommit { id });
    }
    let content = objects.content(&id, zlib)?;
    let fields = || CommitRefIter::from_bytes(&content, HASH);
    let tree = fields().tree_id().map_err(|_| Error::Object { id, what: "a commit without a tree".into() })?;
    let author = fields().author().ok();
    let message = fields().message().ok();
    Ok(CommitInfo {
        id,
        tree,
        author: author.map(|author| printable(author.name)).unwrap_or_default(),
        summary: message
            .map(|text| printable(text.split(|byte| *byte == b'\n').next().unwrap_or_default()))
            .unwrap_or_default(),
    })
}

/// Returns the tree and the first parent of the commit `id`, which has this content.
pub(super) fn lineage(id: ObjectId, content: &[u8]) -> Result<(ObjectId, Option<ObjectId>), Error> {
    let fields = || CommitRefIter::from_bytes(content, HASH);
    let tree = fields().tree_id().map_err(|_| Error::Object { id, what: "a commit without a tree".into() })?;
    Ok((tree, fields().parent_ids().next()))
}

/// Returns the message of the commit that has this content; empty if it cannot be read.
pub(super) fn message(content: &[u8]) -> String {
    let message = CommitRefIter::from_bytes(content, HASH).message();
    message.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

/// Returns the regular files and links below the tree `root`, as [`Repository::files`](super::Repository::files) does.
pub(super) fn files(objects: &dyn Lookup, root: ObjectId, limits: &Limits) -> Result<Vec<File>, Error> {
    let mut files = Vec::new();
    walk(objects, root, limits, &mut Zlib::new(), &mut |path, kind, id| {
        if !matches!(kind, EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link) {
            return;
        }
        let link = (kind == EntryKind::Link).then(String::new);
        match str::from_utf8(path) {
            Ok(path) => files.push(File { path: path.into(), id, link }),
            Err(_) => log::warn!("left out: the file name \"{}\" is not UTF-8", path.escape_ascii()),
        }
    })?;
    for file in &mut files {
        if let Some(link) = &mut file.link {
            *link = link_target(&objects.content(&file.id, &mut Zlib::new())?);
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Returns the target of a link with this content, truncated to the longest path a file can have.
pub(super) fn link_target(content: &[u8]) -> String {
    String::from_utf8_lossy(&content[..content.len().min(MAX_PATH)]).into_owned()
}

/// Visits every entry below the tree `root` with its path from there, directories included, in no particular order.
///
/// Checks as it goes that every file and directory is there and is one, that names are names, and that the bounds hold;
/// entries are counted once per path, so a tree that repeats subtrees many times cannot exhaust memory or time.
pub(super) fn walk(
    objects: &dyn Lookup,
    root: ObjectId,
    limits: &Limits,
    zlib: &mut Zlib,
    visit: &mut dyn FnMut(&[u8], EntryKind, ObjectId),
) -> Result<(), Error> {
    let mut directories = vec![(Vec::new(), root, 1)];
    let mut entries = 0usize;
    let mut path_bytes = 0usize;
    while let Some((mut path, id, depth)) = directories.pop() {
        let damaged = |what: String| Error::Object { id, what };
        if depth > limits.tree_depth {
            return Err(Error::Limit {
                what: "depth of directories",
                found: None,
                bound: limits.tree_depth as u64,
                unit: "levels",
            });
        }
        expect(objects, &id, Kind::Tree)?;
        let content = objects.content(&id, zlib)?;
        let parent = path.len();
        let mut previous: Option<EntryRef<'_>> = None;
        for entry in TreeRefIter::from_bytes(&content, HASH) {
            let entry = entry.map_err(|_| damaged("a directory that cannot be read".into()))?;
            let name: &[u8] = entry.filename;
            if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
                return Err(damaged(format!("a file must not be named `{}`", printable(name))));
            }
            if previous.is_some_and(|previous| previous >= entry) {
                return Err(damaged(format!("a directory out of order at `{}`", printable(name))));
            }
            previous = Some(entry);
            path.truncate(parent);
            path.extend_from_slice(name);
            entries += 1;
            path_bytes += path.len();
            if entries > limits.files {
                return Err(Error::Limit {
                    what: "number of files",
                    found: None,
                    bound: limits.files as u64,
                    unit: "files and directories",
                });
            }
            if path.len() > MAX_PATH {
                return Err(Error::limit("path", path.len() as u64, MAX_PATH as u64, "bytes"));
            }
            if path_bytes > limits.path_bytes {
                return Err(Error::Limit {
                    what: "length of all paths",
                    found: None,
                    bound: limits.path_bytes as u64,
                    unit: "bytes",
                });
            }
            let kind = entry.mode.kind();
            let oid = entry.oid.to_owned();
            match kind {
                EntryKind::Tree => {
                    visit(&path, kind, oid);
                    let mut below = path.clone();
                    below.push(b'/');
                    directories.push((below, oid, depth + 1));
                }
                EntryKind::Blob | EntryKind::BlobExecutable | EntryKind::Link => {
                    expect(objects, &oid, Kind::Blob)?;
                    visit(&path, kind, oid);
                }
                // A submodule names a commit of another repository.
                EntryKind::Commit => {}
            }
        }
    }
    Ok(())
}

/// A commit and the objects that it needs, including itself.
pub(super) struct Reached {
    pub(super) commit: CommitInfo,
    pub(super) objects: BTreeSet<ObjectId>,
}

/// Visits all objects that `commit` needs and checks that they are present, valid, and within the bounds on files.
pub(super) fn reach(objects: &dyn Lookup, commit: ObjectId, limits: &Limits) -> Result<Reached, Error> {
    let zlib = &mut Zlib::new();
    let commit = self::commit(objects, commit, zlib)?;
    let mut reached = BTreeSet::from([commit.id, commit.tree]);
    walk(objects, commit.tree, limits, zlib, &mut |_, _, id| {
        reached.insert(id);
    })?;
    Ok(Reached { commit, objects: reached })
}

impl Reached {
    /// Checks the bounds on what is held, `size` being the compressed bytes of an object.
    pub(super) fn check_size(&self, size: impl Fn(&ObjectId) -> u64, limits: &Limits) -> Result<(), Error> {
        let bytes: u64 = self.objects.iter().map(size).sum();
        if bytes > limits.store_bytes {
            return Err(Error::limit("content of the commit", bytes, limits.store_bytes, "compressed bytes"));
        }
        if self.objects.len() as u64 > u64::from(limits.objects) {
            return Err(Error::limit("commit", self.objects.len() as u64, limits.objects.into(), "objects"));
        }
        Ok(())
    }
}
