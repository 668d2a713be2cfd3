//! Files in the place of zones that are not zones: leftovers of editors, name servers and people.
//!
//! A zone may have any name, and so may its file. A name alone is therefore no reason to leave a file out, unless it marks
//! a copy of another file that exists, or of a key file. The kind of a text is recognised by its first octets.

use super::role::holds_keys;

/// File name suffixes, what leaves such files behind, and what to do.
const ENDINGS: &[(&str, &str)] = &[
    ("bak", "a backup copy"),
    ("backup", "a backup copy"),
    ("old", "a backup copy"),
    ("save", "a backup copy"),
    ("saved", "a backup copy"),
    ("orig", "a copy that a merge or patch left"),
    ("rej", "what a patch could not change"),
    ("swp", "an editor's swap file"),
    ("swo", "an editor's swap file"),
    ("tmp", "a temporary file"),
    ("new", "a copy that is not in use yet"),
    ("disabled", "a copy that is not in use"),
    ("jnl", "a journal of BIND"),
    ("jbk", "a journal of BIND"),
    ("signed", "a signed copy"),
    ("raw", "a binary copy of BIND"),
    ("gz", "a compressed copy"),
    ("xz", "a compressed copy"),
    ("bz2", "a compressed copy"),
    ("zst", "a compressed copy"),
    ("zip", "a compressed copy"),
];

/// What to do about a file that should not be where it is.
const FIX: &str = "remove it from the repository and list it in .gitignore, or move it into a sub-directory";

/// Returns why the top-level file at this path is not a zone, judging by its name; `has` says which other files exist.
#[must_use]
pub fn stray_name(path: &str, has: impl Fn(&str) -> bool) -> Option<String> {
    if holds_keys(path) {
        let what = "is named like a key file, but not as one that is read (`_keys` or `<zone>._keys`), so its keys are not in \
                    use; rename it, or remove it and replace its keys: they are in git's history";
        return Some(what.to_string());
    }
    if path.starts_with("named.conf")
        || matches!(path, "named.boot" | "rndc.key" | "rndc.conf" | "keys.conf" | "nsd.conf" | "knot.conf")
    {
        return Some(format!("is a configuration file of another name server by its name, and no zone; {FIX}"));
    }
    let has_zone = |name: &str| !name.is_empty() && (has(name) || has(&format!("{name}.zone")));
    if let Some(zone) = path.strip_prefix("db.").filter(|zone| has_zone(zone)) {
        return Some(format!("looks like a copy of {zone} in BIND's manner, and is not served; {FIX}"));
    }
    copy_of(path)
        .filter(|(of, _)| has_zone(of))
        .map(|(of, what)| format!("looks like {what} of {of}, and is not served; {FIX}"))
}

/// Returns which file this one is a copy of, judging by its name, and the kind of copy.
fn copy_of(path: &str) -> Option<(&str, &'static str)> {
    let (mut name, mut kind) = (path, None);
    loop {
        let front = name.trim_end_matches('~');
        if front.len() < name.len() {
            (name, kind) = (front, kind.or(Some("an editor's backup copy")));
            continue;
        }
        let Some((front, ending)) = name.rsplit_once('.') else { break };
        let known = ENDINGS.iter().find(|(word, _)| ending.eq_ignore_ascii_case(word));
        let is_number = !ending.is_empty() && ending.bytes().all(|octet| octet.is_ascii_digit()) && kind.is_none();
        match known {
            Some((_, what)) => (name, kind) = (front, kind.or(Some(*what))),
            // A zone's name can end in a numeric label only outside any delegated domain.
            None if is_number => (name, kind) = (front, Some("an older copy")),
            None => break,
        }
    }
    Some((name, kind?))
}

/// Returns what a file that failed to read as a zone may be, judging by its name, and what to do.
pub(crate) fn hint_of_name(path: &str) -> Option<String> {
    if let Some(zone) = path.strip_prefix("db.").filter(|zone| zone.contains('.')) {
        return Some(format!("a zone's file bears just the zone's name: rename {path} to {zone}"));
    }
    let (_, what) = copy_of(path)?;
    Some(format!("{path} looks like {what}; {FIX}"))
}

/// The kind of a text that is not a zone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Other {
    /// The description, and what to do.
    pub(crate) reason: &'static str,
    pub(crate) hint: &'static str,
}

/// Returns the kind of a text that is not a zone file at all, judging by its first octets.
pub(crate) fn other_text(text: &[u8]) -> Option<Other> {
    const REMOVE: &str = "remove it from the repository, or move it into a sub-directory";
    const UTF_8: &str = "save it as UTF-8 or ASCII, without a byte order mark";
    let other = |reason, hint| Some(Other { reason, hint });
    let starts = |magic: &[u8]| text.starts_with(magic);
    if starts(b"version https://git-lfs.github.com/spec/") {
        return other(
            "this is a pointer of Git LFS, whose content is not in the repository",
            "keep zones in git itself: `git lfs untrack` the file and commit it again",
        );
    }
    if starts(b"\xff\xfe") || starts(b"\xfe\xff") {
        return other("this is UTF-16 text", UTF_8);
    }
    if starts(b"\x1f\x8b")
        || starts(b"\xfd7zXZ")
        || starts(b"BZh")
        || starts(b"\x28\xb5\x2f\xfd")
        || starts(b"PK\x03\x04")
    {
        return other("this is a compressed file", "unpack it, or remove it from the repository");
    }
    if starts(b";BIND LOG V") {
        return other("this is a journal of BIND", REMOVE);
    }
    if starts(b"b0VIM") {
        return other("this is an editor's swap file", REMOVE);
    }
    let head = &text[..text.len().min(512)];
    if let Some(at) = head.iter().position(|octet| *octet == 0) {
        let zeros = |first: usize| head.iter().skip(first).step_by(2).filter(|octet| **octet == 0).count();
        let half = head.len() / 2;
        if at < 4
            && half > 3
            && (zeros(0) * 4 > half * 3 || zeros(1) * 4 > half * 3)
            && zeros(0).min(zeros(1)) * 4 < half
        {
            return other("this is UTF-16 text", UTF_8);
        }
        return other(
            "this is a binary file",
            "a zone's file is text: `named-compilezone -f raw -F text` makes text of a binary zone of BIND",
        );
    }
    let has = |part: &[u8]| head.windows(part.len()).any(|window| window == part);
    let is_patch = starts(b"diff --git ") || starts(b"diff -") || starts(b"@@ -");
    if is_patch || starts(b"--- ") && has(b"\n+++ ") || starts(b"*** ") && has(b"\n--- ") {
        return other("this is a patch", REMOVE);
    }
    is_configuration(head).then_some(Other {
        reason: "this is a configuration file of a name server",
        hint: "remove it; keys belong into `_keys` or `<zone>._keys`, and those in git's history should be replaced",
    })
}

/// Returns whether a text begins like `named.conf` after its comments: with a statement's name and its opening.
fn is_configuration(head: &[u8]) -> bool {
    const STATEMENTS: &[&str] = &[
        "acl",
        "controls",
        "include",
        "key",
        "logging",
        "options",
        "primaries",
        "server",
        "trust-anchors",
        "view",
        "zone",
    ];
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start();
    loop {
        let comment = if let Some(block) = rest.strip_prefix("/*") {
            block.split_once("*/").map(|(_, after)| after)
        } else if rest.starts_with("//") || rest.starts_with('#') {
            rest.split_once('\n').map(|(_, after)| after)
        } else {
            break;
        };
        let Some(after) = comment else { return false };
        rest = after.trim_start();
    }
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let after = after.trim_start();
    let argument =
        after.strip_prefix('"').and_then(|quoted| quoted.split_once('"')).map(|(_, after)| after.trim_start());
    STATEMENTS.contains(&word)
        && (after.starts_with('{')
            || after.split_whitespace().nth(1) == Some("{")
            || argument.is_some_and(|after| after.starts_with('{') || after.starts_with("IN ") || word == "include"))
}

#[cfg(test)]
mod tests {
    use crate::zonefile::stray::*;

    #[test]
    fn names_of_what_is_left_behind() {
        let has = |path: &str| matches!(path, "example.org" | "example.net.zone");
        for path in [
            "example.org.bak",
            "example.org.BAK",
            "example.org.orig",
            "example.org.rej",
            "example.org~",
            "example.org.bak~",
            "example.org.swp",
            "example.org.jnl",
            "example.org.signed",
            "example.org.signed.jnl",
            "example.net.bak",
            "example.net.zone.orig",
            "example.org.1",
            "example.org.gz",
            "db.example.org",
            "named.conf",
            "named.conf.local",
            "rndc.key",
            "keys.conf",
            "_KEYS",
            "_keys~",
            "_keys.bak",
            "example.org._keys.bak",
            "example.org._KEYS",
            "_keys.1",
        ] {
            assert!(stray_name(path, has).is_some(), "{path}");
        }
        for path in [
            "example.org",
            "example.net.zone",
            "example.com.bak",
            "bak",
            "foo.bak",
            "signed",
            "db.example.com",
            "db.org",
            "1.168.192.in-addr.arpa",
            "example.org.example",
            "new",
            "10.in-addr.arpa",
            "signed.example.org",
        ] {
            assert_eq!(stray_name(path, has), None, "{path}");
        }
        assert!(hint_of_name("db.example.com").unwrap().contains("rename db.example.com to example.com"));
        assert!(hint_of_name("example.com.jnl").unwrap().contains("a journal of BIND"));
        assert_eq!(hint_of_name("example.com"), None);
    }

    #[test]
    fn texts_that_are_no_zones() {
        let utf16 = |text: &str, big: bool| -> Vec<u8> {
            text.encode_utf16().flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() }).collect()
        };
        let zone = "$TTL 300\n@ SOA ns host 1 1 1 1 1\n";
        for (text, what) in [
            (utf16(zone, false), "UTF-16"),
            (utf16(zone, true), "UTF-16"),
            (utf16(&format!("\u{feff}{zone}"), false), "UTF-16"),
            (utf16(&format!("\u{feff}{zone}"), true), "UTF-16"),
            (b"\x1f\x8b\x08\0abc".to_vec(), "compressed"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".to_vec(), "Git LFS"),
            (b";BIND LOG V9.2\n\0\0".to_vec(), "journal"),
            (b"b0VIM 9.0\0\0".to_vec(), "swap"),
            (b"\0\0\0\x02\0\0\0\x01abc\0".to_vec(), "binary"),
            (b"--- a\n+++ b\n".to_vec(), "patch"),
            (b"// c\n/* d */ # e\nkey \"x\" {\n secret \"AAAA\";\n};\n".to_vec(), "configuration"),
            (b"options {\n};\n".to_vec(), "configuration"),
            (b"zone \"example.org\" IN { type primary; };\n".to_vec(), "configuration"),
            (b"zone example.org {\n".to_vec(), "configuration"),
            (b"include \"/etc/bind/x\";\n".to_vec(), "configuration"),
        ] {
            let other = other_text(&text).unwrap_or_else(|| panic!("{what}"));
            assert!(other.reason.contains(what), "{what}: {}", other.reason);
        }
        for text in [
            zone,
            "\u{feff}$TTL 1\n",
            "",
            "; BIND\n",
            "key A 192.0.2.1\n",
            "zone IN A 192.0.2.1\n",
            "options TXT \"{\"\n",
            "key IN 300 TXT {\n",
            "include A 192.0.2.1\n",
            "@ IN SOA a b 1 1 1 1 1\n",
            "server\tA 192.0.2.1 ; {\n",
            "--- A 192.0.2.1\ndiff A 192.0.2.1\n",
            "diff A 192.0.2.1\n",
        ] {
            assert_eq!(other_text(text.as_bytes()), None, "{text}");
        }
    }
}
