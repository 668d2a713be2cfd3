//! Finds the root of the workspace at run time.
//!
//! The path is not compiled in: in a copy of the source tree, `target/` included, cargo runs the copied programs
//! without building them again, and they must use the copy.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{env, fs};

/// Returns the root of the workspace.
///
/// The search begins at the package that cargo runs (`CARGO_MANIFEST_DIR`), then at the current directory, then at
/// this program, and goes up from there.
///
/// # Panics
///
/// None of these is inside the source tree.
pub fn workspace() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let starts = [env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from), env::current_dir().ok()];
        let program = env::current_exe().ok();
        root(starts.into_iter().chain([program]).flatten())
            .expect("run this by cargo, or from within the source tree: no workspace was found")
    })
}

/// Returns the first root of our workspace at or above one of `starts`.
fn root(starts: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    starts.into_iter().find_map(|start| start.ancestors().find(|place| is_root(place)).map(Path::to_owned))
}

/// Returns whether `place` holds our workspace, which is the one with a harness: `fuzz/` is a workspace, too.
fn is_root(place: &Path) -> bool {
    let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap_or_default();
    manifest.lines().any(|line| line == "[workspace]") && place.join("tests/harness").is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sandbox;

    #[test]
    fn finds_the_copy_it_is_started_in() {
        let sandbox = Sandbox::new("workspace").unwrap();
        let copy = sandbox.path().join("copy");
        for directory in ["tests/harness", "xtask", "fuzz", "target/debug"] {
            fs::create_dir_all(copy.join(directory)).unwrap();
        }
        fs::write(copy.join("Cargo.toml"), "[workspace]\nmembers = []\n").unwrap();
        fs::write(copy.join("xtask/Cargo.toml"), "[package]\n").unwrap();
        fs::write(copy.join("fuzz/Cargo.toml"), "[workspace]\n").unwrap();
        for start in ["", "xtask", "tests/harness", "fuzz", "target/debug/xtask"] {
            assert_eq!(root([copy.join(start)]), Some(copy.clone()), "from {start}");
        }
        // The first start inside a workspace counts; one outside is passed over.
        assert_eq!(root([PathBuf::from("/usr"), copy.join("xtask"), sandbox.path().to_owned()]), Some(copy));
        assert_eq!(root([PathBuf::from("/usr")]), None);
    }
}
