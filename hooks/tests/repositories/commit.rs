//! Hooks of a work tree: commits are checked, and fixed.

use std::fs;
use std::process::Command;

use zonule_harness::git;

use crate::world::{World, said, zone};

const NEW: &str = "new A 192.0.2.1\n";

fn world() -> World {
    World::work_tree([("example.org", zone(7, "")), ("example.net", zone(2_020_010_203, ""))])
}

fn head(world: &World, path: &str) -> String {
    world.remote.git(&["show", &format!("HEAD:{path}")]).unwrap()
}

#[test]
fn what_counts_is_the_index() {
    let world = world();
    world.write(&[("example.org", &zone(7, "new A 192.0.2.300\n"))]);
    let refused = world.git(&["commit", "--all", "--message", "Bad"]);
    refused.refused().with("example.org:6:7").with("new A 192.0.2.300").with("nothing was committed");
    // Invalid in the index, fixed in the work tree only.
    world.remote.git(&["add", "--all"]).unwrap();
    world.write(&[("example.org", &zone(8, NEW))]);
    world.git(&["commit", "--message", "Bad"]).refused().with("example.org:6:7");
    // Valid in the index, broken in the work tree.
    world.remote.git(&["add", "--all"]).unwrap();
    world.write(&[("example.org", "no zone\n")]);
    world.git(&["commit", "--message", "Good"]).fine();
    assert_eq!(head(&world, "example.org"), zone(8, NEW));
    // Only a path that is named counts, not what else is staged.
    world.write(&[("example.org", &zone(9, NEW)), ("example.net", "no zone\n")]);
    world.remote.git(&["add", "--all"]).unwrap();
    world.git(&["commit", "--message", "One", "--", "example.org"]).fine();
    world.git(&["commit", "--message", "Other"]).refused().with("example.net:1:4");
}

#[test]
fn the_very_first_commit() {
    let world = world();
    let fresh = world.sandbox.path().join("fresh");
    world.remote.git(&["init", "--quiet", fresh.to_str().unwrap()]).unwrap();
    said(&mut world.hook(&["install"], &fresh)).fine();
    fs::write(fresh.join("example.org"), zone(1, "new A 192.0.2.300\n")).unwrap();
    let commit = || {
        said(git(&fresh).args(["add", "--all"])).fine();
        said(git(&fresh).args(["-c", "user.name=A", "-c", "user.email=a@example.org", "commit", "--message", "First"]))
    };
    commit().refused().with("example.org:6:7");
    fs::write(fresh.join("example.org"), zone(1, "")).unwrap();
    commit().fine();
}

#[test]
fn second_thoughts_need_no_second_number() {
    let world = world();
    world.write(&[("example.org", &zone(8, NEW))]);
    world.git(&["commit", "--all", "--message", "Raised"]).fine();
    // What is not pushed yet was never served.
    world.write(&[("example.org", &zone(8, "other A 192.0.2.2\n"))]);
    world.git(&["commit", "--all", "--amend", "--no-edit"]).fine();
    world.write(&[("example.org", &zone(8, "more A 192.0.2.2\n"))]);
    world.git(&["commit", "--all", "--message", "More"]).fine();
    world.git(&["push", "origin", "HEAD"]).fine();
    world.write(&[("example.org", &zone(8, "less A 192.0.2.2\n"))]);
    world.git(&["commit", "--all", "--message", "Less"]).refused().with("still 8");
}

#[test]
fn zones_are_deleted_on_purpose() {
    let world = world();
    world.remote.git(&["rm", "--quiet", "example.org"]).unwrap();
    world.git(&["commit", "--message", "Gone"]).refused().with("git -c zonule.allowDeletion=");
    world.git(&["-c", "zonule.allowDeletion=example.org", "commit", "--message", "Gone"]).fine();
    // It was said; it need not be said with every commit until the push.
    world.git(&["commit", "--allow-empty", "--message", "More"]).fine();
}

#[test]
fn branches_that_are_not_served() {
    let world = world();
    world.remote.git(&["config", "zonule.branch", "main"]).unwrap();
    world.remote.git(&["checkout", "--quiet", "-b", "draft"]).unwrap();
    world.write(&[("example.org", "no zone\n")]);
    world.git(&["commit", "--all", "--message", "Draft"]).fine();
    world.remote.git(&["checkout", "--quiet", "main"]).unwrap();
    world.write(&[("example.org", "no zone\n")]);
    world.git(&["commit", "--all", "--message", "Served"]).refused();
}

#[test]
fn numbers_are_raised_for_who_wants_it() {
    let world = world();
    world.remote.git(&["config", "zonule.fix", "true"]).unwrap();
    let (org, net) = (zone(7, NEW), zone(2_020_010_203, NEW));
    world.write(&[("example.org", &org), ("example.net", &net)]);
    // The index has one of the changes, the work tree two: the second stays where it is.
    world.remote.git(&["add", "--all"]).unwrap();
    world.write(&[("example.net", &(net.clone() + "later A 192.0.2.9\n"))]);
    world.git(&["commit", "--message", "Mended"]).fine().with("example.org: serial 7 -> 8");
    assert_eq!(head(&world, "example.org"), zone(8, NEW));
    assert_eq!(world.remote.read("example.org").unwrap(), zone(8, NEW));
    let today: u32 =
        world.remote.git(&["log", "-1", "--format=%cd", "--date=format:%Y%m%d"]).unwrap().trim().parse().unwrap();
    assert_eq!(head(&world, "example.net"), zone(today * 100 + 1, NEW));
    assert_eq!(world.remote.read("example.net").unwrap(), zone(today * 100 + 1, NEW) + "later A 192.0.2.9\n");
    assert_eq!(world.remote.git(&["status", "--porcelain"]).unwrap(), " M example.net\n");

    // With --all, git's index is one of its own until the hook has ended.
    world.git(&["push", "origin", "HEAD"]).fine();
    world.write(&[("example.org", &zone(8, ""))]);
    world.git(&["commit", "--all", "--message", "All"]).fine().with("example.org: serial 8 -> 9");
    assert_eq!(head(&world, "example.org"), zone(9, ""));
    assert_eq!(world.remote.git(&["status", "--porcelain"]).unwrap(), "");

    // With a path named it is another one, where nothing can be fixed.
    world.git(&["push", "origin", "HEAD"]).fine();
    world.write(&[("example.org", &zone(9, NEW))]);
    let refused = world.git(&["commit", "--message", "One", "--", "example.org"]);
    refused.refused().with("a commit of single paths is not mended").with("still 9");
    // What cannot be fixed is still refused, together with what could be.
    world.write(&[("example.org", &zone(9, "new A 192.0.2.300\n"))]);
    world.git(&["commit", "--all", "--message", "Bad"]).refused().with("example.org:6:7");
}

#[test]
fn bump() {
    let world = world();
    let clone = world.remote.clone_path();
    said(&mut world.hook(&["bump", "example.org"], clone)).fine().with("example.org: serial 7 -> 8");
    assert_eq!(world.remote.read("example.org").unwrap(), zone(8, ""));
    // Above what is committed, too, whatever the file says.
    world.write(&[("example.org", &zone(3, NEW))]);
    said(&mut world.hook(&["bump", "./example.org"], clone)).fine().with("example.org: serial 3 -> 8");
    // From below the top, with the name in any letter case, in a file with its suffix, and with the SOA elsewhere.
    fs::create_dir(clone.join("parts")).unwrap();
    fs::rename(clone.join("example.org"), clone.join("example.org.zone")).unwrap();
    let soa = "@ SOA ns1 hostmaster ( 5 ; kept\n 2h 15m 2w 5m )\n";
    world.write(&[("parts/soa", soa), ("example.com", "$TTL 1\n$INCLUDE parts/soa\n@ NS ns.example.net.\n")]);
    let said_ = said(&mut world.hook(&["bump", "EXAMPLE.org", "example.com"], &clone.join("parts")));
    said_.fine().with("example.org.zone: serial 8 -> 9").with("example.com: serial 5 -> 6");
    assert_eq!(
        world.remote.read("parts/soa").unwrap(),
        soa.replace('5', "6").replace("16m", "15m").replace("6m )", "5m )")
    );
    said(&mut world.hook(&["bump", "example.edu"], clone)).refused().with("there is no file of the zone example.edu");
    world.write(&[("example.com", "no zone\n")]);
    said(&mut world.hook(&["bump", "example.com"], clone)).refused().with("example.com:1:4");
}

#[test]
fn colours_on_a_terminal_only() {
    let world = world();
    world.write(&[("example.org", &zone(7, "new A 192.0.2.300\n"))]);
    let commit = "git commit --all --message Bad";
    world.git(&["commit", "--all", "--message", "Bad"]).refused().without("\u{1b}[");
    let on_terminal = |environment: &str| {
        let mut script = Command::new("script");
        script.current_dir(world.remote.clone_path()).args(["--quiet", "--return", "--command"]);
        said(script.arg(format!("env TERM=xterm {environment} {commit}")).arg("/dev/null"))
    };
    on_terminal("").refused().with("\u{1b}[").with("192.0.2.300");
    on_terminal("NO_COLOR=1").refused().without("\u{1b}[").with("192.0.2.300");
}
