//! Tests the platform's network: the self-test program on every machine, as clients use it.
//!
//! Over QEMU's user network any user can run it; with root it is repeated over a tap device in a network namespace of
//! its own, where the guest faces Linux's own stack, and where ping and fragments get through.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use zonule_harness::namespace::is_root;
use zonule_harness::{Port, accelerator};

/// How long anything may take before the test gives up; software emulation on a busy host is slow.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many machines are tested at once: most of the time is spent waiting for QEMU's user network.
const AT_ONCE: usize = 4;

/// A machine: its name, QEMU's arguments for it, and its network device with properties.
struct Machine(&'static str, &'static [&'static str], &'static str);

const MACHINES: &[Machine] = &[
    Machine("microvm, legacy", &["-M", "microvm"], "virtio-net-device"),
    Machine("microvm, modern", &["-M", "microvm", "-global", MODERN], "virtio-net-device"),
    Machine("microvm without ACPI, modern", &["-M", "microvm,acpi=off", "-global", MODERN], "virtio-net-device"),
    Machine("microvm without any announcement", &["-M", SILENT], "virtio-net-device"),
    Machine("microvm without PIC and RTC", &["-M", "microvm,pic=off,rtc=off"], "virtio-net-device"),
    Machine("microvm without EVENT_IDX", &["-M", "microvm"], "virtio-net-device,event_idx=off"),
    Machine("pc, transitional", &["-M", "pc"], "virtio-net-pci"),
    Machine("pc, modern only", &["-M", "pc"], "virtio-net-pci,disable-legacy=on"),
    Machine("pc, legacy only", &["-M", "pc"], "virtio-net-pci,disable-modern=on"),
    Machine("pc without MSI-X", &["-M", "pc"], "virtio-net-pci,vectors=0"),
    Machine("pc without ACPI", &["-M", "pc,acpi=off"], "virtio-net-pci"),
    Machine("q35", &["-M", "q35"], "virtio-net-pci"),
    Machine("q35 without the address of ACPI's root pointer", &["-M", "q35", "-L", ROMS], "virtio-net-pci"),
    Machine("microvm with PCI that no firmware set up", &["-M", "microvm,pcie=on"], "virtio-net-pci"),
    Machine("q35, legacy only", &["-M", "q35"], "virtio-net-pci,disable-modern=on"),
    Machine("q35 without MSI-X", &["-M", "q35"], "virtio-net-pci,vectors=0"),
    Machine(
        "q35 behind a port, beside other devices",
        &["-M", "q35", "-device", "virtio-rng-pci", "-device", "pcie-root-port,id=root1,chassis=1,multifunction=on"],
        "virtio-net-pci,bus=root1",
    ),
];

/// The machines that are tested on KVM in addition to [`OVER_TAP`]: one for each transport and each interrupt path.
const ON_KVM: [&str; 3] = ["microvm, legacy", "microvm without ACPI, modern", "q35"];

const MODERN: &str = "virtio-mmio.force-legacy=false";
const SILENT: &str = "microvm,acpi=off,auto-kernel-cmdline=off";
/// The placeholder for the directory that [`prepare_roms`] creates.
const ROMS: &str = "ROMS";

/// The machine that is tested over a tap device. Frames sent to [`INJECT`] arrive at its network device, each preceded
/// by its length, the length of its virtio header and that header.
const OVER_TAP: Machine = Machine(
    "pc, transitional",
    &[
        "-M",
        "pc",
        "-chardev",
        "socket,id=inject,host=127.0.0.1,port=5300,server=on,wait=off",
        "-object",
        "filter-redirector,id=redirect,netdev=n,queue=tx,indev=inject,vnet_hdr_support=on",
    ],
    "virtio-net-pci",
);
const INJECT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5300);
/// The hardware addresses of the tap device and of the guest, which is QEMU's usual one.
const TAP: [u8; 6] = [2, 0, 0, 0, 0, 1];
const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Runs the self-test image at `elf` on every machine and, with root, over a tap device.
pub(crate) fn run(elf: &Path) -> Result<(), String> {
    on_user_networks(elf)?;
    if !is_root() {
        println!("nettest: skipped over a tap device: that needs root");
        return Ok(());
    }
    let own = std::env::current_exe().map_err(text("the path of this program"))?;
    let status = Command::new("unshare").arg("--net").arg(own).arg("nettest-inside").arg(elf).status();
    match status.map_err(text("unshare"))?.success() {
        true => Ok(()),
        false => Err("failed over a tap device".into()),
    }
}

/// Runs the self-test image at `elf` on some machines, over a tap device, in a guest that does nothing else.
pub(crate) fn run_in_guest(elf: &Path) -> Result<(), String> {
    on_tap(elf, MACHINES.iter().filter(|machine| ON_KVM.contains(&machine.0)))
}

/// Runs the part that needs a network namespace of its own, which this process is in already.
pub(crate) fn run_inside(elf: &Path) -> Result<(), String> {
    on_tap(elf, [])
}

fn on_user_networks(elf: &Path) -> Result<(), String> {
    prepare_roms(elf)?;
    let only = std::env::var("ZONULE_NETTEST_MACHINE").ok();
    let machines = MACHINES.iter().filter(|machine| only.as_deref().is_none_or(|only| machine.0 == only));
    let machines = Mutex::new(machines);
    let work = || {
        loop {
            // In a separate statement, so that the lock is not held while the machine runs.
            let next = machines.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(machine) = next else { return Ok(()) };
            on_user_network(elf, machine).map_err(|error| format!("{}: {error}", machine.0))?;
            println!("nettest: {}: ok", machine.0);
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err("a thread panicked".into())));
        ends.collect::<Vec<_>>().into_iter().collect::<Result<(), String>>()
    })
}

/// Creates a tap device and boots the machines of `others` and [`OVER_TAP`] on it, one after the other.
fn on_tap<'m>(elf: &Path, others: impl IntoIterator<Item = &'m Machine>) -> Result<(), String> {
    for arguments in [
        "link set lo up",
        "tuntap add tap0 mode tap",
        "link set tap0 address 02:00:00:00:00:01",
        "address add 10.77.0.1/24 dev tap0",
        "address add fd77::1/64 dev tap0 nodad",
        "link set tap0 up",
    ] {
        command("ip", &arguments.split(' ').collect::<Vec<_>>())?;
    }
    let peers =
        [Echo::start(Ipv4Addr::new(10, 77, 0, 1).into())?.0, Echo::start("fd77::1".parse().map_err(|_| "fd77::1")?)?.0];
    let words = format!(
        "--net --ip=10.77.0.2/24 --ip=fd77::2/64 --gateway=10.77.0.1 --gateway=fd77::1 --peer={} --peer={}",
        peers[0], peers[1]
    );
    if !pings() {
        println!("nettest: skipped ping: it is not installed");
    }
    for machine in others {
        boot_on_tap(elf, machine, &words)?;
    }
    let _guest = boot_on_tap(elf, &OVER_TAP, &words)?;
    partial_checksum()?;
    println!("nettest: tap, a partial checksum: ok");
    Ok(())
}

/// Boots `machine` on the tap device and tests its services.
fn boot_on_tap(elf: &Path, machine: &Machine, words: &str) -> Result<Guest, String> {
    let mut guest = Guest::start(elf, machine, "tap,id=n,ifname=tap0,script=no,downscript=no,vhost=off", words)?;
    guest.until_ready().map_err(|error| format!("tap, {}: {error}", machine.0))?;
    for own in ["10.77.0.2", "fd77::2"] {
        over_tap(own).map_err(|error| format!("tap, {}, {own}: {error}", machine.0))?;
        println!("nettest: tap, {}, {own}: ok", machine.0);
    }
    Ok(guest)
}

/// Sends the guest a datagram with a partial checksum, as hypervisors deliver what their tap device had queued
/// before the guest's driver was ready.
fn partial_checksum() -> Result<(), String> {
    const NEEDS_CHECKSUM: u8 = 1;
    const UDP: u8 = 17;
    let (own, guest) = (Ipv4Addr::new(10, 77, 0, 1), Ipv4Addr::new(10, 77, 0, 2));
    let socket = udp((guest, 53).into())?;
    let port = socket.local_addr().map_err(text("local_addr"))?.port();
    // QEMU takes frames from one connection only.
    let mut inject = tcp(INJECT)?;
    for (payload, answer) in
        [(&b"a partial checksum"[..], &b"a \xf0artial checksum"[..]), (b"Declined", b"socket:Declined")]
    {
        let length = 8 + payload.len() as u16;
        let addresses = [own.octets(), guest.octets()].concat();
        let pseudo = [&addresses[..], &[0, UDP], &length.to_be_bytes()].concat();
        let mut ip =
            [&[0x45, 0][..], &(20 + length).to_be_bytes(), &[0, 0, 0x40, 0, 64, UDP, 0, 0], &addresses].concat();
        let checksum = !sum(&ip);
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        let ports =
            [port.to_be_bytes(), 53u16.to_be_bytes(), length.to_be_bytes(), sum(&pseudo).to_be_bytes()].concat();
        let header = [NEEDS_CHECKSUM, 0, 0, 0, 0, 0, 34, 0, 6, 0, 0, 0];
        let frame = [&header[..], &GUEST, &TAP, &[8, 0], &ip, &ports, payload].concat();
        let lengths = [(frame.len() as u32).to_be_bytes(), (header.len() as u32).to_be_bytes()].concat();
        inject.write_all(&[lengths, frame].concat()).map_err(text("injection of a frame"))?;
        let mut buffer = [0; 100];
        let length = socket.recv(&mut buffer).map_err(text("no answer to a datagram with a partial checksum"))?;
        if &buffer[..length] != answer {
            return Err(format!("a datagram with a partial checksum was answered {:?}", &buffer[..length]));
        }
    }
    Ok(())
}

/// Returns the sum of the Internet checksum (RFC 1071), not complemented.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}

/// Returns the directory for QEMU's ROMs for `elf`.
fn roms(elf: &Path) -> PathBuf {
    elf.with_file_name("nettest-roms")
}

/// Makes a copy of QEMU's loader for PVH that does not find ACPI's root pointer, and so passes no address of it: as
/// Firecracker does.
fn prepare_roms(elf: &Path) -> Result<(), String> {
    const LOADER: &str = "pvh.bin";
    let output =
        Command::new("qemu-system-x86_64").args(["-L", "help"]).output().map_err(text("qemu-system-x86_64"))?;
    let directories = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = directories.lines().find_map(|directory| std::fs::read(Path::new(directory).join(LOADER)).ok());
    let mut loader = found.ok_or_else(|| format!("{LOADER} is in none of QEMU's directories: {directories}"))?;
    let places: Vec<_> = (0..loader.len()).filter(|&at| loader[at..].starts_with(b"RSD ")).collect();
    if places.is_empty() {
        return Err(format!("{LOADER} does not look for ACPI's root pointer as it used to"));
    }
    // The order of the letters does not change the ROM's checksum.
    places.into_iter().for_each(|at| loader[at..at + 4].copy_from_slice(b"DSR "));
    std::fs::create_dir_all(roms(elf)).map_err(text("a directory for QEMU's ROMs"))?;
    std::fs::write(roms(elf).join(LOADER), loader).map_err(text(LOADER))
}

/// Whether ping is installed, and is the one whose options are used here.
fn pings() -> bool {
    command("ping", &["-V"]).is_ok()
}

/// Tests the guest at `own` with features of Linux's own stack.
fn over_tap(own: &str) -> Result<(), String> {
    let address: IpAddr = own.parse().map_err(|_| "no address")?;
    let at = |port| SocketAddr::from((address, port));
    let services = Services { dns: at(53), echo: at(7), close: at(9), free: at(11) };
    services.test(50)?;
    if pings() {
        command("ping", &["-c", "3", "-i", "0.2", "-W", "20", own])?;
        command("ping", &["-c", "3", "-i", "0.2", "-W", "20", "-s", "6000", own])?;
    }
    let socket = udp(at(7))?;
    exchange(&socket, &[7; 6000], &[7; 6000])?;
    let closed = udp(at(99))?;
    closed.send(b"anybody?").map_err(text("send"))?;
    match closed.recv(&mut [0; 9]) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {}
        other => return Err(format!("a closed port answered {other:?}")),
    }
    let refused = TcpStream::connect(at(99)).err().map(|error| error.kind());
    if refused != Some(std::io::ErrorKind::ConnectionRefused) {
        return Err(format!("a closed TCP port answered {refused:?}"));
    }
    Ok(())
}

fn on_user_network(elf: &Path, machine: &Machine) -> Result<(), String> {
    let peer = Echo::start(Ipv4Addr::LOCALHOST.into())?;
    let [dns, echo, close, free] = [(); 4].map(|()| Port::new());
    let forward = |kind: &str, from: &Port, to: u16| format!(",hostfwd={kind}:{}-:{to}", from.address());
    let netdev = ["user,id=n".to_owned()]
        .into_iter()
        .chain([forward("udp", &dns, 53), forward("udp", &echo, 7), forward("tcp", &echo, 7)])
        .chain([forward("tcp", &close, 9), forward("tcp", &free, 11)])
        .collect::<String>();
    let words = format!("--net --ip=10.0.2.15/24 --gateway=10.0.2.2 --peer=10.0.2.2:{}", peer.0.port());
    let mut guest = Guest::start(elf, machine, &netdev, &words)?;
    guest.until_ready()?;
    Services { dns: dns.address(), echo: echo.address(), close: close.address(), free: free.address() }.test(8)
}

/// The guest's services, as seen from the host.
struct Services {
    dns: SocketAddr,
    echo: SocketAddr,
    close: SocketAddr,
    free: SocketAddr,
}

impl Services {
    /// Tests all of them. QEMU's user network accepts few of `parallel` connections at once: its own backlog is one,
    /// and the host's connections wait for their retransmission timers.
    fn test(&self, parallel: usize) -> Result<(), String> {
        let dns = udp(self.dns)?;
        exchange(&dns, b"? below the sockets", b"?\x20\xe2elow the sockets")?;
        exchange(&dns, b"Declined", b"socket:Declined")?;
        dns.send(b"Dropped").map_err(text("send"))?;
        // Over IPv6 no answer exceeds what every path carries in one packet.
        let most = if self.dns.is_ipv4() { 1400 } else { 1232 };
        exchange(&dns, &[0x80; 1400], &vec![0x80; most])?;
        exchange(&udp(self.echo)?, b"datagram", b"datagram")?;
        self.parallel(parallel)?;
        // Everything was used once: the resources free now must be free at the end.
        let free = self.free_memory()?;
        self.parallel(parallel)?;
        self.close_at_once(200)?;
        self.large()?;
        let begun = Instant::now();
        while self.free_memory()? + (128 << 10) < free {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} bytes are lost", free - self.free_memory()?));
            }
            thread::sleep(Duration::from_millis(500));
        }
        Ok(())
    }

    /// Opens connections, all before the first is used.
    fn parallel(&self, count: usize) -> Result<(), String> {
        let streams: Vec<_> = (0..count).map(|_| tcp(self.echo)).collect::<Result<_, _>>()?;
        for (number, mut stream) in streams.iter().enumerate() {
            stream.write_all(&[number as u8; 100]).map_err(text("write"))?;
        }
        for (number, mut stream) in streams.iter().enumerate() {
            let mut reply = [0; 100];
            stream.read_exact(&mut reply).map_err(text("read of a parallel connection"))?;
            if reply != [number as u8; 100] {
                return Err(format!("connection {number} got another's bytes"));
            }
        }
        Ok(())
    }

    fn close_at_once(&self, count: usize) -> Result<(), String> {
        for number in 0..count {
            let read = tcp(self.close)?.read(&mut [0; 1]).map_err(text("read until the end"))?;
            if read != 0 {
                return Err(format!("connection {number} got {read} bytes from nowhere"));
            }
        }
        Ok(())
    }

    fn large(&self) -> Result<(), String> {
        let mut stream = tcp(self.echo)?;
        let mut writer = stream.try_clone().map_err(text("try_clone"))?;
        let data: Vec<u8> = (0..1_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let sent = data.clone();
        let thread = thread::spawn(move || writer.write_all(&sent).and_then(|()| writer.shutdown(Shutdown::Write)));
        let mut received = Vec::new();
        stream.read_to_end(&mut received).map_err(text("read of a megabyte"))?;
        thread.join().map_err(|_| "the writer panicked")?.map_err(text("write of a megabyte"))?;
        if received == data { Ok(()) } else { Err(format!("{} of a million bytes came back", received.len())) }
    }

    fn free_memory(&self) -> Result<usize, String> {
        let mut answer = String::new();
        let mut stream = BufReader::new(tcp(self.free)?);
        stream.read_line(&mut answer).map_err(text("read of the free memory"))?;
        answer.trim().parse().map_err(|_| format!("free memory is {answer:?}"))
    }
}

/// The self-test program in QEMU; it ends when dropped.
struct Guest {
    qemu: Child,
    lines: Receiver<String>,
}

impl Guest {
    fn start(elf: &Path, Machine(_, arguments, device): &Machine, netdev: &str, words: &str) -> Result<Self, String> {
        let acpi = if arguments.iter().any(|argument| argument.contains("acpi=off")) { "" } else { " --acpi" };
        let mut qemu = Command::new("qemu-system-x86_64")
            .args(accelerator())
            .args(["-m", "64", "-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-serial", "stdio"])
            .args(arguments.iter().map(|&argument| if argument == ROMS { roms(elf) } else { PathBuf::from(argument) }))
            .args(["-netdev", netdev, "-device", &format!("{device},netdev=n")])
            .arg("-kernel")
            .arg(elf)
            .args(["-append", &format!("{words}{acpi}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(text("qemu-system-x86_64"))?;
        let (sender, lines) = sync_channel(1024);
        if let Some(console) = qemu.stdout.take() {
            thread::spawn(move || {
                for line in BufReader::new(console).split(b'\n').map_while(Result::ok) {
                    if sender.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                        return;
                    }
                }
            });
        }
        Ok(Self { qemu, lines })
    }

    /// Waits until the services listen; fails if one of the guest's own checks did.
    fn until_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut console = Vec::new();
        let mut failed = Vec::new();
        loop {
            let failure = match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line == "net: ready" && failed.is_empty() => return Ok(()),
                Ok(line) if line == "net: ready" => return Err(failed.join("\n")),
                Ok(line) => {
                    if line.starts_with("net: FAILED") {
                        failed.push(line.clone());
                    }
                    console.push(line);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => "is not ready in time",
                Err(RecvTimeoutError::Disconnected) => "ended",
            };
            return Err(format!("the guest {failure}; its console:\n{}", console.join("\n")));
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

/// Echoes TCP and UDP at one port of the host, for the guest's client side.
struct Echo(SocketAddr);

impl Echo {
    fn start(address: IpAddr) -> Result<Self, String> {
        let tcp = TcpListener::bind((address, 0)).map_err(text("bind"))?;
        let at = tcp.local_addr().map_err(text("local_addr"))?;
        let udp = UdpSocket::bind(at).map_err(text("bind"))?;
        thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                thread::spawn(move || {
                    let mut reader = stream.try_clone()?;
                    std::io::copy(&mut reader, &mut stream)?;
                    stream.shutdown(Shutdown::Write)
                });
            }
        });
        thread::spawn(move || {
            let mut buffer = [0; 65536];
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(&buffer[..length], from);
            }
        });
        Ok(Self(at))
    }
}

fn tcp(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(text("connect"))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
    Ok(stream)
}

fn udp(address: SocketAddr) -> Result<UdpSocket, String> {
    let own: IpAddr = match address.ip() {
        IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((own, 0)).map_err(text("bind"))?;
    socket.connect(address).map_err(text("connect"))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
    Ok(socket)
}

fn exchange(socket: &UdpSocket, question: &[u8], answer: &[u8]) -> Result<(), String> {
    socket.send(question).map_err(text("send"))?;
    let mut buffer = [0; 65536];
    let length = socket.recv(&mut buffer).map_err(text("no answer to a datagram"))?;
    if &buffer[..length] == answer {
        return Ok(());
    }
    let shown = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
    Err(format!("{:?} was answered {:?}", shown(question), shown(&buffer[..length])))
}

fn command(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(text(program))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {} failed: {said}", arguments.join(" ")))
}

fn text(what: &str) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{what}: {error}")
}
