//! `zonule keygen`: generates a key for logging in to an ssh remote.

use std::io::{IsTerminal, Read};
use std::process::ExitCode;

use zonule::git::ssh::Identity;

use super::arguments::Parsed;
use super::print;

/// The maximum size of a secret in octets.
const MOST: u64 = 1024;

pub(super) fn run(parsed: &Parsed) -> Result<ExitCode, String> {
    if !parsed.words.is_empty() {
        return Err("only options are accepted, such as --comment=ns1.example.org".to_string());
    }
    let comment = parsed.get("comment").unwrap_or("zonule");
    if comment.chars().any(char::is_control) {
        return Err("--comment must be a single line of text".to_string());
    }
    if parsed.get("public").is_some() {
        print(&format!("{} {comment}\n", given()?.public_line()));
        return Ok(ExitCode::SUCCESS);
    }
    let identity = Identity::generate().map_err(|error| format!("the system has no random numbers: {error}"))?;
    let (public, secret) = (identity.public_line(), identity.secret());
    // Explanations are for terminals; redirected output contains only the two lines.
    if std::io::stdout().is_terminal() {
        print(&format!(
            "Add this line to the git server, in ~/.ssh/authorized_keys or as a deploy key:\n\n{public} {comment}\n\n\
             Boot with this argument, and keep it secret:\n\n--git-ssh-key={}\n",
            *secret
        ));
    } else {
        print(&format!("{public} {comment}\n--git-ssh-key={}\n", *secret));
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a secret from standard input, with or without the argument's name before it.
fn given() -> Result<Identity, String> {
    let mut text = zeroize::Zeroizing::new(String::new());
    std::io::stdin()
        .take(MOST)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read the secret: {error}"))?;
    let text = text.trim();
    Identity::parse(text.strip_prefix("--git-ssh-key=").unwrap_or(text))
        .map_err(|reason| format!("the secret {reason}"))
}
