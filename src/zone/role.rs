//! What a file of the repository is, told from its path alone.

use super::name::Name;

/// What a file of the repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The zone of this name: `example.org` or `example.org.zone`.
    Zone(Name),
    /// Keys: `_keys` or `<zone>._keys`.
    Keys,
    /// Nothing of ours: dotfiles, sub-directories, README, LICENSE and the like.
    Foreign,
    /// It looks like a zone, but its name is no domain name.
    Misnamed {
        /// Why not.
        reason: String,
    },
}

/// Words a repository's customary files begin with, in capitals as is the custom; a zone of such a name must be
/// written in small letters.
const CUSTOMARY: &[&str] = &[
    "README",
    "LICENSE",
    "LICENCE",
    "CHANGELOG",
    "CHANGES",
    "CONTRIBUTING",
    "CONTRIBUTORS",
    "COPYING",
    "AUTHORS",
    "NOTICE",
    "SECURITY",
    "CODEOWNERS",
    "MAINTAINERS",
];

impl FileRole {
    /// Tells what a file is from its path, which is relative to the root of the repository.
    ///
    /// A zone's file bears the zone's name, in any letter case and with or without a final dot; `.zone` may follow
    /// if the name in front has a dot itself, so that the name `example.zone` stays possible. The root zone's file
    /// is `root` or `root.zone`, since no file can be named `.`.
    pub fn of(path: &str) -> Self {
        if path.contains('/') || path.starts_with('.') || is_customary(path) {
            return Self::Foreign;
        }
        if path == "_keys" || path.ends_with("._keys") {
            return Self::Keys;
        }
        if path == "root" || path == "root.zone" {
            return Self::Zone(Name::root());
        }
        let name = match path.len().checked_sub(5).and_then(|end| path.split_at_checked(end)) {
            Some((front, tail)) if tail.eq_ignore_ascii_case(".zone") && front.contains('.') => front,
            _ => path,
        };
        // A name with such a character would be a legal name of a zone, but hardly a meant one: `notes (old)`.
        if let Some(odd) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.\\".contains(*c)) {
            return Self::Misnamed { reason: format!("a zone's file bears the zone's name, which has no {odd:?}") };
        }
        match Name::from_text(name) {
            Ok(name) => Self::Zone(name),
            Err(error) => Self::Misnamed { reason: format!("the file's name is no domain name: {error}") },
        }
    }
}

/// Returns whether a file is named like `README`, `README.md` or `LICENSE-MIT`.
fn is_customary(path: &str) -> bool {
    if ["readme", "readme.md", "license", "changelog.md", "Makefile", "makefile", "Dockerfile"].contains(&path) {
        return true;
    }
    let end = path.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(path.len());
    let (word, rest) = path.split_at(end);
    let extension = ["", ".md", ".txt", ".rst", ".adoc"].contains(&rest);
    CUSTOMARY.contains(&word) && (extension || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles() {
        let zone = |name: &str| FileRole::Zone(Name::from_text(name).unwrap());
        for (path, role) in [
            ("example.org", zone("example.org")),
            ("Example.ORG", zone("example.org")),
            ("example.org.", zone("example.org")),
            ("example.org.zone", zone("example.org")),
            ("example.org.ZONE", zone("example.org")),
            ("example.zone", zone("example.zone")),
            ("root", zone(".")),
            ("root.zone", zone(".")),
            ("org", zone("org")),
            ("2.0.192.in-addr.arpa", zone("2.0.192.in-addr.arpa")),
            ("0-63.2.0.192.in-addr.arpa.zone", zone("0-63.2.0.192.in-addr.arpa")),
            ("0\\04763.2.0.192.in-addr.arpa", zone("0\\/63.2.0.192.in-addr.arpa")),
            ("license.example", zone("license.example")),
            ("_keys", FileRole::Keys),
            ("example.org._keys", FileRole::Keys),
            ("README.md", FileRole::Foreign),
            ("README", FileRole::Foreign),
            ("LICENSE-MIT", FileRole::Foreign),
            ("LICENSE", FileRole::Foreign),
            ("CHANGELOG.md", FileRole::Foreign),
            (".gitignore", FileRole::Foreign),
            (".ci/run", FileRole::Foreign),
            ("sub/example.org", FileRole::Foreign),
        ] {
            assert_eq!(FileRole::of(path), role, "{path}");
        }
        for path in ["example..org", "example.org~", "notes (old)", "bücher.example", "", "*"] {
            let role = FileRole::of(path);
            assert!(matches!(role, FileRole::Misnamed { .. }), "{path}: {role:?}");
        }
    }
}
