//! Reasons for refusing a push, each identified by its message.

use crate::world::{World, zone};

const SECRET: &str = "rpOTa8Rrp97QTxoUSaCXCHbMw5Sy9WAsqOSsBBFkJug=";

/// A push of `files` on top of a good `example.org` of serial 7 is refused with all of `words`, and changes nothing.
#[track_caller]
fn refused(world: &World, files: &[(&str, &str)], words: &[&str]) {
    let before = world.remote.git_bare(&["rev-parse", "main"]).unwrap();
    let said = world.push(files);
    said.refused().with("pre-receive hook declined").with("nothing of the push to refs/heads/main was taken");
    for word in words {
        said.with(word);
    }
    // Plain: it goes through to whatever the other end is.
    said.without("\u{1b}[3").without("\u{1b}[1");
    assert_eq!(world.remote.git_bare(&["rev-parse", "main"]).unwrap(), before);
    world.reset();
}

#[test]
fn each_kind_of_mistake() {
    let part = zone(1, "$INCLUDE parts/hosts\n");
    let world = World::bare([("example.org", zone(7, "")), ("example.com", part)]);
    world.push(&[("parts/hosts", "h A 192.0.2.1\n"), ("README.md", "What counts?\n"), ("notes (old)", "")]);
    world.push(&[("parts/hosts", "h A 192.0.2.1\n"), ("example.com", &zone(2, "$INCLUDE parts/hosts\n"))]).fine();

    // A line that cannot be read: file, line, column, the line itself, a caret below, the reason.
    let said = ["example.org:6:7: error", "new A 192.0.2.300", "      ^"];
    refused(&world, &[("example.org", &zone(8, "new A 192.0.2.300\n"))], &said);
    // Readable, but not a zone.
    refused(&world, &[("example.org", "$TTL 1\nwww A 192.0.2.1\n")], &["example.org: error", "SOA"]);
    let both = "www CNAME ns1\n";
    refused(&world, &[("example.org", &zone(8, both))], &["example.org:6:1: error", "CNAME"]);
    // A serial number that did not rise, and one that fell.
    let new = "new A 192.0.2.1\n";
    let said = ["example.org:2:22: error", "still 7", "zonule-hook bump"];
    refused(&world, &[("example.org", &zone(7, new))], &said);
    refused(&world, &[("example.org", &zone(6, new))], &["example.org:2:22: error", "from 7 to 6", "RFC 1982"]);
    // One step back on the circle is far ahead, and half of it is neither.
    refused(&world, &[("example.org", &zone(7 + 0x8000_0000, new))], &["not higher"]);
    // A part: told in its own file and line, of a zone whose own file is as it was.
    let said = ["parts/hosts:2:6: error", "h2 A nowhere"];
    refused(&world, &[("parts/hosts", "h A 192.0.2.1\nh2 A nowhere\n")], &said);
    let said = ["example.com:2:22: error", "still 2"];
    refused(&world, &[("parts/hosts", "h A 192.0.2.2\n")], &said);
    // A part that is not there.
    let said = ["example.org:6:", "error", "parts/none"];
    refused(&world, &[("example.org", &zone(8, "$INCLUDE parts/none\n"))], &said);
    // A new zone has no serial number before.
    refused(&world, &[("example.net", &zone(1, "$TTL\n"))], &["example.net:6:1: error"]);
    // Two files for one zone.
    refused(&world, &[("example.org.zone", &zone(8, ""))], &["example.org", "example.org.zone", "keep one of them"]);
    // Keys, and nothing of a secret.
    let line = format!("k._update.example.org. DNSKEY 0 3 99 {SECRET}\n");
    refused(&world, &[("example.org._keys", &line)], &["example.org._keys:1:", "error"]);
    let said = world.push(&[("example.org._keys", &line)]);
    said.refused().without("rpOT");
    world.reset();
}

#[test]
fn all_mistakes_at_once() {
    let world = World::bare([("example.org", zone(7, "")), ("example.net", zone(7, ""))]);
    let bad = zone(8, "a A 192.0.2.300\nb MX 10\nc AAAA ::g\n");
    refused(
        &world,
        &[("example.org", &bad), ("example.net", &zone(7, "new A 192.0.2.1\n")), ("example.com", "no zone")],
        &["example.org:6:", "example.org:7:", "example.org:8:", "example.net:2:22", "example.com:1:", "mistakes"],
    );
}

#[test]
fn what_is_no_mistake() {
    let world = World::bare([("example.org", zone(7, ""))]);
    // Comments and the order of lines are not a zone's content.
    let moved = zone(7, "").replace("www A 192.0.2.80\n", "") + "; for later\n";
    world.push(&[("example.org", &(moved + "www A 192.0.2.80\n"))]).fine().without("zonule-hook");
    world
        .push(&[("README.md", "@ A nowhere\n"), ("sub/dir/example.net", "no zone\n"), (".editorconfig", "x\n")])
        .fine();
    let key = format!("k._update.example.org. DNSKEY 0 3 163 {SECRET}\n");
    world.push(&[("example.org._keys", &key), ("example.net", &zone(1, ""))]).fine();
    // Renamed, it is the same zone.
    world.remote.git(&["mv", "example.org", "example.org.zone"]).unwrap();
    world.push(&[]).fine();
    // Warnings are printed, and the push is accepted.
    world.push(&[("example.net", &zone(2, "@ MX 10 nobody\n"))]).fine().with("example.net:6:").with("warning");
    // Round the circle.
    world.push(&[("example.net", &zone(0x8000_0001, ""))]).fine();
    world.push(&[("example.net", &zone(0, "new A 192.0.2.1\n"))]).fine();
}

#[test]
fn zones_are_deleted_on_purpose() {
    let world = World::bare([("example.org", zone(7, "")), ("example.net", zone(1, "")), ("example.com", zone(1, ""))]);
    world.remote.remove("example.org").unwrap();
    refused(&world, &[], &["example.org", "deleted", "git push -o zonule.delete="]);
    world.remote.remove("example.org").unwrap();
    world.remote.remove("example.net").unwrap();
    world.commit("Two");
    let push = |option: &str| world.git(&["push", "-o", option, "origin", "HEAD"]);
    push("zonule.delete=example.org").refused().with("example.net").without("zone example.org. is");
    push("zonule.delete=a..b").refused().with("neither true nor a zone's name");
    push("zonule.remove=example.org").refused().with("there is no push option zonule.remove=example.org");
    world
        .git(&["push", "-o", "zonule.delete=example.org", "-o", "zonule.delete=EXAMPLE.NET.", "-o", "other", "origin"])
        .fine();

    // For good, by a setting of the repository.
    world.remote.git_bare(&["config", "zonule.allowDeletion", "true"]).unwrap();
    world.remote.remove("example.com").unwrap();
    world.push(&[]).fine();
}

#[test]
fn a_setting_that_makes_no_sense_refuses() {
    let world = World::bare([("example.org", zone(7, ""))]);
    world.remote.git_bare(&["config", "zonule.allowDeletoin", "true"]).unwrap();
    let said = world.push(&[("example.org", &zone(8, ""))]);
    said.refused().with("zonule.allowdeletoin").with("there is no such setting");
}
