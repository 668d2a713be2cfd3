//! Our server follows our server, over IPv6 too, and finds its primary by the key that names it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use zonule_harness::wire::{self, opcode};
use zonule_harness::{
    Console, Form, Key, Make, Port, Remote, Sandbox, Server, Setup, Way, eventually, namespace, serial, whole_zone,
};

use crate::scene::inside;
use crate::secondaries::scene::{ZONE, zone};

fn until_serial(server: &mut Server, name: &str, wanted: u32) {
    let what = format!("{name} {wanted} is served");
    server.until(&what, |server| (serial(server.address(), name)? == wanted).then_some(())).unwrap();
}

scenario!(ours_follows_ours, |target| {
    const CATALOG: &str = "catalog.example";
    let sandbox = Sandbox::new("own").unwrap();
    let key = Key::new("peer._transfer").unwrap();
    let remote = Remote::with_files(sandbox.path(), [ZONE, "example.net"].map(|name| (name, zone(1, "")))).unwrap();
    let (first, second) = (Port::new(), Port::new());
    // The Linux binary is the primary, the target its secondary; they find each other by ways that watch.
    let (way, back) = (Way::to(first.address()).unwrap(), Way::to(second.address()).unwrap());
    let hosted = crate::scene::hosted().boot().remote(&remote).argument("--rate-limit=off").argument(key.argument());
    let hosted = hosted.argument(format!("--catalog={CATALOG}"));
    let hosted = hosted.argument(format!("--notify={},{}", back.address(), key.name));
    let start = |port: Port, number: u32| {
        let console = Console::File(sandbox.path().join(format!("primary-{number}.log")));
        hosted.clone().start_on(port, console).unwrap()
    };
    let mut primary = start(first, 0);
    primary.until_serving(ZONE).unwrap();
    let boot = target.boot().argument(key.argument()).argument(format!("--catalog={CATALOG}"));
    let boot = boot.argument(format!("--primary={}:{},{}", target.host(), way.address().port(), key.name));
    let mut secondary = boot.start_on(second, Console::File(sandbox.path().join("secondary.log"))).unwrap();
    until_serial(&mut secondary, ZONE, 1);
    until_serial(&mut secondary, "example.net", 1);
    way.forget();
    remote.write(ZONE, zone(2, "new A 192.0.2.2\n")).unwrap();
    remote.write("example.com", zone(1, "")).unwrap();
    remote.remove("example.net").unwrap();
    remote.push("One changes, one comes, one goes").unwrap();
    until_serial(&mut secondary, ZONE, 2);
    until_serial(&mut secondary, "example.com", 1);
    secondary.until_dig(&["example.net", "SOA"], |reply| reply.status == "REFUSED").unwrap();
    assert_eq!(way.transfers(ZONE), [Form::Incremental]);
    assert_eq!(way.transfers(CATALOG), [Form::Incremental]);

    // The primary is away, changes, and is back, without anything it knew.
    drop(primary);
    remote.write(ZONE, zone(3, "newer A 192.0.2.3\n")).unwrap();
    remote.push("While it is away").unwrap();
    assert_eq!(secondary.dig(&["new.example.org", "A"]).unwrap().answer_data(), ["192.0.2.2"]);
    way.forget();
    let primary = start(Port::new(), 1);
    way.lead_to(primary.address());
    until_serial(&mut secondary, ZONE, 3);
    assert_eq!(way.transfers(ZONE), [Form::Incremental]);
    let [ours, theirs] = [&primary, &secondary].map(|server| whole_zone(server.address(), ZONE, Some(&key)).unwrap());
    assert_eq!(ours, theirs);
});

// A transfer key says where a zone is: no other argument is needed.
scenario!(key_may_name_the_primary, |target| {
    if !inside(target, module_path!()) {
        return;
    }
    let sandbox = Sandbox::new("named").unwrap();
    let address = Ipv4Addr::new(10, 0, 2, 3);
    namespace::add_address(address).unwrap();
    let key = Key::new(&format!("any.{address}._transfer.{ZONE}")).unwrap();
    let setup = Setup::new(Make::Knot, sandbox.path()).unwrap().gives(ZONE, &zone(1, "")).unwrap().guarded(&key);
    let knot = setup.start().unwrap();
    knot.until_serial(ZONE, 1).unwrap();
    let way = Way::at((address, 53).into(), knot.address()).unwrap();
    let mut server = target.boot().argument(key.argument()).start(&sandbox).unwrap();
    until_serial(&mut server, ZONE, 1);
    assert_eq!(way.transfers(ZONE), [Form::Whole]);
    let theirs = whole_zone(server.address(), ZONE, Some(&key)).unwrap();
    assert_eq!(theirs, whole_zone(knot.address(), ZONE, Some(&key)).unwrap());
});

/// For the image see `ipv6`.
#[test]
fn notifications_go_by_ipv6_hosted() {
    let sandbox = Sandbox::new("ipv6").unwrap();
    let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)) else {
        println!("this machine has no IPv6: nothing is tested");
        return;
    };
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, ""))]).unwrap();
    let port = Port::new();
    let own: SocketAddr = (Ipv6Addr::LOCALHOST, port.number()).into();
    let boot = crate::scene::hosted().boot().remote(&remote).argument(format!("--listen={own}"));
    let boot = boot.argument(format!("--notify={}", socket.local_addr().unwrap()));
    let mut server = boot.start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap();
    server.until_serving(ZONE).unwrap();
    let mut buffer = [0; 512];
    let told = eventually("a notification", || {
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        let message = &mut buffer[..length];
        assert_eq!((wire::opcode_of(message), from.ip()), (Some(opcode::NOTIFY), own.ip()));
        message[2] |= 0x80;
        socket.send_to(message, from).unwrap();
        wire::question(message)
    });
    assert_eq!(told.unwrap().0, ZONE);
}
