//! Clients that send DNS updates (RFC 2136): existing ones, and one for requests that they cannot send.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::{Error, Key, Result, run};

/// The interpreter of the scripts: Debian's, which has the packages they need, regardless of the path.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

/// The client script; its options describe the update.
const UPDATE: &str = concat!(include_str!("exchange.py"), include_str!("update.py"));

/// Drives certbot's plugin.
const CERTBOT: &str = include_str!("certbot.py");

/// The transport of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
}

impl Transport {
    /// Both.
    pub const ALL: [Transport; 2] = [Transport::Udp, Transport::Tcp];
}

/// A program for updating zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// BIND's `nsupdate`.
    Nsupdate,
    /// Knot DNS's `knsupdate`.
    Knsupdate,
    /// A script that uses dnspython.
    Dnspython,
}

impl Client {
    /// All of them.
    pub const ALL: [Client; 3] = [Client::Nsupdate, Client::Knsupdate, Client::Dnspython];

    /// Sends one update of `zone`: `operations` are lines as `nsupdate` takes them, for example `update add
    /// www.example.org. 300 A 192.0.2.1`, with absolute names. Returns how it was answered. Without a `zone`,
    /// `nsupdate` asks the server which one it is.
    ///
    /// # Errors
    ///
    /// The program cannot be started. A missing answer is an outcome, not an error.
    pub fn update(
        self,
        server: SocketAddr,
        transport: Transport,
        key: Option<&Key>,
        zone: &str,
        operations: &[&str],
    ) -> Result<Outcome> {
        if self == Client::Dnspython {
            let mut request = Request::new(zone, operations);
            request.key(key).transport(transport);
            return Ok(request.send(server)?.remove(0));
        }
        let mut command = Command::new(self.to_string());
        if transport == Transport::Tcp {
            command.arg("-v");
        }
        if let Some(key) = key {
            command.args(["-y", &key.option()]);
        }
        let (ip, port) = (server.ip(), server.port());
        let zone = if zone.is_empty() { String::new() } else { format!("zone {zone}\n") };
        let script = format!("server {ip} {port}\n{zone}{}\nsend\nanswer\n", operations.join("\n"));
        let text = feed(&mut command, &script)?;
        Ok(Outcome::of_tool(&text))
    }
}

/// The program's name.
impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Client::Nsupdate => "nsupdate",
            Client::Knsupdate => "knsupdate",
            Client::Dnspython => "dnspython",
        })
    }
}

/// The outcome of an update.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The response code's name, for example `REFUSED`; `TIMEOUT` if there was none.
    pub status: String,
    /// The error in the reply's TSIG record, for example `BADTIME`.
    pub tsig_error: Option<String>,
    /// The server's clock in the reply's TSIG record, in seconds since 1970; set by [`Request`] only.
    pub server_time: Option<u64>,
    /// Whether the reply carries a valid signature; set by [`Request`] only.
    pub signed: bool,
    /// The extended error (RFC 8914), its code and its text; only [`Request`] and [`Client::Dnspython`] tell.
    pub extended_error: Option<String>,
    /// The client's output.
    pub text: String,
}

impl Outcome {
    /// Parses the output of `nsupdate` or `knsupdate` after `answer`.
    fn of_tool(text: &str) -> Outcome {
        let mut outcome = Outcome { status: "TIMEOUT".to_owned(), text: text.to_owned(), ..Outcome::default() };
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("status: ") {
                outcome.status = rest.split([',', ';']).next().unwrap_or_default().to_owned();
            }
            // The last but the length of other data: "… NOTAUTH BADSIG 0".
            let error = ["BADSIG", "BADKEY", "BADTIME", "BADTRUNC"].into_iter().find(|error| line.contains(error));
            outcome.tsig_error = outcome.tsig_error.or_else(|| error.map(str::to_owned));
        }
        // Knot shows the one error in the place of the other.
        if outcome.tsig_error.as_ref() == Some(&outcome.status) {
            outcome.status = "NOTAUTH".to_owned();
        }
        // A reply that fails authentication is ignored.
        if outcome.status == "NOERROR" && (text.contains("TSIG error") || text.contains("failed to verify")) {
            outcome.status = "UNVERIFIED".to_owned();
        }
        outcome
    }

    /// Parses the replies that the script printed.
    fn of_script(text: &str) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = Vec::new();
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            if word == "status" {
                outcomes.push(Outcome { status: rest.to_owned(), text: text.to_owned(), ..Outcome::default() });
            }
            let Some(outcome) = outcomes.last_mut() else { continue };
            match word {
                "error" => outcome.tsig_error = Some(rest.to_owned()),
                "time" => outcome.server_time = rest.parse().ok(),
                "signed" => outcome.signed = true,
                "extended" => outcome.extended_error = Some(rest.to_owned()),
                _ => {}
            }
        }
        outcomes
    }
}

/// An update with full control over signing and sending.
#[derive(Clone, Debug)]
pub struct Request {
    zone: String,
    operations: String,
    options: Vec<String>,
}

impl Request {
    /// An unsigned update of `zone` by `operations`, in the syntax of [`Client::update`].
    pub fn new(zone: &str, operations: &[&str]) -> Request {
        Request { zone: zone.to_owned(), operations: operations.join("\n"), options: Vec::new() }
    }

    /// Signs it, if there is a key.
    pub fn key(&mut self, key: Option<&Key>) -> &mut Request {
        self.options(key.map(|key| format!("--key={}", key.option())))
    }

    /// Sets the transport; UDP by default.
    pub fn transport(&mut self, transport: Transport) -> &mut Request {
        self.options((transport == Transport::Tcp).then(|| "--tcp".to_owned()))
    }

    /// Signs it with a clock that is `seconds` ahead.
    pub fn skew(&mut self, seconds: i64) -> &mut Request {
        self.options([format!("--skew={seconds}")])
    }

    /// Allows this difference of clocks, in seconds, instead of 300.
    pub fn fudge(&mut self, seconds: u16) -> &mut Request {
        self.options([format!("--fudge={seconds}")])
    }

    /// Sends only the first `octets` of the MAC.
    pub fn mac(&mut self, octets: usize) -> &mut Request {
        self.options([format!("--mac={octets}")])
    }

    /// Names an algorithm in the signature that is not the key's.
    pub fn algorithm(&mut self, name: &str) -> &mut Request {
        self.options([format!("--algorithm={name}")])
    }

    /// Sends the same octets `times` in a row before it waits for a reply, as an impatient client does.
    pub fn burst(&mut self, times: usize) -> &mut Request {
        self.options([format!("--burst={times}")])
    }

    /// Sends the same octets again after each reply, `times` in all.
    pub fn times(&mut self, times: usize) -> &mut Request {
        self.options([format!("--send={times}")])
    }

    /// Sets the timeout for a reply in seconds, instead of 60.
    pub fn patience(&mut self, seconds: u32) -> &mut Request {
        self.options([format!("--patience={seconds}")])
    }

    /// Sends it and returns one outcome for each time it was sent.
    pub fn send(&self, server: SocketAddr) -> Result<Vec<Outcome>> {
        let mut command = Command::new(PYTHON);
        command.args(["-c", UPDATE]).args(&self.options);
        command.args([server.ip().to_string(), server.port().to_string(), self.zone.clone()]);
        let text = feed(&mut command, &self.operations)?;
        let outcomes = Outcome::of_script(&text);
        if outcomes.is_empty() {
            return Err(Error::Failed { command: "update.py".to_owned(), output: text });
        }
        Ok(outcomes)
    }

    fn options(&mut self, options: impl IntoIterator<Item = String>) -> &mut Request {
        self.options.extend(options);
        self
    }
}

/// Adds (`add`) or deletes (`delete`) a TXT record with certbot's plugin, as for a certificate.
///
/// # Errors
///
/// The plugin reports one; then no certificate would be issued.
pub fn certbot(server: SocketAddr, key: &Key, action: &str, name: &str, text: &str) -> Result<()> {
    let mut command = Command::new(PYTHON);
    command.args(["-c", CERTBOT, &server.ip().to_string(), &server.port().to_string(), &key.option()]);
    run(command.args([action, name, text])).map(drop)
}

/// Runs `command` with `input` and returns its output, regardless of its exit status.
fn feed(command: &mut Command, input: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| Error::Spawn { program, source };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends before reading all input has printed why.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(Error::io("waiting for a client"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    write!(text, "{}", String::from_utf8_lossy(&output.stderr)).expect("a String accepts all");
    Ok(text)
}
