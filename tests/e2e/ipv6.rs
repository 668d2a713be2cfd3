//! The image serves both address families, for hosts on its link and behind a path with a small MTU.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use zonule_harness::wire::{self, kind, opcode};
use zonule_harness::{
    Ask, Console, PATIENCE, Process, Remote, Sandbox, Server, dig, eventually, namespace, run, serial, whole_zone,
};

use crate::scene::zone;

const ZONE: &str = "example.org";
/// The tap device on this side.
const TAP: &str = "zonule0";
const HOST: &str = "fd00:2::2";
const GUEST: &str = "fd00:2::15";
/// The packets the path to the far host carries: more than IPv6 demands, less than its ends think.
const NARROW: u32 = 1320;

fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' '))).unwrap();
}

/// A host in a namespace of its own behind this one, which is its router; gone when dropped.
struct Far(Process);

impl Far {
    fn start(sandbox: &Sandbox) -> Far {
        let console = Console::File(sandbox.path().join("far.log"));
        let script = "echo here; exec sleep 3600";
        let process = Process::start(Path::new("unshare"), &["--net", "sh", "-c", script], console).unwrap();
        let far = Far(process);
        eventually("a namespace of its own", || far.0.printed().contains("here").then_some(())).unwrap();
        ip(&format!("link add near mtu {NARROW} type veth peer name far mtu 1500 netns {}", far.0.id()));
        for address in ["10.0.3.1/24", "fd00:3::1/64 nodad"] {
            ip(&format!("addr add {address} dev near"));
        }
        ip("link set near up");
        for line in [
            "addr add 10.0.3.2/24 dev far",
            "addr add fd00:3::2/64 dev far nodad",
            "link set far up",
            "route add default via 10.0.3.1",
            "-6 route add default via fd00:3::1",
        ] {
            far.run(&format!("ip {line}")).unwrap();
        }
        for switch in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{switch}"), "1").unwrap();
        }
        far
    }

    /// Runs a program there.
    fn run(&self, line: &str) -> zonule_harness::Result<String> {
        let target = format!("--target={}", self.0.id());
        run(Command::new("nsenter").args([&target, "--net"]).args(line.split(' ')))
    }
}

/// The zone: with a record set that is longer than an answer over IPv6 may be, and enough to fill many packets.
fn text(serial: u32) -> String {
    let mut text = zone(serial, "");
    for number in 0..6 {
        writeln!(text, "long TXT {}{number}", "x".repeat(200)).unwrap();
    }
    for number in 0..3000 {
        writeln!(text, "h{number} TXT some-more-of-it").unwrap();
    }
    text
}

/// How often this router had to say or do something, as the kernel counts in a file of /proc/net.
fn count(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/net/{file}")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    if file == "snmp6" {
        return lines.iter().find(|line| line[0] == name).unwrap()[1].parse().unwrap();
    }
    let [names, values] = &lines[..2] else { panic!("{text}") };
    let at = names.iter().position(|known| *known == name).unwrap();
    values[at].parse().unwrap()
}

/// A query for www.example.org that its padding makes longer than a packet.
fn padded_query() -> Vec<u8> {
    const PADDING: u16 = 12;
    let mut query = wire::query(0x4711, "www.example.org", kind::A);
    query[11] = 1;
    query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0]);
    query.extend(2504u16.to_be_bytes());
    query.extend(PADDING.to_be_bytes());
    query.extend(2500u16.to_be_bytes());
    query.extend([0; 2500]);
    query
}

fn socket(own: &str) -> UdpSocket {
    let socket = UdpSocket::bind((own.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn until_serial(server: &mut Server, guest: SocketAddr, wanted: u32) {
    server.until(&format!("serial {wanted}"), |_| (serial(guest, ZONE)? == wanted).then_some(())).unwrap();
}

/// Waits for a notification of this serial and acknowledges it.
fn receive(socket: &UdpSocket, from: IpAddr, wanted: u32) {
    let mut buffer = [0; 512];
    eventually("a notification", || {
        let (length, sender) = socket.recv_from(&mut buffer).ok()?;
        let message = &mut buffer[..length];
        assert_eq!((wire::opcode_of(message), sender.ip()), (Some(opcode::NOTIFY), from));
        let serial = wire::records(message).next().and_then(|record| record.serial());
        message[2] |= 0x80;
        socket.send_to(message, sender).unwrap();
        (serial == Some(wanted)).then_some(())
    })
    .unwrap();
}

#[test]
fn both_families_image() {
    if !namespace::inside() {
        return namespace::test_inside("ipv6::both_families_image").unwrap();
    }
    ip(&format!("addr add {HOST}/64 dev {TAP} nodad"));
    let sandbox = Sandbox::new("ipv6").unwrap();
    let mut remote = Remote::with_files(sandbox.path(), [(ZONE, text(1))]).unwrap();
    remote.serve_on(Ipv6Addr::UNSPECIFIED).unwrap();
    let told = socket(HOST);
    told.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let arguments = [
        format!("--ip={GUEST}/64 --ip=fd00:2::16/64 --gateway={HOST}"),
        format!("--git-remote={} --git-poll=3600", remote.url(&format!("[{HOST}]"))),
        format!("--notify={}", told.local_addr().unwrap()),
        "--allow-notify=fd00:2::/64 --allow-transfer=fd00::/16,10.0.0.0/8".to_owned(),
        "--rate-limit=off --edns-payload=4096".to_owned(),
    ];
    let boot = arguments.iter().fold(crate::scene::image().boot(), |boot, argument| boot.argument(argument));
    let mut server = boot.start(&sandbox).unwrap();
    let guest = SocketAddr::new(GUEST.parse().unwrap(), 53);
    until_serial(&mut server, guest, 1);
    receive(&told, guest.ip(), 1);

    // Over both families, by UDP and TCP, at each address and the one that holds on the link alone.
    let link_local = format!("fe80::5054:ff:fe12:3456%{TAP}");
    for address in ["10.0.2.15", GUEST, "fd00:2::16", &link_local] {
        for transport in ["+notcp", "+tcp"] {
            let at = format!("@{address}");
            let line = ["-r", &at, "+norecurse", "+tries=3", "+timeout=5", "+short", transport, "www.example.org", "A"];
            assert_eq!(run(Command::new("dig").args(line)).unwrap().trim(), "192.0.2.80", "{address} {transport}");
        }
    }

    // What is longer than every path carries comes by TCP over IPv6, whatever was asked for.
    let long = ["long.example.org", "TXT", "+bufsize=4096", "+ignore"];
    let v4 = server.dig(&long).unwrap();
    assert_eq!((v4.has_flag("tc"), v4.answer.len()), (false, 6));
    assert!(dig(guest, &long).unwrap().has_flag("tc"));
    assert_eq!(dig(guest, &long[..3]).unwrap().answer.len(), 6);

    // A query in several fragments is answered, from the address that was asked.
    for (own, address) in [("10.0.2.2", "10.0.2.15"), (HOST, GUEST), (HOST, "fd00:2::16")] {
        let socket = socket(own);
        socket.connect((address.parse::<IpAddr>().unwrap(), 53)).unwrap();
        socket.send(&padded_query()).unwrap();
        let mut reply = [0; 4096];
        let length = socket.recv(&mut reply).unwrap();
        assert_eq!(wire::answers(&reply[..length]), Some(1), "{address}");
    }

    // A notification over IPv6 has it look at git over IPv6, and it tells of that in turn.
    remote.write(ZONE, text(2)).unwrap();
    remote.push("A change").unwrap();
    let answer = Ask::notify(ZONE).patience(30).send(guest).unwrap();
    assert_eq!(answer.status, "NOERROR", "{}", answer.text);
    until_serial(&mut server, guest, 2);
    receive(&told, guest.ip(), 2);

    // Transfers: next to it, and over the narrow path, where no segment of the usual size gets through.
    let whole = whole_zone(guest, ZONE, None).unwrap();
    assert!(whole.len() > 3000, "{}", whole.len());
    let far = Far::start(&sandbox);
    let fragments = count("snmp", "FragCreates");
    for address in [GUEST, "10.0.2.15"] {
        // Not by dig, which asks for small segments. The second connection begins with what the first was told.
        for _ in 0..2 {
            let server = SocketAddr::new(address.parse().unwrap(), 53);
            let answer = Ask::axfr(ZONE).from_namespace_of(far.0.id()).send(server).unwrap();
            assert!(answer.is_complete, "{address}: {}", answer.text);
        }
        let line = format!("dig -r @{address} www.example.org +short +tries=3 +timeout=5");
        assert_eq!(far.run(&line).unwrap().trim(), "192.0.2.80", "{address}");
    }
    // The path was narrow: over IPv6 the image was told so, over IPv4 packets were cut up on the way.
    assert_ne!(count("snmp6", "Icmp6OutPktTooBigs"), 0);
    assert_ne!(count("snmp", "FragCreates"), fragments);
}
