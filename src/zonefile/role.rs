//! The role of a file in the repository, determined by its path alone, and the recognition of key records.

use crate::dns::name::{self, NameError};
use crate::dns::{Name, Type};

/// The role of a file in the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileRole {
    /// The zone of this name: `example.org` or `example.org.zone`.
    Zone(Name),
    /// Keys: `_keys` or `<zone>._keys`.
    Keys,
    /// A file the server ignores: dotfiles, sub-directories, README, LICENSE and the like.
    Foreign,
    /// A file that looks like a zone, but whose name is not a domain name.
    Misnamed {
        /// Why it is not.
        reason: String,
    },
}

/// The uppercase words that names of customary repository files begin with; the file of a zone with such a name must
/// be lowercase.
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
    /// Returns the role of the file at a path relative to the root of the repository.
    ///
    /// A zone's file has the zone's name, in any letter case and with or without a final dot; `.zone` may follow
    /// if the name itself contains a dot, so that the name `example.zone` stays possible. The root zone's file
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
        // A name with such a character would be a legal zone name, but hardly an intended one: `notes (old)`.
        if let Some(odd) = name.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.*%\\".contains(*c)) {
            return Self::Misnamed { reason: format!("a zone's file bears the zone's name, which has no {odd:?}") };
        }
        match zone_of_file(name) {
            Ok(name) => Self::Zone(name),
            Err(error) => Self::Misnamed { reason: format!("the file's name is no domain name: {error}") },
        }
    }
}

/// Parses a zone name from a file name: characters that some system forbids in file names are written as `%` and two
/// hexadecimal digits, as in `%2A.example.org` and `0%2F63.2.0.192.in-addr.arpa`.
///
/// # Errors
///
/// Fails if it is not a valid name.
pub fn zone_of_file(file: &str) -> Result<Name, NameError> {
    let mut text = String::with_capacity(file.len());
    let mut rest = file;
    while let Some((front, after)) = rest.split_once('%') {
        let digits = after.get(..2).filter(|digits| digits.bytes().all(|octet| octet.is_ascii_hexdigit()));
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or(NameError::BadEscape)?;
        text += &format!("{front}\\{octet:03}");
        rest = &after[2..];
    }
    text += rest;
    Name::from_text(&text)
}

/// Returns the file name of a zone as [`FileRole::of`] parses it: lowercase, and valid on any system.
pub(crate) fn file_of_zone(apex: &Name) -> String {
    if apex.is_root() {
        return "root".to_string();
    }
    let label = |label: &[u8]| -> String {
        let octet = |octet: &u8| match octet {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => char::from(*octet).to_string(),
            octet => format!("%{octet:02X}"),
        };
        label.iter().map(octet).collect()
    };
    let labels: Vec<String> = name::labels(apex.to_canonical().as_wire()).map(label).collect();
    labels.join(".")
}

/// Suffixes of private keys, and of the copies of a file that editors, patches and people leave behind.
const PRIVATE: &[&str] = &["private", "pem"];
const LEFTOVER: &[&str] = &["bak", "orig", "old", "save", "swp", "swo", "tmp", "rej", "new", "disabled"];

/// Checks that zones may include the file at `path`, which is relative to the root of the repository.
///
/// # Errors
///
/// Fails with the reason if the file contains secrets or is meant for people or for git.
pub fn may_be_part(path: &str) -> Result<(), &'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if holds_keys(name) {
        return Err("is a key file, whose secrets would be served to everybody");
    }
    if name.rsplit_once('.').is_some_and(|(_, ending)| PRIVATE.iter().any(|word| ending.eq_ignore_ascii_case(word))) {
        return Err("is a private key by its name, which would be served to everybody");
    }
    if path.split('/').any(|part| part.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(".git"))) {
        return Err("belongs to git and cannot be part of a zone");
    }
    if !path.contains('/') && is_customary(path) {
        return Err("is documentation and cannot be part of a zone");
    }
    Ok(())
}

/// Returns whether a file is named like a key file or a copy of one, in any directory and letter case.
///
/// [`FileRole::Keys`] covers only files at the root with the exact name, but the others contain keys all the same.
pub(super) fn holds_keys(name: &str) -> bool {
    let mut name = name.trim_end_matches('~');
    while let Some((front, ending)) = name.rsplit_once('.') {
        let is_leftover = LEFTOVER.iter().any(|word| ending.eq_ignore_ascii_case(word));
        let is_number = !ending.is_empty() && ending.bytes().all(|octet| octet.is_ascii_digit());
        if !is_leftover && !is_number {
            break;
        }
        name = front.trim_end_matches('~');
    }
    let lower = name.to_ascii_lowercase();
    lower == "_keys" || lower.ends_with("._keys")
}

/// Returns whether a record is a TSIG key: its algorithm is one that key files use for an HMAC and no zone uses.
///
/// DNSKEY, CDNSKEY, KEY and RKEY records have the algorithm at the same offset (RFC 4034 §2.1, RFC 2535
/// §3.1), and DNSSEC reserves these numbers (RFC 4034 §A.1).
pub(crate) fn is_tsig_key(rtype: Type, data: &[u8]) -> bool {
    const KEY: Type = Type(25);
    const RKEY: Type = Type(57);
    const CDNSKEY: Type = Type(60);
    matches!(rtype, Type::DNSKEY | CDNSKEY | KEY | RKEY)
        && data.get(3).is_some_and(|number| matches!(number, 157 | 161..=165))
}

/// The error for a record that is a TSIG key.
pub(crate) const TSIG_KEY: &str = "this record is a TSIG key, whose secret would be served to everybody";

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
    use crate::zonefile::role::*;

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
            ("*.example.org", zone("*.example.org")),
            ("a.*.example.org.zone", zone("a.*.example.org")),
            ("\\042.example.org", zone("*.example.org")),
            ("%2A.example.org", zone("*.example.org")),
            ("%2a.example.org.zone", zone("*.example.org")),
            ("0%2F63.2.0.192.in-addr.arpa", zone("0\\/63.2.0.192.in-addr.arpa")),
            ("*", zone("*")),
            ("*.example.org._keys", FileRole::Keys),
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
        for path in
            ["parts/mail", "mail.inc", "example.org", "keys", "x/my_keys", ".parts/a", "Kexample.org.+013+00001.key"]
        {
            assert_eq!(may_be_part(path), Ok(()), "{path}");
        }
        for path in [
            "_keys",
            "example.org._keys",
            "_KEYS",
            "Example.org._Keys",
            "sub/example.org._keys",
            "a/b/_keys",
            "_keys~",
            "example.org._keys.bak",
            "sub/.example.org._keys.swp",
            "_keys.1",
            "_keys.bak~",
            "Kexample.org.+013+00001.private",
            "tls/server.PEM",
            ".gitmodules",
            "x/.GitHub/y",
            "README.md",
            "LICENSE",
        ] {
            assert!(may_be_part(path).is_err(), "{path}");
        }
        for path in [
            "example..org",
            "example.org~",
            "notes (old)",
            "bücher.example",
            "",
            "100%.example",
            "%2.example",
            "%é.example",
        ] {
            let role = FileRole::of(path);
            assert!(matches!(role, FileRole::Misnamed { .. }), "{path}: {role:?}");
        }
        for (apex, file) in [
            ("Example.ORG", "example.org"),
            ("*.example.org", "%2A.example.org"),
            ("0\\/63.2.0.192.in-addr.arpa", "0%2F63.2.0.192.in-addr.arpa"),
            ("a\\.b.example", "a%2Eb.example"),
            (".", "root"),
        ] {
            assert_eq!(file_of_zone(&Name::from_text(apex).unwrap()), file);
            assert_eq!(FileRole::of(file), zone(apex));
        }
    }
}
