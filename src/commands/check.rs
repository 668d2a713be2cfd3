//! `zonule check`: checks the zones and keys of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use zonule::check::{Findings, Options, Tree, check};
use zonule::text;

use super::arguments::Parsed;
use super::directory::{Directory, Without};
use super::revision::{Revision, work_files};
use super::{FAILED, NOT_GOOD, colour, print};

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    let format = parsed.choice("format", "text|json|github")?.unwrap_or("text");
    let colour = colour(parsed)?;
    let (against, revision) = (parsed.get("against"), parsed.get("revision"));
    let options = Options {
        allow_deletion: parsed.get("allow-deletion").is_some(),
        deletion_hint: "restore the file, or pass --allow-deletion".to_string(),
        unix: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs()),
    };
    if parsed.words.is_empty() {
        return Err(
            "a DIR or FILE is required; for the repository in the current directory: zonule check .".to_string()
        );
    }

    let mut found = Findings::default();
    let mut is_complete = true;
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    let root = parsed.get("directory").map(Path::new);
    for word in &parsed.words {
        let path = root.map_or_else(|| PathBuf::from(word), |root| root.join(word));
        let kind = path.metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        if !kind.is_dir() {
            if against.or(revision).is_some() {
                return Err(format!("{word}: --against and --revision need a directory, not a file"));
            }
            let (root, name) = split(&path, root)?;
            files.entry(root).or_default().insert(name);
            continue;
        }
        let old = against.map(|name| Revision::list(&path, name)).transpose()?;
        let new: Box<dyn Tree> = match revision {
            Some(name) => Box::new(Revision::list(&path, name)?),
            // Only then must files have the ids that git assigns.
            None if old.is_some() => Box::new(Directory::of_files(&path, work_files(&path)?)),
            None => Box::new(Directory::list(&path)?),
        };
        let here = check(old.as_ref().map(|old| old as &dyn Tree), new.as_ref(), &options);
        append(&mut found, here, &path);
    }
    for (root, names) in &files {
        let directory = Directory::list(root)?;
        let here = check(Some(&Without { directory: &directory, paths: names }), &directory, &options);
        if here.zones + here.key_files == 0 && here.findings.is_empty() {
            let names: Vec<_> = names.iter().map(|name| text::escaped(name)).collect();
            eprintln!("zonule check: {}: no zone, no keys, and included by no zone", names.join(", "));
            is_complete = false;
        }
        append(&mut found, here, root);
    }
    match format {
        "json" => print(&found.json()),
        "github" => print(&found.github()),
        _ => {
            print(&found.text(colour));
            eprintln!("{}", found.summary());
        }
    }
    Ok(match (found.has_errors(), is_complete) {
        (true, _) => ExitCode::from(NOT_GOOD),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::from(FAILED),
    })
}

/// Splits a file's path into that of the repository, which is `root` or else its own directory, and the rest.
fn split(file: &Path, root: Option<&Path>) -> Result<(PathBuf, String), String> {
    let cannot = |error| format!("{}: {error}", file.display());
    let parent = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = match root {
        None => file.file_name().map(PathBuf::from),
        Some(root) => {
            let (root, parent) = (root.canonicalize().map_err(cannot)?, parent.canonicalize().map_err(cannot)?);
            let inner = parent.strip_prefix(&root).ok();
            inner.and_then(|inner| Some(inner.join(file.file_name()?)))
        }
    };
    let root = root.unwrap_or(parent);
    let name = name.ok_or_else(|| format!("{} is not below {}", file.display(), root.display()))?;
    let name = name.to_str().ok_or_else(|| format!("{}: the name is not UTF-8", file.display()))?;
    Ok((root.to_path_buf(), name.to_string()))
}

/// Adds the findings of a directory.
fn append(found: &mut Findings, more: Findings, directory: &Path) {
    let more = if directory == Path::new(".") { more } else { more.below(&directory.display().to_string()) };
    found.findings.extend(more.findings);
    found.zones += more.zones;
    found.key_files += more.key_files;
}
