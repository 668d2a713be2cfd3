//! Raises serial numbers in files with minimal edits.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use zonule::check::{self, Findings, Kind};
use zonule::dns::{Name, Serial, Severity};
use zonule::zone::Zone;
use zonule::zonefile::{FileRole, IncludeError, read_including};

use crate::error::{Error, Result};
use crate::git::{Git, Snapshot};
use crate::news::{by_path, open, read_zone};
use crate::terminal::{print, say};

/// A zone's file with a higher serial number in it.
struct Raised {
    /// The files that change, and their new contents; usually the zone's own.
    files: BTreeMap<String, Vec<u8>>,
    old: Serial,
    new: Serial,
}

/// Raises the serial numbers of zones in the work tree's files: above their own, and above the last commit's.
pub(crate) fn bump(git: &Git, zones: &[&str]) -> Result<()> {
    let top = work_tree(git)?;
    for zone in zones {
        let name = zone.strip_prefix("./").unwrap_or(zone);
        let FileRole::Zone(apex) = FileRole::of(name) else {
            return Err(Error::Usage(format!("{zone} is no zone's name")));
        };
        let path = file_of(&top, &apex)?;
        let committed = match git.revision("HEAD^{tree}") {
            Ok(Some(head)) => {
                let head = git.snapshot(&head)?;
                read_zone(git, &by_path(&head), &path, &apex)?.and_then(|reading| reading.zone)
            }
            // Without a repository, or in one without commits, there is only the file.
            Ok(None) | Err(_) => None,
        };
        let raised = raise_in_work_tree(&top, &path, &apex, committed.map(|zone| zone.serial()))?;
        for (path, text) in &raised.files {
            fs::write(top.join(path), text).map_err(Error::file("write", top.join(path)))?;
        }
        print(&format!("{path}: serial {} -> {}\n", raised.old, raised.new));
    }
    Ok(())
}

/// Raises the serial numbers that `findings` report as not raised, in the index and, by the same edit, in the work
/// tree.
pub(crate) fn fix(git: &Git, findings: &Findings) -> Result<()> {
    let index = std::env::var("GIT_INDEX_FILE").unwrap_or_default();
    if PathBuf::from(&index).file_name().is_some_and(|name| name.to_string_lossy().starts_with("next-index-")) {
        // git keeps the real index locked during this commit, and would restore the old number there.
        say("zonule-hook: a commit of single paths is not mended; raise the serial number with `zonule-hook bump`\n");
        return Ok(());
    }
    let top = work_tree(git)?;
    for finding in findings.findings.iter().filter(|finding| finding.kind == Kind::Serial) {
        let (Some(apex), Some(above)) = (&finding.zone, finding.above) else { continue };
        let tree = git.snapshot(&git.line(&["write-tree"])?)?;
        let files = by_path(&tree);
        let Some(path) = files.keys().find(|path| FileRole::of(path) == FileRole::Zone(apex.clone())) else { continue };
        let Some(zone) = read_zone(git, &files, path, apex)?.and_then(|reading| reading.zone) else { continue };
        // One SOA record may serve several zones, and be raised already.
        if zone.serial().is_newer_than(above) {
            continue;
        }
        let text = git.read(&files[path])?;
        let raised = raise(apex, path, &text, |path| open(git, &files, path), &zone, above)?;
        for (path, text) in &raised.files {
            stage(git, path, text)?;
        }
        say(&format!("{path}: serial {} -> {}\n", raised.old, raised.new));
        follow(&top, git, &tree, apex, path, above, &raised)?;
    }
    Ok(())
}

/// Stages a file's new content.
fn stage(git: &Git, path: &str, text: &[u8]) -> Result<()> {
    let id = git.feed(&["hash-object", "-w", "--no-filters", "--stdin"], text)?;
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    let literal = format!(":(top,literal){path}");
    let listed = git.run(&["ls-files", "--stage", "-z", "--full-name", "--", &literal])?;
    let mode = String::from_utf8_lossy(&listed).split(' ').next().unwrap_or_default().to_owned();
    let entry = format!("{mode} {id} 0\t{path}\0");
    git.feed(&["update-index", "-z", "--index-info"], entry.as_bytes()).map(drop)
}

/// Applies the edit of the index to the work tree.
///
/// Files equal to the old index get the new content. If a file has further changes, which are not to be
/// committed yet, they stay, and the number is raised in addition.
fn follow(
    top: &Path,
    git: &Git,
    tree: &Snapshot<'_>,
    apex: &Name,
    zone: &str,
    above: Serial,
    raised: &Raised,
) -> Result<()> {
    let files = by_path(tree);
    let mut rest = false;
    for (path, text) in &raised.files {
        let place = top.join(path);
        let Ok(current) = fs::read(&place) else { continue };
        if files.get(path.as_str()).map(|id| git.read(id)).transpose()? == Some(current) {
            fs::write(&place, text).map_err(Error::file("write", &place))?;
        } else {
            rest = true;
        }
    }
    if !rest {
        return Ok(());
    }
    match raise_in_work_tree(top, zone, apex, Some(above)) {
        Ok(own) if !own.old.is_newer_than(above) => {
            for (path, text) in &own.files {
                fs::write(top.join(path), text).map_err(Error::file("write", top.join(path)))?;
            }
        }
        Ok(_) => {}
        // An unfinished work tree must not prevent the commit.
        Err(error) => say(&format!("zonule-hook: {zone} in the work tree keeps its serial number: {error}\n")),
    }
    Ok(())
}

/// Returns the files of a zone in the work tree with a serial number above its own and above `least`.
fn raise_in_work_tree(top: &Path, path: &str, apex: &Name, least: Option<Serial>) -> Result<Raised> {
    let text = fs::read(top.join(path)).map_err(Error::file("read", top.join(path)))?;
    let open = |path: &str| {
        fs::read(top.join(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => IncludeError::Missing,
            _ => IncludeError::Unreadable(error.to_string()),
        })
    };
    let reading = read_including(apex, path, &text, open);
    let Some(zone) = reading.zone else {
        let first = reading.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
        let what = first.map_or_else(|| format!("{path} is no zone"), ToString::to_string);
        return Err(Error::Other(what));
    };
    let own = zone.serial();
    let above = least.filter(|least| least.is_newer_than(own)).unwrap_or(own);
    raise(apex, path, &text, open, &zone, above)
}

fn raise(
    apex: &Name,
    path: &str,
    text: &[u8],
    open: impl FnMut(&str) -> std::result::Result<Vec<u8>, IncludeError>,
    zone: &Zone,
    above: Serial,
) -> Result<Raised> {
    let edited = check::bump(apex, path, text, open, zone, above, today())
        .map_err(|error| Error::Other(format!("{path}: the serial number cannot be raised: {error}")))?;
    Ok(Raised { files: edited.files, old: zone.serial(), new: edited.zone.serial() })
}

/// Returns the name of the file of a zone.
fn file_of(top: &Path, apex: &Name) -> Result<String> {
    let entries = fs::read_dir(top).map_err(Error::file("list", top))?;
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| FileRole::of(name) == FileRole::Zone(apex.clone()) && top.join(name).is_file());
    names.sort();
    let what = format!("there is no file of the zone {apex} in {}", top.display());
    names.into_iter().next().ok_or(Error::Other(what))
}

/// Returns the directory of the zones' files: the top of the work tree, or the current directory outside of one.
fn work_tree(git: &Git) -> Result<PathBuf> {
    let arguments = ["rev-parse", "--show-toplevel"];
    if git.holds(&arguments)? { git.line(&arguments).map(PathBuf::from) } else { Ok(git.directory().to_owned()) }
}

/// Returns the date, in the system's time zone, as the number YYYYMMDD.
fn today() -> u32 {
    let date = jiff::Zoned::now().date();
    let field = |value: i8| u32::from(value.unsigned_abs());
    u32::from(date.year().unsigned_abs()) * 10_000 + field(date.month()) * 100 + field(date.day())
}
