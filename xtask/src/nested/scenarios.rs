//! The functions of a server, once each, on KVM: a clone, answers, an update, a transfer, many connections, a push.

use std::fmt::Write as _;
use std::net::SocketAddr;

use zonule_harness::transfer::Transfer;
use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{Client, Error as HarnessError, Key, Remote, Sandbox, Server, Transport};

use super::inside::check;
use crate::cargo::{Error, Result};
use crate::variants::{self, Variant, ZONE, answers};

/// Number of records of the large zone without its SOA record, of which a transfer holds two.
const RECORDS: u64 = 10_000;

/// How many connections are open at once.
const CONNECTIONS: usize = 50;

/// Runs the scenarios, one after the other, on one server.
pub(super) fn scenarios(variant: &Variant) -> Result<()> {
    let sandbox = Sandbox::new("scenarios")?;
    let key = Key::new(&format!("laptop._update.{ZONE}"))?;
    let files = [(ZONE, variants::zone("")), (&format!("{ZONE}._keys"), key.line()), ("large.example", large_zone())];
    let remote = Remote::with_files(sandbox.path(), files)?;
    let log = sandbox.path().join("console.log");
    let mut server = variant
        .boot(&remote)?
        .memory_mib(128)
        .argument("--rate-limit=off --allow-transfer=10.0.2.0/24")
        .start(&sandbox)?;
    if !check("clones and answers over UDP and TCP", &log, || answers(&mut server))? {
        return Ok(());
    }
    check("a signed update becomes a commit", &log, || update(&server, &remote, &key))?;
    check("transfers 10,000 records", &log, || transfer(server.address()))?;
    check("answers on 50 connections at once", &log, || connections(server.address()))?;
    check("serves what is pushed", &log, || push(&mut server, &remote))?;
    Ok(())
}

/// Returns the text of a zone of [`RECORDS`] records in addition to the SOA record.
fn large_zone() -> String {
    let mut text = variants::zone("");
    // The small zone has three.
    for number in 3..RECORDS {
        writeln!(text, "h{number} A 10.0.{}.{}", number >> 8, number & 255).expect("a String accepts all");
    }
    text
}

/// Adds an address by `nsupdate`: it is in the zone's file in the remote as soon as the client has its answer.
pub(super) fn update(server: &Server, remote: &Remote, key: &Key) -> Result<()> {
    // A new name each time, since repeating an update changes nothing.
    let before = remote.git_bare(&["rev-list", "--count", "main"])?;
    let name = format!("u{}.{ZONE}", before.trim());
    let line = format!("update add {name}. 300 A 192.0.2.7");
    let outcome = Client::Nsupdate.update(server.address(), Transport::Udp, Some(key), ZONE, &[&line])?;
    if outcome.status != "NOERROR" {
        return Err(Error::Unexpected(format!("the update was answered {}:\n{}", outcome.status, outcome.text)));
    }
    let file = remote.git_bare(&["show", &format!("main:{ZONE}")])?;
    let after = remote.git_bare(&["rev-list", "--count", "main"])?;
    let own = format!("u{}", before.trim());
    if before == after || !file.lines().any(|line| line.starts_with(&own)) {
        return Err(Error::Unexpected(format!("the update is in no commit; {ZONE} is\n{file}")));
    }
    let answer = server.dig(&[&name, "A"])?;
    if answer.answer_data() != ["192.0.2.7"] {
        return Err(Error::Unexpected(format!("the update is not served: {answer:?}")));
    }
    Ok(())
}

fn transfer(address: SocketAddr) -> Result<()> {
    let seen = Transfer::begin(address, "large.example").and_then(Transfer::finish);
    let seen = seen.map_err(HarnessError::io("the transfer of large.example"))?;
    if seen.records == RECORDS + 2 {
        return Ok(());
    }
    Err(Error::Unexpected(format!("{} records were transferred; expected {}", seen.records, RECORDS + 2)))
}

/// Opens all connections before it sends a query on the first one.
fn connections(address: SocketAddr) -> Result<()> {
    let failed = |source| HarnessError::Io { what: "one of many connections".to_owned(), source };
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(address).map_err(failed)?);
    }
    for (connection, id) in connections.iter_mut().zip(1..) {
        connection.send(&wire::query(id, &format!("www.{ZONE}"), kind::A)).map_err(failed)?;
    }
    for (connection, id) in connections.iter_mut().zip(1..) {
        let reply = connection.receive().map_err(failed)?.unwrap_or_default();
        if (wire::id(&reply), wire::answers(&reply)) != (Some(id), Some(1)) {
            return Err(Error::Unexpected(format!("connection {id} of {CONNECTIONS} was answered {reply:?}")));
        }
    }
    Ok(())
}

fn push(server: &mut Server, remote: &Remote) -> Result<()> {
    remote.pull()?;
    remote.write(ZONE, remote.read(ZONE)? + "pushed A 192.0.2.99\n")?;
    remote.push("Add pushed")?;
    let name = format!("pushed.{ZONE}");
    server.until_dig(&[&name, "A"], |reply| reply.answer_data() == ["192.0.2.99"])?;
    Ok(())
}
