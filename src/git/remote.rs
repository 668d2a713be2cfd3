//! The address of a repository, as written in the boot arguments.

use std::fmt;

const EXAMPLE: &str = "git://host/path/zones.git#main";
const DEFAULT_PORT: u16 = 9418;

/// Where the zones live: `git://host[:port]/path[#branch]`.
///
/// Without a branch the remote's `HEAD` is followed. A fragment that starts with `refs/` is taken as the full name of a
/// reference. An IPv6 address stands in brackets. `%XX` in the path is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    host: String,
    port: u16,
    path: String,
    reference: Option<String>,
}

impl Remote {
    /// Parses a remote as written by an operator.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(match text.split_once(':') {
                Some((host, _)) if !host.is_empty() && !host.contains('/') => RemoteError::Unsupported("ssh".into()),
                _ => RemoteError::NoScheme,
            });
        };
        match scheme {
            "git" => {}
            "https" | "http" | "ssh" | "git+ssh" | "ssh+git" | "file" | "ftp" => {
                return Err(RemoteError::Unsupported(scheme.into()));
            }
            _ => return Err(RemoteError::UnknownScheme(scheme.chars().take(20).collect())),
        }
        let (rest, reference) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(full_name(fragment)?)),
            None => (rest, None),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if authority.contains('@') {
            return Err(RemoteError::Credentials);
        }
        let (host, port) = split_port(authority)?;
        let path = decode_path(path)?;
        if path.trim_matches('/').is_empty() {
            return Err(RemoteError::NoPath);
        }
        Ok(Remote { host: host.into(), port, path, reference })
    }

    /// Returns the host, a name or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path at the host, decoded; starts with `/`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the full name of the reference to follow, such as `refs/heads/main`; `None` follows the remote's `HEAD`.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Returns `host:port` for messages.
    pub(super) fn endpoint(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Remote {
    /// Writes the remote as it can be parsed again. Credentials are never part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("git://")?;
        if self.port != DEFAULT_PORT {
            f.write_str(&self.endpoint())?;
        } else if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        for byte in self.path.bytes() {
            match byte {
                b'%' | b'#' | 0..=b' ' | 0x7f.. => write!(f, "%{byte:02X}")?,
                _ => write!(f, "{}", char::from(byte))?,
            }
        }
        match &self.reference {
            Some(name) => write!(f, "#{}", name.strip_prefix("refs/heads/").unwrap_or(name)),
            None => Ok(()),
        }
    }
}

impl std::str::FromStr for Remote {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        Remote::parse(text)
    }
}

/// Why a text is not a remote. The message repeats no part that could hold a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoteError {
    /// There is no `scheme://`.
    NoScheme,
    /// A transport that git has and Zonule does not have yet.
    Unsupported(String),
    /// A scheme git does not know either.
    UnknownScheme(String),
    /// `git://` cannot carry a user or a password.
    Credentials,
    /// The host is empty.
    NoHost,
    /// The host holds characters that no host name has.
    BadHost(String),
    /// The port is no number from 1 to 65535.
    BadPort(String),
    /// There is no path to a repository after the host.
    NoPath,
    /// The path holds a broken `%XX`, bytes that are not UTF-8, or control characters.
    BadPath,
    /// The branch after `#` is empty or not a name git allows.
    BadBranch(String),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::NoScheme => f.write_str("the remote does not start with git://"),
            RemoteError::Unsupported(scheme) => write!(f, "not supported yet: {scheme} remotes"),
            RemoteError::UnknownScheme(scheme) => write!(f, "unknown kind of remote `{scheme}://`"),
            RemoteError::Credentials => f.write_str("git:// has no users or passwords: remove everything up to the @"),
            RemoteError::NoHost => f.write_str("the remote names no host"),
            RemoteError::BadHost(host) => write!(f, "`{host}` is not a host name or address"),
            RemoteError::BadPort(port) => write!(f, "`{port}` is not a port from 1 to 65535"),
            RemoteError::NoPath => f.write_str("the remote names no path to a repository after the host"),
            RemoteError::BadPath => f.write_str("the remote's path has a broken %XX or a control character"),
            RemoteError::BadBranch(name) => write!(f, "`{name}` is not a branch name"),
        }?;
        write!(f, "; a correct remote is {EXAMPLE}")
    }
}

impl std::error::Error for RemoteError {}

fn split_port(authority: &str) -> Result<(&str, u16), RemoteError> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, after) = bracketed.split_once(']').ok_or_else(|| RemoteError::BadHost(authority.into()))?;
            if host.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(RemoteError::BadHost(authority.into()));
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return Err(RemoteError::BadHost(authority.into())),
            }
        }
        None => {
            let (host, port) = match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            };
            if !host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
                return Err(RemoteError::BadHost(host.into()));
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(RemoteError::NoHost);
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(text) => match text.parse() {
            Ok(port) if port > 0 && !text.starts_with('+') => port,
            _ => return Err(RemoteError::BadPort(text.into())),
        },
    };
    Ok((host, port))
}

fn decode_path(path: &str) -> Result<String, RemoteError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(RemoteError::BadPath);
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            _ => byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(path) if !path.chars().any(char::is_control) => Ok(path),
        _ => Err(RemoteError::BadPath),
    }
}

/// Returns the full name of the reference a fragment means, after `git check-ref-format`.
fn full_name(fragment: &str) -> Result<String, RemoteError> {
    let bad = |c: char| c.is_control() || " ~^:?*[\\#".contains(c);
    let part = |p: &str| p.is_empty() || p.starts_with('.') || p.ends_with(".lock");
    if fragment.split('/').any(part)
        || fragment.contains(bad)
        || fragment.contains("..")
        || fragment.contains("@{")
        || fragment.ends_with('.')
        || fragment.starts_with('-')
        || fragment.len() > 1000
    {
        return Err(RemoteError::BadBranch(fragment.chars().take(60).collect()));
    }
    Ok(if fragment.starts_with("refs/") { fragment.into() } else { format!("refs/heads/{fragment}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "git://localhost/zones.git",
            "git://git.example.org/a/b#main",
            "git://10.0.2.2:9419/zones.git#feature/x",
            "git://[2001:db8::1]/z",
            "git://[2001:db8::1]:1/z#refs/tags/v1",
            "git://host/with%20space%23",
            "git://host/~user/z",
        ] {
            let remote = Remote::parse(text).unwrap();
            assert_eq!(remote.to_string(), text);
            assert_eq!(Remote::parse(&remote.to_string()), Ok(remote));
        }
        let remote = Remote::parse("git://h:9418/a%2fb#x").unwrap();
        assert_eq!((remote.path(), remote.port(), remote.reference()), ("/a/b", 9418, Some("refs/heads/x")));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, word) in [
            ("", "does not start with git://"),
            ("/srv/zones", "does not start with git://"),
            ("https://user:s3cret@example.org/z", "not supported yet: https"),
            ("ssh://git@example.org/z", "not supported yet: ssh"),
            ("git@example.org:z.git", "not supported yet: ssh"),
            ("gopher://h/z", "unknown kind of remote `gopher://`"),
            ("git://user:s3cret@h/z", "no users or passwords"),
            ("git:///z", "names no host"),
            ("git://:1/z", "names no host"),
            ("git://h:0/z", "`0` is not a port"),
            ("git://h:65536/z", "`65536` is not a port"),
            ("git://h:+1/z", "`+1` is not a port"),
            ("git://h:/z", "`` is not a port"),
            ("git://2001:db8::1/z", "not a port"),
            ("git://[::g]/z", "not a host"),
            ("git://[::1/z", "not a host"),
            ("git://h h/z", "not a host"),
            ("git://h", "no path"),
            ("git://h/", "no path"),
            ("git://h#main", "no path"),
            ("git://h/%zz", "broken %XX"),
            ("git://h/%0a", "control character"),
            ("git://h/z#", "`` is not a branch"),
            ("git://h/z#a..b", "`a..b` is not a branch"),
            ("git://h/z#a b", "`a b` is not a branch"),
        ] {
            let message = Remote::parse(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
            assert!(message.contains(EXAMPLE) && !message.contains("s3cret"), "{message}");
        }
    }
}
