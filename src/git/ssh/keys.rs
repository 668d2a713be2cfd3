//! Keys of ssh: ours, and the host keys of servers.
//!
//! All of them are Ed25519, the one type that every server of the last ten years supports, and whose secret fits into a
//! boot argument.

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};
use std::fmt;
use sunset::ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

/// The name of the key type in ssh.
pub(super) const ED25519: &str = "ssh-ed25519";

/// The prefix of the secret in a boot argument.
const SCHEME: &str = "ed25519:";

/// The key for logging in. Its secret is zeroed when dropped, and never displayed.
#[derive(Clone)]
pub struct Identity(SigningKey);

/// The accepted host keys of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostKeys {
    /// Whether the operator accepts any key.
    any: bool,
    pins: Vec<Pin>,
}

/// One host key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pin {
    /// The SHA-256 hash of the key as ssh writes it (RFC 4253 §6.6).
    Fingerprint([u8; 32]),
    /// The key as encoded by ssh.
    Key(Vec<u8>),
}

impl Identity {
    /// Generates a new key from the system's random numbers.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed)?;
        Ok(Identity(SigningKey::from_bytes(&seed)))
    }

    /// Reads `ed25519:BASE64`, the base64 being the 32 octets of the seed (RFC 8032 §5.1.5).
    ///
    /// # Errors
    ///
    /// A description of the problem, without any part of the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(encoded) = text.strip_prefix(SCHEME) else {
            return Err(if text.contains("PRIVATE KEY") || text.contains(['/', '.']) && text.len() < 40 {
                "is not the key itself; make one with `zonule keygen`".to_string()
            } else {
                format!("does not begin with {SCHEME}; make a key with `zonule keygen`")
            });
        };
        let seed = Zeroizing::new(decode(encoded).unwrap_or_default());
        match <&[u8; 32]>::try_from(seed.as_slice()) {
            Ok(seed) => Ok(Identity(SigningKey::from_bytes(seed))),
            Err(_) => Err(format!("has no 32 octets in base64 behind {SCHEME}; make a key with `zonule keygen`")),
        }
    }

    /// Returns the boot argument's value, which is the secret: [`parse`](Identity::parse) reads it.
    #[must_use]
    pub fn secret(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(self.0.to_bytes());
        let encoded = Zeroizing::new(BASE64.encode(&*seed));
        Zeroizing::new([SCHEME, &encoded].concat())
    }

    /// Returns the public half as a line of `authorized_keys`, without a comment.
    #[must_use]
    pub fn public_line(&self) -> String {
        format!("{ED25519} {}", BASE64.encode(&blob(self.0.verifying_key().as_bytes())))
    }

    /// Returns the key for signing.
    pub(super) fn signing_key(&self) -> SigningKey {
        self.0.clone()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.public_line())
    }
}

impl HostKeys {
    /// Reads host keys separated by commas, or `any`.
    ///
    /// A key is given as its fingerprint, `SHA256:BASE64`, or in full: as a line of `ssh-keyscan` or of a `.pub` file,
    /// with a colon in place of the space where spaces are not possible, or as its base64 alone.
    ///
    /// # Errors
    ///
    /// A description of the problem.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Ok(HostKeys { any: true, pins: Vec::new() });
        }
        let pins = text.split(',').map(Pin::parse).collect::<Result<_, _>>()?;
        Ok(HostKeys { any: false, pins })
    }

    /// Returns whether no host key is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any && self.pins.is_empty()
    }

    /// Returns whether this key, as encoded by ssh, is accepted.
    pub(super) fn hold(&self, key: &[u8]) -> bool {
        self.any || self.pins.iter().any(|pin| pin.is(key))
    }

    /// Returns the fingerprints, separated by "or".
    pub(super) fn fingerprints(&self) -> String {
        let fingerprints: Vec<String> = self.pins.iter().map(Pin::fingerprint).collect();
        fingerprints.join(" or ")
    }
}

impl Pin {
    fn parse(text: &str) -> Result<Self, String> {
        const EXAMPLE: &str = "ssh-keyscan -t ed25519 HOST | ssh-keygen -lf -";
        let text = text.trim();
        if let Some(encoded) = text.strip_prefix("SHA256:") {
            let hash = decode(encoded).and_then(|hash| hash.try_into().ok());
            return hash.map(Pin::Fingerprint).ok_or_else(|| {
                format!("has the fingerprint \"{}\", which is cut short or mistyped", text.escape_debug())
            });
        }
        if text == "any" {
            return Err(
                "has `any` together with other keys, which it makes meaningless: give one or the other".to_string()
            );
        }
        let mut words = text.split([' ', ':', '\t']).filter(|word| !word.is_empty());
        // The encoding starts with the length of the type's name, of which three octets are zero.
        let Some(encoded) = words.find(|word| word.starts_with("AAAA")) else {
            return Err(format!(
                "has \"{}\", which is neither SHA256: and a fingerprint, nor a key line, nor any; see `{EXAMPLE}`",
                text.escape_debug()
            ));
        };
        let key = decode(encoded).ok_or("has a key that is cut short or mistyped")?;
        match parts(&key).as_deref() {
            Some([b"ssh-ed25519", public]) if public.len() == 32 => Ok(Pin::Key(key)),
            Some([kind, ..]) if *kind != ED25519.as_bytes() => Err(format!(
                "has a key of type {}; give the server's {ED25519} key: `{EXAMPLE}`",
                String::from_utf8_lossy(kind).escape_debug()
            )),
            _ => Err("has a key that is cut short or mistyped".to_string()),
        }
    }

    fn is(&self, key: &[u8]) -> bool {
        match self {
            Pin::Fingerprint(hash) => Sha256::digest(key)[..] == hash[..],
            Pin::Key(pinned) => pinned == key,
        }
    }

    fn fingerprint(&self) -> String {
        match self {
            Pin::Fingerprint(hash) => written(hash),
            Pin::Key(key) => fingerprint(key),
        }
    }
}

/// Returns the fingerprint of a key, as encoded by ssh, in the notation of ssh.
pub(super) fn fingerprint(key: &[u8]) -> String {
    written(&Sha256::digest(key))
}

/// Returns an Ed25519 key as encoded by ssh (RFC 8709 §4).
pub(super) fn blob(public: &[u8; 32]) -> Vec<u8> {
    let part = |part: &[u8]| [&(part.len() as u32).to_be_bytes(), part].concat();
    [part(ED25519.as_bytes()), part(public)].concat()
}

/// Returns the length-prefixed parts of a key.
fn parts(mut key: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !key.is_empty() {
        let (length, rest) = key.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        parts.push(part);
        key = rest;
    }
    Some(parts)
}

fn written(hash: &[u8]) -> String {
    format!("SHA256:{}", BASE64_NOPAD.encode(hash))
}

/// Reads base64, padded or not.
fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen -t ed25519`, and its fingerprint by `ssh-keygen -lf`.
    const LINE: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJq526u1fTKPYRhQ+DStU3AaokgWjeQynL4fWuvMW9ws dns@example.org";
    const FINGERPRINT: &str = "SHA256:O1va5lM7NcnY41WlIJBjDAoN3k9qNKGZLj5BlPvD9+A";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2E=";

    fn key() -> Vec<u8> {
        decode(LINE.split(' ').nth(1).unwrap()).unwrap()
    }

    #[test]
    fn a_secret_survives_writing_and_parsing() {
        let identity = Identity::generate().unwrap();
        let secret = identity.secret();
        let again = Identity::parse(&secret).unwrap();
        assert_eq!(again.public_line(), identity.public_line());
        assert!(Identity::parse(secret.trim_end_matches('=')).is_ok());
        // RFC 8032 §7.1, the first test vector.
        let known = Identity::parse("ed25519:nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=").unwrap();
        let public = "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
        assert_eq!(known.public_line(), format!("ssh-ed25519 {public}"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        let identity = Identity::generate().unwrap();
        let secret = identity.secret();
        let encoded = secret.strip_prefix(SCHEME).unwrap();
        assert!(!format!("{identity:?}").contains(encoded));
        let access = super::super::Access { key: Some(identity), ..Default::default() };
        assert!(!format!("{access:?}").contains(encoded));
        let error = Identity::parse(&secret[..secret.len() - 4]).unwrap_err();
        assert_eq!(error, "has no 32 octets in base64 behind ed25519:; make a key with `zonule keygen`");
        let error = Identity::parse("~/.ssh/id_ed25519").unwrap_err();
        assert_eq!(error, "is not the key itself; make one with `zonule keygen`");
        let error = Identity::parse(encoded).unwrap_err();
        assert_eq!(error, "does not begin with ed25519:; make a key with `zonule keygen`");
    }

    #[test]
    fn a_host_key_is_accepted_in_every_notation() {
        assert_eq!(fingerprint(&key()), FINGERPRINT);
        let base64 = LINE.split(' ').nth(1).unwrap();
        let spellings = [
            LINE.to_string(),
            format!("[git.example.org]:2222 {LINE}"),
            format!("ssh-ed25519:{base64}"),
            base64.to_string(),
            FINGERPRINT.to_string(),
            format!("SHA256:{},{FINGERPRINT}", BASE64_NOPAD.encode(&[1; 32])),
            "any".to_string(),
        ];
        for spelling in spellings {
            assert!(HostKeys::parse(&spelling).unwrap().hold(&key()), "{spelling}");
        }
        let other = HostKeys::parse(&format!("SHA256:{}", BASE64_NOPAD.encode(&[1; 32]))).unwrap();
        assert!(!other.hold(&key()) && !other.is_empty());
        assert!(!HostKeys::default().hold(&key()) && HostKeys::default().is_empty());
        assert_eq!(HostKeys::parse(LINE).unwrap().fingerprints(), FINGERPRINT);
    }

    #[test]
    fn invalid_host_keys_are_explained() {
        for (text, reason) in [
            (RSA, "has a key of type ssh-rsa; give the server's ssh-ed25519 key"),
            (&FINGERPRINT[..20], "which is cut short or mistyped"),
            (&LINE[..40], "has a key that is cut short or mistyped"),
            ("MD5:16:27:ac", "which is neither SHA256: and a fingerprint, nor a key line, nor any"),
            ("", "which is neither SHA256:"),
            (&format!("any,{FINGERPRINT}"), "give one or the other"),
        ] {
            let error = HostKeys::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
