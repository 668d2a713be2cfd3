//! Values of the arguments for access to the git remote, and which of them may be combined.

use super::{ArgumentError, error, ssh};
use crate::git::{Access, Kind, Remote, Secret, Trust};

/// The arguments for authentication to the remote and of the remote, as far as they were given.
#[derive(Default)]
pub(super) struct Given {
    pub(super) user: Option<Secret>,
    pub(super) token: Option<Secret>,
    pub(super) tls_ca: Option<Trust>,
    pub(super) tls_fingerprint: Option<Trust>,
    pub(super) credentials_in_clear: Option<bool>,
    pub(super) ssh_key: Option<ssh::Identity>,
    pub(super) ssh_host_key: Option<ssh::HostKeys>,
}

/// Parses a user name for HTTP.
pub(super) fn parse_user(value: &str) -> Result<Secret, String> {
    // RFC 7617 §2: a colon ends the user name.
    if value.contains(':') {
        return Err(
            "has a colon, which is not allowed in a user name for HTTP; give the token with --git-token".to_string()
        );
    }
    parse_token(value)
}

/// Parses a token or password.
pub(super) fn parse_token(value: &str) -> Result<Secret, String> {
    const MAX_LEN: usize = 4096;
    match value {
        value if value.len() > MAX_LEN => Err(format!("has more than {MAX_LEN} octets")),
        value if value.contains(char::is_control) => Err("contains a control character".to_string()),
        value => Ok(Secret::new(value.to_string())),
    }
}

impl Given {
    /// Checks that the arguments are compatible with each other and the remote, and returns them.
    pub(super) fn access(self, remote: Option<&Remote>) -> Result<Access, ArgumentError> {
        let kind = remote.map(Remote::kind);
        let (http, https) = (kind == Some(Kind::Http), kind == Some(Kind::Https));
        let (any, tls) = (
            "is only valid with a --git-remote of https:// or http://",
            "is only valid with a --git-remote of https://",
        );
        for (name, given, fits, reason) in [
            ("--git-user", self.user.is_some(), http || https, any),
            ("--git-token", self.token.is_some(), http || https, any),
            ("--git-tls-ca", self.tls_ca.is_some(), https, tls),
            ("--git-tls-fingerprint", self.tls_fingerprint.is_some(), https, tls),
            (
                "--git-credentials-in-clear",
                self.credentials_in_clear.is_some(),
                http,
                "is only valid with a --git-remote of http://; other remotes encrypt them",
            ),
        ] {
            if given && !fits {
                return Err(error(name, reason));
            }
        }
        let credentials = self.user.is_some() || self.token.is_some() || remote.is_some_and(Remote::has_login);
        let credentials_in_clear = self.credentials_in_clear.unwrap_or(false);
        if http && credentials && !credentials_in_clear {
            return Err(error(
                "--git-remote",
                "is http://, over which anyone on the path can read user and token; use https://, or allow it with \
                 --git-credentials-in-clear=yes",
            ));
        }
        let tls = match (self.tls_ca, self.tls_fingerprint) {
            (Some(_), Some(_)) => {
                return Err(error(
                    "--git-tls-fingerprint",
                    "and --git-tls-ca exclude each other; give only one of them",
                ));
            }
            (Some(trust), None) | (None, Some(trust)) => trust,
            (None, None) => Trust::default(),
        };
        let ssh = ssh::Access { key: self.ssh_key, host_keys: self.ssh_host_key.unwrap_or_default() };
        ssh::check(remote, &ssh)?;
        Ok(Access { user: self.user, token: self.token, tls, credentials_in_clear, ssh })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Command, Host, parse};
    use super::*;

    fn read(words: &[&str]) -> Result<Access, String> {
        match parse(Host::Process, words.iter().map(ToString::to_string)) {
            Ok(Command::Serve(config)) => Ok(config.git_access),
            Ok(Command::Help(_)) => panic!("{words:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn arguments_must_be_compatible() {
        let pin = format!("--git-tls-fingerprint=sha256:{}", "00".repeat(32));
        let (pin, https, http) = (pin.as_str(), "--git-remote=https://h/z", "--git-remote=http://h/z");
        let access = read(&[https, "--git-user=me", "--git-token=s3cret", pin]).unwrap();
        assert_eq!(access.token.as_ref().map(Secret::reveal), Some("s3cret"));
        assert!(matches!(access.tls, Trust::Fingerprints(_)));
        assert!(!format!("{access:?}").contains("s3cret"));
        assert_eq!(read(&[https]).unwrap().tls, Trust::WebRoots);
        assert!(read(&[http]).is_ok());
        assert!(read(&["--git-remote=http://u:s3cret@h/z", "--git-credentials-in-clear=yes"]).is_ok());
        for (words, reason) in [
            (vec![http, "--git-token=s3cret"], "--git-credentials-in-clear=yes"),
            (vec!["--git-remote=http://u:s3cret@h/z"], "--git-credentials-in-clear=yes"),
            (
                vec![https, "--git-credentials-in-clear=yes"],
                "--git-credentials-in-clear: is only valid with a --git-remote of http://",
            ),
            (vec![http, "--git-credentials-in-clear=on"], "is neither yes nor no"),
            (
                vec!["--git-remote=git://h/z", "--git-token=s3cret"],
                "--git-token: is only valid with a --git-remote of https://",
            ),
            (vec![http, pin], "--git-tls-fingerprint: is only valid with a --git-remote of https://"),
            (vec![https, "--git-user=me:s3cret"], "--git-user=…: has a colon"),
            (vec![https, "--git-token=s3cret\u{7}"], "--git-token=…: contains a control character"),
            (vec![https, "--git-tls-ca=x"], "is not base64"),
            (vec![https, "--git-tls-fingerprint=00"], "is not a fingerprint"),
        ] {
            let text = read(&words).unwrap_err();
            assert!(text.contains(reason) && !text.contains("s3cret"), "{words:?}: {text}");
        }
    }
}
