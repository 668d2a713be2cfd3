//! TCP connections may be short, many, slow or half closed: each gets all its replies and delays no other.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use zonule_harness::PATIENCE;
use zonule_harness::wire::{self, Connection, kind};

use crate::scene::{Scene, zone};

/// A framed query for www.example.org.
fn framed(id: u16) -> Vec<u8> {
    wire::frame(&wire::query(id, "www.example.org", kind::A))
}

fn connect(server: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Asks over `connection` and checks the reply's id and answer; returns whether the server was still there.
fn is_served(connection: &mut Connection, id: u16) -> bool {
    if connection.send(&wire::query(id, "www.example.org", kind::A)).is_err() {
        return false;
    }
    let Ok(Some(reply)) = connection.receive() else { return false };
    assert_eq!((wire::id(&reply), wire::answers(&reply)), (Some(id), Some(1)));
    true
}

scenario!(client_that_has_said_all_gets_all_replies_and_the_end, |target| {
    let scene = Scene::small(target);
    for count in [1, 2, 300] {
        let mut stream = connect(scene.server.address());
        // The end may travel with the last query.
        stream.write_all(&(0..count).flat_map(framed).collect::<Vec<_>>()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut replies = Vec::new();
        stream.read_to_end(&mut replies).unwrap();
        let mut rest = replies.as_slice();
        for id in 0..count {
            let (length, after) = rest.split_at(2);
            let (reply, after) = after.split_at(usize::from(u16::from_be_bytes([length[0], length[1]])));
            assert_eq!((wire::id(reply), wire::answers(reply)), (Some(id), Some(1)));
            rest = after;
        }
        assert!(rest.is_empty());
    }
});

scenario!(thousand_connections_one_after_the_other, |target| {
    let scene = Scene::small(target);
    for id in 0..1000 {
        let mut connection = Connection::open(scene.server.address()).unwrap();
        assert!(is_served(&mut connection, id), "connection {id}");
    }
});

scenario!(connection_idle_longest_makes_room_when_there_are_too_many, |target| {
    let files = [("example.org", zone(1, ""))];
    let mut scene = Scene::with_arguments(target, files, &["--tcp-connections=4", "--rate-limit=off"]);
    scene.server.until_serving("example.org").unwrap();
    let address = scene.server.address();
    let mut busy = Connection::open(address).unwrap();
    assert!(is_served(&mut busy, 1));
    let mut idle: Vec<Connection> = Vec::new();
    for id in 2..30 {
        let mut connection = Connection::open(address).unwrap();
        assert!(is_served(&mut connection, id), "a new connection is served");
        assert!(is_served(&mut busy, id), "and so is one that is in use");
        idle.push(connection);
    }
    // All but the last three had to go.
    for (number, connection) in idle.iter_mut().enumerate().take(25) {
        assert_eq!(connection.receive().unwrap(), None, "connection {number}");
    }
});

scenario!(client_that_reads_nothing_holds_nobody_up, |target| {
    let scene = Scene::small(target);
    let mut greedy = connect(scene.server.address());
    greedy.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let many: Vec<u8> = (0..500).flat_map(framed).collect();
    // Until all buffers between us are full, or the server has had enough.
    let error = loop {
        if let Err(error) = greedy.write_all(&many) {
            break error;
        }
    };
    let full = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
    assert!(full || matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    for id in 0..20 {
        let mut connection = Connection::open(scene.server.address()).unwrap();
        assert!(is_served(&mut connection, id));
    }
    assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);
});

scenario!(queries_in_any_segments_are_understood, |target| {
    let scene = Scene::small(target);
    let all: Vec<u8> = (0..6).flat_map(framed).collect();
    for size in [1, 2, 3, 7, 34, 35, 36, 50, 100] {
        let mut stream = connect(scene.server.address());
        stream.set_nodelay(true).unwrap();
        for piece in all.chunks(size) {
            stream.write_all(piece).unwrap();
        }
        for id in 0..6 {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut reply = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut reply).unwrap();
            assert_eq!(wire::id(&reply), Some(id), "in pieces of {size}");
        }
    }
});
