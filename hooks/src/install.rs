//! Installs the hooks in a repository.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::error::{Error, Result};
use crate::git::Git;
use crate::terminal::print;

/// The line that identifies our hooks.
const MARK: &str = "# Written by `zonule-hook install`, which may write it anew.";

/// Writes the hooks of the repository at `place`; `force` renames existing hooks of others.
pub(crate) fn install(place: PathBuf, force: bool) -> Result<()> {
    let git = Git::at(&place);
    let bare = git.line(&["rev-parse", "--is-bare-repository"])? == "true";
    let program = env::current_exe().map_err(Error::file("find", "this program"))?;
    let program = program.to_str().ok_or_else(|| Error::Other("this program's path is not UTF-8".to_owned()))?;
    let directory = hooks(&git, &place)?;
    let names = if bare { ["pre-receive", "post-receive"] } else { ["pre-commit", "post-commit"] };
    // All are checked first: either both are written or none.
    let mut foreign = Vec::new();
    for name in names {
        let path = directory.join(name);
        if is_foreign(&path)? {
            foreign.push((name, path));
        }
    }
    if !force && !foreign.is_empty() {
        let list: Vec<String> = foreign.iter().map(|(_, path)| path.display().to_string()).collect();
        let lines: Vec<String> =
            foreign.iter().map(|(name, _)| format!("{} {name} || exit", quoted(program))).collect();
        let what = format!(
            "there is another hook: {}. Nothing was written. Call us from there, with the line\n\n    {}\n\n(a \
             pre-receive or post-receive hook has to hand its standard input on), or run this with --force, which keeps \
             the other hook with .old at the end of its name and does not run it any more",
            list.join(" and "),
            lines.join("\n    ")
        );
        return Err(Error::Other(what));
    }
    let old = |path: &Path| {
        let mut old = path.to_owned().into_os_string();
        old.push(".old");
        PathBuf::from(old)
    };
    if let Some((_, path)) = foreign.iter().find(|(_, path)| old(path).symlink_metadata().is_ok()) {
        let what = format!("{} is there already, from another time; nothing was written", old(path).display());
        return Err(Error::Other(format!("{what}. Move it away, or the hook that is there now")));
    }
    for (_, path) in foreign {
        let old = old(&path);
        fs::rename(&path, &old).map_err(Error::file("set aside", &path))?;
        print(&format!("kept {}\n", old.display()));
    }
    fs::create_dir_all(&directory).map_err(Error::file("make", &directory))?;
    for name in names {
        let path = directory.join(name);
        write(&path, &format!("#!/bin/sh\n{MARK}\nexec {} {name}\n", quoted(program)))?;
        print(&format!("wrote {}\n", path.display()));
    }
    let option = "receive.advertisePushOptions";
    if bare && !git.holds(&["config", option])? {
        git.run(&["config", option, "true"])?;
        print(&format!("set {option}, for `git push -o zonule.delete=ZONE`\n"));
    }
    Ok(())
}

/// Returns where git looks for hooks.
fn hooks(git: &Git, place: &Path) -> Result<PathBuf> {
    if git.holds(&["config", "core.hooksPath"])? {
        let shared = git.line(&["config", "core.hooksPath"])?;
        let what = "core.hooksPath leads git to hooks that other repositories may share";
        let remedy = "call `zonule-hook` from there, or unset core.hooksPath for this repository";
        return Err(Error::Other(format!("{what}: {shared}; {remedy}")));
    }
    let directory = git.line(&["rev-parse", "--git-path", "hooks"])?;
    Ok(place.join(directory))
}

/// Returns whether there is a hook that we have not written.
fn is_foreign(path: &Path) -> Result<bool> {
    match fs::read(path) {
        Ok(text) => Ok(!String::from_utf8_lossy(&text).lines().any(|line| line == MARK)),
        // A dangling link belongs to someone, too.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path.is_symlink()),
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

/// Writes a program to a temporary file and renames it: one that is being read or run does not change.
fn write(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)
        .and_then(|()| fs::set_permissions(&new, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::rename(&new, path))
        .map_err(Error::file("write", path))
}

/// Returns a word as `sh` reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_shell() {
        assert_eq!(quoted("/opt/it's here/zonule-hook"), r"'/opt/it'\''s here/zonule-hook'");
    }
}
