//! Tests of dials to resolvers and hosts on the loopback interface.

use std::net::{TcpListener, UdpSocket};

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A resolver that answers each question with the datagrams that `answer` returns.
fn resolver(mut answer: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut buffer) {
            for reply in answer(&buffer[..length]) {
                socket.send_to(&reply, client).unwrap();
            }
        }
    });
    address
}

/// The type of a question.
fn kind(question: &[u8]) -> u16 {
    u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]])
}

/// An answer with the response code `rcode` and an optional address.
fn answer(question: &[u8], rcode: u8, ttl: u32, address: Option<&[u8]>) -> Vec<u8> {
    let mut reply = question.to_vec();
    reply[2] = 0x81;
    reply[3] = 0x80 | rcode;
    if let Some(address) = address {
        reply[7] = 1;
        reply.extend([0xc0, 12]);
        reply.extend(kind(question).to_be_bytes());
        reply.extend([0, 1]);
        reply.extend(ttl.to_be_bytes());
        reply.extend([0, address.len() as u8]);
        reply.extend(address);
    }
    reply
}

const HERE: &[u8] = &[127, 0, 0, 1];

/// The answer of a resolver that maps every name to 127.0.0.1.
fn here(question: &[u8], ttl: u32) -> Vec<u8> {
    answer(question, 0, ttl, (kind(question) == 1).then_some(HERE))
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[test]
fn a_name_is_looked_up_and_cached() {
    let (_listener, port) = listener();
    let (count, counted) = sync_channel(1024);
    let server = resolver(move |question| {
        count.send(kind(question)).unwrap();
        vec![here(question, 300)]
    });
    let dialer = Dialer::with_servers(vec![server]);
    for _ in 0..3 {
        let stream = dialer.connect("git.example.org", port, PATIENCE).unwrap();
        assert_eq!(stream.peer_addr().unwrap().port(), port);
    }
    let asked: Vec<u16> = counted.try_iter().collect();
    // The absence of IPv6 addresses is cached, too, for some seconds.
    assert_eq!(asked[..2], [28, 1]);
}

#[test]
fn forged_answers_are_ignored() {
    let (_listener, port) = listener();
    let server = resolver(|question| {
        let mut lies = Vec::new();
        for (at, bit) in [(0, 1), (1, 1), (13, 1), (question.len() - 1, 2)] {
            // Another ID, name or class.
            let mut lie = answer(question, 0, 300, (kind(question) == 1).then_some(&[192, 0, 2, 66]));
            lie[at] ^= bit;
            lies.push(lie);
        }
        lies.push(here(question, 300));
        lies
    });
    Dialer::with_servers(vec![server]).connect("git.example.org", port, PATIENCE).unwrap();
}

#[test]
fn the_next_resolver_is_queried_if_one_fails() {
    let (_listener, port) = listener();
    let silent = resolver(|_| Vec::new());
    let failing = resolver(|question| vec![answer(question, 2, 0, None)]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let good = resolver(|question| vec![here(question, 300)]);
    Dialer::with_servers(vec![closed, failing, silent, good]).connect("git.example.org", port, PATIENCE).unwrap();

    let brief = Duration::from_millis(300);
    let error = Dialer::with_servers(vec![silent]).connect("git.example.org", port, brief).unwrap_err();
    let silent_port = silent.port();
    assert_eq!(
        error.to_string(),
        format!("cannot look up git.example.org: resolver 127.0.0.1 port {silent_port} did not answer within 0.3 s")
    );
    let error = Dialer::with_servers(vec![failing]).connect("git.example.org", port, PATIENCE).unwrap_err();
    assert!(error.to_string().ends_with("answered SERVFAIL"), "{error}");
}

#[test]
fn negative_results_are_reported() {
    let server = resolver(|question| vec![answer(question, 3, 0, None)]);
    let error = Dialer::with_servers(vec![server]).connect("git.example.org", 9418, PATIENCE).unwrap_err();
    let text =
        format!("git.example.org does not exist according to resolver 127.0.0.1 port {} (NXDOMAIN)", server.port());
    assert_eq!(error.to_string(), text);
    let server = resolver(|question| vec![answer(question, 0, 0, None)]);
    let error = Dialer::with_servers(vec![server]).connect("git.example.org", 9418, PATIENCE).unwrap_err();
    assert!(
        error.to_string().starts_with("git.example.org has no addresses according to resolver 127.0.0.1"),
        "{error}"
    );
    for dialer in [Dialer::with_servers(Vec::new()), Dialer::from_file("/no/such/file")] {
        let error = dialer.connect("git.example.org", 9418, PATIENCE).unwrap_err();
        assert!(error.to_string().contains("no resolver is known; give --resolver=ADDR"), "{error}");
        for bad in ["", "..", "bücher.example", "."] {
            let error = dialer.connect(bad, 9418, PATIENCE).unwrap_err();
            assert!(matches!(error, DialError::BadName { .. }), "{error}");
        }
    }
}

#[test]
fn an_unreachable_family_does_not_matter() {
    let (_listener, port) = listener();
    // A documentation prefix (RFC 3849): without a route it fails at once, with one it times out.
    let nowhere: [u8; 16] = "2001:db8::1".parse::<Ipv6Addr>().unwrap().octets();
    let server = resolver(move |question| {
        vec![answer(question, 0, 300, Some(if kind(question) == 1 { HERE } else { &nowhere }))]
    });
    let dialer = Dialer::with_servers(vec![server]);
    let stream = dialer.connect("git.example.org", port, PATIENCE).unwrap();
    assert!(stream.peer_addr().unwrap().is_ipv4());
    drop((_listener, stream));
    let error = dialer.connect("git.example.org", port, Duration::from_secs(3)).unwrap_err().to_string();
    assert!(error.starts_with("cannot connect to "), "{error}");
    assert!(error.contains(&format!("2001:db8::1 port {port}: ")), "{error}");
    assert!(error.contains(&format!("127.0.0.1 port {port}: Connection refused")), "{error}");
}

#[test]
fn expired_addresses_are_used_while_resolvers_are_silent() {
    let (_listener, port) = listener();
    let mut count = 0;
    let server = resolver(move |question| {
        count += 1;
        if count <= 2 { vec![here(question, 0)] } else { Vec::new() }
    });
    let dialer = Dialer::with_servers(vec![server]);
    for _ in 0..2 {
        dialer.connect("git.example.org", port, PATIENCE).unwrap();
    }
}

#[test]
fn addresses_and_localhost_need_no_resolver() {
    let (_listener, port) = listener();
    let dialer = Dialer::with_servers(Vec::new());
    for host in ["127.0.0.1", "localhost", "LOCALHOST.", "git.localhost"] {
        dialer.connect(host, port, PATIENCE).unwrap_or_else(|error| panic!("{host}: {error}"));
    }
    Dialer::system().connect("localhost", port, PATIENCE).unwrap();
}

#[test]
fn truncated_answers_are_retried_over_tcp() {
    let (_listener, port) = listener();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(server).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, client)) = udp.recv_from(&mut buffer) {
            let mut reply = answer(&buffer[..length], 0, 0, None);
            reply[2] |= 2;
            udp.send_to(&reply, client).unwrap();
        }
    });
    thread::spawn(move || {
        use io::{Read as _, Write as _};
        for stream in tcp.incoming() {
            let mut stream = stream.unwrap();
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut question).unwrap();
            let reply = here(&question, 300);
            // In pieces.
            stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
            stream.write_all(&reply[..5]).unwrap();
            stream.write_all(&reply[5..]).unwrap();
        }
    });
    Dialer::with_servers(vec![server]).connect("git.example.org", port, PATIENCE).unwrap();
}
