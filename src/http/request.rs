//! Heads of HTTP/1.1 requests, and replies (RFC 9112), as far as hooks need them.

use std::fmt::Write as _;

/// Maximum size of a head, in octets.
pub const MOST_HEAD: usize = 8 * 1024;

/// Maximum size of a body, in octets.
pub const MOST_BODY: u64 = 1 << 20;

/// Maximum number of header fields; forges send about ten, and proxies in front of us add some.
const MAX_FIELDS: usize = 64;

/// The head of a request.
#[derive(Clone, Debug)]
pub struct Request<'r> {
    /// The method.
    pub method: &'r str,
    /// The target: a path and optionally a query.
    pub target: &'r str,
    fields: Vec<(&'r str, &'r [u8])>,
    /// Size of the head including its empty line, in octets.
    pub length: usize,
    /// Size of the body, in octets.
    pub body: u64,
    /// Whether the client waits for "100 Continue" before it sends the body (RFC 9110 §10.1.1).
    pub expects: bool,
}

impl<'r> Request<'r> {
    /// Parses the head at the beginning of `octets`; returns `None` if it is incomplete.
    ///
    /// # Errors
    ///
    /// The reply to octets that are not a request, or to a request that is not accepted here.
    pub fn read(octets: &'r [u8]) -> Result<Option<Self>, Reply> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Request::new(&mut fields);
        let length = match head.parse(octets) {
            Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => length,
            Ok(httparse::Status::Partial) if octets.len() < MOST_HEAD => return Ok(None),
            Ok(_) => return Err(Reply::text(431, &format!("the head has more than {MOST_HEAD} octets"))),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(Reply::text(431, &format!("the head has more than {MAX_FIELDS} fields")));
            }
            Err(error) => return Err(Reply::text(400, &format!("not an HTTP/1.1 request: {error}"))),
        };
        let (Some(method), Some(target)) = (head.method, head.path) else {
            return Err(Reply::text(400, "not an HTTP/1.1 request"));
        };
        let fields = head.headers.iter().map(|field| (field.name, field.value)).collect();
        let mut request = Request { method, target, fields, length, body: 0, expects: false };
        request.expects = request.field("expect").is_some_and(|value| value.eq_ignore_ascii_case(b"100-continue"));
        request.body = request.body_length()?;
        Ok(Some(request))
    }

    /// Returns the value of the field `name`, ignoring case, if it is present exactly once and not empty.
    pub fn field(&self, name: &str) -> Option<&'r [u8]> {
        let mut values = self.values(name);
        let value = values.next().filter(|value| !value.is_empty())?;
        values.next().is_none().then_some(value)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'r [u8]> {
        let named = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim_ascii())
    }

    /// Returns the length of the body, which must be declared in advance.
    fn body_length(&self) -> Result<u64, Reply> {
        let count = self.values("content-length").count();
        if self.values("transfer-encoding").next().is_some() {
            // Requests with both are used for request smuggling (RFC 9112 §6.3).
            return Err(match count {
                0 => Reply::text(
                    411,
                    "the body's length must be declared with Content-Length; chunked bodies are not accepted",
                ),
                _ => Reply::text(400, "the body has both a Content-Length and a Transfer-Encoding"),
            });
        }
        let digits = match (count, self.field("content-length")) {
            (0, _) if self.method == "POST" => {
                return Err(Reply::text(411, "the body's length must be declared with Content-Length"));
            }
            (0, _) => return Ok(0),
            (_, digits) => digits.unwrap_or_default(),
        };
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(Reply::text(400, "the Content-Length is not a number, or there are several"));
        }
        let length = digits.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
        if length > MOST_BODY {
            return Err(Reply::text(413, &format!("the body has more than {MOST_BODY} octets")));
        }
        Ok(length)
    }

    #[cfg(test)]
    pub(super) fn for_test(method: &'r str, target: &'r str) -> Self {
        Request { method, target, fields: Vec::new(), length: 0, body: 0, expects: false }
    }
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    status: u16,
    kind: &'static str,
    fields: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Reply {
    /// The interim reply that makes the client send its body.
    pub const CONTINUE: &'static [u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

    /// Returns a reply with one line of text.
    pub fn text(status: u16, line: &str) -> Self {
        Reply { status, kind: "text/plain; charset=utf-8", fields: Vec::new(), body: format!("{line}\n") }
    }

    /// Returns a reply with JSON.
    pub fn json(status: u16, body: String) -> Self {
        Reply { status, kind: "application/json", fields: Vec::new(), body }
    }

    /// Adds a header field.
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns the body.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns the octets to send; `whole` includes the body, which a client that asked for the head does not get.
    pub fn octets(&self, whole: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.fields {
            // Writing to a string cannot fail.
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let _ = write!(
            text,
            "Content-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.kind,
            self.body.len()
        );
        if whole {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

/// Returns the reason phrase for a status code (RFC 9110 §15).
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOOK: &[u8] = b"POST /hook HTTP/1.1\r\nHost: dns.example\r\nX-GitHub-Event: push\r\nExpect: 100-continue\r\n\
                          Content-Length: 12\r\n\r\n{\"ref\":1}";

    fn status(octets: &[u8]) -> u16 {
        Request::read(octets).unwrap_err().status()
    }

    #[test]
    fn heads_are_parsed_once_complete() {
        let end = HOOK.len() - 9;
        for cut in 0..end {
            assert!(Request::read(&HOOK[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        let request = Request::read(HOOK).unwrap().unwrap();
        assert_eq!((request.method, request.target, request.length, request.body), ("POST", "/hook", end, 12));
        assert!(request.expects);
        assert_eq!(request.field("x-github-event"), Some(&b"push"[..]));
        assert_eq!(request.field("x-gitlab-event"), None);
        let request = Request::read(b"GET / HTTP/1.0\r\nA: \r\nB: 1\r\nb: 2\r\n\r\n").unwrap().unwrap();
        assert_eq!((request.body, request.field("a"), request.field("b")), (0, None, None));
    }

    #[test]
    fn invalid_requests_are_refused_with_the_right_status() {
        for (expected, octets) in [
            (400, &b"\x16\x03\x01\x02\x00\x01\x00"[..]),
            (400, b"GET / HTTP/2.0\r\n\r\n"),
            (400, b"GET\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n"),
            (400, b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
            (411, b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            (411, b"POST / HTTP/1.1\r\n\r\n"),
            (413, b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"),
        ] {
            assert_eq!(status(octets), expected, "{}", String::from_utf8_lossy(octets));
        }
        let mut long = b"GET / HTTP/1.1\r\nA: ".to_vec();
        long.resize(MOST_HEAD, b'a');
        assert_eq!(status(&long), 431);
        long.truncate(100);
        assert!(Request::read(&long).unwrap().is_none());
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(100));
        assert_eq!(status(many.as_bytes()), 431);
    }

    #[test]
    fn replies_declare_their_length() {
        let reply = Reply::text(202, "looking").with("Retry-After", "1");
        let head = "HTTP/1.1 202 Accepted\r\nRetry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 8\r\n\
                    Cache-Control: no-store\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(reply.octets(false)).unwrap(), head);
        assert_eq!(String::from_utf8(reply.octets(true)).unwrap(), format!("{head}looking\n"));
    }

    proptest! {
        #[test]
        fn any_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..HOOK.len()) {
            let _ = Request::read(&octets);
            let mut mixed = HOOK[..cut].to_vec();
            mixed.extend(octets);
            let _ = Request::read(&mixed);
        }
    }
}
