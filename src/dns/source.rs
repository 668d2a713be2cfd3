//! The texts of a zone's files, and positions in them.
//!
//! A position is an offset into the concatenation of all texts, in the order in which they were opened. A record
//! therefore needs only four octets to remember where it came from, and sorting by position sorts by file.

use std::borrow::Cow;
use std::cell::OnceCell;

/// The files opened so far, the zone's main file first.
///
/// The list grows while its texts are being read; a linked list of cells allows that without copying them.
pub(crate) struct Files<'t> {
    first: File<'t>,
}

/// One file.
pub(crate) struct File<'t> {
    path: Cow<'t, str>,
    text: Cow<'t, [u8]>,
    base: usize,
    next: OnceCell<Box<Self>>,
}

impl<'t> Files<'t> {
    /// Creates the list from a zone's main file.
    pub(crate) fn new(path: &'t str, text: &'t [u8]) -> Self {
        Self { first: File { path: path.into(), text: text.into(), base: 0, next: OnceCell::new() } }
    }

    /// Returns the zone's main file.
    pub(crate) fn first(&self) -> &File<'t> {
        &self.first
    }

    /// Iterates over the files in the order of their positions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &File<'t>> {
        std::iter::successors(Some(&self.first), |file| file.next.get().map(Box::as_ref))
    }

    /// Adds a file.
    pub(crate) fn add(&self, path: String, text: Vec<u8>) -> &File<'t> {
        let last = self.iter().last().unwrap_or(&self.first);
        // The end of a text is a position, too.
        let base = last.base + last.text.len() + 1;
        last.next.get_or_init(|| Box::new(File { path: path.into(), text: text.into(), base, next: OnceCell::new() }))
    }

    /// Returns the file that contains a position.
    pub(crate) fn at(&self, position: usize) -> &File<'t> {
        self.iter().take_while(|file| file.base <= position).last().unwrap_or(&self.first)
    }
}

impl Drop for Files<'_> {
    /// Frees the files one by one: the default drop would recurse once per file and could overflow the stack.
    fn drop(&mut self) {
        let mut next = self.first.next.take();
        while let Some(mut file) = next {
            next = file.next.take();
        }
    }
}

impl File<'_> {
    /// Returns the path relative to the root of the repository.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the contents.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the position of the first octet.
    pub(crate) fn base(&self) -> usize {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions() {
        let files = Files::new("a", b"12");
        let b = files.add("b".into(), b"345".to_vec());
        let c = files.add("c".into(), Vec::new());
        assert_eq!((b.base(), c.base()), (3, 7));
        let path = |position| files.at(position).path().to_string();
        assert_eq!([0, 2, 3, 6, 7].map(path), ["a", "a", "b", "b", "c"]);
    }
}
