//! What scenarios of secondaries share: a server, and others that follow it through proxies that record what passes.

use zonule_harness::{
    Algorithm, Boot, Client, Console, Form, Key, Make, Neighbour, Port, Remote, Sandbox, Server, Setup, Target,
    Transport, Way, serial, whole_zone,
};

/// The zone that is followed.
pub(crate) const ZONE: &str = "example.org";

/// The text of a small zone that secondaries refresh once an hour, and retry every two seconds, with `more` lines at its end.
pub(crate) fn zone(serial: u32, more: &str) -> String {
    timed_zone(serial, "3600 2 3600000", more)
}

/// The same with these timers: refresh, retry and expire, in seconds.
pub(crate) fn timed_zone(serial: u32, timers: &str, more: &str) -> String {
    format!(
        "$TTL 300\n@ SOA ns1 hostmaster {serial} {timers} 300\n@ NS ns1\nns1 A 192.0.2.53\nwww A 192.0.2.80\n\
         text TXT \"two words\" \"and more\"\n{more}"
    )
}

/// Some of a zone that stays as it is: differences shall be small beside it.
pub(crate) fn ballast() -> String {
    (0..200).map(|number| format!("stays{number} TXT \"a record of some length, number {number}\"\n")).collect()
}

/// Numbers that look random and are the same in every run.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        // Knuth's MMIX; the upper bits are the better ones.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32 % bound
    }
}

/// A server that takes our zones.
pub(crate) struct Follower {
    pub(crate) neighbour: Neighbour,
    /// By which it is notified.
    pub(crate) way: Way,
}

/// Our server as the primary of others; dropped in this order.
pub(crate) struct Leading {
    pub(crate) followers: Vec<Follower>,
    server: Option<Server>,
    /// By which the followers come.
    pub(crate) way: Way,
    boot: Boot,
    boots: u32,
    pub(crate) remote: Remote,
    pub(crate) sandbox: Sandbox,
    /// May change all of [`ZONE`], and transfer it.
    pub(crate) key: Key,
}

impl Leading {
    /// Starts `target` on a small [`ZONE`] and `makes` as its secondaries, each with a key of this algorithm; waits until
    /// all serve it.
    pub(crate) fn start(target: &Target, makes: &[(Make, Algorithm)]) -> Leading {
        Leading::with_zone(target, makes, &zone(1, ""), &[], 256)
    }

    /// The same on a zone of this text, with more boot `arguments` and so much memory in MiB.
    pub(crate) fn with_zone(
        target: &Target,
        makes: &[(Make, Algorithm)],
        text: &str,
        arguments: &[&str],
        memory_mib: u32,
    ) -> Leading {
        let sandbox = Sandbox::new("secondaries").unwrap();
        let key = Key::new("laptop._update.example.org").unwrap();
        let files = [(ZONE.to_owned(), text.to_owned()), (format!("{ZONE}._keys"), key.line())];
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        let mut boot = target.boot().remote(&remote).memory_mib(memory_mib).argument("--rate-limit=off");
        boot = arguments.iter().fold(boot, |boot, argument| boot.argument(*argument));
        let mut setups = Vec::new();
        for (number, (make, algorithm)) in makes.iter().enumerate() {
            let key = Key::with_algorithm(&format!("f{number}._transfer.{ZONE}"), *algorithm).unwrap();
            let setup = Setup::new(*make, sandbox.path()).unwrap().takes(ZONE);
            let way = Way::to(setup.address()).unwrap();
            let notify = format!("--notify={}:{},{}", target.host(), way.address().port(), key.name);
            boot = boot.argument(key.argument()).argument(notify);
            setups.push((setup, way, key));
        }
        let mut server = start(&boot, &sandbox, 0);
        server.until_serving(ZONE).unwrap();
        let way = Way::to(server.address()).unwrap();
        let follow = |(setup, to, key): (Setup, Way, Key)| {
            let neighbour = setup.from(way.address(), Some(&key)).start().unwrap();
            Follower { neighbour, way: to }
        };
        let followers: Vec<Follower> = setups.into_iter().map(follow).collect();
        let leading = Leading { followers, server: Some(server), way, boot, boots: 1, remote, sandbox, key };
        leading.until_followed(1);
        leading
    }

    /// The server; there always is one but while it reboots.
    pub(crate) fn server(&mut self) -> &mut Server {
        self.server.as_mut().expect("a server")
    }

    /// Ends the server and starts it again, without anything it knew.
    pub(crate) fn reboot(&mut self) {
        self.server = None;
        let server = start(&self.boot, &self.sandbox, self.boots);
        self.boots += 1;
        self.way.lead_to(server.address());
        self.server = Some(server);
        self.server().until_serving(ZONE).unwrap();
    }

    /// Ends the server, does something, and starts it again.
    pub(crate) fn while_down(&mut self, something: impl FnOnce(&Remote)) {
        self.server = None;
        something(&self.remote);
        let server = start(&self.boot, &self.sandbox, self.boots);
        self.boots += 1;
        self.way.lead_to(server.address());
        self.server = Some(server);
    }

    /// Ends the server and starts it again, whether or not it will serve the zone.
    pub(crate) fn reboot_any(&mut self) {
        self.while_down(|_| {});
    }

    /// Starts another server of the same zones, which nobody follows yet.
    pub(crate) fn another(&mut self) -> Server {
        let server = start(&self.boot, &self.sandbox, self.boots);
        self.boots += 1;
        server
    }

    /// Waits until all followers serve the version of this serial.
    pub(crate) fn until_followed(&self, serial: u32) {
        for follower in &self.followers {
            follower.neighbour.until_serial(ZONE, serial).unwrap();
        }
    }

    /// Waits until the server serves the version of this serial.
    pub(crate) fn until_serial(&mut self, wanted: u32) {
        self.server()
            .until(&format!("serial {wanted}"), |server| (serial(server.address(), ZONE)? == wanted).then_some(()))
            .unwrap();
    }

    /// Commits a change of the zone's text as a person does, who raises the serial; returns it. Nothing is pushed.
    pub(crate) fn commit(&self, change: impl FnOnce(&mut String)) -> u32 {
        let mut text = self.remote.read(ZONE).unwrap();
        let (begin, rest) = text.split_once("hostmaster ").unwrap();
        let (old, end) = rest.split_once(' ').unwrap();
        let serial = old.parse::<u32>().unwrap() + 1;
        text = format!("{begin}hostmaster {serial} {end}");
        change(&mut text);
        self.remote.write(ZONE, text).unwrap();
        self.remote.git(&["commit", "--quiet", "--all", "--message", &format!("Change to {serial}")]).unwrap();
        serial
    }

    /// Pulls, makes a change as [`Leading::commit`] does, and pushes it; returns the new serial.
    pub(crate) fn push(&self, change: impl FnOnce(&mut String)) -> u32 {
        self.remote.pull().unwrap();
        let serial = self.commit(change);
        self.remote.git(&["push", "--quiet", "origin", "HEAD"]).unwrap();
        serial
    }

    /// Updates the zone with `nsupdate`, which must be accepted.
    pub(crate) fn update(&mut self, operations: &[&str]) {
        let address = self.server().address();
        let outcome = Client::Nsupdate.update(address, Transport::Udp, Some(&self.key), ZONE, operations).unwrap();
        assert_eq!(outcome.status, "NOERROR", "{operations:?}: {}", outcome.text);
    }

    /// The serial that is served.
    pub(crate) fn serial(&mut self) -> u32 {
        serial(self.server().address(), ZONE).unwrap()
    }

    /// Waits until all followers have what the server serves and git holds, and compares the whole zones; returns the
    /// records.
    pub(crate) fn compare(&mut self) -> Vec<String> {
        let mut head: Vec<String> = self.remote.records(ZONE, self.sandbox.path()).unwrap();
        head.iter_mut().for_each(|record| record.make_ascii_lowercase());
        head.sort_unstable();
        let key = self.key.clone();
        let served = self.server().until("what is served is the head", |server| {
            whole_zone(server.address(), ZONE, Some(&key)).ok().filter(|served| *served == head)
        });
        let served = served.unwrap();
        let serial = self.serial();
        self.until_followed(serial);
        for follower in &self.followers {
            let theirs = whole_zone(follower.neighbour.address(), ZONE, None).unwrap();
            assert_eq!(theirs, served, "{}", follower.neighbour.make());
        }
        served
    }

    /// Asserts that all transfers since they were last forgotten were incremental, and each follower had at least one.
    pub(crate) fn assert_incremental(&self) {
        let forms = self.way.transfers(ZONE);
        assert!(
            forms.len() >= self.followers.len() && forms.iter().all(|form| *form == Form::Incremental),
            "{forms:?}: {:#?}",
            self.way.passed()
        );
    }
}

fn start(boot: &Boot, sandbox: &Sandbox, boots: u32) -> Server {
    let console = Console::File(sandbox.path().join(format!("console-{boots}.log")));
    boot.clone().start_on(Port::new(), console).unwrap()
}
