//! Strangers and dead hosts on the link delay nobody else.
//!
//! Each scenario is alone with its server in a network namespace, behind a way of its own, so that the Linux binary and the
//! image are reached alike. The stranger there sends from addresses that answer neither ARP nor anything else.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use zonule_harness::link::{Conditions, Link};
use zonule_harness::wire::{self, Record, class, kind};
use zonule_harness::{
    Client, Console, Key, Process, Remote, Sandbox, Server, Target, Transport, eventually, namespace, serial,
};

use crate::scene::{inside, zone};
use crate::secondaries::notify::receive;
use crate::updates::scene::{KEYS, ZONE};

/// This side's device on the way to the server.
const DEVICE: &str = "near";

/// A notification that comes so late was held up: it takes milliseconds, and three seconds behind one to a neighbour who does
/// not answer.
const HELD_UP: Duration = Duration::from_secs(2);

/// Packets a second: of datagrams, one every three seconds was enough to take nearly all answers; of SYNs, a few dozen a
/// second crowd any listener.
const DATAGRAMS: u32 = 50;
const SYNS: u32 = 500;

/// A server behind a way; dropped in this order.
struct Scene {
    server: Server,
    remote: Remote,
    link: Link,
    key: Key,
    sandbox: Sandbox,
}

impl Scene {
    fn start(target: &Target, arguments: &[String]) -> Scene {
        let sandbox = Sandbox::new("stalls").unwrap();
        let key = Key::new("laptop._update.example.org").unwrap();
        let files = [(ZONE, zone(1, "")), (KEYS, key.line())];
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        let link = Link::lay(sandbox.path(), target, Conditions::default()).unwrap();
        let boot = target.boot().over(&link).remote(&remote).argument("--rate-limit=off");
        let boot = arguments.iter().fold(boot, |boot, argument| boot.argument(argument));
        let mut server = boot.start(&sandbox).unwrap();
        server.until_serving(ZONE).unwrap();
        Scene { server, remote, link, key, sandbox }
    }

    /// Has a stranger send until the process is dropped.
    fn stranger(&self, arguments: [&str; 3]) -> Process {
        let script = self.sandbox.path().join("stranger.py");
        fs::write(&script, include_str!("stranger.py")).unwrap();
        let server = self.server.address().ip().to_string();
        let words = [&[script.to_str().unwrap(), DEVICE, &server], &arguments[..]].concat();
        let console = Console::File(self.sandbox.path().join("stranger.log"));
        let process = Process::start(Path::new("python3"), &words, console).unwrap();
        eventually("the stranger sends", || process.printed().contains("ready").then_some(())).unwrap();
        process
    }

    /// Waits until a stranger's packets, so many a second, have come for some seconds.
    fn suffer(&self, rate: u32) {
        let before = self.link.frames().0;
        let enough = || (self.link.frames().0 - before > u64::from(3 * rate)).then_some(());
        eventually("the stranger's packets have come", enough).unwrap();
    }
}

scenario!(updates_of_strangers_take_nobodys_answers, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    let scene = Scene::start(target, &[]);
    // Not signed, so it is refused; the answer goes to an address that nobody has.
    let address = [192, 0, 2, 1];
    let added = Record { owner: &["forged"], kind: kind::A, class: class::IN, ttl: 300, data: &address };
    let message = wire::update(1, ZONE, &[], &[added]);
    let message: String = message.iter().map(|octet| format!("{octet:02x}")).collect();
    let mut stranger = scene.stranger(["datagrams", &DATAGRAMS.to_string(), &message]);
    scene.suffer(DATAGRAMS);
    for number in 0..20 {
        let line = format!("update add u{number}.{ZONE}. 300 A 192.0.2.{number}");
        let outcome =
            Client::Nsupdate.update(scene.server.address(), Transport::Udp, Some(&scene.key), ZONE, &[&line]).unwrap();
        assert_eq!(outcome.status, "NOERROR", "{number}: {}", outcome.text);
    }
    assert!(stranger.ended().is_none(), "{}", stranger.printed());
    assert_eq!(scene.server.dig(&["forged.example.org", "A"]).unwrap().status, "NXDOMAIN");
});

scenario!(floods_of_syns_keep_nobody_out, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    let scene = Scene::start(target, &[]);
    for times in 1..=3 {
        let mut stranger = scene.stranger(["syns", &SYNS.to_string(), &times.to_string()]);
        scene.suffer(SYNS);
        for _ in 0..20 {
            // Alone and at once: what is not answered is not asked again.
            let reply = scene.server.dig(&["www.example.org", "A", "+tcp", "+tries=1"]);
            assert_eq!(reply.unwrap().answer_data(), ["192.0.2.80"], "each SYN {times} times");
        }
        // More than goes into a segment, and an end, in either direction.
        let line = format!("update add long{times}.{ZONE}. 300 TXT {}", "\"a long string of text\" ".repeat(150));
        let outcome =
            Client::Nsupdate.update(scene.server.address(), Transport::Tcp, Some(&scene.key), ZONE, &[&line]).unwrap();
        assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
        let reply = scene.server.dig(&[&format!("long{times}.{ZONE}"), "TXT", "+tcp", "+tries=1"]).unwrap();
        assert_eq!(reply.answer.len(), 1);
        assert!(stranger.ended().is_none(), "{}", stranger.printed());
    }
});

scenario!(dead_secondaries_keep_no_notification_from_others, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    // The one that lives is told last.
    let live = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    live.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let port = live.local_addr().unwrap().port();
    let mut arguments: Vec<_> = (101..111).map(|number| format!("--notify=10.0.2.{number}")).collect();
    arguments.push(format!("--notify={}:{port}", namespace::HOST));
    let mut scene = Scene::start(target, &arguments);
    receive(&live, ZONE, 1);
    let mut slow = 0;
    for number in 2..8 {
        scene.remote.write(ZONE, zone(number, "")).unwrap();
        scene.remote.push(&format!("To {number}")).unwrap();
        let address = scene.server.address();
        scene.server.until("the new version", |_| (serial(address, ZONE)? == number).then_some(())).unwrap();
        let begin = Instant::now();
        receive(&live, ZONE, number);
        slow += u32::from(begin.elapsed() > HELD_UP);
    }
    // Once the machine of the test may have had other things to do.
    assert!(slow < 2, "{slow} of 6 were held up");
});
