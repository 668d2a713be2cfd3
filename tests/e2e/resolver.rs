//! The remote's host is found by name, also while resolvers are slow, silent or send forged replies.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use zonule_harness::{Console, Port, Process, Remote, Sandbox, eventually, wire};

use crate::scene::zone;

/// What the way to the resolver does with answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nothing passes.
    Silent,
    /// They pass.
    Passing,
    /// A forged one comes at once, the right one after two seconds.
    SlowAfterLies,
}

/// A way to a resolver, to which datagrams come at `port`.
struct Way {
    port: Port,
    manner: Arc<Mutex<Manner>>,
}

impl Way {
    fn to(resolver: SocketAddr) -> Way {
        let port = Port::new();
        let socket = Arc::new(UdpSocket::bind(port.address()).unwrap());
        let manner = Arc::new(Mutex::new(Manner::Silent));
        let current = Arc::clone(&manner);
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            loop {
                let (length, client) = socket.recv_from(&mut buffer).unwrap();
                let manner = *current.lock().unwrap();
                if manner == Manner::Silent {
                    continue;
                }
                let (question, back) = (buffer[..length].to_vec(), Arc::clone(&socket));
                thread::spawn(move || pass(&question, resolver, &back, client, manner));
            }
        });
        Way { port, manner }
    }

    fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }
}

/// Passes a question on, and what is said to it back.
fn pass(question: &[u8], resolver: SocketAddr, back: &UdpSocket, client: SocketAddr, manner: Manner) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.connect(resolver).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut buffer = [0; 1024];
    // A resolver that is not there, or not yet, does not answer.
    if let Ok(length) = socket.send(question).and_then(|_| socket.recv(&mut buffer)) {
        if manner == Manner::SlowAfterLies {
            let mut lie = buffer[..length].to_vec();
            lie[1] ^= 1;
            // The last octet of an address.
            *lie.last_mut().unwrap() ^= 64;
            back.send_to(&lie, client).unwrap();
            thread::sleep(Duration::from_secs(2));
        }
        back.send_to(&buffer[..length], client).unwrap();
    }
}

/// Starts dnsmasq as a resolver that knows `example.test` by `records`, and waits until it answers.
fn dnsmasq(sandbox: &Sandbox, port: &Port, records: &[&str]) -> Process {
    let fixed = "--keep-in-foreground --conf-file=/dev/null --pid-file= --user= --group= --no-resolv --no-hosts --no-daemon \
                 --bind-interfaces --listen-address=127.0.0.1 --local=/example.test/ --local-ttl=1 --log-facility=-";
    let mut arguments: Vec<String> = fixed.split_whitespace().map(String::from).collect();
    arguments.push(format!("--port={}", port.number()));
    arguments.extend(records.iter().map(ToString::to_string));
    let log = Console::File(sandbox.path().join("dnsmasq.log"));
    let mut process = Process::start(Path::new("dnsmasq"), &arguments, log).unwrap();
    let question = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x01\0\x01";
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    socket.connect(port.address()).unwrap();
    eventually("dnsmasq answers", || {
        assert!(process.ended().is_none(), "dnsmasq ended: {}", process.printed());
        let mut buffer = [0; 512];
        let length = socket.send(question).and_then(|_| socket.recv(&mut buffer)).ok()?;
        wire::id(&buffer[..length]).filter(|id| *id == 7)
    })
    .unwrap();
    process
}

scenario!(
    /// One server all along; its resolver gets better and worse.
    the_remote_is_found_by_its_name, |target| {
        let sandbox = Sandbox::new("resolver").unwrap();
        let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
        let port = Port::new();
        let way = Way::to(port.address());
        let asked = format!("{} port {}", target.host(), way.port.number());
        let mut server = target
            .boot()
            .argument(format!("--resolver={}:{}", target.host(), way.port.number()))
            .argument(format!("--git-remote={}", remote.url("git.example.test")))
            .argument("--git-poll=1")
            .start(&sandbox)
            .unwrap();
        server
            .until_console(&format!("cannot look up git.example.test: resolver {asked} did not answer within 10 s"))
            .unwrap();

        let resolver = dnsmasq(&sandbox, &port, &[]);
        way.be(Manner::Passing);
        server.until_console(&format!("git.example.test does not exist according to resolver {asked} (NXDOMAIN)")).unwrap();
        drop(resolver);

        let resolver = dnsmasq(&sandbox, &port, &["--txt-record=git.example.test,nothing"]);
        server.until_console(&format!("git.example.test has no addresses according to resolver {asked}")).unwrap();
        drop(resolver);

        let nowhere = "--host-record=git.example.test,2001:db8::1";
        let resolver = dnsmasq(&sandbox, &port, &[nowhere]);
        server.until_console("cannot connect to ").unwrap();
        drop(resolver);

        // An alias to a host of both families, of which one leads nowhere.
        way.be(Manner::SlowAfterLies);
        let records = [
            "--cname=git.example.test,forge.example.test".to_owned(),
            format!("--host-record=forge.example.test,{},2001:db8::1", target.host()),
        ];
        let resolver = dnsmasq(&sandbox, &port, &records.each_ref().map(String::as_str));
        server.until_serving("example.org").unwrap();
        way.be(Manner::Passing);

        // What was known lately does while nobody answers.
        way.be(Manner::Silent);
        drop(resolver);
        remote.write("example.org", zone(2, "")).unwrap();
        remote.push("While the resolver is away").unwrap();
        let serial = |reply: &zonule_harness::Reply| reply.answer.iter().any(|line| line.contains(" 2 7200 "));
        server.until_dig(&["example.org", "SOA"], serial).unwrap();
        server.until_console("using the expired addresses of git.example.test").unwrap();
    }
);
