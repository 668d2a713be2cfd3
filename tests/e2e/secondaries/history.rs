//! A serial number stands for one version: whatever people do to the branch, no secondary keeps other contents.
//!
//! A world is a sequence of random steps: merges either way, amends, force-pushes back and forth, reverts, cherry-picks,
//! renames, parts, other letters, updates, reboots, pushes while no server runs, a second server. After each, what the servers
//! give is noted down, and each serial number must stand for one version; what secondaries have must be what was served under
//! their number. They sleep now and then, so that they ask for differences from long ago, of a server that has been booted since.
//!
//! `ZONULE_SEEDS=20` runs that many more worlds, `ZONULE_SEED=7` just the one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use zonule_harness::{
    Algorithm, Client, Form, Make, Remote, Server, Target, Transport, eventually, serial, whole_zone,
};

use crate::secondaries::scene::{Leading, Random, ZONE, ballast, zone};

const MAKES: [(Make, Algorithm); 3] =
    [(Make::Bind, Algorithm::Sha256), (Make::Knot, Algorithm::Sha256), (Make::Nsd, Algorithm::Sha256)];

/// The names the zone's file may have.
const FILES: [&str; 2] = [ZONE, "example.org.zone"];

/// Goes on after git has failed, as it may where a merge or a cherry-pick comes to nothing.
fn try_git(remote: &Remote, arguments: &[&str]) -> bool {
    let done = remote.git(arguments).is_ok();
    if !done {
        for abort in [&["merge", "--abort"][..], &["cherry-pick", "--abort"], &["revert", "--abort"]] {
            let _ = remote.git(abort);
        }
        remote.git(&["reset", "--quiet", "--hard"]).unwrap();
    }
    done
}

/// The zone's file in the clone.
fn file(remote: &Remote) -> Option<&'static str> {
    FILES.into_iter().find(|file| remote.clone_path().join(file).exists())
}

/// The text of a zone file with another serial number.
fn with_serial(text: &str, change: impl FnOnce(u32) -> u32) -> String {
    let (begin, rest) = text.split_once("hostmaster ").unwrap();
    let (old, end) = rest.split_once(' ').unwrap();
    format!("{begin}hostmaster {} {end}", change(old.parse().unwrap()))
}

struct World {
    scene: Leading,
    other: Option<Server>,
    random: Random,
    /// What was served under which serial number.
    served: BTreeMap<u32, Vec<String>>,
    /// Commits to go back to.
    known: Vec<String>,
    asleep: BTreeSet<usize>,
    steps: Vec<String>,
}

impl World {
    fn new(target: &Target, seed: u32) -> World {
        let scene = Leading::with_zone(target, &MAKES, &zone(1, &ballast()), &["--git-history=60"], 256);
        let known = vec![scene.remote.head().unwrap()];
        let random = Random::new(u64::from(seed));
        World { scene, other: None, random, served: BTreeMap::new(), known, asleep: BTreeSet::new(), steps: Vec::new() }
    }

    /// Changes the zone in the clone and commits that; the serial number is raised, or not.
    fn edit(&mut self, raise: u32) {
        let remote = &self.scene.remote;
        let Some(file) = file(remote) else {
            return self.put_back();
        };
        if file != FILES[1] {
            let _ = remote.remove(FILES[1]);
        }
        let mut text = with_serial(&remote.read(file).unwrap(), |serial| serial + raise);
        let host = self.random.below(6);
        let keep = |line: &&str| !line.to_ascii_lowercase().starts_with(&format!("h{host} "));
        text = text.lines().filter(keep).fold(String::new(), |text, line| text + line + "\n");
        match self.random.below(4) {
            0 => {}
            1 => writeln!(text, "H{host} A 192.0.2.{}", self.random.below(200)).unwrap(),
            _ => writeln!(text, "h{host} A 192.0.2.{}", self.random.below(200)).unwrap(),
        }
        remote.write(file, text).unwrap();
        self.commit();
    }

    fn commit(&self) {
        self.scene.remote.git(&["add", "--all"]).unwrap();
        self.scene.remote.git(&["commit", "--quiet", "--allow-empty", "--message", "A change"]).unwrap();
    }

    /// Makes the zone's file anew, of what it once was, changed, and with whatever serial number it had.
    fn put_back(&mut self) {
        let remote = &self.scene.remote;
        let at = self.random.below(self.known.len() as u32) as usize;
        let text = FILES.iter().find_map(|file| remote.git(&["show", &format!("{}:{file}", self.known[at])]).ok());
        let mut text = text.unwrap_or_else(|| zone(1, &ballast()));
        if self.random.below(2) == 0 {
            writeln!(text, "back{} A 192.0.2.1", self.random.below(100)).unwrap();
        }
        for name in FILES {
            let _ = remote.remove(name);
        }
        remote.write(ZONE, text).unwrap();
        self.commit();
    }

    /// Follows the branch without a merge.
    fn pull(&self) {
        self.scene.remote.git(&["fetch", "--quiet", "origin"]).unwrap();
        self.scene.remote.git(&["reset", "--quiet", "--hard", "origin/main"]).unwrap();
    }

    fn push(&mut self) {
        let remote = &self.scene.remote;
        remote.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]).unwrap();
        self.known.push(remote.git(&["rev-parse", "HEAD"]).unwrap().trim().to_owned());
    }

    fn update(&mut self) {
        let (host, value) = (self.random.below(6), self.random.below(200));
        let operation = match self.random.below(4) {
            0 => format!("update delete h{host}.{ZONE}."),
            _ => format!("update add h{host}.{ZONE}. 300 A 192.0.2.{value}"),
        };
        let address = self.scene.server().address();
        let key = self.scene.key.clone();
        let outcome = Client::Nsupdate.update(address, Transport::Udp, Some(&key), ZONE, &[&operation]).unwrap();
        // A zone that is gone just now cannot be updated.
        self.steps.push(format!("  {operation}: {}", outcome.status));
    }

    /// One step, which is told by its name.
    fn step(&mut self) {
        let kinds = 17;
        let kind = self.random.below(kinds);
        let raise = self.random.below(2);
        self.steps.push(format!("step {kind}, raise {raise}"));
        match kind {
            // What everybody does.
            0 | 1 => {
                self.pull();
                self.edit(raise);
                self.push();
            }
            2 => self.update(),
            // A merge, theirs into ours and ours into theirs; updates come in between.
            3 | 4 => {
                self.pull();
                self.edit(1);
                self.update();
                self.scene.remote.git(&["fetch", "--quiet", "origin"]).unwrap();
                if kind == 4 {
                    self.scene.remote.git(&["branch", "--force", "mine"]).unwrap();
                    self.scene.remote.git(&["reset", "--quiet", "--hard", "origin/main"]).unwrap();
                }
                let side = if self.random.below(2) == 0 { "ours" } else { "theirs" };
                let from = if kind == 4 { "mine" } else { "origin/main" };
                try_git(
                    &self.scene.remote,
                    &["merge", "--quiet", "--no-ff", "--no-edit", "--strategy-option", side, from],
                );
                self.push();
            }
            // Amended after it was served.
            5 | 6 => {
                self.pull();
                self.edit(raise);
                self.push();
                self.settle();
                self.edit(0);
                self.scene.remote.git(&["reset", "--quiet", "--soft", "HEAD~2"]).unwrap();
                self.commit();
                if kind == 5 {
                    self.push();
                } else {
                    self.push_while_down();
                }
            }
            // Back to what was, and forth again.
            7 | 8 => {
                let at = self.random.below(self.known.len() as u32) as usize;
                let commit = self.known[at].clone();
                self.scene.remote.git(&["reset", "--quiet", "--hard", &commit]).unwrap();
                if self.random.below(2) == 0 {
                    self.edit(raise);
                }
                if kind == 7 {
                    self.push();
                } else {
                    self.push_while_down();
                }
            }
            9 => {
                self.pull();
                try_git(&self.scene.remote, &["revert", "--no-edit", "--strategy-option", "theirs", "HEAD"]);
                self.push();
            }
            10 => {
                self.pull();
                let at = self.random.below(self.known.len() as u32) as usize;
                let commit = self.known[at].clone();
                let pick = [
                    "cherry-pick",
                    "--allow-empty",
                    "--keep-redundant-commits",
                    "--strategy-option",
                    "theirs",
                    &commit,
                ];
                try_git(&self.scene.remote, &pick);
                self.push();
            }
            11 => {
                self.pull();
                if let Some(file) = file(&self.scene.remote) {
                    let other = FILES[usize::from(file == FILES[0])];
                    self.scene.remote.git(&["mv", file, other]).unwrap();
                }
                self.edit(raise);
                self.push();
            }
            // Gone, and back.
            12 => {
                self.pull();
                if let Some(file) = file(&self.scene.remote) {
                    self.scene.remote.remove(file).unwrap();
                    self.commit();
                    self.push();
                    self.settle();
                }
                self.put_back();
                self.push();
            }
            // A part changes, and the zone with it.
            13 => {
                self.pull();
                if let Some(file) = file(&self.scene.remote) {
                    let text = self.scene.remote.read(file).unwrap();
                    if !text.contains("$INCLUDE") {
                        self.scene.remote.write(file, text + "$INCLUDE parts/more\n").unwrap();
                    }
                    std::fs::create_dir_all(self.scene.remote.clone_path().join("parts")).unwrap();
                    let part = format!("part A 192.0.2.{}\n", self.random.below(200));
                    self.scene.remote.write("parts/more", part).unwrap();
                    self.commit();
                }
                self.push();
            }
            14 => self.scene.reboot_any(),
            15 => {
                self.pull();
                self.edit(raise);
                self.push_while_down();
            }
            _ => match self.other.take() {
                None => self.other = Some(self.scene.another()),
                Some(other) => {
                    // They follow the other one for a while, or it ends.
                    let address = self.scene.server().address();
                    let to_other = self.random.below(2) == 0;
                    self.scene.way.lead_to(if to_other { other.address() } else { address });
                    self.other = Some(other).filter(|_| to_other);
                }
            },
        }
        // Who sleeps misses a few.
        for at in 0..self.scene.followers.len() {
            if self.random.below(3) == 0 {
                let neighbour = &self.scene.followers[at].neighbour;
                if self.asleep.remove(&at) {
                    neighbour.wake().unwrap();
                } else {
                    neighbour.sleep().unwrap();
                    self.asleep.insert(at);
                }
            }
        }
    }

    /// Pushes while the server is down; the other one may see it.
    fn push_while_down(&mut self) {
        self.scene.while_down(|remote| {
            remote.git(&["push", "--quiet", "--force", "origin", "HEAD:main"]).unwrap();
        });
        let commit = self.scene.remote.git(&["rev-parse", "HEAD"]).unwrap();
        self.known.push(commit.trim().to_owned());
    }

    /// Waits until what is served is what git has.
    fn settle(&mut self) {
        let addresses: Vec<SocketAddr> = self.addresses();
        let (remote, scratch) = (&self.scene.remote, self.scene.sandbox.path().to_owned());
        let key = self.scene.key.clone();
        for address in addresses {
            let outcome = eventually("what is served is what git has", || {
                let names = remote.git_bare(&["ls-tree", "--name-only", "main"]).ok()?;
                if FILES.into_iter().all(|file| names.lines().any(|name| name == file)) {
                    // Two files of one zone are an error: what was served stays served.
                    return Some(());
                }
                let file = FILES.into_iter().find(|file| names.lines().any(|name| name == *file));
                let Some(file) = file else { return serial(address, ZONE).is_none().then_some(()) };
                let mut head = remote.records_of(ZONE, file, &scratch).ok()?;
                head.iter_mut().for_each(|record| record.make_ascii_lowercase());
                head.sort_unstable();
                (whole_zone(address, ZONE, Some(&key)).ok()? == head).then_some(())
            });
            outcome.unwrap_or_else(|error| panic!("{error}\n{}", self.steps.join("\n")));
        }
        self.check();
    }

    fn addresses(&mut self) -> Vec<SocketAddr> {
        [Some(self.scene.server().address()), self.other.as_ref().map(Server::address)].into_iter().flatten().collect()
    }

    /// Notes down what is served, and compares with it what secondaries have.
    fn check(&mut self) {
        let key = self.scene.key.clone();
        for address in self.addresses() {
            let Ok(records) = whole_zone(address, ZONE, Some(&key)) else { continue };
            let serial = serial_of(&records);
            let known = self.served.entry(serial).or_insert_with(|| records.clone());
            assert!(*known == records, "serial {serial} stands for two versions\n{}", self.steps.join("\n"));
        }
        for (at, follower) in self.scene.followers.iter().enumerate() {
            if self.asleep.contains(&at) {
                continue;
            }
            let Ok(records) = whole_zone(follower.neighbour.address(), ZONE, None) else { continue };
            let (serial, make) = (serial_of(&records), follower.neighbour.make());
            // It may have followed to what was served for a moment only; then it is compared at the end.
            if let Some(known) = self.served.get(&serial) {
                let differs: Vec<_> = known.iter().filter(|record| !records.contains(record)).collect();
                assert!(
                    *known == records,
                    "{make} has other contents under serial {serial}, without {differs:?}\n{}\n{:?}",
                    self.steps.join("\n"),
                    self.scene.way.transfers(ZONE)
                );
            }
        }
    }

    /// Wakes all, has them follow, and compares them with what is served.
    fn finish(mut self) -> (usize, usize) {
        for at in std::mem::take(&mut self.asleep) {
            self.scene.followers[at].neighbour.wake().unwrap();
        }
        self.other = None;
        self.pull();
        self.edit(1);
        self.push();
        self.scene.while_down(|_| {});
        self.settle();
        let key = self.scene.key.clone();
        let served = whole_zone(self.scene.server().address(), ZONE, Some(&key)).unwrap();
        self.scene.until_followed(serial_of(&served));
        self.check();
        let forms = self.scene.way.transfers(ZONE);
        let incremental = forms.iter().filter(|form| **form == Form::Incremental).count();
        (incremental, forms.len())
    }
}

/// The serial number of a zone that was transferred.
fn serial_of(records: &[String]) -> u32 {
    let soa = records.iter().find(|record| record.contains(" in soa ")).unwrap();
    soa.split(' ').nth(6).unwrap().parse().unwrap()
}

fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

scenario!(no_history_misleads_a_secondary, |target| {
    let (seeds, steps) = match target {
        Target::Hosted { .. } => (1..=1, 16),
        Target::Image { .. } => (2..=2, 8),
    };
    let more = number("ZONULE_SEEDS").map_or(0..0, |more| 200..200 + more);
    let seeds: Vec<u32> = number("ZONULE_SEED").map_or_else(|| seeds.chain(more).collect(), |seed| vec![seed]);
    let (mut incremental, mut all) = (0, 0);
    for seed in seeds {
        let mut world = World::new(target, seed);
        world.steps.push(format!("ZONULE_SEED={seed}"));
        for _ in 0..steps {
            world.step();
            world.settle();
        }
        let (some, of) = world.finish();
        (incremental, all) = (incremental + some, all + of);
    }
    // Whole zones for all would be right, too, but that is not what differences are for.
    assert!(incremental > 0, "of {all} transfers none was incremental");
    eprintln!("{incremental} of {all} transfers were incremental");
});

scenario!(what_undoes_each_commit_is_left_alone, |target| {
    let mut scene = Leading::start(target, &[(Make::Knot, Algorithm::Sha256)]);
    let head = scene.remote.head().unwrap();
    scene.push(|text| *text = with_serial(text, |serial| serial - 1) + "new A 192.0.2.2\n");
    scene.until_serial(2);
    let undone = scene.remote.git_bare(&["rev-parse", "main~1"]).unwrap();
    assert_ne!(undone.trim(), head);
    // Whatever this server commits is taken back.
    scene.remote.hook("post-receive", &format!("git update-ref refs/heads/main {}", undone.trim())).unwrap();
    scene.remote.git_bare(&["update-ref", "refs/heads/main", undone.trim()]).unwrap();
    scene.server().until_console("something at the remote undoes this server's commits").unwrap();
    let serial = scene.serial();
    assert!(serial <= 6, "{serial}");
    scene.until_followed(serial);
    // A person has the last word.
    scene.remote.unhook("post-receive").unwrap();
    scene.remote.git(&["fetch", "--quiet", "origin"]).unwrap();
    scene.remote.git(&["reset", "--quiet", "--hard", "origin/main"]).unwrap();
    let text = with_serial(&scene.remote.read(ZONE).unwrap(), |_| serial + 1);
    scene.remote.write(ZONE, text + "newer A 192.0.2.3\n").unwrap();
    scene.remote.push("Raise it").unwrap();
    scene.until_serial(serial + 1);
    scene.compare();
});

scenario!(remote_without_a_record_gives_whole_zones_after_a_reboot, |target| {
    let mut scene = Leading::with_zone(target, &[(Make::Knot, Algorithm::Sha256)], &zone(1, &ballast()), &[], 256);
    // The record of the first version is taken away with the right to keep any.
    scene.remote.hook("update", "case $1 in refs/heads/*) exit 0;; esac; echo only branches; exit 1").unwrap();
    scene.remote.git_bare(&["update-ref", "-d", "refs/zonule/served/main"]).unwrap();
    scene.update(&["update add a.example.org. 60 A 192.0.2.1"]);
    scene.until_followed(2);
    scene.server().until_console("does not take the record of what is served").unwrap();
    scene.followers[0].neighbour.sleep().unwrap();
    scene.update(&["update add b.example.org. 60 A 192.0.2.1"]);
    scene.way.forget();
    scene.reboot();
    scene.followers[0].neighbour.wake().unwrap();
    scene.until_followed(3);
    scene.compare();
    assert_eq!(scene.way.transfers(ZONE), [Form::Whole]);
});
