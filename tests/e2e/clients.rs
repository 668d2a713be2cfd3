//! Many clients at once are all answered, and idle or slow ones do not delay the others.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread;

use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{Target, namespace};

use crate::scene::{Scene, zone};

scenario!(fifty_connections_at_once_with_pipelined_queries, |target| {
    // QEMU's user network takes connections one by one: only on a link of its own does the image see all at once.
    if matches!(target, Target::Image { .. }) && !namespace::inside() {
        return namespace::test_inside("clients::fifty_connections_at_once_with_pipelined_queries::image").unwrap();
    }
    const CONNECTIONS: usize = 50;
    const QUERIES: u16 = 20;
    let scene = Scene::small(target);
    let address = scene.server.address();
    let together = Barrier::new(CONNECTIONS);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                together.wait();
                let mut connection = Connection::open(address).unwrap();
                let queries: Vec<u8> =
                    (0..QUERIES).flat_map(|id| wire::frame(&wire::query(id, "www.example.org", kind::A))).collect();
                connection.send_raw(&queries).unwrap();
                // Replies may come in any order (RFC 7766 §6.2.1.1).
                let mut missing: BTreeSet<u16> = (0..QUERIES).collect();
                while !missing.is_empty() {
                    let reply = connection.receive().unwrap().expect("a reply before the end");
                    assert_eq!((wire::rcode(&reply), wire::answers(&reply)), (Some(0), Some(1)));
                    assert!(missing.remove(&wire::id(&reply).unwrap()), "a second reply to the same query");
                }
            });
        }
    });
});

scenario!(idle_and_slow_connections_are_closed_while_others_are_served, |target| {
    let scene = Scene::small(target);
    let mut idle = Connection::open(scene.server.address()).unwrap();
    // Announces a message that never comes.
    let mut slow = Connection::open(scene.server.address()).unwrap();
    slow.send_raw(&[0, 40, 1]).unwrap();
    // Has been served once and says nothing more.
    let mut silent = Connection::open(scene.server.address()).unwrap();
    silent.send(&wire::query(1, "www.example.org", kind::A)).unwrap();
    assert_eq!(silent.receive().unwrap().and_then(|reply| wire::rcode(&reply)), Some(0));

    thread::scope(|scope| {
        let closed = scope.spawn(move || [idle.receive(), slow.receive(), silent.receive()]);
        while !closed.is_finished() {
            let reply = scene.server.dig(&["www.example.org", "A", "+tcp"]).unwrap();
            assert_eq!(reply.answer_data(), ["192.0.2.80"]);
        }
        for end in closed.join().unwrap() {
            assert_eq!(end.unwrap(), None, "something arrived on a connection that should be closed");
        }
    });
});

scenario!(message_in_single_octets_is_understood, |target| {
    let scene = Scene::small(target);
    let mut connection = Connection::open(scene.server.address()).unwrap();
    for octet in wire::frame(&wire::query(7, "www.example.org", kind::A)) {
        connection.send_raw(&[octet]).unwrap();
    }
    let reply = connection.receive().unwrap().expect("a reply");
    assert_eq!((wire::id(&reply), wire::answers(&reply)), (Some(7), Some(1)));
});

scenario!(reply_too_large_for_a_datagram_is_truncated_and_whole_over_tcp, |target| {
    let mut text = String::new();
    for number in 0..200 {
        writeln!(text, "many TXT \"record number {number} of two hundred\"").unwrap();
    }
    let mut scene = Scene::with_files(target, [("example.org", zone(1, &text))]);
    scene.server.until_serving("example.org").unwrap();
    let truncated = scene.server.dig(&["many.example.org", "TXT", "+ignore"]).unwrap();
    assert!(truncated.has_flag("tc"), "{:?}", truncated.flags);
    // Without `+ignore`, dig asks again over TCP.
    let whole = scene.server.dig(&["many.example.org", "TXT"]).unwrap();
    assert!(!whole.has_flag("tc"));
    assert_eq!(whole.answer.len(), 200);
});

scenario!(datagrams_from_many_clients_are_all_answered, |target| {
    let scene = Scene::small(target);
    let address = scene.server.address();
    thread::scope(|scope| {
        for client in 0..20 {
            scope.spawn(move || (0..50).for_each(|query| ask_until_answered(address, client * 50 + query)));
        }
    });
});

/// Asks for www.example.org, again if the datagram is lost, as any resolver does.
fn ask_until_answered(server: SocketAddr, id: u16) {
    let message = wire::query(id, "www.example.org", kind::A);
    let reply = zonule_harness::eventually("a reply by UDP", || {
        wire::exchange(server, &message, std::time::Duration::from_secs(2)).unwrap()
    })
    .unwrap();
    assert_eq!((wire::id(&reply), wire::rcode(&reply), wire::answers(&reply)), (Some(id), Some(0), Some(1)));
}
