//! Hooks before a commit or push: check its contents, and refuse it if they are invalid.
//!
//! Only the served branch is checked: the one that HEAD names, or those set as `zonule.branch`. Other branches, tags
//! and anything else that is pushed pass unread, since they are not served. The old and the new state of the branch are
//! compared; whether the change was one commit, a merge or a rewritten history makes no difference to the server or to
//! the hook.

use std::env;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use zonule::check::{Finding, Findings, Kind, Options, Tree, check};
use zonule::dns::Severity;

use crate::bump;
use crate::error::{Error, Result};
use crate::git::{Git, Snapshot};
use crate::settings::{Deletion, Settings};
use crate::terminal::{colour, say};

/// A reference that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// Its full name.
    pub(crate) reference: String,
    /// The old object; `None` if the reference is new.
    pub(crate) old: Option<String>,
    /// The new object; `None` if the reference is to be deleted.
    pub(crate) new: Option<String>,
}

impl Pushed {
    /// Converts git's arguments; an object name of zeros means none.
    pub(crate) fn new(reference: &str, old: &str, new: &str) -> Self {
        let object = |id: &str| id.bytes().any(|digit| digit != b'0').then(|| id.to_owned());
        Self { reference: reference.to_owned(), old: object(old), new: object(new) }
    }

    /// Reads a line `old new reference`.
    pub(crate) fn parse(line: &str) -> Result<Self> {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some(old), Some(new), Some(reference)) => Ok(Self::new(reference, old, new)),
            _ => Err(Error::Other(format!("git says of the push what is not understood: {line}"))),
        }
    }

    /// Returns whether the reference is a branch that is served.
    pub(crate) fn is_served(&self, git: &Git, settings: &Settings) -> Result<bool> {
        let Some(branch) = self.reference.strip_prefix("refs/heads/") else { return Ok(false) };
        if settings.branches.is_empty() {
            let arguments = ["symbolic-ref", "--quiet", "HEAD"];
            if !git.holds(&arguments)? {
                let what = "HEAD of the repository names no branch, so nobody knows which one is served";
                return Err(Error::Other(format!("{what}; say so with `git config zonule.branch BRANCH`")));
            }
            return Ok(git.line(&arguments)? == self.reference);
        }
        Ok(settings.branches.iter().any(|served| served == branch))
    }
}

/// Checks what is to be committed: the contents of the index, independent of the work tree.
///
/// They are compared with the remote's state, if known, so that the second of two commits, or one that is
/// amended, need not raise the serial number again.
pub(crate) fn pre_commit(git: &Git, fix: bool) -> Result<ExitCode> {
    let settings = Settings::read(git)?;
    if !commits_are_served(git, &settings)? {
        return Ok(ExitCode::SUCCESS);
    }
    let head = git.revision("HEAD^{commit}")?;
    let base = match (&head, git.revision("@{upstream}^{commit}")?) {
        (Some(head), Some(upstream)) if git.holds(&["merge-base", head, &upstream])? => {
            Some(git.line(&["merge-base", head, &upstream])?)
        }
        _ => head.clone(),
    };
    let head = head.map_or_else(|| Ok(git.nothing()), |head| git.snapshot(&head))?;
    let old = base.map(|base| git.snapshot(&base)).transpose()?;
    let hint = "if it shall go, commit with `git -c zonule.allowDeletion=ZONE commit`";
    let mut new = git.snapshot(&git.line(&["write-tree"])?)?;
    let look = |new: &Snapshot<'_>| {
        let mut findings = find(old.as_ref(), new, &settings.deletion, hint);
        // A deletion in an earlier commit was confirmed then.
        let path = |finding: &Finding| head.listed().iter().any(|file| file.path == finding.diagnostic.file);
        findings.findings.retain(|finding| finding.kind != Kind::Deletion || path(finding));
        findings
    };
    let mut findings = look(&new);
    if (fix || settings.fix) && findings.findings.iter().any(|finding| finding.kind == Kind::Serial) {
        bump::fix(git, &findings)?;
        new = git.snapshot(&git.line(&["write-tree"])?)?;
        findings = look(&new);
    }
    let raise = "`zonule-hook bump ZONE` raises a serial number, `git config zonule.fix true` has it done for you";
    let ending = "; nothing was committed";
    Ok(report(&findings, ending, raise))
}

/// Returns whether commits made here are on a branch that is served.
pub(crate) fn commits_are_served(git: &Git, settings: &Settings) -> Result<bool> {
    if settings.branches.is_empty() {
        return Ok(true);
    }
    let arguments = ["symbolic-ref", "--quiet", "HEAD"];
    // Commits without a branch are not served, as during a rebase, whose result is checked when pushed.
    let branch = if git.holds(&arguments)? { git.line(&arguments)? } else { return Ok(false) };
    Ok(settings.branches.iter().any(|served| branch.strip_prefix("refs/heads/") == Some(served)))
}

/// Checks a push.
pub(crate) fn receive(git: &Git, pushed: &[Pushed]) -> Result<ExitCode> {
    let mut settings = Settings::read(git)?;
    for option in push_options() {
        match option.split_once('=') {
            Some(("zonule.delete", zone)) => settings
                .deletion
                .allow(zone)
                .map_err(|error| Error::Other(format!("the push option zonule.delete: {error}")))?,
            _ if option.starts_with("zonule.") => {
                let option = option.escape_debug();
                return Err(Error::Other(format!("there is no push option {option}, only zonule.delete=ZONE")));
            }
            // An option for another program.
            _ => {}
        }
    }
    for pushed in pushed {
        if !pushed.is_served(git, &settings)? {
            continue;
        }
        let Some(new) = &pushed.new else {
            if settings.deletion.all {
                continue;
            }
            let reference = &pushed.reference;
            let hint = "if they shall go, push with `git push -o zonule.delete=true`";
            return Err(Error::Other(format!("deleting {reference} would delete all zones (hint: {hint})")));
        };
        let old = pushed.old.as_ref().map(|old| git.snapshot(old)).transpose()?;
        let new = git.snapshot(new)?;
        let hint = "if it shall go, push with `git push -o zonule.delete=ZONE`";
        let findings = find(old.as_ref(), &new, &settings.deletion, hint);
        let raise = "`zonule-hook bump ZONE` raises a serial number";
        let code = report(&findings, &format!("; nothing of the push to {} was taken", pushed.reference), raise);
        if code != ExitCode::SUCCESS {
            return Ok(code);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn find(old: Option<&Snapshot<'_>>, new: &Snapshot<'_>, deletion: &Deletion, hint: &str) -> Findings {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|time| time.as_secs());
    let options = Options { allow_deletion: deletion.all, deletion_hint: hint.to_owned(), unix };
    let mut findings = check(old.map(|old| old as &dyn Tree), new, &options);
    findings.findings.retain(|finding| {
        finding.kind != Kind::Deletion || !finding.zone.as_ref().is_some_and(|zone| deletion.covers(zone))
    });
    findings
}

/// Prints the findings and returns the exit code.
fn report(findings: &Findings, ending: &str, raise: &str) -> ExitCode {
    if findings.findings.is_empty() {
        return ExitCode::SUCCESS;
    }
    say(&findings.text(colour()));
    let errors = findings.count(Severity::Error);
    if errors == 0 {
        return ExitCode::SUCCESS;
    }
    if findings.findings.iter().any(|finding| finding.kind == Kind::Serial) {
        say(&format!("zonule-hook: {raise}\n"));
    }
    say(&format!("zonule-hook: {errors} mistake{}{ending}\n", if errors == 1 { "" } else { "s" }));
    ExitCode::FAILURE
}

/// Returns the values of `git push -o`.
fn push_options() -> impl Iterator<Item = String> {
    let count = env::var("GIT_PUSH_OPTION_COUNT").ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
    (0..count).filter_map(|number| env::var(format!("GIT_PUSH_OPTION_{number}")).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_push() {
        let zero = "0".repeat(40);
        let one = "1".repeat(40);
        let pushed = Pushed::parse(&format!("{zero} {one} refs/heads/a b")).unwrap();
        assert_eq!(pushed, Pushed { reference: "refs/heads/a b".to_owned(), old: None, new: Some(one.clone()) });
        assert_eq!(Pushed::parse(&format!("{one} {zero} refs/tags/v1")).unwrap().new, None);
        assert!(Pushed::parse("1 2").is_err());
    }
}
