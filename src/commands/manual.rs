//! `zonule man`: the manual page, generated from the same tables as the help.

use std::process::ExitCode;

use zonule::config::{self, Host};

use super::arguments::Parsed;
use super::{COMMANDS, capitalized, print};

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    if !parsed.words.is_empty() {
        return Err("no arguments are accepted: there is only one page".to_string());
    }
    print(&page());
    Ok(ExitCode::SUCCESS)
}

/// Returns the page in the man macros of roff.
fn page() -> String {
    let mut page = Page(String::new());
    page.line(&format!(".TH ZONULE 1 \"\" \"Zonule {}\" \"User Commands\"", env!("CARGO_PKG_VERSION")));
    page.section("NAME");
    page.text("zonule - authoritative DNS server whose zones live in git");
    page.section("SYNOPSIS");
    page.text("zonule --git-remote=URL [--listen=ADDR:PORT] ...");
    for command in COMMANDS {
        page.line(".br");
        page.text(format!("zonule {} {}", command.name, command.words).trim_end());
    }
    page.section("DESCRIPTION");
    page.text(
        "Without a command, zonule serves: the zones are the files of a git repository, each named like its zone, and what \
         is pushed there is served. Updates of DNS become commits. The commands help those who write zones to see mistakes \
         before they are pushed; they start no server and send nothing.",
    );
    page.section("ARGUMENTS OF THE SERVER");
    for argument in config::arguments(Host::Process) {
        page.term(&argument.written(), &argument.explanation());
    }
    page.section("COMMANDS");
    for command in COMMANDS {
        page.line(".SS");
        page.text(format!("zonule {} {}", command.name, command.words).trim_end());
        page.text(&format!("{}.", capitalized(command.summary)));
        for paragraph in command.about {
            page.line(".PP");
            page.text(paragraph);
        }
        for flag in command.options {
            page.term(&option(flag.name, flag.value), flag.help);
        }
    }
    page.section("EXAMPLES");
    for (command, meaning) in [
        ("zonule check .", "Check all zones and keys of the repository in the current directory."),
        ("zonule check --against=origin/main .", "Check what changed since the last push, including serial numbers."),
        ("zonule diff origin/main HEAD", "Show what a push would change."),
        ("zonule query . www.example.org AAAA", "Query the zones in the current directory as if they were served."),
        ("zonule keygen --comment=ns1.example.org", "Generate a key for ns1 to log in to an ssh remote."),
    ] {
        page.term(command, meaning);
    }
    page.section("SEE ALSO");
    page.text("git(1), dig(1), nsupdate(1)");
    page.0
}

fn option(name: &str, value: &str) -> String {
    if value.is_empty() { format!("--{name}") } else { format!("--{name}={value}") }
}

/// A page under construction.
struct Page(String);

impl Page {
    /// Adds a line of roff.
    fn line(&mut self, line: &str) {
        self.0 += line;
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line(&format!(".SH {title}"));
    }

    /// Adds a line of text.
    fn text(&mut self, text: &str) {
        // A line that begins with one of these would be taken as a roff request.
        let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
        let text = text.replace('\\', "\\e").replace('-', "\\-");
        self.line(&format!("{guard}{text}"));
    }

    /// Adds a term and its description.
    fn term(&mut self, term: &str, meaning: &str) {
        self.line(".TP");
        self.0 += ".B ";
        self.text(term);
        self.text(&format!("{}.", capitalized(meaning.trim_end_matches('.'))));
    }
}
