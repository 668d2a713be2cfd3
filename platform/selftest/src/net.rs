//! The network as std promises it, tried on the bare machine.
//!
//! `--net --ip=ADDRESS/N … [--gateway=ADDRESS …] [--vlan=N] [--peer=ADDRESS:PORT …] [--acpi]` starts small services for a host to
//! talk to, over both families: TCP and UDP echo (7), a server that closes at once (9), free memory as text (11), and at
//! port 53 a responder below the sockets with a socket behind it. With a peer, which must echo TCP and UDP, it first
//! tries the client's side. With `--acpi` it fails unless ACPI was found.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use zonule_platform::net::{self, NetConfig, UdpResponder, Verdict};

/// Why a check failed.
type Failure = String;

/// Serves for ever; says "net: ready" on the console once everything listens.
pub(crate) fn run(arguments: &[String]) -> ExitCode {
    let value = |name: &str| arguments.iter().find_map(|argument| argument.strip_prefix(name));
    let values = |name| arguments.iter().filter_map(move |argument: &String| argument.strip_prefix(name));
    let address = |ip: &str| {
        let (address, prefix) = ip.split_once('/')?;
        Some((address.parse::<IpAddr>().ok()?, prefix.parse().ok()?))
    };
    let addresses: Vec<_> = values("--ip=").filter_map(address).collect();
    let gateways = values("--gateway=").filter_map(|gateway| gateway.parse().ok()).collect();
    let vlan = value("--vlan=").and_then(|vlan| vlan.parse().ok());
    let config = NetConfig { addresses, gateways, vlan, ..NetConfig::default() };
    if arguments.iter().any(|argument| argument == "--acpi") && zonule_platform::acpi::table(b"FACP").is_none() {
        println!("net: FAILED: ACPI was not found");
    }
    let begun = Instant::now();
    if let Err(error) = net::start(config) {
        println!("net: FAILED: {error}");
        return ExitCode::FAILURE;
    }
    println!("net: up after {} µs", begun.elapsed().as_micros());
    net::serve_udp(53, Box::new(Responder));
    for any in [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
        if let Err(failure) = serve(any) {
            println!("net: FAILED: {failure}");
            return ExitCode::FAILURE;
        }
    }
    for peer in values("--peer=").filter_map(|peer| peer.parse::<SocketAddr>().ok()) {
        for (name, check) in CHECKS {
            match check(peer) {
                Ok(()) => println!("net: ok: {name}"),
                Err(failure) => println!("net: FAILED: {name}: {failure}"),
            }
        }
    }
    println!("net: ready");
    loop {
        thread::park();
    }
}

/// Leaves "Declined" to the socket, drops "Dropped", and sends the rest back.
struct Responder;

impl UdpResponder for Responder {
    fn respond(&mut self, _: SocketAddr, datagram: &[u8], reply: &mut [u8]) -> Verdict {
        match datagram {
            b"Declined" => Verdict::Decline,
            b"Dropped" => Verdict::Drop,
            // A DNS query comes back as a response with its answer missing, which is enough for dnsperf.
            _ => {
                let length = datagram.len().min(reply.len());
                reply[..length].copy_from_slice(&datagram[..length]);
                if length > 2 {
                    reply[2] |= 0x80;
                }
                Verdict::Reply(length)
            }
        }
    }
}

fn serve(any: IpAddr) -> Result<(), Failure> {
    let any = |port| SocketAddr::new(any, port);
    let text = |error: std::io::Error| error.to_string();
    let declined = UdpSocket::bind(any(53)).map_err(text)?;
    thread::spawn(move || echo_datagrams(&declined, b"socket:"));
    let echo = UdpSocket::bind(any(7)).map_err(text)?;
    thread::spawn(move || echo_datagrams(&echo, b""));
    listen(any(7), |stream| {
        thread::spawn(move || echo_stream(stream));
    })?;
    listen(any(9), drop)?;
    listen(any(11), |mut stream| {
        let _ = writeln!(stream, "{}", zonule_platform::memory::free());
        // Whoever closes first keeps the connection in TIME-WAIT: not this side, which is being measured.
        let _ = stream.read(&mut [0; 1]);
    })
}

fn listen(address: SocketAddr, serve: impl Fn(TcpStream) + Send + 'static) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).map_err(|error| error.to_string())?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            match stream {
                Ok(stream) => serve(stream),
                Err(error) => println!("net: FAILED: accept: {error}"),
            }
        }
    });
    Ok(())
}

fn echo_stream(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

fn echo_datagrams(socket: &UdpSocket, prefix: &[u8]) {
    let mut buffer = vec![0; 65536];
    buffer[..prefix.len()].copy_from_slice(prefix);
    loop {
        match socket.recv_from(&mut buffer[prefix.len()..]) {
            Ok((length, from)) => _ = socket.send_to(&buffer[..prefix.len() + length], from),
            Err(error) => println!("net: FAILED: recv_from: {error}"),
        }
    }
}

/// A check, which gets the peer's address.
type Check = fn(SocketAddr) -> Result<(), Failure>;

/// The client's side, against a peer that echoes.
const CHECKS: &[(&str, Check)] = &[
    ("echo of a megabyte", megabyte),
    ("half close", half_close),
    ("peek", peek),
    ("read timeout", read_timeout),
    ("write timeout", write_timeout),
    ("nonblocking", nonblocking),
    ("try_clone", cloned),
    ("shutdown wakes a reader", shutdown_wakes),
    ("accept on a shut down or nonblocking listener", nonblocking_accept),
    ("addresses and options", options),
    ("connection refused", refused),
    ("connect timeout", connect_timeout),
    ("unreachable and unsupported addresses", unreachable),
    ("ports in use", ports),
    ("connected datagrams", datagrams),
    ("datagram timeout and nonblocking", datagram_timeout),
    ("datagrams nobody takes", refused_datagram),
    ("names", names),
];

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, is: T, should: T) -> Result<(), Failure> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?} instead of {should:?}")) }
}

/// Expects the operation to fail in this way.
fn fails<T: std::fmt::Debug>(what: &str, result: std::io::Result<T>, kinds: &[ErrorKind]) -> Result<(), Failure> {
    match result {
        Err(error) if kinds.contains(&error.kind()) => Ok(()),
        other => Err(format!("{what}: {other:?} instead of {kinds:?}")),
    }
}

trait Text<T> {
    fn text(self, what: &str) -> Result<T, Failure>;
}

impl<T> Text<T> for std::io::Result<T> {
    fn text(self, what: &str) -> Result<T, Failure> {
        self.map_err(|error| format!("{what}: {error} ({:?})", error.kind()))
    }
}

fn connect(peer: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(peer).text("connect")?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).text("set_read_timeout")?;
    Ok(stream)
}

fn megabyte(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    let mut writer = stream.try_clone().text("try_clone")?;
    let data: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2654435761) >> 24) as u8).collect();
    let sent = data.clone();
    let thread = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
    let mut received = Vec::new();
    stream.read_to_end(&mut received).text("read")?;
    thread.join().map_err(|_| "the writer panicked")?.text("write")?;
    expect("bytes", received == data, true)
}

fn half_close(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    stream.write_all(b"question").text("write")?;
    stream.shutdown(Shutdown::Write).text("shutdown")?;
    fails("write after shutdown", stream.write(b"x"), &[ErrorKind::BrokenPipe])?;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).text("read")?;
    expect("echo", received, b"question".to_vec())?;
    expect("read after the end", stream.read(&mut [0; 8]).text("read")?, 0)
}

fn peek(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    stream.write_all(b"abcdef").text("write")?;
    let mut buffer = [0; 6];
    while stream.peek(&mut buffer).text("peek")? < 6 {}
    expect("peeked", &buffer, b"abcdef")?;
    stream.read_exact(&mut buffer).text("read")?;
    expect("read", &buffer, b"abcdef")
}

fn read_timeout(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    let timeout = Duration::from_millis(150);
    stream.set_read_timeout(Some(timeout)).text("set")?;
    expect("timeout", stream.read_timeout().text("get")?, Some(timeout))?;
    let begun = Instant::now();
    fails("read", stream.read(&mut [0; 1]), &[ErrorKind::WouldBlock])?;
    expect("waited", begun.elapsed() >= timeout, true)?;
    fails("zero", stream.set_read_timeout(Some(Duration::ZERO)), &[ErrorKind::InvalidInput])?;
    stream.write_all(b"still alive").text("write")?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).text("set")?;
    stream.read_exact(&mut [0; 11]).text("read")
}

/// A peer that echoes and is not read from stops reading at some point.
fn write_timeout(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    stream.set_write_timeout(Some(Duration::from_millis(300))).text("set")?;
    let chunk = vec![1; 1 << 16];
    let mut written = 0;
    while written < 100_000_000 {
        match stream.write(&chunk) {
            Ok(length) => written += length,
            Err(error) => return expect("kind", error.kind(), ErrorKind::WouldBlock),
        }
    }
    Err("a hundred megabytes went nowhere".into())
}

fn nonblocking(peer: SocketAddr) -> Result<(), Failure> {
    let mut stream = connect(peer)?;
    stream.set_nonblocking(true).text("set_nonblocking")?;
    fails("read", stream.read(&mut [0; 1]), &[ErrorKind::WouldBlock])?;
    fails("peek", stream.peek(&mut [0; 1]), &[ErrorKind::WouldBlock])?;
    stream.write_all(b"x").text("write")?;
    let begun = Instant::now();
    loop {
        match stream.read(&mut [0; 1]) {
            Ok(length) => return expect("length", length, 1),
            Err(error) if error.kind() == ErrorKind::WouldBlock && begun.elapsed() < Duration::from_secs(20) => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn cloned(peer: SocketAddr) -> Result<(), Failure> {
    let stream = connect(peer)?;
    let mut clone = stream.try_clone().text("try_clone")?;
    drop(stream);
    clone.write_all(b"open").text("write")?;
    let mut buffer = [0; 4];
    clone.read_exact(&mut buffer).text("read")?;
    expect("echo", &buffer, b"open")
}

fn shutdown_wakes(peer: SocketAddr) -> Result<(), Failure> {
    let stream = connect(peer)?;
    let mut clone = stream.try_clone().text("try_clone")?;
    let reader = thread::spawn(move || clone.read(&mut [0; 1]));
    thread::sleep(Duration::from_millis(50));
    stream.shutdown(Shutdown::Both).text("shutdown")?;
    expect("read", reader.join().map_err(|_| "panicked")?.text("read")?, 0)
}

fn nonblocking_accept(peer: SocketAddr) -> Result<(), Failure> {
    let listener = TcpListener::bind(any(peer, 0)).text("bind")?;
    listener.set_nonblocking(true).text("set_nonblocking")?;
    fails("accept", listener.accept(), &[ErrorKind::WouldBlock])?;
    expect("port", listener.local_addr().text("local_addr")?.port() != 0, true)
}

fn options(peer: SocketAddr) -> Result<(), Failure> {
    let stream = connect(peer)?;
    expect("peer", stream.peer_addr().text("peer_addr")?, peer)?;
    expect("local port", stream.local_addr().text("local_addr")?.port() >= 32768, true)?;
    expect("nodelay", stream.nodelay().text("nodelay")?, false)?;
    stream.set_nodelay(true).text("set_nodelay")?;
    expect("nodelay", stream.nodelay().text("nodelay")?, true)?;
    expect("ttl", stream.ttl().text("ttl")?, 64)?;
    stream.set_ttl(63).text("set_ttl")?;
    expect("ttl", stream.ttl().text("ttl")?, 63)?;
    expect("error", stream.take_error().text("take_error")?.is_none(), true)
}

fn refused(peer: SocketAddr) -> Result<(), Failure> {
    // Port 1 of the host: nobody listens there.
    let closed = SocketAddr::new(peer.ip(), 1);
    fails("connect", TcpStream::connect(closed), &[ErrorKind::ConnectionRefused])?;
    let result = TcpStream::connect_timeout(&closed, Duration::from_secs(20));
    fails("connect_timeout", result, &[ErrorKind::ConnectionRefused])
}

fn connect_timeout(peer: SocketAddr) -> Result<(), Failure> {
    let silent = match peer.ip() {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & !0xff | 200)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !0xff | 200)),
    };
    let silent = SocketAddr::new(silent, 80);
    let begun = Instant::now();
    fails("connect", TcpStream::connect_timeout(&silent, Duration::from_millis(300)), &[ErrorKind::TimedOut])?;
    expect("waited", begun.elapsed() >= Duration::from_millis(300), true)?;
    let stream = TcpStream::connect_timeout(&peer, Duration::from_secs(20)).text("connect_timeout")?;
    expect("peer", stream.peer_addr().text("peer_addr")?, peer)
}

fn unreachable(peer: SocketAddr) -> Result<(), Failure> {
    let (loopback, foreign) =
        if peer.is_ipv4() { ("127.0.0.1:7", "192.0.2.1:0") } else { ("[::1]:7", "[2001:db8:ffff::1]:0") };
    fails("loopback", TcpStream::connect(loopback), &[ErrorKind::NetworkUnreachable])?;
    fails("mapped", TcpStream::connect("[::ffff:10.0.2.2]:7"), &[ErrorKind::NetworkUnreachable])?;
    fails("foreign address", UdpSocket::bind(foreign), &[ErrorKind::AddrNotAvailable])
}

/// Any address of the peer's family, with a port.
fn any(peer: SocketAddr, port: u16) -> SocketAddr {
    if peer.is_ipv4() { (Ipv4Addr::UNSPECIFIED, port).into() } else { (Ipv6Addr::UNSPECIFIED, port).into() }
}

fn ports(peer: SocketAddr) -> Result<(), Failure> {
    fails("TCP", TcpListener::bind(any(peer, 7)), &[ErrorKind::AddrInUse])?;
    fails("UDP", UdpSocket::bind(any(peer, 53)), &[ErrorKind::AddrInUse])?;
    let again = TcpListener::bind(any(peer, 1234)).text("bind")?;
    drop(again);
    TcpListener::bind(any(peer, 1234)).text("bind again").map(drop)
}

fn datagrams(peer: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind(any(peer, 0)).text("bind")?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).text("set_read_timeout")?;
    socket.connect(peer).text("connect")?;
    expect("peer", socket.peer_addr().text("peer_addr")?, peer)?;
    // The last needs several packets.
    let most = if is_emulated(peer) { 1400 } else { 6000 };
    for length in [0, 1, most] {
        let sent = vec![length as u8; length];
        expect("sent", socket.send(&sent).text("send")?, length)?;
        let mut buffer = [0; 8000];
        expect("peeked", socket.peek(&mut buffer).text("peek")?, length)?;
        let got = socket.recv(&mut buffer).text("recv")?;
        expect("echo", &buffer[..got], &sent[..])?;
    }
    fails("too long", socket.send(&vec![0; 65000]), &[ErrorKind::Other, ErrorKind::InvalidInput])
        .or_else(|_| expect("EMSGSIZE", socket.send(&vec![0; 65000]).err().and_then(|e| e.raw_os_error()), Some(90)))
}

fn datagram_timeout(peer: SocketAddr) -> Result<(), Failure> {
    let socket = UdpSocket::bind(any(peer, 0)).text("bind")?;
    socket.set_read_timeout(Some(Duration::from_millis(100))).text("set")?;
    fails("recv_from", socket.recv_from(&mut [0; 1]), &[ErrorKind::WouldBlock])?;
    socket.set_nonblocking(true).text("set_nonblocking")?;
    fails("nonblocking", socket.recv_from(&mut [0; 1]), &[ErrorKind::WouldBlock])?;
    expect("unconnected", socket.send(b"x").err().and_then(|error| error.raw_os_error()), Some(89))
}

/// An answer by ICMP is an error of a connected socket.
fn refused_datagram(peer: SocketAddr) -> Result<(), Failure> {
    if is_emulated(peer) {
        return Ok(());
    }
    let socket = UdpSocket::bind(any(peer, 0)).text("bind")?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).text("set")?;
    socket.connect(SocketAddr::new(peer.ip(), 1)).text("connect")?;
    socket.send(b"anybody?").text("send")?;
    fails("recv", socket.recv(&mut [0; 1]), &[ErrorKind::ConnectionRefused])
}

/// Whether the peer is behind QEMU's user network, which carries neither fragments nor ICMP.
fn is_emulated(peer: SocketAddr) -> bool {
    peer.ip() == IpAddr::from([10, 0, 2, 2])
}

fn names(_: SocketAddr) -> Result<(), Failure> {
    match TcpStream::connect("example.org:80") {
        Err(_) => Ok(()),
        Ok(_) => Err("a name was resolved".into()),
    }
}
