//! Ten thousand zones: only what changed is read.

use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::Instant;

use crate::world::{World, zone};

#[test]
fn ten_thousand_zones() {
    let files = (0..10_000).map(|number| (format!("z{number}.example"), zone(1, "")));
    let world = World::bare(files);
    world.write(&[("z77.example", &zone(2, "new A 192.0.2.1\n")), ("z7.example", &zone(1, "new A 192.0.2.1\n"))]);
    world.commit("Two of them");
    let start = Instant::now();
    world.git(&["push", "origin", "HEAD"]).refused().with("z7.example:2:22").with("1 mistake;");
    println!("10,000 zones, two changed: refused after {:.3} s", start.elapsed().as_secs_f32());
    world.write(&[("z7.example", &zone(2, "new A 192.0.2.1\n"))]);
    world.commit("Mended");
    let old = world.remote.git_bare(&["rev-parse", "main"]).unwrap();
    let start = Instant::now();
    world.git(&["push", "origin", "HEAD"]).fine();
    println!("10,000 zones, two changed: taken after {:.3} s", start.elapsed().as_secs_f32());

    // The same again as git would have the hook run, with a git that counts what it is asked to read.
    let directory = world.sandbox.path().join("counting");
    let (log, program) = (directory.join("log"), directory.join("git"));
    fs::create_dir(&directory).unwrap();
    let script = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\necho \"$1\" >>{0}.runs\nif [ \"$1\" = cat-file ]; then tee -a {0} | git \"$@\"; \
         else exec git \"$@\"; fi\n",
        log.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    let new = world.remote.git_bare(&["rev-parse", "main"]).unwrap();
    let start = Instant::now();
    let mut hook = world.hook(&["pre-receive"], &world.bare_path());
    let mut child = hook.env("PATH", path).stdin(Stdio::piped()).spawn().unwrap();
    let line = format!("{} {} refs/heads/main\n", old.trim(), new.trim());
    child.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    println!("10,000 zones, two changed: the hook alone took {:.3} s", start.elapsed().as_secs_f32());
    let reads = fs::read_to_string(&log).unwrap().lines().count();
    assert_eq!(reads, 4, "the files of two zones, before and after");
    let runs = fs::read_to_string(log.with_extension("runs")).unwrap();
    assert_eq!(runs.lines().filter(|run| *run == "cat-file").count(), 1, "{runs}");
    assert!(runs.lines().count() < 10, "{runs}");
}
