//! Commits created in memory on top of the one held, to be pushed.
//!
//! An object of a draft is kept in the form in which it is sent: whole, or, if it is large and replaces another, as a
//! delta against that one. A directory of ten thousand files is 400 kB; it must be hashed for each commit, but what is
//! compressed, kept and sent of it is a few dozen bytes. The contents of large objects stay inflated in a bounded
//! cache, since the next commit changes what the last one did.

use super::{
    Error, File, Limits, ObjectId, Repository, Signature,
    cache::Cache,
    delta::{self, DeltaError},
    pack::HASH,
    store::{Object, Store},
    tree::{self, Lookup, MAX_PATH},
    zlib::{self, Zlib},
};
use gix_object::{
    Kind, TreeRefIter,
    tree::{EntryKind, EntryMode, name_order},
};
use std::collections::BTreeMap;

/// Minimum size of an object that is sent as a delta, in bytes; smaller objects gain too little.
const DELTA_FROM: usize = 2048;

/// Commits on top of the one a [`Repository`] holds, which the remote does not have yet.
pub struct Draft {
    base: ObjectId,
    base_tree: ObjectId,
    limits: Limits,
    commits: Vec<Made>,
    objects: BTreeMap<ObjectId, Drafted>,
    /// The size of their streams, in bytes.
    bytes: u64,
    /// The contents of large objects.
    cache: Cache,
    zlib: Zlib,
}

/// A commit of a draft.
struct Made {
    id: ObjectId,
    tree: ObjectId,
    /// The objects it added; the base of a delta comes before it.
    objects: Vec<ObjectId>,
}

/// An object of a draft, in the form in which it is sent.
pub(super) enum Drafted {
    /// A whole object.
    Whole(Object),
    /// A delta against the object `base`. The size and the stream of `delta` are the delta's, its kind is the result's.
    Delta { base: ObjectId, delta: Object },
}

impl Repository {
    /// Starts a draft on top of the commit held.
    pub fn draft(&self) -> Result<Draft, Error> {
        let head = self.head.as_ref().ok_or(Error::NotFetched)?;
        Ok(Draft::new(head.commit.id, head.commit.tree, &self.limits))
    }
}

impl Draft {
    pub(super) fn new(base: ObjectId, base_tree: ObjectId, limits: &Limits) -> Self {
        // Leaves room for a large file in addition to the directories.
        let bound = limits.cache_bytes.saturating_add(usize::try_from(limits.object_bytes).unwrap_or(usize::MAX));
        Draft {
            base,
            base_tree,
            limits: limits.clone(),
            commits: Vec::new(),
            objects: BTreeMap::new(),
            bytes: 0,
            cache: Cache::new(bound),
            zlib: Zlib::new(),
        }
    }

    /// Returns the commit that the draft starts from.
    pub fn base(&self) -> ObjectId {
        self.base
    }

    /// Returns the last commit; the base if there is none.
    pub fn tip(&self) -> ObjectId {
        self.commits.last().map_or(self.base, |made| made.id)
    }

    /// Returns the number of commits on top of the base.
    pub fn len(&self) -> usize {
        self.commits.len()
    }

    /// Returns whether there is no commit yet.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// Drops all but the first `len` commits.
    pub fn truncate(&mut self, len: usize) {
        for made in self.commits.split_off(len.min(self.commits.len())) {
            self.forget(&made.objects);
        }
    }

    /// Returns the files and links as of the last commit, as [`Repository::files`] does.
    pub fn files(&self, repository: &Repository) -> Result<Vec<File>, Error> {
        tree::files(&self.lookup(&repository.store), self.tree(), &self.limits)
    }

    /// Returns the names of all entries of the root directory as of the last commit.
    ///
    /// Invalid UTF-8 in a name is replaced.
    pub fn root_names(&self, repository: &Repository) -> Result<Vec<String>, Error> {
        let content = self.content(&repository.store, self.tree(), &mut Zlib::new())?;
        let entries = entries(self.tree(), &content)?;
        Ok(entries.iter().map(|entry| String::from_utf8_lossy(entry.name).into_owned()).collect())
    }

    /// Returns the content of an object of the draft or of the commit it starts from.
    pub fn read(&self, repository: &Repository, id: ObjectId) -> Result<Vec<u8>, Error> {
        self.content(&repository.store, id, &mut Zlib::new())
    }

    /// Adds a commit that applies `changes` to the files: path and new content, or `None` to remove the file.
    ///
    /// Directories are made and removed as needed. An existing file keeps its mode, a new one is a plain file. Removing
    /// a missing file changes nothing. On an error the draft is unchanged: a path that names no regular file or that
    /// git forbids, a bound, or a `repository` that has moved away from the draft's base.
    pub fn commit(
        &mut self,
        repository: &Repository,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        author: &Signature,
        committer: &Signature,
        message: &str,
    ) -> Result<ObjectId, Error> {
        if repository.head.as_ref().map(|head| head.commit.id) != Some(self.base) {
            return Err(Error::NotHeld { id: self.base });
        }
        let mut edit = Edit { held: &repository.store, draft: self, objects: Vec::new(), grown: false };
        match edit.commit(changes, author, committer, message) {
            Ok((id, tree)) => {
                let objects = edit.objects;
                self.commits.push(Made { id, tree, objects });
                Ok(id)
            }
            Err(error) => {
                let objects = edit.objects;
                self.forget(&objects);
                Err(error)
            }
        }
    }

    /// Returns the root directory as of the last commit.
    pub fn tree(&self) -> ObjectId {
        self.commits.last().map_or(self.base_tree, |made| made.tree)
    }

    /// Returns the objects to send, each after its base.
    pub(super) fn objects(&self) -> impl Iterator<Item = (ObjectId, &Drafted)> {
        let ids = self.commits.iter().flat_map(|made| &made.objects);
        ids.filter_map(|id| self.objects.get(id).map(|object| (*id, object)))
    }

    pub(super) fn get(&self, id: &ObjectId) -> Option<&Drafted> {
        self.objects.get(id)
    }

    /// Returns an object of the draft in the form in which it is held.
    pub(super) fn whole(&self, held: &Store, id: ObjectId, zlib: &mut Zlib) -> Result<Object, Error> {
        match self.objects.get(&id) {
            Some(Drafted::Whole(object)) => Ok(object.clone()),
            Some(Drafted::Delta { delta, .. }) => {
                let content = self.content(held, id, zlib)?;
                Ok(Object { kind: delta.kind, size: content.len() as u32, stream: zlib.deflate(&content)? })
            }
            None => Err(Error::NotHeld { id }),
        }
    }

    /// Returns the draft's objects together with those `held`.
    pub(super) fn lookup<'a>(&'a self, held: &'a Store) -> impl Lookup {
        Together { held, draft: self }
    }

    fn forget(&mut self, objects: &[ObjectId]) {
        for id in objects {
            if let Some(object) = self.objects.remove(id) {
                self.bytes -= object.object().stream.len() as u64;
            }
        }
    }

    fn content(&self, held: &Store, id: ObjectId, zlib: &mut Zlib) -> Result<Vec<u8>, Error> {
        let mut deltas = Vec::new();
        let mut at = id;
        let mut content = loop {
            if let Some(content) = self.cache.peek(&at) {
                break zlib::copy(content)?;
            }
            match self.objects.get(&at) {
                Some(Drafted::Whole(object)) => break object.inflate(zlib)?,
                Some(Drafted::Delta { base, delta }) => {
                    deltas.push(delta);
                    at = *base;
                }
                None => break held.get(&at).ok_or(Error::NotHeld { id: at })?.inflate(zlib)?,
            }
        };
        for delta in deltas.into_iter().rev() {
            content = applied(&content, &delta.inflate(zlib)?, &self.limits)?;
        }
        Ok(content)
    }
}

impl Drafted {
    /// Returns the object or the delta that is sent.
    pub(super) fn object(&self) -> &Object {
        match self {
            Drafted::Whole(object) | Drafted::Delta { delta: object, .. } => object,
        }
    }
}

/// The objects of a draft and those of the commit it starts from.
struct Together<'a> {
    held: &'a Store,
    draft: &'a Draft,
}

impl Lookup for Together<'_> {
    fn kind(&self, id: &ObjectId) -> Option<Kind> {
        let drafted = self.draft.objects.get(id).map(|drafted| drafted.object().kind);
        drafted.or_else(|| self.held.get(id).map(|object| object.kind))
    }

    fn content(&self, id: &ObjectId, zlib: &mut Zlib) -> Result<Vec<u8>, Error> {
        self.draft.content(self.held, *id, zlib)
    }
}

/// A commit under construction.
struct Edit<'a> {
    held: &'a Store,
    draft: &'a mut Draft,
    /// The objects added to the draft.
    objects: Vec<ObjectId>,
    /// Whether a file was added.
    grown: bool,
}

/// An entry of a directory.
struct Entry<'a> {
    mode: EntryMode,
    name: &'a [u8],
    id: ObjectId,
}

/// A path within a directory, and its new content.
type Change<'a> = (&'a str, Option<&'a [u8]>);

impl Edit<'_> {
    /// Returns the commit and its root directory.
    fn commit(
        &mut self,
        changes: &BTreeMap<String, Option<Vec<u8>>>,
        author: &Signature,
        committer: &Signature,
        message: &str,
    ) -> Result<(ObjectId, ObjectId), Error> {
        let parent = self.draft.tip();
        for path in changes.keys() {
            if path.len() > MAX_PATH || path.split('/').count() > self.draft.limits.tree_depth {
                return Err(Error::path(path, "is too long or too deep"));
            }
        }
        let changes: Vec<Change<'_>> =
            changes.iter().map(|(path, content)| (path.as_str(), content.as_deref())).collect();
        let tree = match self.directory("", Some(self.draft.tree()), &changes)? {
            Some(tree) => tree,
            None => self.put(Kind::Tree, &[], None)?,
        };
        if self.grown {
            // A commit that could not be read back at the next boot must not be pushed.
            let limits = self.draft.limits.clone();
            tree::walk(&self.draft.lookup(self.held), tree, &limits, &mut Zlib::new(), &mut |_, _, _| {})?;
        }
        let message = message.replace('\0', " ");
        let message = message.trim();
        let text = format!("tree {tree}\nparent {parent}\nauthor {author}\ncommitter {committer}\n\n{message}\n");
        Ok((self.put(Kind::Commit, text.as_bytes(), None)?, tree))
    }

    /// Applies `changes`, sorted by path, to the directory `old`, `None` for one that does not exist. `at` is its path.
    fn directory(
        &mut self,
        at: &str,
        old: Option<ObjectId>,
        changes: &[Change<'_>],
    ) -> Result<Option<ObjectId>, Error> {
        let content = match old {
            Some(id) => self.content(id)?,
            None => Vec::new(),
        };
        let mut entries = match old {
            Some(id) => entries(id, &content)?,
            None => Vec::new(),
        };
        let mut rest = changes;
        while let Some(&(path, new)) = rest.first() {
            let (name, nested) = match path.split_once('/') {
                Some((name, _)) => (name, true),
                None => (path, false),
            };
            let wrong = |what: &str| Error::path(&format!("{at}{path}"), what);
            check_name(name).map_err(wrong)?;
            // Directories sort as if their name ended in a slash, so a name has two possible positions.
            let as_file = place(&entries, name, false);
            let as_directory = place(&entries, name, true);
            let found = as_file.or(as_directory).ok();
            let kind = found.map(|index| entries[index].mode.kind());
            let is_file = matches!(kind, Some(EntryKind::Blob | EntryKind::BlobExecutable));
            if !nested {
                rest = &rest[1..];
                match (found, new) {
                    (Some(_), _) if !is_file => return Err(wrong("is not a regular file")),
                    (Some(index), Some(new)) => {
                        entries[index].id = self.put(Kind::Blob, new, Some(entries[index].id))?;
                    }
                    (Some(index), None) => drop(entries.remove(index)),
                    (None, Some(new)) => {
                        let id = self.put(Kind::Blob, new, None)?;
                        let entry = Entry { mode: EntryKind::Blob.into(), name: name.as_bytes(), id };
                        entries.insert(as_file.unwrap_or_else(|index| index), entry);
                        self.grown = true;
                    }
                    (None, None) => {}
                }
                continue;
            }
            let below = |change: &Change<'_>| change.0.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
            let (these, after) = rest.split_at(rest.iter().take_while(|change| below(change)).count());
            rest = after;
            let these: Vec<Change<'_>> = these.iter().map(|(path, new)| (&path[name.len() + 1..], *new)).collect();
            let old = match kind {
                Some(EntryKind::Tree) => found.map(|index| entries[index].id),
                Some(_) if these.iter().any(|change| change.1.is_some()) => {
                    return Err(wrong("lies below what is not a directory"));
                }
                Some(_) => continue,
                None => None,
            };
            let made = self.directory(&format!("{at}{name}/"), old, &these)?;
            match (as_directory, made) {
                (Ok(index), Some(id)) => entries[index].id = id,
                (Ok(index), None) => drop(entries.remove(index)),
                (Err(index), Some(id)) => {
                    entries.insert(index, Entry { mode: EntryKind::Tree.into(), name: name.as_bytes(), id });
                }
                (Err(_), None) => {}
            }
        }
        if entries.is_empty() {
            return Ok(None);
        }
        let made = written(&entries, content.len());
        drop(entries);
        self.put(Kind::Tree, &made, old).map(Some)
    }

    /// Adds an object that replaces `before`, unless it is present.
    fn put(&mut self, kind: Kind, content: &[u8], before: Option<ObjectId>) -> Result<ObjectId, Error> {
        let most = self.draft.limits.object_bytes.min(u64::from(u32::MAX));
        if content.len() as u64 > most {
            return Err(Error::limit("object", content.len() as u64, most, "bytes"));
        }
        let id = gix_object::compute_hash(HASH, kind, content)
            .map_err(|error| Error::Object { id: HASH.null(), what: error.to_string() })?;
        if self.held.get(&id).is_some() || self.draft.objects.contains_key(&id) {
            return Ok(id);
        }
        let large = content.len() >= DELTA_FROM;
        let delta = match before {
            Some(base) if large => self.delta(kind, base, content)?,
            _ => None,
        };
        let object = match delta {
            Some(delta) => delta,
            None => {
                let stream = self.draft.zlib.deflate(content)?;
                Drafted::Whole(Object { kind, size: content.len() as u32, stream })
            }
        };
        let bytes = self.draft.bytes + object.object().stream.len() as u64;
        if bytes > self.draft.limits.store_bytes {
            return Err(Error::limit("content of the commits", bytes, self.draft.limits.store_bytes, "bytes"));
        }
        self.draft.bytes = bytes;
        self.draft.objects.insert(id, object);
        self.objects.push(id);
        // If there is no memory for it, the next change is slower.
        if large && let Ok(copy) = zlib::copy(content) {
            self.draft.cache.put(id, copy);
        }
        Ok(id)
    }

    /// Returns `content` as a delta against the object `base`, unless that saves nothing.
    fn delta(&mut self, kind: Kind, base: ObjectId, content: &[u8]) -> Result<Option<Drafted>, Error> {
        let before = self.content(base)?;
        let delta = delta::make(&before, content);
        if delta.len() > content.len() / 2 {
            return Ok(None);
        }
        // The remote would detect it, too, but only after the file was announced.
        if applied(&before, &delta, &self.draft.limits)? != content {
            return Ok(None);
        }
        let stream = self.draft.zlib.deflate(&delta)?;
        Ok(Some(Drafted::Delta { base, delta: Object { kind, size: delta.len() as u32, stream } }))
    }

    fn content(&self, id: ObjectId) -> Result<Vec<u8>, Error> {
        self.draft.content(self.held, id, &mut Zlib::new())
    }
}

fn applied(base: &[u8], delta: &[u8], limits: &Limits) -> Result<Vec<u8>, Error> {
    delta::apply(base, delta, limits.object_bytes).map_err(|error| match error {
        // It was applied when it was made; only a memory fault leads here.
        DeltaError::Damaged(what) => Error::Pack { offset: 0, what: format!("an object held in memory: {what}") },
        DeltaError::Other(error) => error,
    })
}

fn entries(id: ObjectId, content: &[u8]) -> Result<Vec<Entry<'_>>, Error> {
    TreeRefIter::from_bytes(content, HASH)
        .map(|entry| entry.map(|entry| Entry { mode: entry.mode, name: entry.filename, id: entry.oid.to_owned() }))
        .collect::<Result<_, _>>()
        .map_err(|_| Error::Object { id, what: "a directory that cannot be read".into() })
}

fn written(entries: &[Entry<'_>], about: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(about + 300);
    for Entry { mode, name, id } in entries {
        out.extend_from_slice(mode.as_bytes(&mut [0; 6]));
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(0);
        out.extend_from_slice(id.as_slice());
    }
    out
}

/// Returns the position of the file or directory with this name, or where to insert it.
fn place(entries: &[Entry<'_>], name: &str, directory: bool) -> Result<usize, usize> {
    entries.binary_search_by(|entry| name_order(entry.name, entry.mode.is_tree(), name.as_bytes(), directory))
}

/// Refuses names of files and directories that git refuses on any system.
fn check_name(name: &str) -> Result<(), &'static str> {
    let lower = name.to_ascii_lowercase();
    if name.is_empty() || name == "." || name == ".." {
        return Err("has an empty part or one of dots");
    }
    if name.contains(|c: char| c.is_control() || c == '\\') {
        return Err("has a control character or a backslash");
    }
    if lower.starts_with(".git") || lower.starts_with("git~") {
        return Err("has a name that git keeps for itself");
    }
    Ok(())
}
