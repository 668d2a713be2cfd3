//! Authors and committers of commits.

use std::fmt;

/// The author or the committer of a commit, in a form git accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    name: String,
    email: String,
    seconds: u64,
}

impl Signature {
    /// Returns the signature of `name` at `seconds` since 1970; the time zone is always +0000.
    ///
    /// What git forbids is left out: angle brackets, line breaks and control characters, and at either end spaces and
    /// the punctuation git strips. Both texts are cut at 200 bytes. A name of which nothing is left becomes `unknown`.
    pub fn new(name: &str, email: &str, seconds: u64) -> Self {
        /// The end of the year 9999. Later times overflow in places.
        const LAST: u64 = 253_402_300_799;
        let (name, email) = (clean(name), clean(email));
        let name = if name.is_empty() { "unknown".into() } else { name };
        Signature { name, email: email.replace(' ', ""), seconds: seconds.min(LAST) }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address for mail; may be empty.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Returns the seconds since 1970.
    pub fn seconds(&self) -> u64 {
        self.seconds
    }
}

impl fmt::Display for Signature {
    /// Writes the signature as a commit has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}> {} +0000", self.name, self.email, self.seconds)
    }
}

fn clean(text: &str) -> String {
    const MAX: usize = 200;
    let crud = |c: char| c.is_whitespace() || ".,:;\"\\'".contains(c);
    let mut kept: String = text.chars().filter(|c| !c.is_control() && !"<>".contains(*c)).collect();
    kept.truncate(kept.floor_char_boundary(MAX));
    kept.trim_matches(crud).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removes_what_git_forbids() {
        let text = |name, email| Signature::new(name, email, 1_700_000_000).to_string();
        assert_eq!(text("Zonule", "zonule@example.org"), "Zonule <zonule@example.org> 1700000000 +0000");
        assert_eq!(text("a\nb\0<c> ", " d <e@f>\r\n"), "abc <de@f> 1700000000 +0000");
        assert_eq!(text("key._update.", ""), "key._update <> 1700000000 +0000");
        assert_eq!(text(" <>\t", "<>"), "unknown <> 1700000000 +0000");
        assert_eq!(text("Jürgen", "j@bücher.example"), "Jürgen <j@bücher.example> 1700000000 +0000");
        let long = Signature::new(&"ü".repeat(300), &"x".repeat(300), u64::MAX);
        assert_eq!((long.name().len(), long.email().len(), long.seconds()), (200, 200, 253_402_300_799));
    }
}
