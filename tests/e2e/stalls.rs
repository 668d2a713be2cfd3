//! While one thing stalls (a push, a remote, a client), answers, updates, transfers and new connections go on.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use zonule_harness::transfer::Transfer;
use zonule_harness::wire::{self, Connection, Record, class, kind, opcode};
use zonule_harness::{
    Answer, Ask, Client, Fault, Key, Make, Setup, Target, Transport, Way, eventually, namespace, serial,
};

use crate::scene::{host_address, large_zone, zone};
use crate::updates::scene::{KEYS, Updating, ZONE};

/// Patience that outlasts any stall here.
const LONG: &str = "--update-patience=60";

/// The network the clients of the tests come from, as `target` sees it.
fn clients(target: &Target) -> &'static str {
    match target {
        Target::Hosted { .. } => "127.0.0.0/8",
        Target::Image { .. } => "10.0.2.0/24",
    }
}

/// A key as the server's own code signs with it.
fn signer(key: &Key) -> Arc<zonule::tsig::Key> {
    Arc::new(zonule::tsig::Key::parse_argument(&format!("{}:{}:{}", key.name, key.algorithm, key.secret)).unwrap())
}

fn sign(key: &Arc<zonule::tsig::Key>, message: &mut Vec<u8>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    zonule::tsig::sign(key, message, now).unwrap();
}

/// A signed update that adds the TXT record `u<number>`.
fn signed_update(key: &Arc<zonule::tsig::Key>, number: u16) -> Vec<u8> {
    let (owner, text) = (format!("u{number}"), format!("number {number}"));
    let mut data = vec![u8::try_from(text.len()).unwrap()];
    data.extend(text.as_bytes());
    let added = Record { owner: &[&owner], kind: 16, class: class::IN, ttl: 300, data: &data };
    let mut message = wire::update(number, ZONE, &[], &[added]);
    sign(key, &mut message);
    message
}

/// Asserts that a new connection is taken in and its queries are answered.
fn assert_served(address: SocketAddr, id: u16) {
    let mut connection = Connection::open(address).unwrap();
    for id in [id, id + 1] {
        connection.send(&wire::query(id, "www.example.org", kind::A)).unwrap();
        let reply = connection.receive().unwrap().expect("a new connection is served");
        assert_eq!((wire::id(&reply), wire::answers(&reply)), (Some(id), Some(1)));
    }
}

scenario!(connections_that_wait_for_updates_leave_room_for_others, |target| {
    let mut scene =
        Updating::with_arguments(target, &["--update-patience=300", "--tcp-connections=16", "--git-poll=86400"]);
    let (address, key) = (scene.server.address(), signer(&scene.key));
    let gate = scene.remote.gate("pre-receive", "[ -n \"$REMOTE_ADDR\" ]").unwrap();
    // By UDP, so that no place is at stake; its push waits at the gate, and all others wait for it.
    let first = socket(address);
    first.send(&signed_update(&key, 50)).unwrap();
    gate.until_entered().unwrap();
    thread::scope(|scope| {
        let mut waiting: Vec<Connection> = Vec::new();
        for number in 1..=40 {
            let mut connection = Connection::open(address).unwrap();
            connection.send(&signed_update(&key, number)).unwrap();
            waiting.push(connection);
            if number % 4 == 0 {
                // One after the other, and some at a time.
                assert_served(address, 100);
                let others: Vec<_> = (0..2).map(|id| scope.spawn(move || assert_served(address, 200 + id))).collect();
                others.into_iter().for_each(|other| other.join().unwrap());
            }
        }
        // Connections that only waste their place do not end those that wait.
        let wasters: Vec<Connection> = (0..20)
            .map(|_| {
                let mut waster = Connection::open(address).unwrap();
                waster.send_raw(&[0]).unwrap();
                waster
            })
            .collect();
        assert_served(address, 300);
        gate.open().unwrap();
        // All updates are made, and the clients whose connections stayed hear of it.
        let replies = waiting.iter_mut().filter_map(|waiting| waiting.receive().ok().flatten());
        let heard = replies.inspect(|reply| assert_eq!(wire::rcode(reply), Some(0))).count();
        assert!(heard >= 4, "{heard} of those that waited last are answered");
        drop(wasters);
    });
    for name in ["u1.example.org", "u40.example.org", "u50.example.org"] {
        scene.server.until_dig(&[name, "TXT"], |reply| reply.status == "NOERROR").unwrap();
    }
});

scenario!(history_that_is_slow_in_coming_holds_up_nobody, |target| {
    let mut scene = Updating::with_arguments(target, &[LONG, "--git-poll=86400"]);
    let address = scene.server.address();
    thread::scope(|scope| {
        // The next connection to the remote hangs: the one that looks for a version nobody knows.
        scene.proxy.fail(Fault::Silent, 1);
        let before = scene.proxy.struck();
        let key = scene.key.clone();
        let asking = scope.spawn(move || Ask::ixfr(ZONE, 0).by(Transport::Tcp).key(&key).patience(120).send(address));
        eventually("history is looked for", || (scene.proxy.struck() > before).then_some(())).unwrap();
        for number in [2, 4, 5] {
            let outcome = scene.add(number);
            assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
            let name = format!("u{number}.example.org");
            assert_eq!(scene.server.dig(&[&name, "TXT"]).unwrap().status, "NOERROR", "it is served");
            assert_served(address, number as u16);
        }
        assert!(!asking.is_finished(), "the updates were not made while history was looked for");
        scene.proxy.repair();
        let answer: Answer = asking.join().unwrap().unwrap();
        assert!(answer.is_complete && answer.status == "NOERROR", "{}", answer.text);
        assert!(answer.records.iter().any(|record| record.contains("number 5")), "what is served by now is sent");
    });
    scene.check();
});

scenario!(slow_reader_of_a_transfer_holds_up_no_version, |target| {
    const HOSTS: u32 = 30_000;
    let key = Key::new("laptop._update.example.org").unwrap();
    // Freeing this takes a deep stack, which a connection's thread does not have.
    let deep: String = (1..=63)
        .flat_map(|count| ["255", "254"].map(|last| ("\\255".repeat(count - 1), last)))
        .map(|(before, last)| format!("{before}\\{last}.{0}.{0}.{0} A 10.9.9.9\n", "\\255".repeat(55)))
        .collect();
    let text = large_zone(HOSTS) + &deep;
    let files = vec![(ZONE.to_owned(), text), (KEYS.to_owned(), key.line())];
    let allow = format!("--allow-transfer={}", clients(target));
    let mut scene = Updating::with_files(target, files, key, &[LONG, &allow]);
    let address = scene.server.address();
    let mut transfers: Vec<Transfer> = (0..8).map(|_| Transfer::begin(address, ZONE).unwrap()).collect();
    for transfer in &mut transfers {
        assert!(!transfer.step().unwrap());
    }
    for number in 1..=4 {
        let outcome = scene.add(number);
        assert_eq!(outcome.status, "NOERROR", "{}", outcome.text);
        assert_eq!(serial(address, ZONE), Some(1 + number), "it is served when the client is told");
    }
    // A push by a person, too: a whole new version of every record.
    scene.remote.pull().unwrap();
    let text = scene.remote.read(ZONE).unwrap().replacen(" 5 2h", " 6 2h", 1).replace(" A 10.", " A 11.");
    scene.remote.write(ZONE, text).unwrap();
    scene.remote.push("Renumber").unwrap();
    let renumbered = host_address(7).replacen("10.", "11.", 1);
    scene.server.until_dig(&["h7.example.org", "A"], |reply| reply.answer_data() == [renumbered.as_str()]).unwrap();
    for transfer in transfers {
        let seen = transfer.finish().unwrap();
        assert_eq!((seen.first, seen.last), (Some(1), Some(1)), "it is the version that was asked for");
        assert_eq!(seen.records, u64::from(HOSTS) + 126 + 5);
    }
    assert_served(address, 1);
});

scenario!(outcome_that_stays_unknown_is_told_in_time_and_settled_later, |target| {
    let mut scene = Updating::with_arguments(target, &["--update-patience=2", "--git-poll=86400"]);
    let (address, key) = (scene.server.address(), signer(&scene.key));
    // The push arrives, its report does not, and then the remote is away.
    scene.proxy.fail(Fault::BeforeReportThenClosed, 1);
    let message = signed_update(&key, 7);
    let mut connection = Connection::open(address).unwrap();
    connection.send(&message).unwrap();
    let reply = connection.receive().unwrap().expect("the update is answered while the remote is away");
    assert_eq!(wire::rcode(&reply), Some(wire::SERVFAIL));
    scene.server.until_console("it is not known what became of a push").unwrap();
    scene.server.until_console("it is not known whether the git remote has accepted the push").unwrap();
    // Meanwhile everybody is answered: queries, and other updates, though these cannot be made.
    assert_served(address, 1);
    assert_eq!(scene.update(&["update add other.example.org. 300 TXT other"]).status, "SERVFAIL");
    scene.proxy.repair();
    // Nobody pushes, and nobody notifies: it is found out, served, and told to the client that asks again.
    scene.server.until_dig(&["u7.example.org", "TXT"], |reply| reply.answer_data() == ["\"number 7\""]).unwrap();
    scene.server.until_console("in doubt before, was accepted").unwrap();
    connection.send(&message).unwrap();
    let reply = match connection.receive().unwrap() {
        Some(reply) => reply,
        None => {
            // It was idle for too long.
            let mut connection = Connection::open(address).unwrap();
            connection.send(&message).unwrap();
            connection.receive().unwrap().unwrap()
        }
    };
    assert_eq!(wire::rcode(&reply), Some(0), "a retransmission gets the outcome that turned out");
    scene.add_until_accepted(100);
    let log = scene.check();
    assert_eq!(log.iter().filter(|commit| commit.changes.iter().any(|line| line.contains("number 7"))).count(), 1);
});

scenario!(notifications_without_end_hold_up_no_secondary, |target| {
    let sandbox = zonule_harness::Sandbox::new("stalls").unwrap();
    let text = |serial: u32| crate::secondaries::scene::zone(serial, "");
    let setup = Setup::new(Make::Bind, sandbox.path()).unwrap().gives(ZONE, &text(1)).unwrap();
    let primary = setup.start().unwrap();
    primary.until_serial(ZONE, 1).unwrap();
    let way = Way::to(primary.address()).unwrap();
    let allow = format!("--allow-notify={}", clients(target));
    let mut server = target
        .boot()
        .argument(format!("--primary={}:{}", target.host(), way.address().port()))
        .argument(format!("--zones={ZONE}"))
        .argument("--rate-limit=off")
        .argument(allow)
        .start(&sandbox)
        .unwrap();
    server.until_serving(ZONE).unwrap();
    let socket = socket(server.address());
    for serial in 2..=4 {
        for id in 0..5000_u16 {
            let mut message = wire::query(id, ZONE, kind::SOA);
            message[2] = opcode::NOTIFY << 3 | 4;
            send(&socket, &message);
        }
        primary.change(ZONE, &text(serial)).unwrap();
        let what = format!("serial {serial}");
        // Each flood ends, and some of it is understood: at the latest the last notification is.
        server
            .until(&what, |server| {
                let mut message = wire::query(1, ZONE, kind::SOA);
                message[2] = opcode::NOTIFY << 3 | 4;
                send(&socket, &message);
                (zonule_harness::serial(server.address(), ZONE)? == serial).then_some(())
            })
            .unwrap();
    }
    let lines = count(&server.console(), "notification from ");
    assert!(lines <= 400, "{lines} lines for 15,000 notifications");
});

/// A socket to the server that neither waits nor minds what comes back.
fn socket(address: SocketAddr) -> UdpSocket {
    let ip = if namespace::inside() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket.connect(address).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Sends a datagram, and takes what has come back; returns how much that is.
fn send(socket: &UdpSocket, message: &[u8]) -> usize {
    // Full buffers are for floods to fill.
    let _ = socket.send(message);
    let mut reply = [0; 4096];
    std::iter::from_fn(|| socket.recv(&mut reply).ok()).count()
}

/// Waits until the server has gone through what was sent, and returns how many replies came meanwhile.
fn settle(socket: &UdpSocket) -> usize {
    let mut count = 0;
    let sentinel = wire::query(0xfeed, "www.example.org", kind::A);
    eventually("an answer after a flood", || {
        let _ = socket.send(&sentinel);
        thread::sleep(Duration::from_millis(20));
        let mut reply = [0; 4096];
        while let Ok(length) = socket.recv(&mut reply) {
            if wire::id(&reply[..length]) == Some(0xfeed) {
                return Some(());
            }
            count += 1;
        }
        None
    })
    .unwrap();
    count
}

fn count(console: &str, text: &str) -> usize {
    console.lines().filter(|line| line.contains(text)).count()
}

/// Makes a message with an id.
type Flood<'a> = &'a dyn Fn(u16) -> Vec<u8>;

scenario!(strangers_write_no_log, |target| {
    const MANY: u16 = 3000;
    let port = zonule_harness::Port::new();
    let sandbox = zonule_harness::Sandbox::new("stalls").unwrap();
    let key = Key::new("laptop._update.example.org").unwrap();
    let files = [(ZONE.to_owned(), zone(1, "")), (KEYS.to_owned(), key.line())];
    let remote = zonule_harness::Remote::with_files(sandbox.path(), files).unwrap();
    let mut server = target
        .boot()
        .reachable(&port)
        .argument(format!("--git-remote={}", remote.url(target.host())))
        .argument("--git-poll=86400")
        .argument("--rate-limit=off")
        .argument(format!("--webhook={},correct-horse", port.number()))
        .start(&sandbox)
        .unwrap();
    server.until_serving(ZONE).unwrap();
    let address = server.address();
    let begun = std::time::Instant::now();

    let (known, forged) = (signer(&key), signer(&key.forged().unwrap()));
    let stranger = signer(&Key::new("stranger._update.example.org").unwrap());
    let soa = |id: u16| wire::query(id, ZONE, kind::SOA);
    let ixfr = |id: u16| {
        let mut message = wire::query(id, ZONE, kind::IXFR);
        message[9] = 1;
        message.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0]);
        message.extend([0; 16]);
        message
    };
    let signed = |key: &Arc<zonule::tsig::Key>, mut message: Vec<u8>, ahead: i64| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        zonule::tsig::sign(key, &mut message, now.saturating_add_signed(ahead)).unwrap();
        message
    };
    let notify = |id: u16| {
        let mut message = soa(id);
        message[2] = opcode::NOTIFY << 3 | 4;
        message
    };
    let unsigned_update = |id: u16| wire::update(id, ZONE, &[], &[]);
    let floods: [(&str, Flood<'_>); 11] = [
        ("AXFR by UDP", &|id| wire::query(id, ZONE, kind::AXFR)),
        ("IXFR", &ixfr),
        ("IXFR of another zone", &|id| wire::query(id, "example.com", kind::IXFR)),
        ("NOTIFY", &notify),
        ("NOTIFY by a key that may not", &|id| signed(&known, notify(id), 0)),
        ("an unsigned update", &unsigned_update),
        ("BADKEY", &|id| signed(&stranger, soa(id), 0)),
        ("BADSIG", &|id| signed(&forged, soa(id), 0)),
        ("BADSIG on an update", &|id| signed(&forged, unsigned_update(id), 0)),
        ("BADTIME", &|id| signed(&known, soa(id), -3600)),
        ("half a question", &|id| soa(id)[..20].to_vec()),
    ];
    let socket = socket(address);
    for (what, message) in floods {
        let mut replies = 0;
        for id in 0..MANY {
            replies += send(&socket, &message(id));
            if id % 64 == 63 {
                replies += settle(&socket);
            }
        }
        replies += settle(&socket);
        assert!(replies > usize::from(MANY) / 2, "{what}: {replies} replies");
    }
    for message in [wire::query(1, ZONE, kind::AXFR), ixfr(1)] {
        let mut connection = Connection::open(address).unwrap();
        for _ in 0..MANY {
            connection.send(&message).unwrap();
            let reply = connection.receive().unwrap().expect("a refusal");
            assert_eq!(wire::rcode(&reply), Some(5));
        }
    }
    // Connections that come to nothing, and hooks that are not signed.
    for _ in 0..200 {
        drop(Connection::open(address).unwrap().send_raw(&[0, 40, 1]));
        let hook = "POST / HTTP/1.1\r\nHost: x\r\nX-GitHub-Event: push\r\nContent-Length: 0\r\n\r\n";
        let mut stream = std::net::TcpStream::connect(port.address()).unwrap();
        std::io::Write::write_all(&mut stream, hook.as_bytes()).unwrap();
        let mut reply = String::new();
        std::io::Read::read_to_string(&mut stream, &mut reply).unwrap();
        assert!(reply.contains(" 403 "), "{reply}");
    }

    // What was left out is counted, once a minute.
    for summary in ["refused transfers: ", "refused notifications: ", "messages with a bad signature: "] {
        server.until_console(summary).unwrap();
    }
    let minutes = begun.elapsed().as_secs() as usize / 60 + 2;
    let console = server.console();
    for text in ["transfer to ", "notification from ", "a signed message from ", "webhook: a hook from "] {
        let lines = count(&console, text);
        assert!((1..=20 * minutes).contains(&lines), "{lines} lines with \"{text}\" in {minutes} minutes");
    }
    // None of it is of another kind.
    let lines = console.lines().count();
    assert!(lines <= 100 + 5 * 20 * minutes, "{lines} lines in {minutes} minutes");
    // Somebody who may is still heard, and their lines are not hidden.
    let outcome =
        Client::Nsupdate.update(address, Transport::Tcp, Some(&key), ZONE, &["update add new.example.org. 300 TXT x"]);
    assert_eq!(outcome.unwrap().status, "NOERROR");
    server.until_console("committed: ").unwrap();
});
