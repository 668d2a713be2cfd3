//! The bootable image: the server linked to the platform that replaces an operating system.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use zonule::answer::{Answer, Transport};
use zonule::config::{self, Command, Host, Network};
use zonule::serve::Server;
use zonule::telemetry::{self, Throttle};
use zonule::{sntp, text};
use zonule_platform::button::{self, Request};
use zonule_platform::net::{self, NetConfig, Readiness, Severity, UdpResponder, Verdict};
use zonule_platform::{entropy, memory, power, time};

/// Interval at which the machine's clock and the hypervisor's requests are checked.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Stack size of threads with little work, in octets.
const SMALL_STACK: usize = 64 * 1024;

/// How long a boot waits for the first address, and then for further ones from other sources. Addresses that arrive
/// later are used, too: the wait avoids a poll of the remote that cannot succeed yet.
const FIRST_ADDRESS: Duration = Duration::from_secs(10);
const OTHER_ADDRESSES: Duration = Duration::from_secs(3);

/// How long a machine with an implausible clock waits for the right time before it continues.
const CLOCK_PATIENCE: Duration = Duration::from_secs(10);

/// The port of DNS (RFC 1035 §4.2).
const DOMAIN: u16 = 53;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zonule: {}", text::escaped(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<(), Box<dyn std::error::Error>> {
    let config = match config::parse(Host::Machine, std::env::args().skip(1))? {
        Command::Serve(config) => config,
        Command::Help(text) => {
            print!("{text}");
            return Ok(());
        }
    };
    telemetry::init(config.log.clone());
    // One jump that is not handled yet stands for several.
    let (jump, jumped) = sync_channel(1);
    std::thread::Builder::new()
        .name("watch".to_string())
        .stack_size(SMALL_STACK)
        .spawn(move || watch_machine(&jump))?;
    let started = Instant::now() - Duration::from_nanos(time::monotonic());
    let mut random = [[0; 16]; 3];
    entropy::fill(random.as_flattened_mut());
    let server = Server::new(started, &config, random);
    let network = config.network.clone().ok_or("argument --ip is required")?;
    net::serve_udp(DOMAIN, Box::new(Dns(Arc::clone(&server))));
    net::start(net_config(&network))?;
    std::thread::Builder::new()
        .name("news".to_string())
        .stack_size(SMALL_STACK)
        .spawn(move || log_network_events(started))?;
    await_addresses(started, &network);
    start_clock(config.ntp.clone(), jumped)?;
    let Err(error) = server.run(*config, u64::try_from(memory::total()).ok());
    Err(error.into())
}

/// Converts the arguments for the platform.
fn net_config(network: &Network) -> NetConfig {
    NetConfig {
        addresses: network.addresses.iter().map(|cidr| (cidr.address, cidr.prefix)).collect(),
        gateways: network.gateways.clone(),
        dhcp: network.dhcp,
        accept_ra: network.accept_ra,
        vlan: network.vlan,
    }
}

/// Waits until the machine has the addresses it requested, or until a timeout.
fn await_addresses(started: Instant, network: &Network) {
    let readiness = match net::wait_for_addresses(Readiness::Some, FIRST_ADDRESS) {
        Readiness::Some => net::wait_for_addresses(Readiness::All, OTHER_ADDRESSES),
        other => other,
    };
    let elapsed = started.elapsed().as_millis();
    match readiness {
        Readiness::All => log::info!("network up after {elapsed} ms as {network}"),
        Readiness::Some => {
            log::warn!("network up after {elapsed} ms, but not with all of {network}; they are waited for")
        }
        Readiness::None => log::warn!("no address after {elapsed} ms by {network}; going on, and waiting for it"),
    }
}

/// Logs changes of the machine's addresses.
fn log_network_events(started: Instant) {
    let throttle = Throttle::default();
    loop {
        let event = net::next_event();
        let level = match event.severity() {
            Severity::Detail => log::Level::Debug,
            Severity::Notice => log::Level::Info,
            Severity::Warning => log::Level::Warn,
            Severity::Failure => log::Level::Error,
        };
        // Anyone on the link can cause events. Only events logged by default count towards the limit.
        if level > log::Level::Info || throttle.allows(started.elapsed()) {
            log::log!(target: "network", level, "{event}");
        }
        if let Some((count, seconds)) = throttle.summary(started.elapsed()) {
            log::warn!(target: "network", "{count} more events in the last {seconds} s, not logged one by one");
        }
    }
}

/// Starts a thread that synchronises the wall clock with `servers`, if any: verifying signatures and certificates needs
/// it.
///
/// If the clock is implausible, waits for a moment until it is correct: nothing that follows would work otherwise.
fn start_clock(servers: Vec<SocketAddr>, jumped: Receiver<()>) -> std::io::Result<()> {
    let is_right = time::wall_known() && sntp::is_plausible(time::wall());
    let (tell, told) = sync_channel(1);
    let has_servers = !servers.is_empty();
    if !is_right {
        let clock = if time::wall_known() { "the clock is wrong: it shows a past time" } else { "there is no clock" };
        let remedy = if has_servers { "asking the --ntp servers" } else { "give the machine a clock, or --ntp=ADDR" };
        log::warn!(
            "{clock}; with that, TLS certificates are \"not yet valid\" and signed updates and transfers fail with \
             BADTIME; {remedy}"
        );
    }
    if !has_servers {
        return Ok(());
    }
    std::thread::Builder::new().name("clock".to_string()).stack_size(SMALL_STACK).spawn(move || {
        sntp::keep(&servers, &jumped, |nanoseconds| {
            time::shift_wall(nanoseconds);
            // Received only the first time.
            let _ = tell.try_send(());
        });
    })?;
    if !is_right && told.recv_timeout(CLOCK_PATIENCE).is_err() {
        log::warn!("no --ntp server has told the time within {CLOCK_PATIENCE:?}; going on with a wrong clock");
    }
    Ok(())
}

/// Follows the machine's clock, which jumps when the machine is stopped or resumed from a snapshot, reports that
/// through `jumped`, and powers the machine off when its hypervisor requests that.
fn watch_machine(jumped: &SyncSender<()>) -> ! {
    loop {
        if let Some(jump) = time::follow() {
            let seconds = jump.nanoseconds as f64 / 1e9;
            let what = if jump.stopped { "the machine was stopped" } else { "the machine's clock was set" };
            match jump.is_significant() {
                true => log::warn!(target: "machine", "{what}: the clock was corrected by {seconds:+.1} s"),
                false => log::warn!(target: "machine", "{what}: the clock has gone on meanwhile"),
            }
            // A snapshot may have been taken meanwhile, and other copies resumed from it.
            entropy::resumed();
            // Received if servers keep the clock.
            let _ = jumped.try_send(());
        }
        match button::requested() {
            Some(request @ Request::PowerOff) => {
                log::warn!(target: "machine", "{request}: powering off");
                power::off();
            }
            Some(request @ Request::Restart) => {
                log::warn!(target: "machine", "{request}: restarting");
                power::reset();
            }
            None => std::thread::sleep(WATCH_INTERVAL),
        }
    }
}

/// Answers on the network thread, below the sockets.
struct Dns(Arc<Server>);

impl UdpResponder for Dns {
    fn respond(&mut self, source: SocketAddr, datagram: &[u8], reply: &mut [u8]) -> Verdict {
        // Nothing can receive on port 0, so a reply is useless.
        if source.port() == 0 {
            return Verdict::Drop;
        }
        match self.0.respond(Transport::UDP, source.ip(), datagram, reply) {
            Answer::Reply(length) => Verdict::Reply(length),
            Answer::Silence => Verdict::Drop,
            Answer::Aside => Verdict::Decline,
        }
    }
}
