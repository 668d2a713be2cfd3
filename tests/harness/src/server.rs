//! A running Zonule: the Linux binary or the booted image.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::{env, thread};

use crate::link::Link;
use crate::process::last;
use crate::{
    Console, Error, Machine, Network, Port, Process, Proxy, Qemu, Remote, Reply, Result, Sandbox, dig, eventually,
    namespace, workspace,
};

/// Number of lines of its console that a server prints when its test fails.
const CONSOLE_LINES: usize = 100;

/// Number of these lines in the error that it ended.
const LAST_WORDS: usize = 5;

/// The program under test.
#[derive(Clone, Debug)]
pub enum Target {
    /// The Linux binary.
    Hosted {
        /// Its path.
        binary: PathBuf,
    },
    /// The image on a virtual machine.
    Image {
        /// Its path.
        elf: PathBuf,
        /// The machine to boot it on.
        machine: Machine,
    },
}

impl Target {
    /// The Linux binary at `binary`.
    pub fn hosted(binary: impl Into<PathBuf>) -> Target {
        Target::Hosted { binary: binary.into() }
    }

    /// The image that `cargo xtask image` built (or the one `ZONULE_IMAGE` names) on `machine`.
    pub fn image(machine: Machine) -> Result<Target> {
        let elf = env::var_os("ZONULE_IMAGE").map_or_else(|| workspace().join("target/zonule.elf"), PathBuf::from);
        if !elf.is_file() {
            return Err(Error::Missing { path: elf, hint: "build it with `cargo xtask image`" });
        }
        Ok(Target::Image { elf, machine })
    }

    /// Prepares a start.
    pub fn boot(&self) -> Boot {
        Boot {
            target: self.clone(),
            memory_mib: 256,
            clock: None,
            streams: Vec::new(),
            arguments: Vec::new(),
            far: None,
            network: None,
            monitor: None,
            qemu: Vec::new(),
        }
    }

    /// The address under which this target reaches the host's 127.0.0.1.
    pub fn host(&self) -> &'static str {
        match self {
            Target::Hosted { .. } => "127.0.0.1",
            Target::Image { .. } => "10.0.2.2",
        }
    }
}

/// A start in preparation.
#[derive(Clone, Debug)]
pub struct Boot {
    target: Target,
    memory_mib: u32,
    clock: Option<String>,
    streams: Vec<u16>,
    arguments: Vec<String>,
    /// Where the Linux binary is started when it is at the far end of a link: the prefix of its command.
    far: Option<[String; 3]>,
    /// Replaces the image's usual address and router.
    network: Option<String>,
    monitor: Option<PathBuf>,
    qemu: Vec<String>,
}

impl Boot {
    /// Starts it at the far end of `link`; call this before setting the remote, whose address depends on it.
    pub fn over(mut self, link: &Link) -> Boot {
        self.far = Some(link.enter());
        self
    }

    /// Returns the address under which the target reaches the host.
    fn host(&self) -> String {
        if self.far.is_some() { namespace::HOST.to_string() } else { self.target.host().to_owned() }
    }

    /// Gives the virtual machine `mib` MiB of memory instead of 256; no effect on the Linux binary.
    pub fn memory_mib(mut self, mib: u32) -> Boot {
        self.memory_mib = mib;
        self
    }

    /// Has the virtual machine's clock show `time` at the start, such as `2001-01-01T00:00:00`; no effect on the Linux
    /// binary.
    pub fn clock(mut self, time: &str) -> Boot {
        self.clock = Some(time.to_owned());
        self
    }

    /// Makes the TCP port `port` of the virtual machine reachable as that of 127.0.0.1; the Linux binary's is.
    pub fn reachable(mut self, port: &Port) -> Boot {
        self.streams.push(port.number());
        self
    }

    /// Takes the zones from `remote`, polled every second.
    pub fn remote(self, remote: &Remote) -> Boot {
        let url = remote.url(&self.host());
        self.remote_at(&url)
    }

    /// Takes the zones from a remote by way of `proxy`, polled every second.
    pub fn remote_through(self, proxy: &Proxy) -> Boot {
        let url = proxy.url(&self.host());
        self.remote_at(&url)
    }

    fn remote_at(self, url: &str) -> Boot {
        self.argument(format!("--git-remote={url}")).argument("--git-poll=1")
    }

    /// Takes the zones from a branch of `remote`, polled every second.
    pub fn branch(self, remote: &Remote, branch: &str) -> Boot {
        let url = remote.url(&self.host());
        self.argument(format!("--git-remote={url}#{branch}")).argument("--git-poll=1")
    }

    /// Gives the image these arguments instead of those for its usual address and router; no effect on the Linux
    /// binary. [`Server::address`] is then where it would have been.
    pub fn network(mut self, arguments: &str) -> Boot {
        self.network = Some(arguments.to_owned());
        self
    }

    /// Has the virtual machine's monitor listen at a Unix socket; no effect on the Linux binary.
    pub fn monitor(mut self, socket: &Path) -> Boot {
        self.monitor = Some(socket.to_owned());
        self
    }

    /// Adds arguments for QEMU itself, which override the harness's own; no effect on the Linux binary.
    pub fn qemu(mut self, arguments: &[&str]) -> Boot {
        self.qemu.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// Adds a boot argument.
    pub fn argument(mut self, argument: impl Into<String>) -> Boot {
        self.arguments.push(argument.into());
        self
    }

    /// Starts it with its console in a file of `sandbox`.
    pub fn start(self, sandbox: &Sandbox) -> Result<Server> {
        self.start_on(Port::new(), Console::File(sandbox.path().join("console.log")))
    }

    /// Starts it, reachable at `port`.
    pub fn start_on(self, port: Port, console: Console) -> Result<Server> {
        let mut address = port.address();
        let process = match &self.target {
            Target::Hosted { binary } => {
                let mut arguments = self.arguments;
                match self.far {
                    None => {
                        arguments.push(format!("--listen={address}"));
                        Process::start(binary, &arguments, console)?
                    }
                    Some(before) => {
                        address = (namespace::GUEST, 53).into();
                        arguments.push(format!("--listen={address}"));
                        let [program, namespace, end] = before;
                        arguments.splice(0..0, [namespace, end, binary.display().to_string()]);
                        Process::start(Path::new(&program), &arguments, console)?
                    }
                }
            }
            Target::Image { elf, machine } => {
                let network = if namespace::inside() {
                    address = (namespace::GUEST, 53).into();
                    Network::Tap { interface: namespace::TAP.to_owned() }
                } else {
                    let streams = self.streams.iter().map(|port| ((Ipv4Addr::LOCALHOST, *port).into(), *port));
                    Network::User { forward: address, streams: streams.collect() }
                };
                let usual = || format!("--ip={}/24 --gateway={}", namespace::GUEST, self.target.host());
                let own = self.network.unwrap_or_else(usual);
                let qemu = Qemu {
                    machine: *machine,
                    memory_mib: self.memory_mib,
                    processors: 1,
                    kernel: elf.clone(),
                    initrd: None,
                    append: format!("{own} {}", self.arguments.join(" ")),
                    network,
                    clock: self.clock,
                    monitor: self.monitor,
                    more: self.qemu,
                };
                Process::start(Path::new(Qemu::PROGRAM), &qemu.arguments(), console)?
            }
        };
        Ok(Server { process, address, _port: port })
    }
}

/// A running server.
///
/// If dropped in a panicking thread, it prints its console, to explain the failed test.
#[derive(Debug)]
pub struct Server {
    process: Process,
    address: SocketAddr,
    /// Reserved as long as the server lives.
    _port: Port,
}

impl Server {
    /// Returns its address for UDP and TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its output so far.
    pub fn console(&self) -> String {
        self.process.printed()
    }

    /// The process id of the server, or of the virtual machine it runs in.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The command line that started it, quoted for a shell.
    pub fn command_line(&self) -> &str {
        self.process.command_line()
    }

    /// Runs `dig` against it.
    pub fn dig(&self, arguments: &[&str]) -> Result<Reply> {
        dig(self.address(), arguments)
    }

    /// Tries `attempt` until it returns a value; fails early if the server ends.
    pub fn until<T>(&mut self, what: &str, mut attempt: impl FnMut(&Server) -> Option<T>) -> Result<T> {
        eventually(what, || {
            // In this order: output that a server printed before it ended still counts.
            let status = self.process.ended();
            match (attempt(self), status) {
                (Some(value), _) => Some(Ok(value)),
                (None, Some(status)) => {
                    let (name, said) = (self.process.name(), last(self.console().lines(), LAST_WORDS));
                    let what = format!("{name} ended ({status}) while waiting for: {what}; its last words:\n{said}");
                    Some(Err(Error::Ended { what }))
                }
                (None, None) => None,
            }
        })?
    }

    /// Waits until `dig` with `arguments` gets a reply that `wanted` accepts, and returns it.
    pub fn until_dig(&mut self, arguments: &[&str], wanted: impl Fn(&Reply) -> bool) -> Result<Reply> {
        let mut last = None;
        let outcome = self.until(&format!("dig {}", arguments.join(" ")), |server| {
            // `dig` fails until the server answers.
            let reply = server.dig(arguments).ok()?;
            let accepted = wanted(&reply);
            last = Some(reply.clone());
            accepted.then_some(reply)
        });
        outcome.map_err(|error| match (error, last) {
            (Error::TooLate { what, waited }, Some(reply)) => {
                Error::TooLate { what: format!("{what}; the last reply was {reply:#?}"), waited }
            }
            (error, _) => error,
        })
    }

    /// Waits until it serves `zone`: the zone's SOA is answered with authority.
    pub fn until_serving(&mut self, zone: &str) -> Result<Reply> {
        self.until_dig(&[zone, "SOA"], |reply| reply.status == "NOERROR" && reply.has_flag("aa"))
    }

    /// Waits until the console holds `text`.
    pub fn until_console(&mut self, text: &str) -> Result<()> {
        self.until(&format!("`{text}` on the console"), |server| server.console().contains(text).then_some(()))
    }

    /// Waits until it has ended by itself: the program exited, the virtual machine powered off or reset.
    pub fn until_ended(&mut self) -> Result<ExitStatus> {
        eventually("the server ends by itself", || self.process.ended())
    }

    /// Whether it is still running.
    pub fn is_running(&mut self) -> bool {
        self.process.ended().is_none()
    }

    /// Waits, however long it takes, until it ends by itself.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        self.process.wait()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if thread::panicking() {
            let end = last(self.console().lines(), CONSOLE_LINES);
            eprintln!("---- end of the console of {} ----\n{end}\n----", self.process.name());
        }
    }
}
