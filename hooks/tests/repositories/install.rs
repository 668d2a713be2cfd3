//! `zonule-hook install`, and the command line.

use std::fs;

use zonule_harness::git;

use crate::world::{World, said, zone};

#[test]
fn again_and_again() {
    let world = World::bare([("example.org", zone(1, ""))]);
    let hooks = world.bare_path().join("hooks");
    let text = fs::read_to_string(hooks.join("pre-receive")).unwrap();
    said(&mut world.hook(&["install"], &world.bare_path())).fine();
    // From anywhere, by path.
    said(&mut world.hook(&["install", "zones.git"], world.sandbox.path())).fine();
    assert_eq!(fs::read_to_string(hooks.join("pre-receive")).unwrap(), text);
    assert!(!hooks.join("pre-receive.old").exists() && !hooks.join("pre-commit").exists());
    assert_eq!(world.remote.git_bare(&["config", "receive.advertisePushOptions"]).unwrap(), "true\n");
}

#[test]
fn hooks_of_others_are_not_lost() {
    let world = World::without_hooks([("example.org", zone(1, ""))]);
    world.remote.hook("post-receive", "echo mine").unwrap();
    let hooks = world.bare_path().join("hooks");
    let mine = fs::read_to_string(hooks.join("post-receive")).unwrap();

    let refused = said(&mut world.hook(&["install"], &world.bare_path()));
    refused.refused().with("there is another hook").with("post-receive").with("--force").with("Nothing was written");
    assert_eq!(fs::read_to_string(hooks.join("post-receive")).unwrap(), mine);
    assert!(!hooks.join("pre-receive").exists());

    said(&mut world.hook(&["install", "--force"], &world.bare_path())).fine().with("kept");
    assert_eq!(fs::read_to_string(hooks.join("post-receive.old")).unwrap(), mine);
    // What was kept once is not lost to the next.
    world.remote.hook("post-receive", "echo another").unwrap();
    said(&mut world.hook(&["install", "--force"], &world.bare_path())).refused().with("is there already");
    assert_eq!(fs::read_to_string(hooks.join("post-receive.old")).unwrap(), mine);
    world.remote.unhook("post-receive").unwrap();
    said(&mut world.hook(&["install"], &world.bare_path())).fine();
    // A second time it is ours, and the other one is not overwritten.
    said(&mut world.hook(&["install", "--force"], &world.bare_path())).fine().without("kept");
    assert_eq!(fs::read_to_string(hooks.join("post-receive.old")).unwrap(), mine);
}

#[test]
fn in_a_work_tree() {
    let world = World::work_tree([("example.org", zone(1, ""))]);
    let clone = world.remote.clone_path();
    assert!(clone.join(".git/hooks/pre-commit").exists() && clone.join(".git/hooks/post-commit").exists());

    // A linked work tree shares its hooks with the first.
    let linked = world.sandbox.path().join("linked");
    world.remote.git(&["worktree", "add", "--quiet", linked.to_str().unwrap()]).unwrap();
    said(&mut world.hook(&["install"], &linked)).fine().with(".git/hooks/pre-commit");

    world.remote.git(&["config", "core.hooksPath", "/etc/hooks"]).unwrap();
    said(&mut world.hook(&["install"], clone)).refused().with("core.hooksPath").with("/etc/hooks");
}

#[test]
fn command_line() {
    let world = World::without_hooks([("example.org", zone(1, ""))]);
    let here = world.sandbox.path();
    said(&mut world.hook(&["--help"], here)).fine().with("zonule.notify").with("install");
    said(&mut world.hook(&["--version"], here)).fine().with("zonule-hook 0.");
    for words in [vec![], vec!["pre-comit"], vec!["install", "a", "b"], vec!["bump"], vec!["bump", "--all"]] {
        let output = world.hook(&words, here).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
    // No repository: git says so.
    said(git("/".as_ref()).args(["-C", "/", "rev-parse"])).refused();
    said(&mut world.hook(&["install", "/"], here)).refused().with("not a git repository");
}
