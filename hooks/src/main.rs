//! Git hooks that refuse a bad zone and announce a good one.
//!
//! ```text
//! git commit ─ pre-commit ──┐                    ┌─ post-commit ──┐
//!                           ├─ zonule::check ─►  │                ├─ zonule::notify ─► servers
//! git push ─── pre-receive ─┘  yes or no         └─ post-receive ─┘
//! ```
//!
//! The server's own reader and [`zonule::check`] decide what is valid; this program asks git what changed, runs them,
//! and reports. A hook that runs before a change refuses it in doubt; one that runs afterwards cannot undo anything and
//! so never fails.
#![forbid(unsafe_code)]

mod announce;
mod bump;
mod error;
mod gate;
mod git;
mod install;
mod news;
mod settings;
mod terminal;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use error::{Error, Result};
use git::Git;
use terminal::{print, say};

/// The exit code for an invalid command line, following the convention of shells.
const USAGE: u8 = 2;

const HELP: &str = "\
Git hooks of Zonule: refuse a bad zone, announce a good one.

  zonule-hook install [--force] [REPO]  write the hooks of a work tree or a bare repository
  zonule-hook bump ZONE...              raise the serial number in a zone's file

Run by git:
  zonule-hook pre-commit [--fix]        check what is to be committed; --fix raises serial numbers
  zonule-hook pre-receive               check what is pushed
  zonule-hook update REF OLD NEW        the same for one branch
  zonule-hook post-commit, post-receive notify servers of the zones that changed

Settings (git config):
  zonule.branch          the branch that is served; HEAD's unless set; may be repeated
  zonule.allowDeletion   true, or the name of a zone that may be deleted; may be repeated
  zonule.fix             true: pre-commit raises serial numbers by itself
  zonule.notify          HOST[:PORT][,KEY] to be notified; may be repeated
  zonule.key             name:algorithm:base64 to sign with, or a file that holds it; may be repeated
  zonule.patience        seconds to wait for acknowledgements, 1 to 60; 5 unless set

A zone is deleted on purpose with `git push -o zonule.delete=ZONE` or `git -c zonule.allowDeletion=ZONE commit`.
";

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(Error::Usage(what)) => {
            say(&format!("zonule-hook: {what}; see `zonule-hook --help`\n"));
            ExitCode::from(USAGE)
        }
        Err(error) => {
            say(&format!("zonule-hook: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode> {
    // Hooks are run where their repository is.
    let here = Git::at(".");
    match words {
        ["--help" | "-h" | "help"] => print(HELP),
        ["--version"] => print(concat!("zonule-hook ", env!("CARGO_PKG_VERSION"), "\n")),
        ["install", rest @ ..] => {
            let force = rest.contains(&"--force");
            let places: Vec<&&str> = rest.iter().filter(|word| **word != "--force").collect();
            match places.as_slice() {
                [] => install::install(".".into(), force)?,
                [place] if !place.starts_with('-') => install::install(PathBuf::from(place), force)?,
                _ => return Err(Error::Usage("install takes one repository, and --force".to_owned())),
            }
        }
        ["bump", zones @ ..] if !zones.is_empty() && !zones.iter().any(|zone| zone.starts_with('-')) => {
            bump::bump(&here, zones)?;
        }
        ["bump", ..] => return Err(Error::Usage("bump takes the names of zones".to_owned())),
        ["pre-commit"] => return gate::pre_commit(&here, false),
        ["pre-commit", "--fix"] => return gate::pre_commit(&here, true),
        ["pre-receive"] => return gate::receive(&here, &pushed_from_git()?),
        ["update", reference, old, new] => {
            return gate::receive(&here, &[gate::Pushed::new(reference, old, new)]);
        }
        // The objects are stored already: errors are reported, but are not failures.
        ["post-commit"] => tell(announce::post_commit(&here)),
        ["post-receive"] => tell(pushed_from_git().and_then(|pushed| announce::post_receive(&here, &pushed))),
        [] => return Err(Error::Usage("there is no command".to_owned())),
        [other, ..] => return Err(Error::Usage(format!("there is no such command: {other}"))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads git's description of a push from standard input.
fn pushed_from_git() -> Result<Vec<gate::Pushed>> {
    let lines = std::io::read_to_string(std::io::stdin())
        .map_err(|error| Error::Other(format!("what git says of the push cannot be read: {error}")))?;
    lines.lines().map(gate::Pushed::parse).collect()
}

fn tell(outcome: Result<()>) {
    if let Err(error) = outcome {
        say(&format!("zonule-hook: nobody was notified: {error}\n"));
    }
}
