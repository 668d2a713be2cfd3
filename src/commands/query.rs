//! `zonule query`: shows the answer that the server would give for a directory or a revision.

use std::path::Path;
use std::process::ExitCode;

use zonule::check::{Tree, query};
use zonule::dns::{Name, Type};

use super::arguments::Parsed;
use super::directory::Directory;
use super::revision::Revision;
use super::{NOT_GOOD, print};

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    let (directory, name, qtype) = match parsed.words.as_slice() {
        [directory, name] => (directory, name, "A"),
        [directory, name, qtype] => (directory, name, qtype.as_str()),
        _ => {
            return Err("a directory and a name are required, such as: zonule query . www.example.org AAAA".to_string());
        }
    };
    let name = Name::from_text(name).map_err(|error| format!("{name}: {error}"))?;
    let any = qtype.eq_ignore_ascii_case("ANY").then_some(Type::ANY);
    let qtype =
        any.or_else(|| Type::from_text(qtype.as_bytes())).ok_or_else(|| format!("unknown record type {qtype}"))?;
    let directory = Path::new(directory);
    let tree: Box<dyn Tree> = match parsed.get("revision") {
        Some(revision) => Box::new(Revision::list(directory, revision)?),
        None => Box::new(Directory::list(directory)?),
    };
    let answered = query(tree.as_ref(), &name, qtype).map_err(|error| error.to_string())?;
    print(&answered.text);
    Ok(if answered.is_good { ExitCode::SUCCESS } else { ExitCode::from(NOT_GOOD) })
}
