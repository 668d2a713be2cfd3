//! The rules of the house that can be checked in its sources: who may import whom, where there may be I/O, where `unsafe`
//! may stand. CONTRIBUTING.md states them.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use zonule_harness::workspace;

/// The rooms of `src/`, floor by floor. A room may import from the floors below its own, and from no other.
const FLOORS: &[&[&str]] = &[
    &["text"],
    &["dns", "telemetry"],
    &["zone", "net"],
    &["zonefile", "answer", "tsig", "sntp", "dnssec"],
    &["keys", "update", "catalog_zone", "git"],
    &["transfer", "notify", "http", "publish"],
    &["secondary", "primary"],
    &["config", "check"],
    &["serve"],
];

/// The rooms of the protocol: values in, values out.
const PURE: &[&str] = &[
    "dns",
    "zone",
    "zonefile",
    "answer",
    "dnssec",
    "tsig",
    "keys",
    "update",
    "catalog_zone",
    "transfer",
    "notify",
    "secondary",
    "primary",
    "publish",
];

/// What does I/O, takes the time of a clock or starts a thread.
const EFFECTS: &[&str] = &[
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "thread::spawn",
    "Instant::now",
    "SystemTime::now",
    "getrandom",
];

/// Unit tests of more lines than this have a file of their own.
const INLINE: usize = 250;

/// The Rust files below a directory.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![workspace().join(directory)];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("target") {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "{directory}");
    found
}

/// The sources below a directory, without comments and unit tests.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let root = workspace().join(directory);
    let is_test = |path: &PathBuf| {
        let inside = path.strip_prefix(&root).expect("the file was found there").with_extension("");
        inside.iter().any(|name| name == "tests")
    };
    let code = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let code = code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>();
        (path, code.join("\n"))
    };
    files(directory).into_iter().filter(|path| !is_test(path)).map(code).collect()
}

/// The room a source of `src/` is in; `None` for the roots of the two crates and what belongs to the binary alone.
fn room(path: &Path) -> Option<String> {
    let inside = path.strip_prefix(workspace().join("src")).ok()?;
    let room = inside.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs").to_string();
    (!["lib", "main", "commands"].contains(&room.as_str())).then_some(room)
}

/// The rooms that code imports from: `crate::ROOM`, also in braces behind `crate::`.
fn imported(code: &str) -> Vec<String> {
    let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.split("crate::")
        .skip(1)
        .flat_map(|after| match after.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or_default().split(',').map(word).collect(),
            None => vec![word(after)],
        })
        .filter(|room| !room.is_empty())
        .collect()
}

#[test]
fn no_room_imports_from_its_own_floor_or_from_above() {
    let floors: BTreeMap<&str, usize> =
        FLOORS.iter().enumerate().flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor))).collect();
    let mut wrong = Vec::new();
    for (path, code) in sources("src") {
        let Some(room) = room(&path) else { continue };
        let floor = floors.get(room.as_str()).unwrap_or_else(|| panic!("{room} is on no floor: {}", path.display()));
        for other in imported(&code) {
            match floors.get(other.as_str()) {
                Some(below) if below < floor || other == room => {}
                Some(_) => wrong.push(format!("{}: {room} imports from {other}", path.display())),
                // A macro or an item of the crate's root.
                None => {}
            }
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_protocol_does_no_io() {
    for (path, code) in sources("src") {
        if room(&path).is_some_and(|room| PURE.contains(&room.as_str())) {
            for effect in EFFECTS {
                assert!(!code.contains(effect), "{}: {effect}", path.display());
            }
        }
    }
}

#[test]
fn unsafe_code_is_in_the_platform_only() {
    for directory in ["src", "image/src", "hooks/src", "xtask/src", "tests/harness/src"] {
        for (path, code) in sources(directory) {
            let is_root = path.ends_with("src/lib.rs") || path.ends_with("src/main.rs");
            assert!(!is_root || code.contains("#![forbid(unsafe_code)]"), "{} does not forbid it", path.display());
        }
    }
}

/// In `mod tests` at the end of a file while they are short, in `tests.rs` in the folder of the module when they are not.
#[test]
fn unit_tests_are_where_they_are_looked_for() {
    let mut wrong = Vec::new();
    for directory in ["src", "platform/src", "image/src", "hooks/src", "xtask/src", "tests/harness/src"] {
        for path in files(directory) {
            let text = fs::read_to_string(&path).unwrap();
            let stem = path.file_stem().unwrap().to_string_lossy();
            if stem != "tests" && stem.contains("tests") {
                wrong.push(format!("{}: name it tests.rs, in the folder of the module", path.display()));
            }
            if text.lines().any(|line| line.trim_start().starts_with("#[path")) {
                wrong.push(format!("{}: a file stands where its module's name says", path.display()));
            }
            let inline = text.lines().skip_while(|line| !line.ends_with("mod tests {")).count();
            if inline > INLINE {
                wrong.push(format!("{}: {inline} lines of tests; move them to tests.rs", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
