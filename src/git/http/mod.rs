//! Smart HTTP: a git service as requests and replies (gitprotocol-http(5)).
//!
//! The service's greeting is the reply to a GET, the discovery, and each later request a POST whose reply is what git
//! would have sent. So an [`Exchange`] buffers what is written until something is read, and then posts it. A push
//! declares its end in advance ([`Wire::send_up_to`]): all but its last octets are sent before these are written, and
//! as long as they are missing no server can have accepted it.
//!
//! Requests of a conversation share a connection. A server, or a proxy in front of it, may close one that waits for the
//! next request at any time (RFC 9112 §9.3.1), so what fails on one that was used before is sent again on a new one,
//! once; but not a push that has been sent whole, which may have been accepted.
//!
//! A redirection is followed for the discovery only, as in git; its target receives the later requests. It
//! never leaves TLS, and the credentials are sent only to the same host.
//!
//! `reply` reads heads and finds the ends of bodies, `connection` does so on a stream, `url` resolves addresses.

mod connection;
mod error;
mod pace;
mod reply;
mod url;

pub use error::{HttpError, HttpProblem};

use super::{
    Deadline, Error, Protocol, Secret, Timeouts, Upstream,
    greeting::AGENT,
    wire::{Service, Wire, broken},
};
use crate::net::is_timeout;
use crate::text::printable_up_to;
use connection::Connection;
use data_encoding::BASE64;
use reply::Head;
use std::io::{self, Read, Write};
use std::time::SystemTime;
use url::Url;
use zeroize::Zeroizing;

/// The user sent with a token if none is configured: forges check the token only, but require a user.
const TOKEN_USER: &str = "x-access-token";

/// Maximum number of redirections followed.
const MAX_REDIRECTIONS: usize = 5;

/// Maximum number of octets of an explanation that are displayed.
const MAX_SAID: usize = 300;

/// Maximum number of octets of an explanation that are read.
const MAX_READ: u64 = 16 << 10;

/// Phrases with which forges report a rate limit, in lower case.
const LIMITS: [&str; 5] = ["rate limit", "rate-limit", "ratelimit", "too many requests", "abuse detection"];

/// A conversation with a git service over HTTP.
pub(super) struct Exchange {
    upstream: Upstream,
    service: Service,
    protocol: Protocol,
    timeouts: Timeouts,
    deadline: Deadline,
    /// The repository at the remote's address.
    origin: Url,
    /// The repository after redirections.
    url: Url,
    /// The value of the `Authorization` field.
    login: Option<Zeroizing<String>>,
    connection: Option<Connection>,
    request: Request,
}

/// The progress of a request.
enum Request {
    /// The part written so far is buffered.
    Kept(Vec<u8>),
    /// This many octets of it are not sent yet.
    Sending(usize),
    /// Its reply is being read.
    Replied,
}

/// Requests the service; its greeting comes next in [`Read::read`].
pub(super) fn open(
    upstream: &Upstream,
    service: Service,
    protocol: Protocol,
    timeouts: Timeouts,
    deadline: Deadline,
) -> Result<Exchange, Error> {
    upstream.rest.check()?;
    let url = Url::of(&upstream.remote);
    let login = login(upstream);
    let mut exchange = Exchange {
        upstream: upstream.clone(),
        service,
        protocol,
        timeouts,
        deadline,
        origin: url.clone(),
        url,
        login,
        connection: None,
        request: Request::Replied,
    };
    if exchange.login.is_some() && !exchange.url.secure && !upstream.access.credentials_in_clear {
        return Err(exchange.error(HttpProblem::Unprotected));
    }
    exchange.discover()?;
    Ok(exchange)
}

/// Returns the value of the `Authorization` field (RFC 7617), if there are credentials.
fn login(upstream: &Upstream) -> Option<Zeroizing<String>> {
    let (access, own) = (&upstream.access, upstream.remote.login());
    let user = access.user.as_ref().or(own.map(|login| &login.user));
    let password = access.token.as_ref().or(own.and_then(|login| login.password.as_ref()));
    let pair = match (user, password) {
        (None, None) => return None,
        (user, password) => Zeroizing::new(format!(
            "{}:{}",
            user.map(Secret::reveal).filter(|user| !user.is_empty()).unwrap_or(TOKEN_USER),
            password.map_or("", Secret::reveal)
        )),
    };
    Some(Zeroizing::new(format!("Basic {}", *Zeroizing::new(BASE64.encode(pair.as_bytes())))))
}

impl Exchange {
    /// Finds the service, following redirections, and stops at the start of the reply's body.
    fn discover(&mut self) -> Result<(), Error> {
        for _ in 0..=MAX_REDIRECTIONS {
            let target = format!("{}/info/refs?service={}", self.url.path, self.service.program());
            let head = self.ask("GET", &target, &[], 0).map_err(|error| self.lost(error))?;
            if !matches!(head.status, 301 | 302 | 303 | 307 | 308) {
                self.check(&head, "advertisement")?;
                return Ok(());
            }
            self.redirect(&head)?;
        }
        Err(self.error(HttpProblem::Redirect { to: self.url.to_string(), why: "but there were too many redirections" }))
    }

    /// Follows the redirection in a reply to the discovery.
    fn redirect(&mut self, head: &Head) -> Result<(), Error> {
        let refuse = |to: String, why| Err(self.error(HttpProblem::Redirect { to, why }));
        let location = self.without_secrets(head.location.clone().unwrap_or_default());
        let Some((mut to, query)) = self.url.join(&location) else {
            return refuse("nowhere".into(), "which cannot be followed");
        };
        let service = format!("service={}", self.service.program());
        match (to.path.strip_suffix("/info/refs"), query) {
            (Some(path), Some(query)) if query == service => to.path = path.into(),
            _ => {
                return refuse(
                    to.to_string(),
                    "which is not a git service: is the path right, and does it want a login?",
                );
            }
        }
        if self.url.secure && !to.secure {
            return refuse(to.to_string(), "out of TLS, which is not followed");
        }
        if (to.secure, &to.host, to.port) != (self.url.secure, &self.url.host, self.url.port) {
            self.connection = None;
        }
        log::debug!("{}: redirected to {to}", self.url);
        self.url = to;
        Ok(())
    }

    /// Posts the beginning of a request of which `rest` more octets follow.
    fn post(&mut self, body: &[u8], rest: usize) -> io::Result<()> {
        let target = format!("{}/{}", self.url.path, self.service.program());
        loop {
            let tired = self.connect()?;
            match self.send("POST", &target, body, rest) {
                Ok(()) => return Ok(()),
                // It was closed while idle.
                Err(error) if tired && is_closed(&error) && self.may_repeat(rest) => self.connection = None,
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request and reads the head of its reply. A reused connection that turns out to be closed is replaced.
    fn ask(&mut self, method: &str, target: &str, body: &[u8], rest: usize) -> io::Result<Head> {
        loop {
            let tired = self.connect()?;
            let head = self.send(method, target, body, rest).and_then(|()| self.head());
            match head {
                Err(error) if tired && is_closed(&error) && self.may_repeat(rest) => self.connection = None,
                head => return head,
            }
        }
    }

    /// Returns whether a failed request, of which `rest` octets were not sent, can be sent again: it can have had no
    /// effect, or none that matters.
    fn may_repeat(&self, rest: usize) -> bool {
        rest > 0 || matches!(self.service, Service::UploadPack) || matches!(self.request, Request::Replied)
    }

    /// Ensures a connection that is ready for a request; returns whether it was used before.
    fn connect(&mut self) -> io::Result<bool> {
        if let Some(connection) = &mut self.connection {
            connection.set_deadline(self.deadline);
            if connection.is_ready() {
                return Ok(connection.used);
            }
            self.connection = None;
        }
        let opened = Connection::open(&self.upstream, &self.url, self.timeouts, self.deadline);
        self.connection = Some(opened.map_err(io::Error::other)?);
        Ok(false)
    }

    /// Sends the head of a request and the available part of its body.
    fn send(&mut self, method: &str, target: &str, body: &[u8], rest: usize) -> io::Result<()> {
        let program = self.service.program();
        let agent = AGENT.strip_prefix("agent=").unwrap_or(AGENT);
        // Large enough: growing would leave copies of the credentials in memory.
        let room = 1024 + target.len() + self.login.as_ref().map_or(0, |login| login.len());
        let mut request = Zeroizing::new(Vec::with_capacity(room));
        // Writing to memory cannot fail.
        let mut field = |text: std::fmt::Arguments<'_>| drop(write!(request, "{text}\r\n"));
        field(format_args!("{method} {target} HTTP/1.1"));
        field(format_args!("Host: {}", self.url.authority()));
        // Some forges send a web page to clients that are not named git.
        field(format_args!("User-Agent: git/2 ({agent})"));
        match self.protocol {
            Protocol::V0 => {}
            Protocol::V1 => field(format_args!("Git-Protocol: version=1")),
            Protocol::V2 => field(format_args!("Git-Protocol: version=2")),
        }
        if let Some(login) = self.login.as_ref().filter(|_| self.origin.shares_secrets_with(&self.url)) {
            field(format_args!("Authorization: {}", **login));
        }
        if method == "POST" {
            field(format_args!("Content-Type: application/x-{program}-request"));
            field(format_args!("Accept: application/x-{program}-result"));
            field(format_args!("Content-Length: {}", body.len() + rest));
            if matches!(self.service, Service::ReceivePack) {
                // Nothing follows, and the end of the connection shows that the server's hooks have finished.
                field(format_args!("Connection: close"));
            }
        } else {
            field(format_args!("Accept: */*"));
            field(format_args!("Cache-Control: no-cache"));
            field(format_args!("Pragma: no-cache"));
        }
        field(format_args!(""));
        let connection = self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        connection.send(&request)?;
        connection.send(body)
    }

    /// Reads the head of a reply.
    fn head(&mut self) -> io::Result<Head> {
        self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?.head()
    }

    /// Checks that a reply is of the requested kind, an `advertisement` or a `result`.
    fn check(&mut self, head: &Head, kind: &str) -> Result<(), Error> {
        let push = matches!(self.service, Service::ReceivePack);
        let sends_login = self.login.is_some() && self.origin.shares_secrets_with(&self.url);
        let problem = match head.status {
            200 => {
                let expected = format!("application/x-{}-{kind}", self.service.program());
                match head.media_type.as_str() {
                    found if found == expected => return Ok(()),
                    "text/plain" | "" | "application/octet-stream" if self.lists_files() => HttpProblem::Dumb,
                    found => HttpProblem::NotGit { media_type: found.into() },
                }
            }
            401 if sends_login => HttpProblem::LoginRefused { said: self.said(head) },
            401 => HttpProblem::LoginWanted { withheld: self.login.is_some() },
            403 | 429 | 500..=599 => self.declined(head, push, sends_login),
            404 | 410 => HttpProblem::NotFound { login: sends_login },
            300..=399 => {
                let location = self.without_secrets(head.location.clone().unwrap_or_default());
                let to = self.url.join(&location);
                let to = to.map_or_else(|| "nowhere".into(), |(to, _)| to.to_string());
                HttpProblem::Redirect { to, why: "which is not followed for requests that change something" }
            }
            _ => {
                let said = self.said(head);
                self.status(head, said)
            }
        };
        Err(self.error(problem))
    }

    /// Returns the problem for a refusal that may be temporary: by a rate limit, or by an overloaded server.
    fn declined(&mut self, head: &Head, push: bool, login: bool) -> HttpProblem {
        let text = self.explanation(head);
        let said = self.shown(head, &text);
        let asks = head.pace.wait(SystemTime::now());
        let is_limited = match head.status {
            429 => true,
            403 => {
                let text = String::from_utf8_lossy(&text).to_lowercase();
                head.pace.is_limit() || LIMITS.iter().any(|words| text.contains(words))
            }
            _ => asks.is_some(),
        };
        match head.status {
            status if is_limited => {
                HttpProblem::Limited { status, reason: self.without_secrets(head.reason.clone()), said, asks }
            }
            403 => HttpProblem::Forbidden { push, login, said },
            _ => self.status(head, said),
        }
    }

    fn status(&self, head: &Head, said: String) -> HttpProblem {
        let parts = [self.without_secrets(head.reason.clone()), said];
        let said = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        HttpProblem::Status { status: head.status, said }
    }

    /// Returns the server's explanation, if it is plain text.
    fn said(&mut self, head: &Head) -> String {
        let text = self.explanation(head);
        self.shown(head, &text)
    }

    /// Returns the beginning of the server's explanation, if it is text of any kind.
    fn explanation(&mut self, head: &Head) -> Vec<u8> {
        let mut text = Vec::new();
        let is_text = head.media_type.starts_with("text/") || head.media_type.ends_with("json");
        if let Some(connection) = self.connection.as_mut().filter(|_| is_text) {
            // A part is better than nothing.
            let _ = connection.take(MAX_READ).read_to_end(&mut text);
        }
        text
    }

    /// Returns the part of the server's text to display: nothing if it is meant for programs.
    fn shown(&self, head: &Head, text: &[u8]) -> String {
        let text = if head.media_type == "text/plain" { text } else { &[] };
        // The whole text is checked, since half a secret is one, too.
        let mut said = self.without_secrets(printable_up_to(text, text.len()));
        said.truncate(said.floor_char_boundary(MAX_SAID));
        said
    }

    /// Returns a server's text, unless it contains our credentials.
    fn without_secrets(&self, text: String) -> String {
        let (access, own) = (&self.upstream.access, self.upstream.remote.login());
        let passwords = [access.token.as_ref(), own.and_then(|login| login.password.as_ref())];
        // A user without a password may be a token.
        let user = access.user.as_ref().or(own.map(|login| &login.user));
        let user = user.filter(|_| passwords.iter().all(Option::is_none));
        let secrets = passwords.into_iter().flatten().chain(user).map(Secret::reveal);
        let encoded = self.login.as_ref().and_then(|login| login.strip_prefix("Basic "));
        let told = secrets.chain(encoded).any(|secret| !secret.is_empty() && text.contains(secret));
        if told { String::new() } else { text }
    }

    /// Returns whether the reply is a plain file of references from a repository's files.
    fn lists_files(&mut self) -> bool {
        let mut begin = Vec::new();
        if let Some(connection) = &mut self.connection {
            let _ = connection.take(41).read_to_end(&mut begin);
        }
        matches!(begin.split_last(), Some((b'\t', id)) if id.len() == 40 && id.iter().all(u8::is_ascii_hexdigit))
    }

    fn error(&self, problem: HttpProblem) -> Error {
        let at = (self.url != self.origin).then(|| self.url.to_string());
        let error = HttpError { at, problem };
        if let Some(wait) = error.wait() {
            self.upstream.rest.begin(wait, &error);
        }
        Error::Http(error)
    }

    fn lost(&self, error: io::Error) -> Error {
        broken("looking for the git service", self.timeouts, self.deadline, error)
    }

    /// Ensures that the reply to what was written is being read.
    fn turn(&mut self) -> io::Result<()> {
        let head = match std::mem::replace(&mut self.request, Request::Replied) {
            Request::Replied => return Ok(()),
            Request::Kept(body) => {
                let target = format!("{}/{}", self.url.path, self.service.program());
                self.request = Request::Sending(0);
                let head = self.ask("POST", &target, &body, 0);
                self.request = Request::Replied;
                head?
            }
            // If something is missing, the server may have sent the reason for not accepting it.
            Request::Sending(_) => self.head()?,
        };
        self.check(&head, "result").map_err(io::Error::other)
    }
}

/// Returns whether a connection broke, as opposed to a timeout.
fn is_closed(error: &io::Error) -> bool {
    !is_timeout(error) && error.kind() != io::ErrorKind::Other
}

impl Read for Exchange {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.turn()?;
        self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?.read(out)
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.request {
            Request::Kept(body) => body.extend_from_slice(bytes),
            Request::Replied => self.request = Request::Kept(bytes.to_vec()),
            Request::Sending(left) => {
                if bytes.len() > *left {
                    return Err(io::Error::other("more octets than declared were written"));
                }
                *left -= bytes.len();
                self.connection.as_mut().ok_or(io::ErrorKind::NotConnected)?.send(bytes)?;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Wire for Exchange {
    fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
        if let Some(connection) = &mut self.connection {
            connection.set_deadline(deadline);
        }
    }

    fn send_up_to(&mut self, rest: usize) -> io::Result<()> {
        if let Request::Kept(body) = std::mem::replace(&mut self.request, Request::Sending(rest)) {
            self.post(&body, rest)?;
        }
        Ok(())
    }

    fn linger(self: Box<Self>) -> Option<Box<dyn Read + Send>> {
        self.connection?.linger()
    }
}
