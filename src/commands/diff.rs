//! `zonule diff`: shows the changes between two revisions in DNS terms.

use std::path::Path;
use std::process::ExitCode;

use zonule::check::diff;

use super::arguments::Parsed;
use super::revision::Revision;
use super::{colour, print};

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    let [old, new] = parsed.words.as_slice() else {
        return Err("two revisions are required; for the last commit: zonule diff HEAD~ HEAD".to_string());
    };
    let colour = colour(parsed)?;
    let directory = Path::new(parsed.get("directory").unwrap_or("."));
    print(&diff(&Revision::list(directory, old)?, &Revision::list(directory, new)?, colour));
    Ok(ExitCode::SUCCESS)
}
