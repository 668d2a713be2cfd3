//! The image keeps a working address on networks whose leases, router advertisements, VLANs and cables change.
//!
//! Each test is alone with its image in a network namespace and is the network itself: with BusyBox' DHCP server, whose
//! leases may be short, and with dnsmasq, which refuses what it does not know and advertises prefixes.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;

use zonule_harness::namespace::{self, TAP};
use zonule_harness::wire::{self, Connection, kind};
use zonule_harness::{
    Console, Machine, Monitor, Port, Process, Remote, Reply, Sandbox, Server, Target, dig, eventually, git_daemon, run,
};

use crate::scene::zone;

/// The hardware address QEMU gives its first network card, and the end of the IPv6 addresses made of it.
const HARDWARE: &str = "52:54:00:12:34:56";
const IDENTIFIER: &str = "5054:ff:fe12:3456";

/// What the remote is called where its address is looked up.
const NAME: &str = "git.example.test";

/// The network gives an address late, renews it, vanishes, gives another, refuses that, and loses its cable.
#[test]
fn leases_of_the_image() {
    if !namespace::inside() {
        return namespace::test_inside("networks::leases_of_the_image").unwrap();
    }
    let sandbox = Sandbox::new("leases").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let monitor = sandbox.path().join("monitor");
    // The remote is found by its name, and whom to ask for it is told with the lease.
    let _resolver = resolver(&sandbox, "10.0.2.2");
    let boot = image().boot().network("--ip=dhcp").monitor(&monitor).argument("--log=info,network=debug");
    let url = format!("--git-remote={}", remote.url(NAME));
    let mut server = boot.argument(url).argument("--git-poll=1").start(&sandbox).unwrap();

    // Without a lease the machine says so, and goes on.
    server.until_console("no lease after 8 s: is there a DHCP server on this network, does it know this").unwrap();
    server.until_console("no address after 1").unwrap();
    server.until_console("ms by DHCP; going on, and waiting for it").unwrap();
    server.until_console("no resolver is known; give --resolver=ADDR").unwrap();

    // A server at last: the zones come as well.
    let short = udhcpd(&sandbox, "10.0.2.100", 24);
    server.until_console("lease of 10.0.2.100/24 from 10.0.2.2 for 24 s, router 10.0.2.2, DNS 10.0.2.2").unwrap();
    until_serving(&mut server, "10.0.2.100");
    server.until_console("renewed lease of 10.0.2.100/24 from 10.0.2.2 for 24 s").unwrap();

    // It goes away: the lease ends, and with it the address.
    drop(short);
    server.until_console("10.0.2.2 does not renew the lease of 10.0.2.100, which ends in ").unwrap();
    server.until_console("the lease of 10.0.2.100 from 10.0.2.2 has ended, and no DHCP server renewed it").unwrap();
    assert!(ask("10.0.2.100", &["+tries=1", "+timeout=1"]).is_none(), "the address is still used");

    // Another server gives another address, at which the same sockets listen.
    let leasing = |address: &str, renewal: u32, name: &str| {
        dnsmasq(
            &sandbox,
            name,
            &[
                "--dhcp-range=10.0.2.50,10.0.2.150,255.255.255.0,2m",
                &format!("--dhcp-host={HARDWARE},{address}"),
                &format!("--dhcp-option=option:T1,{renewal}"),
                "--dhcp-option=option:T2,100",
                "--dhcp-option=option:dns-server,10.0.2.2",
                "--port=0",
            ],
        )
    };
    let first = leasing("10.0.2.101", 4, "first");
    server.until_console("lease of 10.0.2.101/24 from 10.0.2.2 for 120 s, router 10.0.2.2, DNS 10.0.2.2").unwrap();
    until_serving(&mut server, "10.0.2.101");
    until_acknowledged(&first, "10.0.2.101", 3);
    drop(first);

    // A server that has forgotten it, and knows better.
    let second = leasing("10.0.2.102", 100, "second");
    server.until_console("10.0.2.2 refuses 10.0.2.101 (lease not found): another address is asked for").unwrap();
    server.until_console("lease of 10.0.2.102/24 from 10.0.2.2 for 120 s").unwrap();
    until_serving(&mut server, "10.0.2.102");
    assert!(ask("10.0.2.101", &["+tries=1", "+timeout=1"]).is_none(), "the address is still used");

    // The cable is pulled, and put back: the lease is confirmed, and a connection survives.
    let mut connection = Connection::open(domain("10.0.2.102")).unwrap();
    until_acknowledged(&second, "10.0.2.102", 1);
    set_link(&monitor, false);
    server.until_console("the link is down: nothing can be sent or received").unwrap();
    set_link(&monitor, true);
    server.until_console("the link is up again").unwrap();
    until_acknowledged(&second, "10.0.2.102", 2);
    connection.send(&wire::query(1, "www.example.org", kind::A)).unwrap();
    assert_eq!(connection.receive().unwrap().and_then(|reply| wire::answers(&reply)), Some(1));
    remote.write("example.org", zone(2, "new A 192.0.2.81\n")).unwrap();
    remote.push("Reach the server at its new address").unwrap();
    until_answered(&mut server, "10.0.2.102", "new.example.org");
}

/// A network without IPv4, whose router tells the prefix, itself and a name server.
#[test]
fn router_advertisements_to_the_image() {
    if !namespace::inside() {
        return namespace::test_inside("networks::router_advertisements_to_the_image").unwrap();
    }
    ip(&["addr", "flush", "dev", TAP, "scope", "global"]);
    ip(&["addr", "add", "2001:db8:2::1/64", "dev", TAP, "nodad"]);
    ip(&["addr", "add", "2001:db8:9::9/128", "dev", "lo", "nodad"]);
    let sandbox = Sandbox::new("advertised").unwrap();
    let remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let _resolver = resolver(&sandbox, "2001:db8:2::1");
    let (_daemon, url) = serve_on_ipv6(&sandbox, "2001:db8:2::1", NAME);
    let boot = image().boot().network("--accept-ra=yes").argument(format!("--git-remote={url}"));
    let mut server = boot.argument("--git-poll=1").start(&sandbox).unwrap();
    server.until_console("no router advertisement after 8 s: does a router of this network send them").unwrap();
    server.until_console("ms by router advertisements; going on, and waiting for it").unwrap();

    let advertised = ["--enable-ra", "--dhcp-range=2001:db8:2::,ra-only,64", "--port=0"];
    let nameserver = "--dhcp-option=option6:dns-server,[2001:db8:2::1]";
    let _router = dnsmasq(&sandbox, "router", &[advertised.as_slice(), &[nameserver]].concat());
    let address = format!("2001:db8:2:0:{IDENTIFIER}");
    server.until_console(&format!("address {address} of a prefix that the router fe80::")).unwrap();
    server.until_console("network: IPv6 router fe80::").unwrap();
    server.until_console("network: DNS 2001:db8:2::1 by router advertisement").unwrap();
    until_serving(&mut server, &address);
    // From afar the answer goes by way of the router.
    assert_eq!(ask(&address, &["-b", "2001:db8:9::9"]).unwrap().status, "NOERROR");
    assert_eq!(ask(&address, &["-b", "2001:db8:9::9", "+tcp"]).unwrap().status, "NOERROR");
    remote.write("example.org", zone(2, "new A 192.0.2.81\n")).unwrap();
    remote.push("Fetch over IPv6").unwrap();
    until_answered(&mut server, &address, "new.example.org");
}

/// Addresses of both families in a VLAN, each with its router.
#[test]
fn addresses_of_the_image_in_a_vlan() {
    if !namespace::inside() {
        return namespace::test_inside("networks::addresses_of_the_image_in_a_vlan").unwrap();
    }
    let sandbox = Sandbox::new("several").unwrap();
    let _vlan = vlan_device(&sandbox, 7, "vlan7");
    for address in ["10.7.0.1/24", "10.8.0.1/24"] {
        ip(&["addr", "add", address, "dev", "vlan7"]);
    }
    ip(&["addr", "add", "2001:db8:7::1/64", "dev", "vlan7", "nodad"]);
    ip(&["addr", "add", "192.0.2.9/32", "dev", "lo"]);
    ip(&["addr", "add", "2001:db8:9::9/128", "dev", "lo", "nodad"]);
    let _remote = Remote::with_files(sandbox.path(), [("example.org", zone(1, ""))]).unwrap();
    let (_daemon, url) = serve_on_ipv6(&sandbox, "2001:db8:7::1", "[2001:db8:7::1]");
    let boot = image()
        .boot()
        .network("--vlan=7 --ip=10.7.0.53/24,10.8.0.53/24 --ip=2001:db8:7::53/64 --gateway=10.7.0.1,2001:db8:7::1");
    let mut server = boot.argument(format!("--git-remote={url}")).start(&sandbox).unwrap();
    server.until_console("ms as 10.7.0.53/24, 10.8.0.53/24, 2001:db8:7::53/64").unwrap();
    server.until_console("listening on 0.0.0.0:53, [::]:53").unwrap();
    for (address, afar) in [("10.7.0.53", "192.0.2.9"), ("10.8.0.53", "192.0.2.9"), ("2001:db8:7::53", "2001:db8:9::9")]
    {
        until_serving(&mut server, address);
        assert_eq!(ask(address, &["-b", afar]).unwrap().status, "NOERROR", "{address} from {afar}");
        assert_eq!(ask(address, &["-b", afar, "+tcp"]).unwrap().status, "NOERROR", "{address} from {afar}");
    }
}

/// The smallest machine: what is tried here is the same on all.
fn image() -> Target {
    Target::image(Machine::Microvm).unwrap()
}

/// Asks for the zone's SOA at an address of the image.
fn ask(address: &str, arguments: &[&str]) -> Option<Reply> {
    dig(domain(address), &[["example.org", "SOA"].as_slice(), arguments].concat()).ok()
}

fn domain(address: &str) -> SocketAddr {
    (address.parse::<IpAddr>().unwrap(), 53).into()
}

/// Waits until the zone is served at an address, by UDP and TCP.
fn until_serving(server: &mut Server, address: &str) {
    let served = |reply: Reply| (reply.status == "NOERROR" && reply.has_flag("aa")).then_some(());
    server.until(&format!("an answer at {address}"), |_| ask(address, &[]).and_then(served)).unwrap();
    let tcp = ask(address, &["+tcp"]);
    assert!(tcp.clone().and_then(served).is_some(), "by TCP at {address}: {tcp:?}");
}

/// Waits until a name has an address.
fn until_answered(server: &mut Server, address: &str, name: &str) {
    let answered = || dig(domain(address), &[name, "A"]).ok().filter(|reply| !reply.answer.is_empty());
    server.until(&format!("{name} at {address}"), |_| answered()).unwrap();
}

/// Waits until dnsmasq has leased the address so often.
fn until_acknowledged(server: &Process, address: &str, times: usize) {
    let line = format!("DHCPACK({TAP}) {address} ");
    let seen = || server.printed().matches(&line).count();
    eventually(&format!("`{line}` {times} times"), || (seen() >= times).then_some(())).unwrap();
}

/// Starts BusyBox' DHCP server, which leases one address for so many seconds.
fn udhcpd(sandbox: &Sandbox, address: &str, seconds: u32) -> Process {
    let path = |name: &str| sandbox.path().join(name).display().to_string();
    fs::write(path("udhcpd.leases"), "").unwrap();
    let settings = format!(
        "interface {TAP}\nstart {address}\nend {address}\nmax_leases 1\nmin_lease 10\nlease_file {}\npidfile {}\n\
         option subnet 255.255.255.0\noption router 10.0.2.2\noption dns 10.0.2.2\noption lease {seconds}\n",
        path("udhcpd.leases"),
        path("udhcpd.pid"),
    );
    fs::write(path("udhcpd.conf"), settings).unwrap();
    let console = Console::File(sandbox.path().join("udhcpd.log"));
    Process::start(Path::new("busybox"), &["udhcpd", "-f", &path("udhcpd.conf")], console).unwrap()
}

/// Starts dnsmasq on the tap device; it leases at once and remembers nothing of another run.
fn dnsmasq(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> Process {
    let leases = format!("--dhcp-leasefile={}", sandbox.path().join(name).with_extension("leases").display());
    let interface = format!("--interface={TAP}");
    let common =
        ["--no-daemon", "--conf-file=/dev/null", "--bind-interfaces", "--log-dhcp", "--no-ping", &leases, &interface];
    let console = Console::File(sandbox.path().join(name).with_extension("log"));
    Process::start(Path::new("dnsmasq"), &[common.as_slice(), arguments].concat(), console).unwrap()
}

/// Makes a device for a VLAN on the tap device, which not every kernel can.
fn vlan_device(sandbox: &Sandbox, id: u16, name: &str) -> Process {
    let script = sandbox.path().join("vlan.py");
    fs::write(&script, include_str!("vlan.py")).unwrap();
    let arguments = [&script.display().to_string(), TAP, &id.to_string(), name];
    let console = Console::File(sandbox.path().join("vlan.log"));
    let process = Process::start(Path::new("python3"), &arguments, console).unwrap();
    eventually("the VLAN's device", || process.printed().contains("ready").then_some(())).unwrap();
    process
}

/// Starts dnsmasq as a resolver that knows [`NAME`] to have the address it is asked at.
fn resolver(sandbox: &Sandbox, address: &str) -> Process {
    let (listen, host) = (format!("--listen-address={address}"), format!("--host-record={NAME},{address}"));
    let fixed =
        ["--no-daemon", "--conf-file=/dev/null", "--bind-interfaces", "--no-resolv", "--no-hosts", &listen, &host];
    let console = Console::File(sandbox.path().join("resolver.log"));
    let process = Process::start(Path::new("dnsmasq"), &fixed, console).unwrap();
    let known = || dig(domain(address), &["+recurse", NAME, "ANY"]).ok().filter(|reply| reply.status == "NOERROR");
    eventually("the resolver answers", known).unwrap();
    process
}

/// Serves the sandbox's repository over IPv6 as well; returns the daemon and the URL, in which `host` names it.
fn serve_on_ipv6(sandbox: &Sandbox, address: &str, host: &str) -> (Process, String) {
    let port = Port::new();
    let daemon = git_daemon(sandbox.path(), (address.parse::<IpAddr>().unwrap(), port.number()).into()).unwrap();
    (daemon, format!("git://{host}:{}/zones.git", port.number()))
}

/// Has QEMU pull the cable, or put it back.
fn set_link(monitor: &Path, up: bool) {
    let command = format!("set_link net {}", if up { "on" } else { "off" });
    Monitor::connect(monitor).unwrap().command(&command).unwrap();
}

/// Runs `ip`.
fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments)).unwrap();
}
