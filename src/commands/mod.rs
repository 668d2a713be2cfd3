//! Commands for who writes zones: what they do to a directory or a git repository on this machine.
//!
//! The checks themselves are the library's and know of no file system; here are the command line, the files, and git, which
//! is run as a program. Each command is a row of one table, from which help, completions and the manual page are made.

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

/// The exit code when what was looked at is not as it should be.
const NOT_GOOD: u8 = 1;

/// The exit code when nothing could be looked at.
const FAILED: u8 = 2;

/// A command as the command line, its help and the manual page know it.
struct Command {
    name: &'static str,
    /// What stands behind the name.
    words: &'static str,
    /// What words can be completed to.
    completed: Completed,
    /// One line.
    summary: &'static str,
    /// What else there is to know, in paragraphs.
    about: &'static [&'static str],
    options: &'static [Flag],
    run: fn(&Parsed) -> Result<ExitCode, String>,
}

/// An option of a command, written `--name=value`.
struct Flag {
    name: &'static str,
    /// What its value looks like; empty if it has none.
    value: &'static str,
    help: &'static str,
}

/// What a shell offers for the words of a command.
enum Completed {
    /// Files and directories.
    Files,
    /// Revisions of the repository here.
    Revisions,
    /// These words.
    Words(&'static [&'static str]),
}

const COLOR: Flag =
    Flag { name: "color", value: "auto|always|never", help: "colours; auto, the default, is for terminals" };
const REVISION: Flag =
    Flag { name: "revision", value: "REV", help: "not the files in DIR, but what was committed there" };
const DIRECTORY: Flag = Flag { name: "directory", value: "DIR", help: "the repository; also -C DIR" };

const COMMANDS: &[Command] = &[
    Command {
        name: "check",
        words: "DIR|FILE ...",
        completed: Completed::Files,
        summary: "tell what is wrong with zones and key files",
        about: &[
            "DIR is a repository of zones, or a directory of one: every zone in it is read as the server would read it, \
             and every key file. Of a FILE the zone it makes is read, or the zones that include it; its directory \
             counts as the repository, unless --directory says which is.",
            "All mistakes are told, each with file, line and column, the line itself, the reason and the mend. With \
             --against, only what changed since that revision is read, serial numbers must have been raised, and no zone \
             may be gone.",
            "Exits with 0 if there is no error, 1 if there is one, 2 if it could not look.",
        ],
        options: &[
            Flag { name: "against", value: "REV", help: "the revision that it is a change of" },
            REVISION,
            DIRECTORY,
            Flag { name: "allow-deletion", value: "", help: "zones may be gone since that revision" },
            Flag {
                name: "format",
                value: "text|json|github",
                help: "for people, programs, or annotations; default text",
            },
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
            "For each zone that changes, its serial numbers and the records that go and come, in the order of names; \
             besides, the zones and the keys that go and come.",
            "Exits with 0 whether or not something changes, 2 if it could not look.",
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
            "The zones of DIR are loaded and asked for the records of NAME, of type A unless TYPE says otherwise. The \
             answer is the server's own, printed as dig prints it.",
            "Exits with 0 if there is an answer (records, none of this type, or no such name), 1 if it is SERVFAIL or \
             REFUSED, 2 if it could not look.",
        ],
        options: &[REVISION],
        run: query::run,
    },
    Command {
        name: "keygen",
        words: "",
        completed: Completed::Words(&[]),
        summary: "make a key to log in at an ssh remote",
        about: &[
            "Prints the public half, a line for authorized_keys or for the deploy keys of a forge, and behind it the boot \
             argument that holds the secret half. Neither is kept anywhere else.",
            "With --public the secret is read from standard input, as its argument has it, and its public half is printed \
             again.",
        ],
        options: &[
            Flag {
                name: "comment",
                value: "TEXT",
                help: "what ends the public line, to tell keys apart; default zonule",
            },
            Flag { name: "public", value: "", help: "make none: print the public half of a secret" },
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

/// Runs the command that `words` begin with; `None` if it is none, and arguments of the server follow.
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
    let mut text = String::from("Commands for who writes zones (zonule COMMAND --help tells more):\n");
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
    /// Returns how it is written.
    fn written(&self) -> String {
        let equals = if self.value.is_empty() { "" } else { "=" };
        format!("--{}{equals}{}", self.name, self.value)
    }

    /// Returns the values there are, if they can be told.
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

/// Prints to standard output; who closed it, as `head` does, wants no more.
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
