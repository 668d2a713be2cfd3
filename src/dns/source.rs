//! The texts that are read for a zone, and where in them a place is.
//!
//! A place is an offset into all texts laid end to end, in the order in which they were opened. So four
//! octets are enough for a record to remember where it came from, and sorting by place sorts by file.

use std::borrow::Cow;
use std::cell::OnceCell;

/// The files opened so far, the zone's own first.
///
/// It grows while its texts are being read; a list of cells lets it do so without copying them.
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
    /// Begins with a zone's own file.
    pub(crate) fn new(path: &'t str, text: &'t [u8]) -> Self {
        Self { first: File { path: path.into(), text: text.into(), base: 0, next: OnceCell::new() } }
    }

    /// Returns the zone's own file.
    pub(crate) fn first(&self) -> &File<'t> {
        &self.first
    }

    /// Iterates over the files in the order of their places.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &File<'t>> {
        std::iter::successors(Some(&self.first), |file| file.next.get().map(Box::as_ref))
    }

    /// Adds a file.
    pub(crate) fn add(&self, path: String, text: Vec<u8>) -> &File<'t> {
        let last = self.iter().last().unwrap_or(&self.first);
        // The end of a text is a place of its own.
        let base = last.base + last.text.len() + 1;
        last.next.get_or_init(|| Box::new(File { path: path.into(), text: text.into(), base, next: OnceCell::new() }))
    }

    /// Returns the file a place lies in.
    pub(crate) fn at(&self, place: usize) -> &File<'t> {
        self.iter().take_while(|file| file.base <= place).last().unwrap_or(&self.first)
    }
}

impl Drop for Files<'_> {
    /// Frees the files one by one: by itself, a long list would be freed by as deep a recursion.
    fn drop(&mut self) {
        let mut next = self.first.next.take();
        while let Some(mut file) = next {
            next = file.next.take();
        }
    }
}

impl File<'_> {
    /// Returns the path, from the root of the repository.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the contents.
    pub(crate) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Returns the place of the first octet.
    pub(crate) fn base(&self) -> usize {
        self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let files = Files::new("a", b"12");
        let b = files.add("b".into(), b"345".to_vec());
        let c = files.add("c".into(), Vec::new());
        assert_eq!((b.base(), c.base()), (3, 7));
        let path = |place| files.at(place).path().to_string();
        assert_eq!([0, 2, 3, 6, 7].map(path), ["a", "a", "b", "b", "c"]);
    }
}
