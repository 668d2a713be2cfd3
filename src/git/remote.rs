//! The address of a repository, as written in the boot arguments.

use super::Secret;
use crate::net::endpoint;
use crate::text;
use std::fmt;

const EXAMPLE: &str = "git://host/path/zones.git#main (or https://host/…, ssh://user@host/…, user@host:path)";

/// The remote that holds the zones: `git://host[:port]/path[#branch]`, and the same with `https`, `http` and, with a
/// user, `ssh`.
///
/// `user@host:path` means `ssh`, too, with a path relative to the user's home unless it starts with `/`. Without a
/// branch the remote's `HEAD` is followed. A fragment that starts with `refs/` is taken as the full name of a
/// reference. An IPv6 address is written in brackets. `%XX` in addresses with a scheme is decoded. The part before the
/// host's `@` in `https` and `http` may be a secret: it is never displayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    kind: Kind,
    login: Option<Login>,
    user: Option<String>,
    host: String,
    port: u16,
    path: String,
    reference: Option<String>,
}

/// The protocol of a remote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Git's own, with `git daemon`: neither secret nor authenticated.
    Git,
    /// Smart HTTP in the clear.
    Http,
    /// Smart HTTP over TLS.
    Https,
    /// A program started by an SSH server.
    Ssh,
}

impl Kind {
    const ALL: [Kind; 4] = [Kind::Git, Kind::Http, Kind::Https, Kind::Ssh];

    fn scheme(self) -> &'static str {
        match self {
            Kind::Git => "git",
            Kind::Http => "http",
            Kind::Https => "https",
            Kind::Ssh => "ssh",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Kind::Git => 9418,
            Kind::Http => 80,
            Kind::Https => 443,
            Kind::Ssh => 22,
        }
    }
}

impl Remote {
    /// Parses a remote as written by an operator.
    pub fn parse(text: &str) -> Result<Self, RemoteError> {
        let Some((scheme, rest)) = text.split_once("://") else { return Remote::parse_scp(text) };
        let kind = Kind::ALL.into_iter().find(|kind| kind.scheme() == scheme);
        let kind = kind.ok_or_else(|| match scheme {
            "git+ssh" | "ssh+git" | "file" | "ftp" | "ftps" => RemoteError::Unsupported(scheme.into()),
            _ => RemoteError::UnknownScheme(scheme.chars().take(20).collect()),
        })?;
        let (place, fragment) = match rest.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (rest, None),
        };
        let (authority, path) = match place.find('/') {
            Some(at) => place.split_at(at),
            None => (place, ""),
        };
        let (login, endpoint) = match authority.rsplit_once('@') {
            Some((login, endpoint)) => (Some(login), endpoint),
            None => (None, authority),
        };
        let (host, port) = split_port(endpoint, kind.default_port()).map_err(|error| {
            // A password that contains `/` or `#` ends the authority early, and no part of it may be displayed.
            if login.is_none() && rest.contains('@') { RemoteError::BadLogin } else { error }
        })?;
        let (login, user) = match (kind, login) {
            (Kind::Git, Some(_)) => return Err(RemoteError::Credentials),
            (Kind::Ssh, None) => return Err(RemoteError::NoUser),
            (Kind::Ssh, Some(user)) => (None, Some(ssh_user(&decode(user).map_err(|()| RemoteError::BadLogin)?)?)),
            (_, Some(login)) => (Some(parse_login(login)?), None),
            (_, None) => (None, None),
        };
        let path = decode(path).map_err(|()| RemoteError::BadPath)?;
        if path.trim_matches('/').is_empty() {
            return Err(RemoteError::NoPath);
        }
        let reference = fragment.map(full_name).transpose()?;
        Ok(Remote { kind, login, user, host: host.into(), port, path, reference })
    }

    /// Parses `user@host:path`, as scp and git write it.
    fn parse_scp(text: &str) -> Result<Self, RemoteError> {
        let (place, fragment) = match text.split_once('#') {
            Some((place, fragment)) => (place, Some(fragment)),
            None => (text, None),
        };
        let (user, rest) = match place.split_once('@') {
            Some((user, rest)) if !user.contains(['/', ':']) => (Some(user), rest),
            _ => (None, place),
        };
        let colon = match rest.strip_prefix('[') {
            Some(bracketed) => bracketed.find(']').map(|at| at + 2).filter(|at| rest[*at..].starts_with(':')),
            None => rest.find(':'),
        };
        let (endpoint, path) = match colon {
            Some(at) if at > 0 && !rest[..at].contains('/') => (&rest[..at], &rest[at + 1..]),
            _ => return Err(RemoteError::NoScheme),
        };
        let (host, port) = split_port(endpoint, Kind::Ssh.default_port())?;
        let user = ssh_user(user.ok_or(RemoteError::NoUser)?)?;
        if path.chars().any(char::is_control) {
            return Err(RemoteError::BadPath);
        }
        if path.trim_matches('/').is_empty() {
            return Err(RemoteError::NoPath);
        }
        let reference = fragment.map(full_name).transpose()?;
        let (host, path) = (host.into(), path.into());
        Ok(Remote { kind: Kind::Ssh, login: None, user: Some(user), host, port, path, reference })
    }

    /// Returns its protocol.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the user to log in as; `Some` exactly with [`Kind::Ssh`].
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the user and password written before the host; with [`Kind::Http`] and [`Kind::Https`] only.
    pub(super) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }

    /// Returns whether the address itself holds a user or a password for HTTP.
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Returns the host, a name or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the path at the host, decoded; starts with `/`, unless it is written as `user@host:path`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the full name of the reference to follow, such as `refs/heads/main`; `None` follows the remote's `HEAD`.
    pub fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }

    /// Returns the same repository with another reference to follow, given by its full name.
    pub(super) fn with_reference(&self, reference: &str) -> Self {
        Remote { reference: Some(reference.into()), ..self.clone() }
    }

    /// Returns the path as git's programs want it: one in a home directory has no leading slash, unlike in a URL.
    pub(super) fn program_path(&self) -> &str {
        if self.path.starts_with("/~") { &self.path[1..] } else { &self.path }
    }

    /// Returns the path as it is written in a URL.
    pub(super) fn encoded_path(&self) -> String {
        let mut text = String::new();
        for byte in self.path.bytes() {
            match byte {
                b'%' | b'#' | b'?' | 0..=b' ' | b'"' | b'<' | b'>' | 0x7f.. => text += &format!("%{byte:02X}"),
                _ => text.push(char::from(byte)),
            }
        }
        text
    }

    /// Returns `host:port` for messages.
    pub(super) fn endpoint(&self) -> String {
        endpoint(&self.host, self.port)
    }
}

impl fmt::Display for Remote {
    /// Writes the remote so that it can be parsed again. Credentials are never part of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.user.as_deref();
        if !self.path.starts_with('/') {
            let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
            write!(f, "{}@{host}:{}", user.unwrap_or_default(), self.path)?;
        } else {
            write!(f, "{}://", self.kind.scheme())?;
            if let Some(user) = user {
                write!(f, "{user}@")?;
            }
            if self.port != self.kind.default_port() {
                f.write_str(&self.endpoint())?;
            } else if self.host.contains(':') {
                write!(f, "[{}]", self.host)?;
            } else {
                f.write_str(&self.host)?;
            }
            f.write_str(&self.encoded_path())?;
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
    /// A transport that git supports and Zonule does not.
    Unsupported(String),
    /// A scheme that git does not know either.
    UnknownScheme(String),
    /// `git://` cannot carry a user or a password.
    Credentials,
    /// `ssh` needs a user.
    NoUser,
    /// The part before the `@` is malformed.
    BadLogin,
    /// `ssh` with a password.
    Password,
    /// The host is empty.
    NoHost,
    /// The host contains characters that are invalid in a host name.
    BadHost(String),
    /// The port is not a number from 1 to 65535.
    BadPort(String),
    /// There is no path to a repository after the host.
    NoPath,
    /// The path contains an invalid `%XX`, bytes that are not UTF-8, or control characters.
    BadPath,
    /// The branch after `#` is empty or not a name git allows.
    BadBranch(String),
}

impl fmt::Display for RemoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteError::NoScheme => f.write_str("the remote does not start with git://, https://, http:// or ssh://"),
            RemoteError::Unsupported(scheme) => write!(f, "not supported: {scheme} remotes"),
            RemoteError::UnknownScheme(scheme) => {
                write!(f, "unknown kind of remote `{}://`", text::escaped(scheme))
            }
            RemoteError::Credentials => {
                f.write_str("git:// supports neither users nor passwords: remove everything up to the @")
            }
            RemoteError::NoUser => f.write_str("ssh needs a user: write git@host or user@host"),
            RemoteError::BadLogin => f.write_str(
                "what stands before the @ is not a user and password: write / as %2F, # as %23, % as %25, @ as %40",
            ),
            RemoteError::Password => f.write_str("ssh logs in with a key, not a password: give --git-ssh-key"),
            RemoteError::NoHost => f.write_str("the remote names no host"),
            RemoteError::BadHost(host) => write!(f, "`{}` is not a host name or address", text::escaped(host)),
            RemoteError::BadPort(port) => write!(f, "`{}` is not a port from 1 to 65535", text::escaped(port)),
            RemoteError::NoPath => f.write_str("the remote names no path to a repository after the host"),
            RemoteError::BadPath => f.write_str("the remote's path has a broken %XX or a control character"),
            RemoteError::BadBranch(name) => {
                write!(f, "`{}` is not a branch name", text::escaped(name))?;
                match name.trim().trim_matches('/') {
                    "" => f.write_str(": leave # out to follow the remote's HEAD"),
                    meant if meant != name && full_name(meant).is_ok() => write!(f, ": write #{meant}"),
                    _ => Ok(()),
                }
            }
        }?;
        write!(f, "; a correct remote is {EXAMPLE}")
    }
}

impl std::error::Error for RemoteError {}

/// The user and password in the address of a remote. A user without a password may be a token, so both are secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Secret,
    pub(super) password: Option<Secret>,
}

fn parse_login(text: &str) -> Result<Login, RemoteError> {
    let part = |text: &str| decode(text).map(Secret::new).map_err(|()| RemoteError::BadLogin);
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (part(user)?, Some(part(password)?)),
        None => (part(text)?, None),
    };
    // RFC 7617 §2: the colon ends the user.
    if user.reveal().contains(':') || (user.reveal().is_empty() && password.is_none()) {
        return Err(RemoteError::BadLogin);
    }
    Ok(Login { user, password })
}

fn ssh_user(user: &str) -> Result<String, RemoteError> {
    if user.contains(':') {
        return Err(RemoteError::Password);
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+' | '~');
    match user {
        "" => Err(RemoteError::NoUser),
        user if user.starts_with('-') || user.len() > 100 || !user.chars().all(plain) => Err(RemoteError::BadLogin),
        user => Ok(user.into()),
    }
}

/// Splits `host[:port]`, the host without its brackets.
pub(super) fn split_port(authority: &str, default: u16) -> Result<(&str, u16), RemoteError> {
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
        None => default,
        Some(text) => match text.parse() {
            Ok(port) if port > 0 && !text.starts_with('+') => port,
            _ => return Err(RemoteError::BadPort(text.into())),
        },
    };
    Ok((host, port))
}

/// Decodes `%XX`; fails on invalid ones, on text that is not UTF-8, and on control characters.
fn decode(text: &str) -> Result<String, ()> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16)).ok_or(());
                (digit(rest.next())? * 16 + digit(rest.next())?) as u8
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control)).ok_or(())
}

/// Returns the full name of the reference that a fragment names, after `git check-ref-format`.
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
    use proptest::prelude::*;

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
            "https://git.example.org/a/b.git",
            "https://[2001:db8::1]:8443/z%3F#main",
            "http://git.example.org/zones",
            "http://git.example.org:443/zones",
            "ssh://git@git.example.org/zones",
            "ssh://git@[2001:db8::1]:2222/~/zones#x",
            "git@git.example.org:team/zones.git#main",
            "git@[2001:db8::1]:zones",
        ] {
            let remote = Remote::parse(text).unwrap();
            assert_eq!(remote.to_string(), text);
            assert_eq!(Remote::parse(&remote.to_string()), Ok(remote));
        }
        let remote = Remote::parse("git://h:9418/a%2fb#x").unwrap();
        assert_eq!((remote.path(), remote.port(), remote.reference()), ("/a/b", 9418, Some("refs/heads/x")));
        let remote = Remote::parse("git@h:/srv/z").unwrap();
        assert_eq!(
            (remote.kind(), remote.user(), remote.path(), remote.port()),
            (Kind::Ssh, Some("git"), "/srv/z", 22)
        );
        assert_eq!(remote.to_string(), "ssh://git@h/srv/z");
        assert_eq!(Remote::parse("ssh://me@h/~/z").unwrap().program_path(), "~/z");
    }

    #[test]
    fn a_login_is_extracted_and_not_shown() {
        for (text, user, password) in [
            ("https://me:s3cr%2Fet%25@h/z", "me", Some("s3cr/et%")),
            ("https://s3cret@h/z", "s3cret", None),
            ("http://me:s3c@ret@h/z", "me", Some("s3c@ret")),
            ("https://:s3cret@h/z", "", Some("s3cret")),
        ] {
            let remote = Remote::parse(text).unwrap();
            let login = remote.login().unwrap();
            assert_eq!((login.user.reveal(), login.password.as_ref().map(Secret::reveal)), (user, password));
            let shown = format!("{remote} {remote:?}");
            assert!(!shown.contains("s3c") && !shown.contains("ret"), "{shown}");
            assert_eq!(remote.to_string(), format!("{}://h/z", remote.kind().scheme()));
        }
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, word) in [
            ("", "does not start with git://"),
            ("/srv/zones", "does not start with git://"),
            ("ftp://user:s3cret@example.org/z", "not supported: ftp"),
            ("https://user:s3cret/x@example.org/z", "write / as %2F"),
            ("https://user:s3cret#x@example.org/z", "write / as %2F"),
            ("https://user:s3cret%@example.org/z", "% as %25"),
            ("https://user:s3cret@example.org:x/z", "`x` is not a port"),
            ("https://@example.org/z", "not a user and password"),
            ("ssh://example.org/z", "write git@host or user@host"),
            ("example.org:z.git", "write git@host or user@host"),
            ("ssh://me:s3cret@example.org/z", "with a key, not a password"),
            ("ssh://-oProxyCommand=x@example.org/z", "not a user and password"),
            ("git@example.org:", "no path"),
            ("git@[::g]:z", "not a host"),
            ("gopher://h/z", "unknown kind of remote `gopher://`"),
            ("git://user:s3cret@h/z", "neither users nor passwords"),
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
            ("git://h/z#", "leave # out"),
            ("git://h/z#main ", "write #main;"),
            ("git://h/z#/main/", "write #main;"),
            ("git://h/z#\u{202e}:", "`\\u{202e}:` is not a branch"),
        ] {
            let message = Remote::parse(text).unwrap_err().to_string();
            assert!(message.contains(word), "{text}: {message}");
            assert!(message.contains(EXAMPLE) && !message.contains("s3cret"), "{message}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(
            start in prop::sample::select(vec!["", "git://", "https://", "http://u:s3cret", "ssh://", "git@"]),
            text in "([a-z0-9@:/#%.\\[\\]~-]|\\PC){0,30}",
        ) {
            match Remote::parse(&format!("{start}{text}")) {
                Ok(remote) => {
                    let shown = remote.to_string();
                    let again = Remote::parse(&shown).unwrap();
                    prop_assert_eq!(Remote { login: None, ..remote }, again);
                    prop_assert!(!text.contains('@') || !shown.contains("s3cret"), "{}", shown);
                }
                Err(error) => prop_assert!(!text.contains('@') || !error.to_string().contains("s3cret"), "{}", error),
            }
        }
    }
}
