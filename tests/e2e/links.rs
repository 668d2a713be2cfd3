//! A clone, updates and a transfer succeed over a link with a round trip of 50 ms that loses two frames in a hundred.

use std::fs;
use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use zonule_harness::link::{Conditions, Link};
use zonule_harness::transfer::Transfer;
use zonule_harness::{Client, Key, Outcome, Remote, Sandbox, Server, Transport, dig};

use crate::scene::{inside, large_zone, zone};
use crate::updates::scene::{KEYS, Ledger, ZONE};

const CONDITIONS: Conditions = Conditions { round_trip: Duration::from_millis(50), lost_per_mille: 20 };

/// How long the way is cut: longer than the patience of a sender's first timers.
const OUTAGE: Duration = Duration::from_millis(500);

/// How many questions are asked at a time while a commit comes.
const QUESTIONS: usize = 4;

/// The zone that is transferred, and its addresses.
const LARGE: &str = "large.example";
const HOSTS: u32 = 20_000;

/// What a clone brings: files that no compression makes smaller.
const FILES: usize = 10;
const FILE: usize = 1_000_000;

scenario!(clones_updates_and_transfers_pass_a_long_and_lossy_way, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    let sandbox = Sandbox::new("links").unwrap();
    let key = Key::new("laptop._update.example.org").unwrap();
    let files = [(ZONE, zone(1, "")), (LARGE, large_zone(HOSTS)), (KEYS, key.line())];
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    let link = Link::lay(sandbox.path(), target, CONDITIONS).unwrap();
    let boot = target.boot().over(&link).remote(&remote).argument("--rate-limit=off");
    let mut server = boot.argument(format!("--allow-transfer={}", link.host())).start(&sandbox).unwrap();
    server.until_serving(ZONE).unwrap();

    let answered = fetch(&mut server, &remote, &link);
    assert!(answered > 0, "no question was answered while a commit came");
    update(&mut server, &remote, &link, &key);
    transfer(&server, &link);
    let (carried, lost) = link.frames();
    assert!(lost * 200 > carried, "only {lost} of {carried} frames were lost");
});

/// Pushes a large commit and cuts the way while it comes; returns how many questions were answered meanwhile.
fn fetch(server: &mut Server, remote: &Remote, link: &Link) -> usize {
    let directory = remote.clone_path().join("data");
    fs::create_dir(&directory).unwrap();
    let mut random = fs::File::open("/dev/urandom").unwrap();
    for number in 0..FILES {
        let mut octets = vec![0; FILE];
        random.read_exact(&mut octets).unwrap();
        fs::write(directory.join(number.to_string()), octets).unwrap();
    }
    // No looking for deltas where there are none.
    remote.git_bare(&["config", "pack.window", "0"]).unwrap();
    remote.write(ZONE, zone(2, "pushed A 192.0.2.81\n")).unwrap();
    let before = link.frames().0;
    remote.push("Much").unwrap();
    // A frame takes 1,460 octets of it.
    let all = (FILES * FILE / 1_460) as u64;
    let meanwhile = all / 10..all * 9 / 10;
    let (address, mut cut) = (server.address(), false);
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let question = format!("pushed.{ZONE}");
    // By UDP, from clients that do not wait for each other: a question that is lost costs a second, and the commit takes
    // no more than three.
    let ask = || {
        while !is_over.load(Ordering::Relaxed) {
            let reply = dig(address, &[&question, "A", "+tries=1", "+timeout=1"]);
            let come = link.frames().0 - before;
            if meanwhile.contains(&come) && reply.is_ok_and(|reply| reply.status == "NXDOMAIN") {
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let served = thread::scope(|scope| {
        (0..QUESTIONS).for_each(|_| drop(scope.spawn(ask)));
        let served = server.until("the large commit is served", |server| {
            if !cut {
                cut = link.frames().0 - before > all / 4;
                if cut {
                    link.set_cut(true);
                    thread::sleep(OUTAGE);
                    link.set_cut(false);
                }
                return None;
            }
            let reply = server.dig(&[&question, "A", "+tries=10", "+timeout=1"]).ok()?;
            (reply.answer_data() == ["192.0.2.81"]).then_some(())
        });
        is_over.store(true, Ordering::Relaxed);
        served
    });
    served.unwrap();
    assert!(cut, "the commit came before the way could be cut");
    answered.into_inner()
}

/// Sends updates, one of them into an outage: whoever is told NOERROR finds the commit in the remote.
fn update(server: &mut Server, remote: &Remote, link: &Link, key: &Key) {
    let ledger = Ledger::default();
    let (address, mut accepted) = (server.address(), 0);
    let add = |number: usize| -> Outcome {
        let operation = format!("update add u{number}.{ZONE}. 300 TXT \"number {number}\"");
        let transport = Transport::ALL[number % 2];
        Client::Nsupdate.update(address, transport, Some(key), ZONE, &[&operation]).unwrap()
    };
    for number in 0..6 {
        let outcome = thread::scope(|scope| {
            let outcome = scope.spawn(|| add(number));
            if number == 3 {
                link.set_cut(true);
                thread::sleep(OUTAGE);
                link.set_cut(false);
            }
            outcome.join().unwrap()
        });
        ledger.enter(format!("+u{number}"), &outcome);
        accepted += usize::from(outcome.status == "NOERROR");
        // Before anything else can happen.
        assert_eq!(ledger.first_lie(&remote.log().unwrap()), None);
    }
    assert!(accepted >= 5, "{accepted} of 6 updates were accepted");
}

/// Transfers the large zone and cuts the way in the middle.
fn transfer(server: &Server, link: &Link) {
    let mut transfer = Transfer::begin(server.address(), LARGE).unwrap();
    assert!(!transfer.step().unwrap(), "it ended with its first message");
    link.set_cut(true);
    thread::sleep(OUTAGE);
    link.set_cut(false);
    let seen = transfer.finish().unwrap();
    // SOA twice, NS, ns1, www.
    assert_eq!(seen.records, u64::from(HOSTS) + 5);
}
