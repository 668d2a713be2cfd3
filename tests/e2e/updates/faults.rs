//! While the remote fails, replies to updates are true and the head of the remote is what is served.
//!
//! [`Updating::check`] says what true means; after each fault it is asked.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zonule_harness::wire::{self, Record, class};
use zonule_harness::{Client, Fault, Outcome, Request, Transport};

use crate::scene::zone;
use crate::updates::scene::{KEYS, Updating, ZONE};

/// The patience the server is given where it has to lose it, in seconds.
const PATIENCE: &str = "--update-patience=2";

/// Patience that outlasts any fault here.
const LONG: &str = "--update-patience=60";

/// What a client that waits for [`PATIENCE`] may wait, however slow the machine.
const BOUND: Duration = Duration::from_secs(30);

/// Runs `send` and asserts that it was answered within the server's patience, as the client sees it.
fn in_time(send: impl FnOnce() -> Outcome) -> Outcome {
    let start = Instant::now();
    let outcome = send();
    assert!(start.elapsed() < BOUND, "answered after {:?}", start.elapsed());
    outcome
}

scenario!(remote_away_is_told_and_nothing_is_pushed_later, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    // Refused connections, connections that hang, and no daemon at all.
    for (number, fault) in [(1, Some(Fault::Closed)), (3, Some(Fault::Silent)), (5, None)] {
        match fault {
            Some(fault) => scene.proxy.fail_always(fault),
            None => scene.remote.go_away(),
        }
        for number in [number, number + 1] {
            let outcome = in_time(|| scene.add(number));
            assert_eq!(outcome.status, "SERVFAIL", "{fault:?}: {}", outcome.text);
        }
        // What there was is served on.
        assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
        match fault {
            Some(_) => scene.proxy.repair(),
            None => scene.remote.serve().unwrap(),
        }
        scene.add_until_accepted(number * 100);
    }
    // One for each that was accepted, and the first.
    assert_eq!(scene.check().len(), 4);
});

scenario!(remote_killed_while_it_receives_is_asked_again, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    // Before the branch has moved, and after it has, but before the server is told.
    let moments = [("pre-receive", "[ -n \"$REMOTE_ADDR\" ]"), ("reference-transaction", "[ \"$1\" = committed ]")];
    for ((hook, condition), number) in moments.into_iter().zip([10, 20]) {
        let gate = scene.remote.gate(hook, condition).unwrap();
        let outcome = thread::scope(|scope| {
            let (address, key, ledger) = (scene.server.address(), &scene.key, &scene.ledger);
            let adding = scope.spawn(move || {
                let operation = format!("update add u{number}.{ZONE}. 300 TXT \"number {number}\"");
                let outcome = Client::Nsupdate.update(address, Transport::Tcp, Some(key), ZONE, &[&operation]).unwrap();
                ledger.enter(format!("+u{number}"), &outcome);
                outcome
            });
            gate.until_entered().unwrap();
            scene.remote.go_away();
            scene.remote.unhook(hook).unwrap();
            scene.remote.serve().unwrap();
            adding.join().unwrap()
        });
        // The push arrived in one case; in the other it is the server's choice whether to try once more.
        if hook == "reference-transaction" {
            assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
        }
        assert!(["NOERROR", "SERVFAIL"].contains(&outcome.status.as_str()), "{}", outcome.text);
        scene.check();
        scene.add_until_accepted(number + 100);
    }
    scene.check();
});

scenario!(connections_that_break_tell_no_lies, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    // Once each, so that a second try, or the look whether the first one arrived, succeeds.
    for (number, fault) in [(2, Fault::Closed), (4, Fault::BeforePush), (6, Fault::InPack), (8, Fault::BeforeReport)] {
        let before = scene.proxy.struck();
        scene.proxy.fail(fault, 1);
        let outcome = scene.add(number);
        // A poll may have met what breaks any connection.
        assert_eq!(scene.proxy.struck(), before + 1, "{fault:?} did not happen");
        assert!(["NOERROR", "SERVFAIL"].contains(&outcome.status.as_str()), "{fault:?}: {}", outcome.text);
        if fault == Fault::BeforeReport {
            assert_eq!(outcome.status, "NOERROR", "{fault:?}: {}", outcome.text);
        }
        scene.check();
        scene.add_until_accepted(number * 100);
    }
    // Again and again: what has arrived needs no second push.
    scene.proxy.fail_always(Fault::BeforeReport);
    let pushes = scene.proxy.pushes();
    assert_eq!(scene.add(10).status, "NOERROR");
    assert_eq!(scene.proxy.pushes(), pushes + 1);
    scene.proxy.repair();
    scene.check();
});

scenario!(connection_cut_while_a_hook_is_at_work_is_no_second_commit, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let outcome = thread::scope(|scope| {
        let updating = &scene;
        let waiting = scope.spawn(move || updating.add(1));
        gate.until_entered().unwrap();
        // All has been sent, and nothing is decided: the server has to ask, and to send the same once more.
        updating.proxy.cut();
        zonule_harness::eventually("the push is sent again", || (gate.entered() > 1).then_some(())).unwrap();
        gate.open().unwrap();
        waiting.join().unwrap()
    });
    // Two of the remote's processes are at the same commit now, and one of them succeeds.
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    assert_eq!(scene.check().len(), 2);
});

scenario!(push_that_never_arrives_is_told_in_time, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    for (number, fault) in [(2, Fault::BeforePush), (4, Fault::InPack)] {
        scene.proxy.fail_always(fault);
        let outcome = in_time(|| scene.add(number));
        assert_eq!(outcome.status, "SERVFAIL", "{fault:?}: {}", outcome.text);
        assert!(scene.proxy.struck() > 0);
        scene.proxy.repair();
        scene.check();
        scene.add_until_accepted(number * 100);
    }
    scene.check();
});

scenario!(outcome_nobody_can_know_is_found_out_later, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    // The push arrives, its report does not, and then the remote is away.
    scene.proxy.fail(Fault::BeforeReportThenClosed, 1);
    let outcome = in_time(|| scene.add(2));
    assert_ne!(outcome.status, "NOERROR", "{}", outcome.text);
    scene.ledger.doubt("+u2");
    scene.proxy.repair();
    // It is in the history, and so it is served.
    let log = scene.check();
    assert_eq!(log.len(), 2);
    scene.server.until_dig(&["u2.example.org", "TXT"], |reply| reply.answer_data() == ["\"number 2\""]).unwrap();
    scene.add_until_accepted(3);
    scene.check();
});

/// A hook's rule: no commit may bring the word.
const RULE: &str = "while read old new ref; do if git log -p $old..$new | grep -q '^+.*forbidden'; then \
                    echo 'policy: that word is not for our zones' >&2; exit 1; fi; done";

scenario!(hook_that_refuses_is_heard, |target| {
    let mut scene = Updating::start(target);
    scene.remote.hook("pre-receive", RULE).unwrap();
    let mut request = Request::new(ZONE, &["update add a.example.org. 300 TXT forbidden"]);
    let outcome = request.key(Some(&scene.key)).send(scene.server.address()).unwrap().remove(0);
    assert_eq!((outcome.status.as_str(), outcome.signed), ("REFUSED", true), "{outcome:?}");
    let text = outcome.extended_error.unwrap_or_default();
    assert!(text.contains("policy: that word is not for our zones"), "the extended error is {text}");
    scene.server.until_console("policy: that word is not for our zones").unwrap();
    // Others are not concerned.
    assert_eq!(scene.add(1).status, "NOERROR");
    assert_eq!(scene.server.dig(&["a.example.org", "TXT"]).unwrap().status, "NXDOMAIN");
    assert_eq!(scene.check().len(), 2);
});

scenario!(words_of_others_cannot_disguise_a_line, |target| {
    let mut scene = Updating::start(target);
    let is_harmful =
        |c: char| matches!(c, '\u{1b}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}');
    // The author of a change, and names in the repository.
    scene.remote.git(&["config", "user.name", "Eve \u{202e}gro.live\u{2066}\u{1b}[2J"]).unwrap();
    scene.remote.write(ZONE, zone(1, "new A 192.0.2.2\n")).unwrap();
    scene.remote.write("\u{202e}gro.elpmaxe..x", "no zone\n").unwrap();
    scene.remote.push("Change without a serial \u{202e}\u{1b}[2J").unwrap();
    scene.server.until_dig(&["new.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.2"]).unwrap();
    scene.server.until_console("committed: example.org: raise the serial to 2").unwrap();
    // A hook that writes what a terminal obeys.
    let script = "printf 'no: \\342\\200\\256txt.exe\\033[2J\\n' >&2; exit 1";
    scene.remote.hook("pre-receive", script).unwrap();
    let mut request = Request::new(ZONE, &["update add a.example.org. 300 TXT x"]);
    let outcome = request.key(Some(&scene.key)).send(scene.server.address()).unwrap().remove(0);
    assert_eq!(outcome.status, "REFUSED", "{outcome:?}");
    let text = outcome.extended_error.unwrap_or_default();
    assert!(text.contains("no: \\u{202e}txt.exe\\u{1b}[2J"), "the extended error is {text}");
    scene.server.until_console("no: \\u{202e}txt.exe\\u{1b}[2J").unwrap();
    let console = scene.server.console();
    let own = console
        .lines()
        .filter(|line| line.contains("Z warn ") || line.contains("Z error ") || line.contains("Z info "));
    for line in own {
        assert!(!line.contains(is_harmful), "{line:?}");
    }
});

scenario!(hook_that_refuses_one_of_many_refuses_that_one, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    // The first push waits, and meanwhile others gather for the next.
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    thread::scope(|scope| {
        let updating = &scene;
        let first = scope.spawn(move || updating.add(1));
        gate.until_entered().unwrap();
        scene.remote.hook("pre-receive", RULE).unwrap();
        let good: Vec<_> = (2..5).map(|number| scope.spawn(move || updating.add(number))).collect();
        let bad = scope.spawn(move || updating.update(&["update add a.example.org. 300 TXT forbidden"]));
        // Whether they come to the same push is chance, and either way each gets its own answer.
        for _ in 0..20 {
            updating.server.dig(&["www.example.org", "A", "+tcp"]).unwrap();
        }
        gate.open().unwrap();
        assert_eq!(first.join().unwrap().status, "NOERROR");
        assert_eq!(bad.join().unwrap().status, "REFUSED");
        for outcome in good.into_iter().map(|good| good.join().unwrap()) {
            assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
        }
    });
    assert_eq!(scene.check().len(), 5);
});

scenario!(hook_that_is_slow_delays_only_whom_it_must, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let first = thread::scope(|scope| {
        let updating = &scene;
        let first = scope.spawn(move || updating.add(1));
        gate.until_entered().unwrap();
        // What the remote has not accepted is not served.
        assert_eq!(updating.server.dig(&["u1.example.org", "TXT"]).unwrap().status, "NXDOMAIN");
        // Those that come now are not pushed yet: they are told in time that they will not be.
        let queued: Vec<_> = (2..6).map(|number| scope.spawn(move || in_time(|| updating.add(number)))).collect();
        for outcome in queued.into_iter().map(|queued| queued.join().unwrap()) {
            assert_eq!(outcome.status, "SERVFAIL", "{}", outcome.text);
        }
        // Questions are answered all the while.
        assert_eq!(updating.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
        gate.open().unwrap();
        first.join().unwrap()
    });
    // It has been sent when patience ended, so that its client waits for the truth; or it was told that nobody knows.
    if first.status != "NOERROR" {
        scene.ledger.doubt("+u1");
    }
    scene.check();
    scene.add_until_accepted(100);
    scene.check();
});

scenario!(queue_that_is_full_says_so, |target| {
    const MOST: u16 = 10_000;
    let mut scene = Updating::with_arguments(target, &[LONG]);
    let key = &scene.key;
    let argument = format!("{}:{}:{}", key.name, key.algorithm, key.secret);
    let key = Arc::new(zonule::tsig::Key::parse_argument(&argument).unwrap());
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.connect(scene.server.address()).unwrap();
    socket.set_nonblocking(true).unwrap();
    thread::scope(|scope| {
        let updating = &scene;
        let first = scope.spawn(move || updating.add(1));
        gate.until_entered().unwrap();
        // Each is one more that waits for the first; what it asks for is settled without a commit.
        let taken = Record { owner: &["www"], kind: 255, class: class::NONE, ttl: 0, data: &[] };
        let sent = (1..MOST).find(|id| {
            let mut message = wire::update(*id, ZONE, &[taken], &[]);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            zonule::tsig::sign(&key, &mut message, now).unwrap();
            socket.send(&message).unwrap();
            let mut reply = [0; 1500];
            socket.recv(&mut reply).is_ok_and(|length| {
                assert_eq!(wire::rcode(&reply[..length]), Some(wire::SERVFAIL), "{:02x?}", &reply[..length]);
                true
            })
        });
        assert!(sent.is_some(), "{MOST} updates and more are kept waiting");
        // Questions are answered all the while.
        assert_eq!(updating.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
        gate.open().unwrap();
        assert_eq!(first.join().unwrap().status, "NOERROR");
    });
    // What waited is settled after all, and there is room again.
    zonule_harness::eventually("an update that waited is answered", || {
        let mut reply = [0; 1500];
        let length = socket.recv(&mut reply).ok()?;
        (wire::rcode(&reply[..length]) == Some(wire::YXDOMAIN)).then_some(())
    })
    .unwrap();
    scene.add_until_accepted(2);
    assert_eq!(scene.check().len(), 3);
});

scenario!(read_only_remote_is_no_remote_for_updates, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    scene.remote.set_read_only(true).unwrap();
    for number in [1, 2] {
        let outcome = in_time(|| scene.add(number));
        assert!(["SERVFAIL", "REFUSED"].contains(&outcome.status.as_str()), "{}", outcome.text);
    }
    // People's pushes come another way, and are followed.
    scene.remote.write(ZONE, zone(2, "human A 192.0.2.9\n")).unwrap();
    scene.remote.push("Change").unwrap();
    scene.server.until_dig(&["human.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.9"]).unwrap();
    scene.remote.set_read_only(false).unwrap();
    scene.add_until_accepted(3);
    assert_eq!(scene.check().len(), 3);
});

scenario!(full_disk_at_the_remote_is_told, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    scene.remote.set_disk_full(true).unwrap();
    for number in [1, 2] {
        let outcome = in_time(|| scene.add(number));
        assert!(["SERVFAIL", "REFUSED"].contains(&outcome.status.as_str()), "{}", outcome.text);
    }
    scene.remote.set_disk_full(false).unwrap();
    scene.add_until_accepted(3);
    assert_eq!(scene.check().len(), 2);
});

scenario!(branch_that_cannot_move_is_told, |target| {
    let mut scene = Updating::with_arguments(target, &[PATIENCE]);
    // As another git that has crashed leaves it.
    let lock = scene.sandbox.path().join("zones.git/refs/heads/main.lock");
    std::fs::write(&lock, "").unwrap();
    let outcome = in_time(|| scene.add(1));
    assert!(["SERVFAIL", "REFUSED"].contains(&outcome.status.as_str()), "{}", outcome.text);
    std::fs::remove_file(&lock).unwrap();
    scene.add_until_accepted(2);
    assert_eq!(scene.check().len(), 2);
});

/// Has a person push `more` lines at the end of `file` while the server's push of `operations` waits; returns how the
/// update was answered.
fn overtaken(scene: &mut Updating, operations: &[&str], file: &str, more: &str) -> Outcome {
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let outcome = thread::scope(|scope| {
        let updating = &*scene;
        let waiting = scope.spawn(move || {
            let address = updating.server.address();
            Client::Nsupdate.update(address, Transport::Tcp, Some(&updating.key), ZONE, operations).unwrap()
        });
        gate.until_entered().unwrap();
        updating.remote.pull().unwrap();
        let text = updating.remote.read(file).unwrap();
        updating.remote.write(file, text + more).unwrap();
        updating.remote.push("Be quicker").unwrap();
        gate.open().unwrap();
        waiting.join().unwrap()
    });
    scene.remote.unhook("pre-receive").unwrap();
    outcome
}

scenario!(race_that_is_lost_is_run_again, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    let outcome =
        overtaken(&mut scene, &["update add ours.example.org. 300 A 192.0.2.1"], ZONE, "theirs A 192.0.2.2\n");
    assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
    scene.check();
    let text = scene.remote.show(ZONE).unwrap();
    assert!(text.contains("\nours ") && text.contains("\ntheirs A 192.0.2.2\n"), "{text}");

    // What the update takes for granted is looked at again.
    let operations = ["prereq nxdomain taken.example.org.", "update add taken.example.org. 300 A 192.0.2.3"];
    let outcome = overtaken(&mut scene, &operations, ZONE, "taken A 192.0.2.4\n");
    assert_eq!(outcome.status, "YXDOMAIN", "{}", outcome.text);
    scene.check();
    assert_eq!(scene.server.dig(&["taken.example.org", "A"]).unwrap().answer_data(), ["192.0.2.4"]);

    // And so is the zone: one that is broken on the new head takes no update, and keeps its last good version.
    let outcome =
        overtaken(&mut scene, &["update add late.example.org. 300 A 192.0.2.5"], ZONE, "broken A 192.0.2.300\n");
    assert_eq!(outcome.status, "SERVFAIL", "{}", outcome.text);
    assert_eq!(scene.server.dig(&["late.example.org", "A"]).unwrap().status, "NXDOMAIN");
    assert_eq!(scene.server.dig(&["taken.example.org", "A"]).unwrap().answer_data(), ["192.0.2.4"]);
    assert_eq!(scene.remote.fsck().unwrap(), "");
});

scenario!(key_that_is_revoked_meanwhile_changes_nothing_more, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG]);
    let forged = scene.key.forged().unwrap();
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let outcome = thread::scope(|scope| {
        let updating = &scene;
        let waiting = scope.spawn(move || updating.add(1));
        gate.until_entered().unwrap();
        updating.remote.write(KEYS, forged.line()).unwrap();
        updating.remote.push("Another secret").unwrap();
        gate.open().unwrap();
        waiting.join().unwrap()
    });
    assert_ne!(outcome.status, "NOERROR", "{}", outcome.text);
    scene.key = forged;
    scene.add_until_accepted(2);
    assert_eq!(scene.check().len(), 3);
});

scenario!(server_that_dies_in_the_middle_leaves_nothing_half_done, |target| {
    let scene = Updating::with_arguments(target, &[LONG]);
    assert_eq!(scene.add(1).status, "NOERROR");
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    let (address, key) = (scene.server.address(), scene.key.clone());
    let waiting = thread::spawn(move || {
        let mut request = Request::new(ZONE, &["update add u2.example.org. 300 TXT \"number 2\""]);
        request.key(Some(&key)).patience(5).send(address).unwrap().remove(0)
    });
    gate.until_entered().unwrap();
    let Updating { server, proxy, remote, sandbox, key, ledger } = scene;
    drop(server);
    gate.open().unwrap();
    assert_eq!(waiting.join().unwrap().status, "TIMEOUT");
    // Whether the push was whole when its sender died is chance; what there is is served by the next one.
    let mut server = target.boot().remote_through(&proxy).start(&sandbox).unwrap();
    server.until_serving(ZONE).unwrap();
    let mut scene = Updating { server, proxy, remote, sandbox, key, ledger };
    scene.ledger.doubt("+u2");
    scene.add_until_accepted(3);
    scene.check();
});
