//! The target of requests: scheme, host, port and path, and how redirections resolve.

use crate::git::{Kind, Remote, remote::split_port};
use crate::net::endpoint;
use crate::text::printable;
use std::fmt;

/// An HTTP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is `https`.
    pub(super) secure: bool,
    /// A name or an address without brackets.
    pub(super) host: String,
    /// The TCP port.
    pub(super) port: u16,
    /// The path, encoded; starts with `/`.
    pub(super) path: String,
}

impl Url {
    /// Returns the address of a repository.
    pub(super) fn of(remote: &Remote) -> Self {
        let path = remote.encoded_path().trim_end_matches('/').to_string();
        Url { secure: remote.kind() == Kind::Https, host: remote.host().into(), port: remote.port(), path }
    }

    /// Resolves `location` (RFC 9110 §10.2.2) relative to this address; returns its query separately.
    pub(super) fn join<'a>(&self, location: &'a str) -> Option<(Url, Option<&'a str>)> {
        let location = location.split('#').next().unwrap_or_default();
        let (location, query) = match location.split_once('?') {
            Some((location, query)) => (location, Some(query)),
            None => (location, None),
        };
        let sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound(location) || location.is_empty() {
            return None;
        }
        let (secure, rest) = match location.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (true, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (false, rest),
            Some((scheme, _)) if !scheme.contains('/') => return None,
            _ => match location.strip_prefix("//") {
                Some(rest) => (self.secure, rest),
                // git does not follow relative paths either.
                None if location.starts_with('/') => {
                    return Some((Url { path: location.into(), ..self.clone() }, query));
                }
                None => return None,
            },
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        // Credentials supplied by a server are not used.
        if authority.contains('@') {
            return None;
        }
        let (host, port) = split_port(authority, if secure { 443 } else { 80 }).ok()?;
        Some((Url { secure, host: host.to_ascii_lowercase(), port, path: path.into() }, query))
    }

    /// Returns whether a secret meant for `self` may be sent to `other`: the same server, or the same host with TLS.
    pub(super) fn shares_secrets_with(&self, other: &Url) -> bool {
        let same_host = self.host.eq_ignore_ascii_case(&other.host);
        let same_way = self.secure == other.secure && self.port == other.port;
        let upgraded = !self.secure && other.secure && (self.port, other.port) == (80, 443);
        same_host && (same_way || upgraded)
    }

    /// Returns the value of the `Host` field (RFC 9110 §7.2).
    pub(super) fn authority(&self) -> String {
        match (self.secure, self.port) {
            (true, 443) | (false, 80) if self.host.contains(':') => format!("[{}]", self.host),
            (true, 443) | (false, 80) => self.host.clone(),
            _ => endpoint(&self.host, self.port),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), printable(self.path.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::of(&Remote::parse(text).unwrap())
    }

    #[test]
    fn locations_are_resolved() {
        let from = url("https://h:8443/a b/z.git");
        for (location, to) in [
            ("/z/info/refs?service=x", "https://h:8443/z/info/refs?service=x"),
            ("//other/z", "https://other/z"),
            ("https://H/z?a=b#c", "https://h/z?a=b"),
            ("HTTP://[2001:db8::1]:81/z", "http://[2001:db8::1]:81/z"),
            ("https://h", "https://h/"),
        ] {
            let (url, query) = from.join(location).unwrap();
            assert_eq!(format!("{url}{}", query.map(|query| format!("?{query}")).unwrap_or_default()), to);
        }
        for location in
            ["", "z", "ftp://h/z", "https://u:p@h/z", "https://h:0/z", "https:///z", "/a b", "/a\r\nx", "?x"]
        {
            assert_eq!(from.join(location), None, "{location}");
        }
        assert_eq!(from.to_string(), "https://h:8443/a%20b/z.git");
    }

    #[test]
    fn secrets_stay_with_their_host() {
        let home = url("https://h/z");
        for (other, may) in
            [("https://H/other", true), ("http://h/z", false), ("https://h:444/z", false), ("https://evil/z", false)]
        {
            assert_eq!(home.shares_secrets_with(&url(other)), may, "{other}");
        }
        assert!(url("http://h/z").shares_secrets_with(&url("https://h/z")));
        assert!(!url("http://h:8080/z").shares_secrets_with(&url("https://h/z")));
    }
}
