//! Authentication of hooks, and the events that they announce.
//!
//! Forges prove that they know the secret in two ways: GitHub, Gitea, Forgejo and similar forges send an HMAC-SHA256 of
//! the body with the secret as key; GitLab sends the secret itself. Both are compared in constant time.

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Request;

/// The fields that hold an HMAC of the body in hexadecimal digits, with the prefix of the digits.
const SIGNATURES: &[(&str, &str)] =
    &[("x-hub-signature-256", "sha256="), ("x-forgejo-signature", ""), ("x-gitea-signature", "")];

/// The field that holds the secret.
const TOKEN: &str = "x-gitlab-token";

/// The fields that hold the event, with the forges that send them. Forges derived from others send the fields of those
/// too, so derived forges come first.
const EVENTS: &[(&str, &str)] = &[
    ("x-forgejo-event", "Forgejo"),
    ("x-gitea-event", "Gitea"),
    ("x-gitlab-event", "GitLab"),
    ("x-github-event", "GitHub"),
];

/// The reason why a hook is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// It has neither a signature nor a token.
    Unsigned,
    /// Its signature or token is wrong.
    Wrong,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => {
                "neither signed nor with a token: give the forge's hook the secret of --webhook (as \"Secret\" or \"Secret \
                 token\")"
            }
            Self::Wrong => "not signed with the secret of --webhook, or its token differs from it",
        })
    }
}

/// A hook during the verification of its body.
pub struct Hook {
    proof: Proof,
    /// The sender that it claims to come from.
    sender: &'static str,
    is_push: bool,
}

enum Proof {
    /// No proof is required, or it has been given.
    Given,
    /// The HMAC of the body must equal these octets.
    Signature(Box<Hmac<Sha256>>, Vec<u8>),
}

impl Hook {
    /// Checks the head of a hook, which must prove knowledge of `secret` if there is one.
    ///
    /// # Errors
    ///
    /// A [`Denial`] that does not depend on the body.
    pub fn begin(request: &Request<'_>, secret: Option<&str>) -> Result<Self, Denial> {
        let proof = match secret {
            None => Proof::Given,
            Some(secret) => Proof::of(request, secret)?,
        };
        let event = EVENTS.iter().find_map(|(field, sender)| Some((request.field(field)?, *sender)));
        let (event, sender) = event.unwrap_or((b"push", "an unknown sender"));
        // "Push Hook" and "System Hook" are sent by GitLab; a hook without an event comes from somebody's script.
        let is_push = [&b"push"[..], b"Push Hook", b"System Hook"].contains(&event);
        Ok(Hook { proof, sender, is_push })
    }

    /// Adds the next octets of the body.
    pub fn update(&mut self, octets: &[u8]) {
        if let Proof::Signature(mac, _) = &mut self.proof {
            mac.update(octets);
        }
    }

    /// Finishes the verification of the body; returns whether the hook announces a push.
    ///
    /// # Errors
    ///
    /// [`Denial::Wrong`].
    pub fn finish(self) -> Result<bool, Denial> {
        match self.proof {
            Proof::Given => Ok(self.is_push),
            Proof::Signature(mac, expected) => {
                mac.verify_slice(&expected).map(|()| self.is_push).map_err(|_| Denial::Wrong)
            }
        }
    }

    /// Returns the sender that the hook claims to come from.
    pub fn sender(&self) -> &'static str {
        self.sender
    }
}

impl Proof {
    fn of(request: &Request<'_>, secret: &str) -> Result<Self, Denial> {
        let signature = SIGNATURES.iter().find_map(|(field, prefix)| Some((request.field(field)?, *prefix)));
        if let Some((signature, prefix)) = signature {
            let digits = signature.strip_prefix(prefix.as_bytes()).ok_or(Denial::Wrong)?;
            let expected = HEXLOWER_PERMISSIVE.decode(digits).map_err(|_| Denial::Wrong)?;
            return Ok(Proof::Signature(Box::new(mac(secret)), expected));
        }
        let token = request.field(TOKEN).ok_or(Denial::Unsigned)?;
        // Compare HMACs of both, so that timing reveals neither the length nor a common prefix.
        let of = |octets: &[u8]| mac(secret).chain_update(octets).finalize();
        if of(token) == of(secret.as_bytes()) { Ok(Proof::Given) } else { Err(Denial::Wrong) }
    }
}

/// Returns an HMAC-SHA256 without input so far.
fn mac(secret: &str) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret.as_bytes()).expect("an HMAC key may have any length")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";

    /// The example from GitHub's documentation, "Validating webhook deliveries".
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn check(fields: &[(&str, &str)], secret: Option<&str>, body: &[u8]) -> Result<bool, Denial> {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        let request = Request::read(head.as_bytes()).unwrap().unwrap();
        let mut hook = Hook::begin(&request, secret)?;
        body.chunks(5).for_each(|piece| hook.update(piece));
        hook.finish()
    }

    #[test]
    fn signatures_of_all_forges_are_accepted() {
        let github = format!("sha256={DIGEST}");
        let upper = DIGEST.to_uppercase();
        for (field, value) in
            [("X-Hub-Signature-256", github.as_str()), ("X-Gitea-Signature", DIGEST), ("X-Forgejo-Signature", &upper)]
        {
            assert_eq!(check(&[(field, value)], Some(SECRET), BODY), Ok(true), "{field}");
            assert_eq!(check(&[(field, value)], Some(SECRET), b"Hello, World?"), Err(Denial::Wrong), "{field}");
            assert_eq!(check(&[(field, value)], Some("another secret"), BODY), Err(Denial::Wrong), "{field}");
            for wrong in [&value[..value.len() - 2], "sha256=", "zz", &format!("{value}00")] {
                assert_eq!(check(&[(field, wrong)], Some(SECRET), BODY), Err(Denial::Wrong), "{field}: {wrong}");
            }
        }
        assert_eq!(check(&[("X-Gitlab-Token", SECRET)], Some(SECRET), BODY), Ok(true));
        for wrong in ["It's a Secret to Everybod", "It's a Secret to Everybody!", "x"] {
            assert_eq!(check(&[("X-Gitlab-Token", wrong)], Some(SECRET), BODY), Err(Denial::Wrong), "{wrong}");
        }
        assert_eq!(check(&[], Some(SECRET), BODY), Err(Denial::Unsigned));
        // Two tokens count as none, and a correct token does not make up for a wrong signature.
        let twice = [("X-Gitlab-Token", SECRET), ("X-Gitlab-Token", SECRET)];
        assert_eq!(check(&twice, Some(SECRET), BODY), Err(Denial::Unsigned));
        let both = [("X-Gitlab-Token", SECRET), ("X-Gitea-Signature", "00")];
        assert_eq!(check(&both, Some(SECRET), BODY), Err(Denial::Wrong));
        assert_eq!(check(&[], None, BODY), Ok(true));
    }

    #[test]
    fn only_push_events_are_announcements() {
        for (field, value, expected) in [
            ("X-GitHub-Event", "push", true),
            ("X-GitHub-Event", "ping", false),
            ("X-Gitea-Event", "push", true),
            ("X-Forgejo-Event", "issues", false),
            ("X-Gitlab-Event", "Push Hook", true),
            ("X-Gitlab-Event", "System Hook", true),
            ("X-Gitlab-Event", "Note Hook", false),
            ("X-Nobody", "x", true),
        ] {
            assert_eq!(check(&[(field, value)], None, b""), Ok(expected), "{field}: {value}");
        }
    }
}
