//! The files of a commit as zones and keys see them: where links lead, and where they may not.

use std::collections::BTreeSet;

use crate::git::{File, Listing, ObjectId, Way};
use crate::zonefile::{FileRole, IncludeError, may_be_part, stray_name};

/// What to do about a link.
const FIX: &str = "make it lead to a file of the repository by a relative path, or remove it";

/// A regular file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its own path, whatever links led there.
    pub(crate) path: String,
    /// The id of its content.
    pub(crate) id: ObjectId,
}

/// The files and links of a commit.
#[derive(Debug)]
pub(crate) struct Checkout {
    listing: Listing,
    /// Files that links lead to which are named like key files.
    secret: BTreeSet<String>,
}

impl Checkout {
    /// Takes all the files and links of a commit.
    pub(crate) fn new(files: Vec<File>) -> Self {
        let listing = Listing::new(files);
        let links = listing.iter().filter(|file| file.link.is_some() && FileRole::of(&file.path) == FileRole::Keys);
        let leads_to = |link: &File| match listing.follow(&link.path) {
            Way::File(path, _) => Some(path),
            _ => None,
        };
        let secret = links.filter_map(leads_to).collect();
        Self { listing, secret }
    }

    /// Returns what each file is by its path, in the order of paths, with the id of its own content or, of a link, of what
    /// it leads to.
    ///
    /// A link to a directory is what a directory is: nothing of ours. But one that has a dot in its name as zones have is
    /// a zone's, and [`Self::part`] says what is wrong with it.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&File, ObjectId, FileRole)> {
        self.listing.iter().map(|file| {
            let (id, is_directory) = match file.link.as_ref().map(|_| self.listing.follow(&file.path)) {
                Some(Way::File(_, id)) => (id, false),
                Some(Way::Directory(_)) => (file.id, true),
                _ => (file.id, false),
            };
            let role = match FileRole::of(&file.path) {
                FileRole::Zone(_) | FileRole::Misnamed { .. } if is_directory && !file.path.contains('.') => {
                    FileRole::Foreign
                }
                FileRole::Zone(_) | FileRole::Misnamed { .. } => match stray_name(&file.path, |path| self.has(path)) {
                    Some(reason) => FileRole::Misnamed { reason },
                    None => FileRole::of(&file.path),
                },
                role => role,
            };
            (file, id, role)
        })
    }

    fn has(&self, path: &str) -> bool {
        self.listing.follow(path) != Way::Nothing
    }

    /// Returns where the file of a zone is, or one that zones may include.
    ///
    /// # Errors
    ///
    /// It is not there; or it is a link that does not lead to a file, or to one that is not to be served.
    pub(crate) fn part(&self, path: &str) -> Result<Place, IncludeError> {
        let place = self.place(path)?;
        let unreadable = |reason: String| Err(IncludeError::Unreadable(reason));
        if self.secret.contains(&place.path) {
            return unreadable(format!(
                "{} is what a link leads to that is named like a key file, so its secrets would be served to everybody",
                place.path
            ));
        }
        match may_be_part(&place.path) {
            Err(what) if place.path != path => {
                unreadable(format!("the symbolic link {path} leads to {}, which {what}", place.path))
            }
            _ => Ok(place),
        }
    }

    /// Returns the other path that a path leads to over links, be there a file or nothing.
    pub(crate) fn behind(&self, path: &str) -> Option<String> {
        let end = match self.listing.follow(path) {
            Way::File(end, _) | Way::Broken { missing: Some(end), .. } => end,
            _ => return None,
        };
        Some(end).filter(|end| end != path)
    }

    /// Returns where a file is.
    ///
    /// # Errors
    ///
    /// It is not there, or is a link that does not lead to a file.
    pub(crate) fn place(&self, path: &str) -> Result<Place, IncludeError> {
        match self.listing.follow(path) {
            Way::File(path, id) => Ok(Place { path, id }),
            Way::Nothing => Err(IncludeError::Missing),
            Way::Directory(directory) => Err(IncludeError::Unreadable(format!(
                "the symbolic link {path} leads to {}; {FIX}",
                if directory.is_empty() { "the root directory".into() } else { format!("the directory {directory}") }
            ))),
            Way::Broken { reason, .. } => Err(IncludeError::Unreadable(format!("{reason}; {FIX}"))),
        }
    }
}
