//! A directory of files as a state of a repository.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use zonule::check::Tree;
use zonule::git::{File, ObjectId, blob_id};
use zonule::text;

/// The maximum number of files below a directory.
const MAX_FILES: usize = 1_000_000;

/// The files and links below a directory, as git would see them, without `.git`.
pub(super) struct Directory {
    files: Vec<File>,
    places: HashMap<ObjectId, PathBuf>,
}

impl Directory {
    /// Lists the files below `root` without reading them: ids are derived from paths and match no other state's.
    pub(super) fn list(root: &Path) -> Result<Self, String> {
        let mut paths = Vec::new();
        let mut directories = vec![(root.to_path_buf(), String::new())];
        while let Some((directory, prefix)) = directories.pop() {
            let cannot = |error| format!("cannot list {}: {error}", directory.display());
            let entries = match fs::read_dir(&directory) {
                Ok(entries) => entries,
                Err(error) if prefix.is_empty() => return Err(cannot(error)),
                // An unlisted directory matters only if a zone includes a file in it, which is then reported as missing.
                Err(_) => continue,
            };
            for entry in entries {
                let entry = entry.map_err(cannot)?;
                let kind = entry.file_type().map_err(cannot)?;
                let Ok(name) = entry.file_name().into_string() else {
                    let path = entry.path().display().to_string();
                    eprintln!("zonule: left out: the name of {} is not UTF-8", text::escaped(&path));
                    continue;
                };
                if kind.is_dir() && name != ".git" {
                    directories.push((entry.path(), format!("{prefix}{name}/")));
                } else if kind.is_file() || kind.is_symlink() {
                    paths.push(format!("{prefix}{name}"));
                }
                if paths.len() > MAX_FILES {
                    return Err(format!(
                        "{} has more than {MAX_FILES} files, so it is not a repository of zones",
                        root.display()
                    ));
                }
            }
        }
        Ok(Self::of(root, paths, |path, _| blob_id(path.as_bytes())))
    }

    /// Lists the given files and links below `root` with git's ids of their contents. Missing ones are left out.
    pub(super) fn of_files(root: &Path, paths: Vec<String>) -> Self {
        let is_file = |path: &String| fs::symlink_metadata(root.join(path)).is_ok_and(|found| !found.is_dir());
        let paths = paths.into_iter().filter(is_file).collect();
        // An unreadable file gets a unique id, and fails when its content is read.
        Self::of(root, paths, |path, place| blob_id(&fs::read(place).unwrap_or_else(|_| path.as_bytes().to_vec())))
    }

    fn of(root: &Path, mut paths: Vec<String>, id: impl Fn(&str, &Path) -> ObjectId) -> Self {
        paths.sort_unstable();
        let mut directory = Self { files: Vec::new(), places: HashMap::new() };
        for path in paths {
            let place = root.join(&path);
            let link = fs::read_link(&place).ok().map(|target| target.to_string_lossy().into_owned());
            let id = match &link {
                Some(target) => blob_id(target.as_bytes()),
                None => id(&path, &place),
            };
            directory.files.push(File { path, id, link });
            directory.places.insert(id, place);
        }
        directory
    }
}

impl Tree for Directory {
    fn files(&self) -> Vec<File> {
        self.files.clone()
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        let place = self.places.get(id).ok_or("there is no such file")?;
        fs::read(place).map_err(|error| format!("cannot read {}: {error}", place.display()))
    }
}

/// A directory without some files: its state before they were added.
pub(super) struct Without<'d> {
    pub(super) directory: &'d Directory,
    pub(super) paths: &'d BTreeSet<String>,
}

impl Tree for Without<'_> {
    fn files(&self) -> Vec<File> {
        let mut files = self.directory.files();
        files.retain(|file| !self.paths.contains(&file.path));
        files
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        self.directory.read(id)
    }
}
