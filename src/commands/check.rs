//! `zonule check`: what is wrong with the zones and keys of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use zonule::check::{Findings, Options, check};

use super::arguments::Parsed;
use super::directory::{Directory, Without};
use super::revision::{Revision, work_files};
use super::{FAILED, NOT_GOOD, colour, print};

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    let format = parsed.choice("format", "text|json|github")?.unwrap_or("text");
    let colour = colour(parsed)?;
    let against = parsed.get("against");
    let options = Options {
        allow_deletion: parsed.get("allow-deletion").is_some(),
        deletion_hint: "bring the file back, or say --allow-deletion".to_string(),
    };
    if parsed.words.is_empty() {
        return Err("says nothing without a DIR or FILE; for the repository here: zonule check .".to_string());
    }

    let mut found = Findings::default();
    let mut is_complete = true;
    let mut files: BTreeMap<PathBuf, BTreeSet<String>> = BTreeMap::new();
    for word in &parsed.words {
        let path = Path::new(word);
        let kind = path.metadata().map_err(|error| format!("{word}: {error}"))?;
        if !kind.is_dir() {
            if against.is_some() {
                return Err(format!("{word}: --against is for directories"));
            }
            let (root, name) = root_of(path)?;
            files.entry(root).or_default().insert(name);
            continue;
        }
        let here = match against {
            None => check(None, &Directory::list(path)?, &options),
            Some(name) => {
                let old = Revision::list(path, name)?;
                check(Some(&old), &Directory::of_files(path, work_files(path)?), &options)
            }
        };
        append(&mut found, if word == "." { here } else { here.below(word) });
    }
    for (root, names) in &files {
        let directory = Directory::list(root)?;
        let here = check(Some(&Without { directory: &directory, paths: names }), &directory, &options);
        if here.zones + here.key_files == 0 && here.findings.is_empty() {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            eprintln!("zonule check: {}: no zone, no keys, and included by no zone", names.join(", "));
            is_complete = false;
        }
        let current = std::env::current_dir().map_err(|error| format!("the current directory: {error}"))?;
        append(
            &mut found,
            match root.strip_prefix(&current) {
                Ok(inner) if inner.as_os_str().is_empty() => here,
                Ok(inner) => here.below(&inner.display().to_string()),
                Err(_) => here.below(&root.display().to_string()),
            },
        );
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

/// Returns the top of the repository a file is in, or else its directory, and its path from there.
fn root_of(file: &Path) -> Result<(PathBuf, String), String> {
    let cannot = |error| format!("{}: {error}", file.display());
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let directory = directory.canonicalize().map_err(cannot)?;
    let root = directory.ancestors().find(|above| above.join(".git").exists()).unwrap_or(&directory).to_path_buf();
    let name = directory.join(file.file_name().unwrap_or_default());
    let name = name.strip_prefix(&root).ok().and_then(Path::to_str);
    let name = name.ok_or_else(|| format!("{}: the name is not UTF-8", file.display()))?.to_string();
    Ok((root, name))
}

fn append(found: &mut Findings, mut more: Findings) {
    found.findings.append(&mut more.findings);
    found.zones += more.zones;
    found.key_files += more.key_files;
}
