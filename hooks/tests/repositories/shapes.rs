//! Pushes of every shape: new branches, merges, rewritten history, tags, deletions, quarantine.

use crate::world::{World, said, zone};

fn world() -> World {
    World::bare([("example.org", zone(7, "")), ("example.net", zone(7, "")), ("example.com", zone(7, ""))])
}

const BAD: &str = "new A 192.0.2.300\n";

#[test]
fn the_first_push_of_all() {
    let world = world();
    let fresh = world.sandbox.path().join("fresh.git");
    world.remote.git(&["init", "--quiet", "--bare", "--initial-branch=main", fresh.to_str().unwrap()]).unwrap();
    said(&mut world.hook(&["install"], &fresh)).fine();
    let fresh = fresh.to_str().unwrap();
    world.write(&[("example.org", &zone(8, BAD))]);
    world.commit("Bad");
    world.git(&["push", fresh, "HEAD:main"]).refused().with("example.org:6:7");
    world.write(&[("example.org", &zone(8, ""))]);
    world.commit("Good");
    world.git(&["push", fresh, "HEAD:main"]).fine();
    // The history has a bad commit now, and nobody is ever served from that.
    assert!(world.remote.git(&["log", "--format=%s"]).unwrap().contains("Bad"));
}

#[test]
fn only_the_served_branch_counts() {
    let world = world();
    world.write(&[("example.org", &zone(7, BAD))]);
    world.commit("Bad");
    world.git(&["push", "origin", "HEAD:refs/heads/draft"]).fine().without("error");
    // A branch of several in one push: nothing of it is taken.
    let both = ["push", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/other"];
    world.git(&both).refused().with("refs/heads/main was taken");
    assert!(!world.remote.git_bare(&["branch", "--list"]).unwrap().contains("other"));
    // Another branch, set as the one that is served.
    world.remote.git_bare(&["config", "zonule.branch", "release"]).unwrap();
    world.git(&["push", "origin", "HEAD:refs/heads/release"]).refused().with("example.org:6:7");
    world.git(&["push", "origin", "HEAD:refs/heads/main"]).fine();
    world.write(&[("example.org", &zone(7, ""))]);
    world.commit("Good");
    world.git(&["push", "origin", "HEAD:refs/heads/release"]).fine();
    // If nobody says which one is served, nothing is let through on a guess.
    world.remote.git_bare(&["config", "--unset", "zonule.branch"]).unwrap();
    world.remote.git_bare(&["update-ref", "--no-deref", "HEAD", "main"]).unwrap();
    world.git(&["push", "origin", "HEAD:refs/heads/third"]).refused().with("git config zonule.branch");
}

#[test]
fn merges_are_judged_by_what_comes_of_them() {
    let world = world();
    // Three branches, each changing a zone of its own.
    let zones = ["example.org", "example.net", "example.com"];
    for name in zones {
        world.remote.git(&["checkout", "--quiet", "-b", &format!("topic-{name}"), "main"]).unwrap();
        world.write(&[(name, &zone(8, "new A 192.0.2.1\n"))]);
        world.commit("Topic");
    }
    world.remote.git(&["checkout", "--quiet", "main"]).unwrap();
    let topics = zones.map(|name| format!("topic-{name}"));
    let topics = topics.each_ref().map(String::as_str);
    let merge = [["merge", "--quiet", "--no-ff", "-m", "Octopus"].as_slice(), &topics];
    world.remote.git(&merge.concat()).unwrap();
    let parents = world.remote.git(&["log", "-1", "--format=%P"]).unwrap();
    assert_eq!(parents.split_whitespace().count(), 4, "{parents}");
    world.git(&["push", "origin", "main"]).fine();

    // Two people who raised to the same number: each alone is right, together they are not.
    world.remote.git(&["checkout", "--quiet", "-b", "mine", "main"]).unwrap();
    world.write(&[("example.org", &zone(9, "new A 192.0.2.1\nmine A 192.0.2.2\n"))]);
    world.commit("Mine");
    world.remote.git(&["checkout", "--quiet", "main"]).unwrap();
    world.push(&[("example.org", &zone(9, "theirs A 192.0.2.3\nnew A 192.0.2.1\n"))]).fine();
    world.remote.git(&["merge", "--quiet", "-m", "Both", "mine"]).unwrap();
    world.git(&["push", "origin", "main"]).refused().with("example.org:2:22").with("still 9");
    world.write(&[("example.org", &zone(10, "theirs A 192.0.2.3\nnew A 192.0.2.1\nmine A 192.0.2.2\n"))]);
    world.remote.git(&["commit", "--quiet", "--all", "--no-verify", "--amend", "--no-edit"]).unwrap();
    world.git(&["push", "origin", "main"]).fine();
}

#[test]
fn rewritten_history_is_compared_with_what_was_served() {
    let world = world();
    world.push(&[("example.org", &zone(8, "new A 192.0.2.1\n"))]).fine();
    let rewrite = |serial, more: &str| {
        world.write(&[("example.org", &zone(serial, more))]);
        world.remote.git(&["commit", "--quiet", "--all", "--no-verify", "--amend", "--message", "Other"]).unwrap();
        world.git(&["push", "--force", "origin", "main"])
    };
    rewrite(8, "other A 192.0.2.2\n").refused().with("still 8");
    rewrite(9, "other A 192.0.2.2\n").fine();
    // Back to the beginning: nobody would follow.
    world.remote.git(&["reset", "--quiet", "--hard", "HEAD~1"]).unwrap();
    world.git(&["push", "--force", "origin", "main"]).refused().with("from 9 to 7");
    // A history that has nothing in common with it.
    world.remote.git(&["checkout", "--quiet", "--orphan", "fresh"]).unwrap();
    world.write(&[("example.org", &zone(10, ""))]);
    world.commit("Anew");
    world.git(&["push", "--force", "origin", "fresh:main"]).fine();
}

#[test]
fn tags_and_other_references() {
    let world = world();
    world.write(&[("example.org", &zone(7, BAD))]);
    world.commit("Bad");
    world.remote.git(&["tag", "light"]).unwrap();
    world.remote.git(&["tag", "--annotate", "--message", "heavy", "heavy"]).unwrap();
    world.remote.git(&["tag", "blob", "HEAD:example.org"]).unwrap();
    world.git(&["push", "origin", "light", "heavy", "blob", "HEAD:refs/notes/x"]).fine();
    world.git(&["push", "origin", "--delete", "light", "heavy"]).fine();
}

#[test]
fn the_served_branch_is_not_deleted_by_mistake() {
    let world = world();
    world.remote.git_bare(&["config", "zonule.branch", "release"]).unwrap();
    world.git(&["push", "origin", "main:release"]).fine();
    world.git(&["push", "origin", "main:topic"]).fine();
    world.git(&["push", "origin", "--delete", "topic"]).fine();
    world.git(&["push", "origin", "--delete", "release"]).refused().with("would delete all zones");
    world.git(&["push", "-o", "zonule.delete=true", "origin", "--delete", "release"]).fine();
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let world = world();
    world.write(&[("example.org", &zone(8, BAD))]);
    world.commit("Bad");
    let objects = || world.remote.git_bare(&["count-objects", "-v"]).unwrap();
    let before = objects();
    // Both kinds of quarantine: loose objects, and a pack.
    world.git(&["push", "origin", "main"]).refused();
    world.remote.git_bare(&["config", "receive.unpackLimit", "1"]).unwrap();
    world.git(&["push", "origin", "main"]).refused().with("example.org:6:7");
    assert_eq!(objects(), before);
    world.write(&[("example.org", &zone(8, ""))]);
    world.commit("Good");
    world.git(&["push", "origin", "main"]).fine();
    assert_ne!(objects(), before);
}

#[test]
fn the_update_hook_does_the_same() {
    let world = world();
    world.remote.unhook("pre-receive").unwrap();
    world.remote.hook("update", &format!("exec '{}' update \"$@\"", crate::world::HOOK)).unwrap();
    world.push(&[("example.org", &zone(7, BAD))]).refused().with("example.org:6:7").with("hook declined to update");
    world.push(&[("example.org", &zone(8, ""))]).fine();
}
