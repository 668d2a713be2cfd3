//! The paths of included files.

use std::fmt;

/// Why an included file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncludeError {
    /// There is no such file.
    Missing,
    /// The file exists but cannot be read, for the given reason.
    Unreadable(String),
}

impl fmt::Display for IncludeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

/// The maximum length of a path in octets, so that a diagnostic can show a chain of paths.
const MAX_PATH: usize = 255;

/// Resolves the path of an included file relative to the root of the repository; an error says what is wrong.
pub(crate) fn resolve(path: &[u8]) -> Result<String, &'static str> {
    let path = std::str::from_utf8(path).map_err(|_| "the path is not UTF-8 text")?;
    if path.len() > MAX_PATH {
        return Err("the path is longer than 255 octets");
    }
    if path.starts_with('/') {
        return Err("an absolute path leads out of the repository");
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop().ok_or("the path leads out of the repository")?),
            part => parts.push(part),
        }
    }
    if parts.is_empty() || path.ends_with('/') { Err("the path names no file") } else { Ok(parts.join("/")) }
}

#[cfg(test)]
mod tests {
    use crate::zonefile::files::*;

    #[test]
    fn paths() {
        for (path, resolved) in [
            ("a.inc", Ok("a.inc")),
            ("./common/a", Ok("common/a")),
            ("x/../common//a", Ok("common/a")),
            ("/etc/passwd", Err("an absolute path leads out of the repository")),
            ("../a", Err("the path leads out of the repository")),
            ("a/../../b", Err("the path leads out of the repository")),
            ("a/", Err("the path names no file")),
            ("", Err("the path names no file")),
            ("a/..", Err("the path names no file")),
        ] {
            assert_eq!(resolve(path.as_bytes()), resolved.map(str::to_string), "{path}");
        }
    }
}
