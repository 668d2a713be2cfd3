//! The first thing a person tries: `cargo xtask run`, and every line it prints to be pasted.

use std::fs;
use std::path::Path;
use std::process::Command;

use zonule_harness::{Console, Process, Sandbox, eventually, run, workspace};

/// Runs `cargo xtask run`, pastes its lines in their order, and ends it.
fn quick_start(arguments: &[&str]) {
    let sandbox = Sandbox::new("quick-start").unwrap();
    let console = Console::File(sandbox.path().join("run.log"));
    let program = Path::new(env!("CARGO_BIN_EXE_xtask"));
    let mut xtask = Process::start(program, &[&["run"], arguments].concat(), console).unwrap();
    let text = eventually("the lines to paste", || {
        let printed = xtask.printed();
        (printed.contains("Ctrl-C ends it") || xtask.ended().is_some()).then_some(printed)
    })
    .unwrap();
    let (_, invitation) = text.split_once("Zonule answers").unwrap_or_else(|| panic!("no invitation in:\n{text}"));
    let (invitation, _) = invitation.split_once("Ctrl-C").unwrap();

    // Lines for the shell are indented; pasted one after the other, they share a shell.
    let script: Vec<&str> = invitation.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let script = format!("set -e\n{}", script.join("\n"));
    let printed = run(Command::new("sh").current_dir(workspace()).args(["-c", &script])).unwrap();
    assert!(printed.contains("status: NOERROR"), "{printed}");
    assert!(!printed.contains("status: SERVFAIL"), "{printed}");
    // What the update and the push brought, and at last the history with both and the serial that the push did not raise.
    let lines: Vec<&str> = printed.lines().collect();
    assert!(lines.contains(&"192.0.2.7") && lines.contains(&"192.0.2.99"), "{printed}\n{}", xtask.printed());
    let [.., last, hello, update, _begin] = lines.as_slice() else { panic!("{printed}") };
    let subjects = [last, hello, update].map(|line| line.split_once(' ').unwrap_or_default().1);
    let wanted = ["sub.example.org: raise the serial to 8 (", "Add hello", "example.org: add A for host7 ("];
    let agree = subjects.iter().zip(wanted).all(|(subject, begin)| subject.starts_with(begin));
    assert!(agree, "{subjects:#?}\n{printed}");

    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", xtask.id())).unwrap();
    let children: Vec<&str> = children.split_whitespace().collect();
    assert_eq!(children.len(), 2, "git daemon and the server: {children:?}");
    // Harder than Ctrl-C, which reaches the children, too. And not its signal: who runs tests in the background has
    // it ignored.
    run(Command::new("sh").args(["-c", &format!("kill -TERM {}", xtask.id())])).unwrap();
    eventually("xtask ends", || xtask.ended()).unwrap();
    for child in children {
        eventually("a child ends with it", || has_ended(child).then_some(())).unwrap();
    }
}

/// Whether a process is no more, or no more than an entry that nobody has collected.
fn has_ended(id: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status"));
    status.map_or(true, |status| status.lines().any(|line| line.starts_with("State:\tZ")))
}

#[test]
fn image() {
    quick_start(&[]);
}

#[test]
fn hosted() {
    quick_start(&["--hosted"]);
}
