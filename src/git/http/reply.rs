//! Incremental parsing of replies: the head, and the end of the body (RFC 9112).
//!
//! It does no I/O, so tests can cover all that a hostile server can send. httparse parses the head and chunk sizes;
//! everything is bounded.

use super::pace::Pace;
use crate::text::printable;

/// Maximum size of a head, in octets.
pub(super) const MAX_HEAD: usize = 16 << 10;

/// Maximum length of a chunk's size with its extensions, and of a trailer line, in octets.
const MAX_LINE: usize = 4 << 10;

/// Maximum number of fields of a head.
const MAX_FIELDS: usize = 100;

/// Maximum number of trailer lines.
const MAX_TRAILERS: usize = 100;

/// The relevant parts of a reply's head.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// The reason phrase, printable.
    pub(super) reason: String,
    /// Without parameters, in lower case, printable; may be empty.
    pub(super) media_type: String,
    pub(super) location: Option<String>,
    /// When the next request is allowed.
    pub(super) pace: Pace,
    /// Whether the server closes the connection after the reply.
    pub(super) close: bool,
    pub(super) body: Body,
}

impl Head {
    /// Reads a head and returns it with its length; `None` if it is not complete.
    pub(super) fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, String> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let length = match response.parse(&bytes[..bytes.len().min(MAX_HEAD)]) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if bytes.len() >= MAX_HEAD => {
                return Err(format!("a reply whose head has more than {MAX_HEAD} octets"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(format!("a reply with more than {MAX_FIELDS} header fields"));
            }
            Err(_) if matches!(bytes.first(), Some(0x15 | 0x16)) => {
                return Err("the server speaks TLS, so the remote wants https://".into());
            }
            Err(error) => return Err(format!("not an HTTP reply ({error})")),
        };
        let status = response.code.unwrap_or(0);
        let http11 = response.version == Some(1);
        let mut head = Head {
            status,
            reason: printable(response.reason.unwrap_or_default().as_bytes()),
            media_type: String::new(),
            location: None,
            pace: Pace::default(),
            close: !http11,
            body: Body::UntilClose,
        };
        let (mut announced, mut chunked) = (None, false);
        for field in response.headers.iter() {
            let value = field.value.trim_ascii();
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let length = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let length: u64 =
                    length.and_then(|text| text.parse().ok()).ok_or("a Content-Length that is not a number")?;
                if announced.is_some_and(|other| other != length) {
                    return Err("a reply with two lengths".into());
                }
                announced = Some(length);
            } else if is("transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err("a Transfer-Encoding other than chunked".into());
                }
                chunked = true;
            } else if is("content-encoding") {
                if !value.is_empty() && !value.eq_ignore_ascii_case(b"identity") {
                    return Err("a compressed reply, which was not asked for".into());
                }
            } else if is("connection") {
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    if option.eq_ignore_ascii_case(b"close") {
                        head.close = true;
                    } else if option.eq_ignore_ascii_case(b"keep-alive") && !http11 {
                        head.close = false;
                    }
                }
            } else if is("content-type") {
                let bare = value.split(|byte| *byte == b';').next().unwrap_or_default();
                head.media_type = printable(bare).to_ascii_lowercase();
            } else if is("location") {
                head.location = str::from_utf8(value).ok().map(str::to_string);
            } else {
                head.pace.take(field.name, value);
            }
        }
        // RFC 9112 §6.3
        head.body = match (status, chunked, announced) {
            (100..=199 | 204 | 304, ..) => Body::Ended,
            (_, true, other) => {
                head.close |= other.is_some();
                Body::Size
            }
            (_, false, Some(0)) => Body::Ended,
            (_, false, Some(length)) => Body::Octets { left: length, chunk: false },
            (_, false, None) => {
                head.close = true;
                Body::UntilClose
            }
        };
        Ok(Some((head, length)))
    }
}

/// The position in a reply's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// After its end.
    Ended,
    /// In a piece of known length: all of it, or a chunk.
    Octets {
        /// The number of octets left; not zero.
        left: u64,
        /// Whether the end of a chunk follows.
        chunk: bool,
    },
    /// Before the size of a chunk.
    Size,
    /// Before the end of line after a chunk.
    ChunkEnd,
    /// In the trailer section.
    Trailers {
        /// The number of lines so far.
        lines: usize,
    },
    /// In a body that ends with the connection.
    UntilClose,
}

/// The next step for a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it has ended.
    End,
    /// Read up to this many octets of content.
    Content(u64),
    /// Skip this many octets, which are framing.
    Skip(usize),
    /// Read more first.
    More,
}

impl Body {
    /// Returns the step for `bytes`, which come next, and advances past octets to be skipped.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Result<Step, String> {
        match *self {
            Body::Ended => Ok(Step::End),
            Body::UntilClose => Ok(Step::Content(u64::MAX)),
            Body::Octets { left, .. } => Ok(Step::Content(left)),
            Body::Size => match httparse::parse_chunk_size(&bytes[..bytes.len().min(MAX_LINE)]) {
                Ok(httparse::Status::Complete((length, size))) => {
                    *self =
                        if size == 0 { Body::Trailers { lines: 0 } } else { Body::Octets { left: size, chunk: true } };
                    Ok(Step::Skip(length))
                }
                Ok(httparse::Status::Partial) if bytes.len() < MAX_LINE => Ok(Step::More),
                _ => Err("a chunk without a valid size".into()),
            },
            Body::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    *self = Body::Size;
                    Ok(Step::Skip(2))
                }
                [] | [b'\r'] => Ok(Step::More),
                _ => Err("a chunk that is longer than its declared size".into()),
            },
            Body::Trailers { lines } => match bytes.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
                Some(at) => {
                    let empty = matches!(&bytes[..at], b"" | b"\r");
                    *self = if empty { Body::Ended } else { Body::Trailers { lines: lines + 1 } };
                    if lines >= MAX_TRAILERS { Err("trailers without an end".into()) } else { Ok(Step::Skip(at + 1)) }
                }
                None if bytes.len() < MAX_LINE => Ok(Step::More),
                None => Err("a trailer without an end".into()),
            },
        }
    }

    /// Records that `count` octets of content were read.
    pub(super) fn took(&mut self, count: u64) {
        if let Body::Octets { left, chunk } = *self {
            *self = match left.saturating_sub(count) {
                0 if chunk => Body::ChunkEnd,
                0 => Body::Ended,
                left => Body::Octets { left, chunk },
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a whole reply that arrives in pieces of `piece` octets; returns its content.
    fn read(mut bytes: &[u8], piece: usize) -> Result<Option<(Head, Vec<u8>)>, String> {
        let Some((mut head, length)) = Head::read(bytes)? else { return Ok(None) };
        bytes = &bytes[length..];
        let (mut seen, mut content) = (0, Vec::new());
        loop {
            match head.body.step(&bytes[..seen])? {
                Step::End => return Ok(Some((head, content))),
                Step::Skip(count) => {
                    bytes = &bytes[count..];
                    seen -= count;
                }
                Step::Content(most) if seen > 0 => {
                    let count = seen.min(usize::try_from(most).unwrap_or(usize::MAX));
                    content.extend_from_slice(&bytes[..count]);
                    head.body.took(count as u64);
                    bytes = &bytes[count..];
                    seen -= count;
                }
                Step::Content(_) | Step::More if seen < bytes.len() => seen = (seen + piece).min(bytes.len()),
                Step::Content(_) if head.body == Body::UntilClose => return Ok(Some((head, content))),
                Step::Content(_) | Step::More => return Ok(None),
            }
        }
    }

    #[test]
    fn bodies_end_where_they_should() {
        for (reply, expected, close) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "abc", false),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nA: b\r\n\r\nmore",
                "abcde",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\nContent-Length: 1\r\n\r\n1\r\na\r\n0\r\n\r\n",
                "a",
                true,
            ),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "", false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\nContent-Length: 0\r\n\r\nabc", "", true),
            ("HTTP/1.0 200 OK\r\n\r\nabc", "abc", true),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nabc", "a", false),
            ("HTTP/1.1 200 OK\r\n\r\nabc", "abc", true),
        ] {
            for piece in [1, 2, 3, 1000] {
                let (head, content) = read(reply.as_bytes(), piece).unwrap().unwrap();
                assert_eq!((content.as_slice(), head.close), (expected.as_bytes(), close), "{reply}");
            }
        }
    }

    #[test]
    fn invalid_replies_are_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "x".repeat(MAX_HEAD));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(MAX_FIELDS + 1));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let trailers = format!("{chunked}0\r\n{}\r\n", "A: b\r\n".repeat(MAX_TRAILERS + 1));
        let trailer = format!("{chunked}0\r\nA: {}\r\n\r\n", "x".repeat(MAX_LINE));
        let size = format!("{chunked}1;{}\r\n", "x".repeat(MAX_LINE));
        for (reply, word) in [
            ("SSH-2.0-OpenSSH\r\n", "not an HTTP reply"),
            ("\x15\x03\x03\0\x02\x02\x50", "wants https://"),
            ("0032ERR git daemon\n", "not an HTTP reply"),
            ("HTTP/2 200\r\n\r\n", "not an HTTP reply"),
            ("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "not a number"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "not a number"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "two lengths"),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "other than chunked"),
            ("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", "compressed"),
            (&long, "more than 16384 octets"),
            (&many, "more than 100 header fields"),
            (&format!("{chunked}xyz\r\n"), "without a valid size"),
            (&format!("{chunked}fffffffffffffffff\r\n"), "without a valid size"),
            (&format!("{chunked}1\r\nab\r\n"), "longer than its declared size"),
            (&size, "without a valid size"),
            (&trailers, "trailers without an end"),
            (&trailer, "a trailer without an end"),
        ] {
            let error = read(reply.as_bytes(), 1000).unwrap_err();
            assert!(error.contains(word), "{reply:.60}: {error}");
        }
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Le", 1), Ok(None));
    }

    proptest! {
        #[test]
        fn any_octets_never_panic(
            start in prop::sample::select(vec![
                "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde",
            ]),
            rest in prop::collection::vec(prop_oneof![
                prop::sample::select(b"\r\n:; 0159afx".to_vec()), any::<u8>()
            ], 0..200),
            piece in 1..50usize,
        ) {
            let bytes = [start.as_bytes(), &rest].concat();
            let _ = read(&bytes, piece);
        }

        #[test]
        fn chunks_of_any_size_make_the_whole(content in prop::collection::vec(any::<u8>(), 0..500), size in 1..100usize, piece in 1..100usize) {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in content.chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
            prop_assert_eq!(read(&bytes, piece).unwrap().unwrap().1, content);
        }
    }
}
