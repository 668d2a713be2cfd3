//! Notifications: ours reach all who are to be notified, and allowed ones from others lead to a fetch.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use zonule_harness::wire::{self, opcode};
use zonule_harness::{
    Answer, Ask, Console, Fault, Key, Make, Port, Proxy, Remote, Sandbox, Server, Setup, Target, Way, namespace, serial,
};

use crate::scene::inside;
use crate::secondaries::scene::{ZONE, zone};

/// The network the clients of the tests come from, as `target` sees it, and one they do not come from.
fn networks(target: &Target) -> (&'static str, &'static str) {
    match target {
        Target::Hosted { .. } => ("127.0.0.0/8", "10.0.2.0/24"),
        Target::Image { .. } => ("10.0.2.0/24", "127.0.0.0/8"),
    }
}

/// A server that looks at git only once an hour, unless told; dropped in this order.
struct Idle {
    server: Server,
    proxy: Proxy,
    remote: Remote,
    /// May notify.
    key: Key,
    _sandbox: Sandbox,
}

impl Idle {
    fn start(target: &Target, arguments: &[&str]) -> Idle {
        let sandbox = Sandbox::new("notify").unwrap();
        let key = Key::new(&format!("forge._notify.{ZONE}")).unwrap();
        let files = [
            (ZONE.to_owned(), zone(1, "")),
            ("example.net".to_owned(), zone(1, "")),
            (format!("{ZONE}._keys"), key.line()),
        ];
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        let proxy = Proxy::to(&remote).unwrap();
        let url = proxy.url(target.host());
        let boot = target.boot().argument(format!("--git-remote={url}")).argument("--git-poll=3600");
        let boot = arguments.iter().fold(boot.argument("--rate-limit=off"), |boot, argument| boot.argument(*argument));
        let mut server = boot.start(&sandbox).unwrap();
        server.until_serving(ZONE).unwrap();
        Idle { server, proxy, remote, key, _sandbox: sandbox }
    }

    fn push(&self, serial: u32) {
        self.remote.write(ZONE, zone(serial, "")).unwrap();
        self.remote.push(&format!("To {serial}")).unwrap();
    }

    fn until_serial(&mut self, wanted: u32) {
        let what = format!("serial {wanted}");
        self.server.until(&what, |server| (serial(server.address(), ZONE)? == wanted).then_some(())).unwrap();
    }

    fn tell(&self, ask: &Ask) -> Answer {
        ask.clone().patience(30).send(self.server.address()).unwrap()
    }
}

fn is_acknowledged(answer: &Answer) -> bool {
    answer.status == "NOERROR" && answer.is_complete && answer.has_flag("QR") && answer.has_flag("AA")
}

scenario!(keys_that_may_notify_are_obeyed, |target| {
    let mut scene = Idle::start(target, &[]);
    scene.push(2);
    let forged = scene.key.forged().unwrap();
    let refused = [
        ("REFUSED", Ask::notify(ZONE)),
        ("NOTAUTH", Ask::notify(ZONE).key(&forged)),
        ("NOTAUTH", Ask::notify(ZONE).key(&scene.key).skew(-3600)),
        ("NOTAUTH", Ask::notify(ZONE).key(&Key::new("stranger._notify.example.org").unwrap())),
        ("REFUSED", Ask::notify("example.net").key(&scene.key)),
    ];
    for (status, ask) in refused {
        let answer = scene.tell(&ask);
        assert_eq!(answer.status, status, "{ask:?}: {}", answer.text);
    }
    // None of them made it look: nothing but an obeyed one does, and that is to come.
    assert_eq!(serial(scene.server.address(), ZONE), Some(1));
    let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key));
    assert!(is_acknowledged(&answer), "{}", answer.text);
    scene.until_serial(2);
    // Again, and many at once: all are acknowledged.
    scene.push(3);
    for _ in 0..20 {
        let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key));
        assert!(is_acknowledged(&answer), "{}", answer.text);
    }
    scene.until_serial(3);
});

scenario!(unsigned_notifications_are_obeyed_from_allowed_networks, |target| {
    let (here, elsewhere) = networks(target);
    let mut scene = Idle::start(target, &[&format!("--allow-notify=192.0.2.0/24,{here}")]);
    scene.push(2);
    let answer = scene.tell(&Ask::notify(ZONE));
    assert!(is_acknowledged(&answer), "{}", answer.text);
    scene.until_serial(2);
    // A wrong signature is no better for the place it comes from.
    let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key.forged().unwrap()));
    assert_eq!(answer.status, "NOTAUTH", "{}", answer.text);

    let mut scene = Idle::start(target, &[&format!("--allow-notify=192.0.2.0/24,{elsewhere}")]);
    scene.push(2);
    let answer = scene.tell(&Ask::notify(ZONE));
    assert_eq!(answer.status, "REFUSED", "{}", answer.text);
    assert_eq!(serial(scene.server.address(), ZONE), Some(1));
    let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key));
    assert!(is_acknowledged(&answer), "{}", answer.text);
    scene.until_serial(2);
});

scenario!(acknowledgements_do_not_wait_for_git, |target| {
    let mut scene = Idle::start(target, &[]);
    scene.proxy.fail_always(Fault::Silent);
    scene.push(2);
    let struck = scene.proxy.struck();
    for _ in 0..3 {
        let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key));
        assert!(is_acknowledged(&answer), "{}", answer.text);
        let proxy = &scene.proxy;
        scene.server.until("it looks, in vain", |_| (proxy.struck() > struck).then_some(())).unwrap();
    }
    assert_eq!(serial(scene.server.address(), ZONE), Some(1));
    scene.proxy.repair();
    // What hung has ended; it tries again, or is told again.
    let answer = scene.tell(&Ask::notify(ZONE).key(&scene.key));
    assert!(is_acknowledged(&answer), "{}", answer.text);
    scene.until_serial(2);
});

/// Waits for a notification of `zone` of this serial on `socket` and acknowledges it; returns whether it is signed.
pub(crate) fn receive(socket: &UdpSocket, zone: &str, wanted: u32) -> bool {
    let begin = std::time::Instant::now();
    let mut buffer = [0; 65_535];
    while begin.elapsed() < zonule_harness::PATIENCE {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        let message = &mut buffer[..length];
        assert_eq!(wire::opcode_of(message), Some(opcode::NOTIFY));
        let serial = wire::records(message).next().and_then(|record| record.serial());
        let (name, _) = wire::question(message).unwrap();
        let signed = message[11] == 1;
        message[2] |= 0x80;
        socket.send_to(message, from).unwrap();
        if name == zone && serial == Some(wanted) {
            return signed;
        }
    }
    panic!("{:?} is not told of {zone} {wanted}", socket.local_addr());
}

// Name servers of the zone and addresses in key names are told, at port 53; the server that the SOA names is not.
scenario!(who_zones_and_keys_name_is_told, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    // Addresses of this side that both targets can reach, and nobody else.
    let [primary, server, glue, keyed, other] = [2, 3, 4, 5, 6].map(|last| Ipv4Addr::new(10, 0, 2, last));
    for address in [server, glue, keyed, other] {
        namespace::add_address(address).unwrap();
    }
    let sockets = [primary, server, glue, keyed, other].map(|address| {
        let socket = UdpSocket::bind((address, 53)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        socket
    });
    let sandbox = Sandbox::new("targets").unwrap();
    let key = Key::new(&format!("{primary}.{keyed}._transfer.{ZONE}")).unwrap();
    let text = |serial: u32| {
        format!(
            "$TTL 300\n@ SOA ns1 hostmaster {serial} 3600 2 3600000 300\n@ NS ns1\n@ NS ns2\n@ NS ns.child\n@ NS ns.example.net.\n\
             @ NS ns.elsewhere.test.\nns1 A {primary}\nns2 A {server}\nchild NS ns.child\nns.child A {glue}\n"
        )
    };
    let net = format!("$TTL 300\n@ SOA ns hostmaster 1 3600 2 3600000 300\n@ NS ns\nns A {other}\n");
    let files = [(ZONE.to_owned(), text(1)), ("example.net".to_owned(), net), (format!("{ZONE}._keys"), key.line())];
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    let mut daemon = target.boot().remote(&remote).start(&sandbox).unwrap();
    daemon.until_serving(ZONE).unwrap();
    // At start, and after a change.
    for wanted in 1..3 {
        if wanted > 1 {
            remote.write(ZONE, text(wanted)).unwrap();
            remote.push("A change").unwrap();
        }
        for socket in &sockets[1..] {
            let signed = receive(socket, ZONE, wanted);
            assert_eq!(signed, socket.local_addr().unwrap().ip() == IpAddr::V4(keyed), "{socket:?}");
        }
    }
    // By now the primary that the SOA record names would have been told, too.
    let mut told = BTreeSet::new();
    let mut buffer = [0; 512];
    while let Ok(length) = sockets[0].recv(&mut buffer) {
        told.insert(wire::question(&buffer[..length]).unwrap().0);
    }
    assert!(!told.contains(ZONE), "{told:?}");
});

scenario!(key_of_the_repository_signs_notifications_as_soon_as_it_is_there, |target| {
    let sandbox = Sandbox::new("notify-key").unwrap();
    let key = Key::new(&format!("peer._transfer.{ZONE}")).unwrap();
    let remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, ""))]).unwrap();
    let setup = Setup::new(Make::Knot, sandbox.path()).unwrap().takes(ZONE);
    let way = Way::to(setup.address()).unwrap();
    let notify = format!("--notify={}:{},{}", target.host(), way.address().port(), key.name);
    let boot = target.boot().remote(&remote).argument("--rate-limit=off").argument(&notify);
    let mut server = boot.start_on(Port::new(), Console::File(sandbox.path().join("console.log"))).unwrap();
    server.until_serving(ZONE).unwrap();
    // It boots, and says what is missing and for which argument.
    server.until_console(&format!("{notify}.: there is no key {}.", key.name)).unwrap();
    assert!(way.notifications(ZONE).is_empty(), "nothing goes unsigned");
    let from = Way::to(server.address()).unwrap();
    let knot = setup.from(from.address(), Some(&key)).start().unwrap();

    remote.write(&format!("{ZONE}._keys"), key.line()).unwrap();
    remote.write(ZONE, zone(2, "")).unwrap();
    remote.push("Bring the key").unwrap();
    knot.until_serial(ZONE, 2).unwrap();
    assert!(!way.notifications(ZONE).is_empty());
    remote.write(ZONE, zone(3, "")).unwrap();
    remote.push("Change the zone").unwrap();
    knot.until_serial(ZONE, 3).unwrap();
});
