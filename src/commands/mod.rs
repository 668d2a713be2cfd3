//! Commands for zone authors, which work on a directory or a local git repository.
//!
//! The checks themselves are in the library and do not use the file system; this module handles the command line, the
//! files, and git, which is run as a program. Each command is a row of one table, from which help, completions and the manual page are made.

mod arguments;
mod check;
mod completions;
mod diff;
mod directory;
mod keygen;
mod manual;
mod query;
mod revision;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use zonule::config::{self, Host};

use self::arguments::{Arguments, Parsed};

/// The exit code when the check found errors or the answer is a failure.
const NOT_GOOD: u8 = 1;

/// The exit code when the command could not run.
const FAILED: u8 = 2;

/// A command, as used by the command line, its help and the manual page.
struct Command {
    name: &'static str,
    /// The arguments after the name.
    words: &'static str,
    /// The completions of its arguments.
    completed: Completed,
    /// A summary of one line.
    summary: &'static str,
    /// The description, in paragraphs.
    about: &'static [&'static str],
    options: &'static [Flag],
    run: fn(&Parsed) -> Result<ExitCode, String>,
}

/// An option of a command, written `--name=value`.
struct Flag {
    name: &'static str,
    /// The placeholder of its value; empty if it has none.
    value: &'static str,
    help: &'static str,
}

/// The completions a shell offers for the arguments of a command.
enum Completed {
    /// Files and directories.
    Files,
    /// Revisions of the repository in the current directory.
    Revisions,
    /// These words.
    Words(&'static [&'static str]),
}

const COLOR: Flag =
    Flag { name: "color", value: "auto|always|never", help: "when to use colours; default auto: on terminals" };
const REVISION: Flag = Flag { name: "revision", value: "REV", help: "read this revision instead of the files in DIR" };
const DIRECTORY: Flag = Flag { name: "directory", value: "DIR", help: "the repository; also -C DIR" };

const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        words: "DIR|FILE ...",
        completed: Completed::Files,
        summary: "check zones and key files for errors",
        about: &[
            "DIR is a repository of zones, or a directory of one: every zone and key file in it is read as the server would \
             read it. For a FILE, its zone or the zones that include it are read; its directory is taken as the \
             repository unless --directory is given.",
            "Reports every error with file, line and column, the line itself, the reason and how to fix it. With --against, \
             only what changed since that revision is read, serial numbers must have been raised, and no zone may have \
             been deleted.",
            "Exits with 0 if there is no error, 1 if there is one, 2 if the check could not run.",
        ],
        options: &[
            Flag { name: "against", value: "REV", help: "compare with this revision" },
            REVISION,
            DIRECTORY,
            Flag { name: "allow-deletion", value: "", help: "allow zones deleted since that revision" },
            Flag { name: "format", value: "text|json|github", help: "output format; default text" },
            COLOR,
        ],
        run: check::run,
    },
    Command {
        name: "diff",
        words: "REV1 REV2",
        completed: Completed::Revisions,
        summary: "show what changes between two revisions in DNS terms",
        about: &[
            "Shows the serial numbers of each changed zone and its records removed and added, in the order of names; also \
             the zones and keys removed and added.",
            "Exits with 0 whether or not anything changes, 2 if the revisions could not be compared.",
        ],
        options: &[DIRECTORY, COLOR],
        run: diff::run,
    },
    Command {
        name: "query",
        words: "DIR NAME [TYPE]",
        completed: Completed::Files,
        summary: "show the answer a directory or revision would give",
        about: &[
            "Loads the zones of DIR and queries them for the records of NAME, of type A unless TYPE is given. The answer is \
             the one the server would give, printed in the format of dig.",
            "Exits with 0 if there is an answer (records, none of this type, or no such name), 1 if it is SERVFAIL or \
             REFUSED, 2 if the query could not run.",
        ],
        options: &[REVISION],
        run: query::run,
    },
    Command {
        name: "keygen",
        words: "",
        completed: Completed::Words(&[]),
        summary: "generate a key for logging in to an ssh remote",
        about: &[
            "Prints the public key, a line for authorized_keys or for the deploy keys of a forge, and then the boot argument \
             that contains the secret key. Neither is stored anywhere.",
            "With --public, reads a secret key from standard input, in the form of the boot argument, and prints its public \
             key.",
        ],
        options: &[
            Flag { name: "comment", value: "TEXT", help: "comment at the end of the public key; default zonule" },
            Flag { name: "public", value: "", help: "generate nothing: print the public key of a secret" },
        ],
        run: keygen::run,
    },
    Command {
        name: "completions",
        words: "bash|zsh|fish",
        completed: Completed::Words(&["bash", "zsh", "fish"]),
        summary: "print completions for a shell",
        about: &[],
        options: &[],
        run: completions::run,
    },
    Command {
        name: "man",
        words: "",
        completed: Completed::Words(&[]),
        summary: "print the manual page",
        about: &["To read it: zonule man | man -l -"],
        options: &[],
        run: manual::run,
    },
];

/// Runs the command that `words` begin with; `None` if there is none and these are arguments of the server.
pub(crate) fn run(words: &[String]) -> Option<ExitCode> {
    let (first, rest) = words.split_first()?;
    if first == "help" && rest.is_empty() {
        print(&format!("{}\n{}", config::help(Host::Process), help()));
        return Some(ExitCode::SUCCESS);
    }
    let asked = if first == "help" { rest.first()? } else { first };
    let command = COMMANDS.iter().find(|command| command.name == asked)?;
    let result = match Arguments::parse(command, rest) {
        _ if first == "help" => help_asked(command),
        Ok(Arguments::Help) => help_asked(command),
        Ok(Arguments::Given(parsed)) => (command.run)(&parsed),
        Err(reason) => Err(format!("{reason}; see zonule {} --help", command.name)),
    };
    Some(result.unwrap_or_else(|reason| {
        eprintln!("zonule {}: {reason}", command.name);
        ExitCode::from(FAILED)
    }))
}

/// Returns the part of `--help` that is about commands.
pub(crate) fn help() -> String {
    let mut text = String::from("Commands for zone authors (see zonule COMMAND --help):\n");
    for command in COMMANDS {
        text.push_str(&format!("  {:<28}  {}\n", format!("{} {}", command.name, command.words), command.summary));
    }
    text
}

fn help_asked(command: &Command) -> Result<ExitCode, String> {
    let mut text = format!("Usage: zonule {}", command.name);
    for flag in command.options {
        text.push_str(&format!(" [{}]", flag.written()));
    }
    if !command.words.is_empty() {
        text.push_str(&format!(" {}", command.words));
    }
    text.push_str(&format!("\n\n{}.\n", capitalized(command.summary)));
    for paragraph in command.about {
        text.push_str(&format!("\n{}\n", wrapped(paragraph)));
    }
    for (index, flag) in command.options.iter().enumerate() {
        let head = if index == 0 { "\nOptions:\n" } else { "" };
        text.push_str(&format!("{head}  {:<28}  {}\n", flag.written(), flag.help));
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

impl Flag {
    /// Returns the option as written on the command line.
    fn written(&self) -> String {
        let equals = if self.value.is_empty() { "" } else { "=" };
        format!("--{}{equals}{}", self.name, self.value)
    }

    /// Returns the possible values, if they are a fixed set.
    fn values(&self) -> Vec<&'static str> {
        if self.value.contains('|') { self.value.split('|').collect() } else { Vec::new() }
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Breaks a paragraph into lines of at most 80 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= 80 => *line += &format!(" {word}"),
            _ => lines.push(word.to_string()),
        }
    }
    lines.join("\n")
}

/// Prints to standard output, ignoring that a reader such as `head` has closed it.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Returns whether output is to be coloured.
fn colour(parsed: &Parsed) -> Result<bool, String> {
    match parsed.choice("color", COLOR.value)? {
        Some("always") => Ok(true),
        Some("never") => Ok(false),
        _ => Ok(std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stdout().is_terminal()),
    }
}
