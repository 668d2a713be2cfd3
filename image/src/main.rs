//! The bootable image: the server linked to the platform that takes an operating system's place.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use zonule::answer::{Answer, Transport};
use zonule::config::{self, Command, Host};
use zonule::serve::Server;
use zonule::telemetry;
use zonule_platform::net::{self, NetConfig, UdpResponder, Verdict};
use zonule_platform::{entropy, memory, time};

/// How often the machine's clock is looked at.
const CLOCK_LOOK: Duration = Duration::from_secs(600);

/// The stack of the thread that does, in octets.
const CLOCK_STACK: usize = 32 * 1024;

/// The port of DNS (RFC 1035 §4.2).
const DOMAIN: u16 = 53;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("zonule: {error}");
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
    let started = Instant::now() - Duration::from_nanos(time::monotonic());
    let mut random = [[0; 16]; 3];
    entropy::fill(random.as_flattened_mut());
    let server = Server::new(started, &config, random);
    let ip = config.ip.ok_or("argument --ip is required")?;
    net::serve_udp(DOMAIN, Box::new(Dns(Arc::clone(&server))));
    let addresses = vec![(ip.address.into(), ip.prefix)];
    let gateways = config.gateway.into_iter().map(Into::into).collect();
    net::start(NetConfig { addresses, gateways, ..NetConfig::default() })?;
    log::info!("network up after {} ms as {ip}", started.elapsed().as_millis());
    std::thread::Builder::new().name("clock".to_string()).stack_size(CLOCK_STACK).spawn(keep_time)?;
    let Err(error) = server.run(*config, u64::try_from(memory::total()).ok());
    Err(error.into())
}

/// Keeps the wall clock right, by which signatures are judged.
fn keep_time() {
    loop {
        std::thread::sleep(CLOCK_LOOK);
        if let Some(nanoseconds) = time::correct_wall() {
            log::info!("the clock was corrected by {:.1} s", nanoseconds as f64 / 1e9);
        }
    }
}

/// Answers on the network thread, below the sockets.
struct Dns(Arc<Server>);

impl UdpResponder for Dns {
    fn respond(&mut self, source: SocketAddr, datagram: &[u8], reply: &mut [u8]) -> Verdict {
        // Nobody can receive on port 0: a reply could only hurt.
        if source.port() == 0 {
            return Verdict::Drop;
        }
        match self.0.respond(Transport::Udp, source.ip(), datagram, reply) {
            Answer::Reply(length) => Verdict::Reply(length),
            Answer::Silence => Verdict::Drop,
            Answer::Aside => Verdict::Decline,
        }
    }
}
