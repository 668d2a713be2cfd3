//! Updates per second: how fast changes become commits that the remote has accepted.
//!
//! Each client has a connection of its own and one update under way: it gives its host another address, so that the zone
//! keeps its size. The way to the git server is made as long as wanted by a proxy, whose round trip a new connection
//! takes once more, as on a real way. All of it happens in a network namespace, with the image on a tap device: QEMU's
//! user network would be measured otherwise.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use zonule::tsig;
use zonule_harness::wire::{self, Connection, Record, class, kind};
use zonule_harness::{Error as HarnessError, Key, Machine, Proxy, Remote, Sandbox, Server, Target, namespace};

use crate::cargo::{self, Error, Profile, Result};
use crate::image::Program;
use crate::tools::{self, DIG, GIT, IP, QEMU, SETPRIV};

/// The zone that is updated.
const ZONE: &str = "bench.example";

/// How many records it has, besides the clients' own.
const HOSTS: u32 = 1_000;

/// How far the git server is away, in milliseconds of round trip.
const DISTANCES: [u64; 3] = [0, 10, 50];

/// How many clients there are at once.
const CLIENTS: [usize; 2] = [1, 64];

/// How long each measurement takes.
const TIME: Duration = Duration::from_secs(10);

/// What came of one measurement.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Updates answered with NOERROR.
    accepted: usize,
    /// Updates answered otherwise.
    others: usize,
}

/// Measures both targets and prints the rates.
pub(super) fn updates() -> Result<()> {
    if !namespace::inside() {
        tools::ensure(&[QEMU, GIT, DIG, SETPRIV, IP])?;
        cargo::hosted(Profile::Release)?;
        cargo::image(Program::Zonule)?;
        return super::in_namespace("updates");
    }
    let targets = [
        ("Linux binary", Target::hosted(cargo::hosted_path(Profile::Release))),
        ("image", Target::Image { elf: cargo::image_path(), machine: Machine::Q35 }),
    ];
    for (name, target) in targets {
        for distance in DISTANCES {
            one(name, &target, distance)?;
        }
    }
    Ok(())
}

/// Measures `target` with its git server `distance` milliseconds away.
fn one(name: &str, target: &Target, distance: u64) -> Result<()> {
    let sandbox = Sandbox::new("bench-updates")?;
    let key = Key::new(&format!("bench._update.{ZONE}"))?;
    let files = [(ZONE.to_owned(), zone()), (format!("{ZONE}._keys"), key.line())];
    let remote = Remote::with_files(sandbox.path(), files)?;
    let proxy = Proxy::delayed(&remote, Duration::from_millis(distance))?;
    let boot = target.boot().memory_mib(256).remote_through(&proxy);
    let mut server = boot.argument("--rate-limit=off").argument("--update-patience=60").start(&sandbox)?;
    server.until_serving(ZONE)?;
    let argument = format!("{}:{}:{}", key.name, key.algorithm, key.secret);
    let key = tsig::Key::parse_argument(&argument).map_err(|error| Error::Unexpected(error.to_string()))?;
    let key = Arc::new(key);
    let mut total = 0_usize;
    for clients in CLIENTS {
        let pushes = proxy.pushes();
        let start = Instant::now();
        let Count { accepted, others } = many(&server, &key, clients)?;
        let seconds = start.elapsed().as_secs_f64();
        let pushes = proxy.pushes() - pushes;
        println!(
            "{name}, git {distance} ms away, {clients} {}: {:.1} updates/s in {:.1} pushes/s, {others} not accepted",
            if clients == 1 { "client" } else { "clients" },
            accepted as f64 / seconds,
            pushes as f64 / seconds,
        );
        // A rate that history does not hold would be worth nothing.
        total += accepted;
        let commits = remote.git_bare(&["rev-list", "--count", "main"])?;
        if accepted == 0 || commits.trim().parse() != Ok(total + 1) {
            return Err(Error::Unexpected(format!(
                "{total} updates accepted, {} commits:\n{}",
                commits.trim(),
                server.console()
            )));
        }
    }
    Ok(())
}

/// Has so many clients send updates for [`TIME`].
fn many(server: &Server, key: &Arc<tsig::Key>, clients: usize) -> Result<Count> {
    let address = server.address();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..clients).map(|client| scope.spawn(move || send(address, key, client))).collect();
        clients.into_iter().try_fold(Count::default(), |sum, client| {
            let count = client.join().expect("a client does not panic")?;
            Ok(Count { accepted: sum.accepted + count.accepted, others: sum.others + count.others })
        })
    })
}

/// One client: an update after the other.
fn send(server: SocketAddr, key: &Arc<tsig::Key>, client: usize) -> Result<Count> {
    let failed = || HarnessError::io(format!("updating {server}"));
    let mut connection = Connection::open(server).map_err(failed())?;
    let start = Instant::now();
    let mut count = Count::default();
    while start.elapsed() < TIME {
        let number = count.accepted + count.others;
        let mut message = update(client, number);
        let unsigned = || Error::Unexpected("an update is too long to be signed".to_owned());
        let sent = tsig::sign(key, &mut message, now()).ok_or_else(unsigned)?;
        connection.send(&message).map_err(failed())?;
        let closed = || Error::Unexpected(format!("{server} has closed a connection instead of a reply"));
        let reply = connection.receive().map_err(failed())?.ok_or_else(closed)?;
        let verified = sent.verify(&reply, now()).map_err(|error| Error::Unexpected(error.to_string()))?;
        match wire::rcode(&verified) {
            Some(0) => count.accepted += 1,
            _ => count.others += 1,
        }
    }
    Ok(count)
}

/// An update that gives the host of `client` the address of the given number.
fn update(client: usize, number: usize) -> Vec<u8> {
    let label = format!("client{client}");
    let [.., high, middle, low] = number.to_be_bytes();
    let old = Record { owner: &[&label], kind: kind::A, class: class::ANY, ttl: 0, data: &[] };
    let new = Record { class: class::IN, ttl: 300, data: &[10, high, middle, low], ..old };
    wire::update(number as u16, ZONE, &[], &[old, new])
}

/// The text of [`ZONE`].
fn zone() -> String {
    let mut text = "$TTL 300\n@ SOA ns1 hostmaster 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n".to_owned();
    for number in 0..HOSTS {
        let [.., high, low] = number.to_be_bytes();
        writeln!(text, "h{number} A 10.0.{high}.{low}").expect("a String accepts all");
    }
    text
}

/// The seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
