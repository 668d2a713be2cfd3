//! The operations that a key's name allows.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::dns::{Name, name};

/// An operation that a key may allow; each includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Sending notifications of changes (RFC 1996).
    Notify,
    /// Requesting zone transfers (RFC 5936, RFC 1995).
    Transfer,
    /// Changing records (RFC 2136).
    Update,
}

impl Operation {
    const ALL: [Self; 3] = [Self::Notify, Self::Transfer, Self::Update];

    /// Returns the label that stands for it in a key's name.
    fn label(self) -> &'static [u8] {
        match self {
            Self::Notify => b"_notify",
            Self::Transfer => b"_transfer",
            Self::Update => b"_update",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Notify => "notify",
            Self::Transfer => "transfer",
            Self::Update => "update",
        })
    }
}

/// The operation a key allows, and where: `<any>._update.<subtree>`, `<any>._transfer.<subtree>` or `<any>._notify.<subtree>`.
///
/// The rightmost such label counts. The subtree is the name after it with everything below; if no name
/// follows, all names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    operation: Operation,
    subtree: Name,
}

impl Grant {
    /// Parses the grant from a key's name; `None` if no label is that of an operation.
    pub fn of(key: &Name) -> Option<Self> {
        let (_, operation, subtree) = split(key)?;
        Some(Self { operation, subtree })
    }

    /// Returns whether it allows an operation on a name; for transfers and notifications that is the zone's name.
    pub fn allows(&self, operation: Operation, name: &Name) -> bool {
        operation <= self.operation && name.is_at_or_below(&self.subtree)
    }

    /// Returns whether its subtree begins above a zone, so that it covers creating and deleting the zone.
    pub fn is_above(&self, zone: &Name) -> bool {
        zone.is_at_or_below(&self.subtree) && *zone != self.subtree
    }

    /// Returns the highest operation it allows.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Returns the name at and below which it applies.
    pub fn subtree(&self) -> &Name {
        &self.subtree
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at and below {}", self.operation, self.subtree)
    }
}

/// The servers in the name of a transfer key: `<primary>.<secondary>._transfer.<zone>` or `<any>.<primary>._transfer.<zone>`.
///
/// Each address is four labels. There is no such form for IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The primary that the zone is transferred from.
    pub primary: Ipv4Addr,
    /// The secondary that it is transferred to, and that is notified.
    pub secondary: Option<Ipv4Addr>,
}

impl Addresses {
    /// Parses the addresses in a key's name, which must grant transfers.
    pub fn of(key: &Name) -> Option<Self> {
        let (before, Operation::Transfer, _) = split(key)? else { return None };
        let labels: Vec<&[u8]> = before.collect();
        let address = |labels: &[&[u8]]| Ipv4Addr::from_str(std::str::from_utf8(&labels.join(&b'.')).ok()?).ok();
        let (rest, last) = labels.split_last_chunk::<4>()?;
        let last = address(last)?;
        match rest.last_chunk::<4>().and_then(|first| address(first)) {
            Some(primary) => Some(Self { primary, secondary: Some(last) }),
            None => Some(Self { primary: last, secondary: None }),
        }
    }
}

/// Splits a key's name at its rightmost operation into the labels before it, the operation, and the name after it.
fn split(key: &Name) -> Option<(impl Iterator<Item = &[u8]>, Operation, Name)> {
    let operation = |label: &[u8]| Operation::ALL.into_iter().find(|op| label.eq_ignore_ascii_case(op.label()));
    let labels: Vec<_> = name::labels(key.as_wire()).map(operation).collect();
    let at = labels.iter().rposition(Option::is_some)?;
    let subtree = name::suffix(key.as_wire(), labels.len() - at - 1);
    Some((name::labels(key.as_wire()).take(at), labels[at]?, Name::from_wire(subtree).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn grants() {
        for (key, grant) in [
            ("laptop._update.example.org", Some("update at and below example.org.")),
            ("a.b.c._Transfer.Example.ORG", Some("transfer at and below Example.ORG.")),
            ("_notify.example.org", Some("notify at and below example.org.")),
            ("x._update", Some("update at and below .")),
            ("x._update.y._notify.example.org", Some("notify at and below example.org.")),
            ("x._notify._update.example.org", Some("update at and below example.org.")),
            (
                "certbot._update._acme-challenge.www.example.org",
                Some("update at and below _acme-challenge.www.example.org."),
            ),
            ("laptop.example.org", None),
            ("x_update.example.org", None),
            ("x.__update.example.org", None),
            ("x\\._update.example.org", None),
            (".", None),
        ] {
            assert_eq!(Grant::of(&name(key)).map(|grant| grant.to_string()).as_deref(), grant, "{key}");
        }
    }

    #[test]
    fn what_is_allowed() {
        let allows = |key: &str, operation, on: &str| Grant::of(&name(key)).unwrap().allows(operation, &name(on));
        use Operation::*;
        let table = [
            ("k._update.example.org", [true, true, true]),
            ("k._transfer.example.org", [true, true, false]),
            ("k._notify.example.org", [true, false, false]),
        ];
        for (key, allowed) in table {
            assert_eq!([Notify, Transfer, Update].map(|op| allows(key, op, "example.org")), allowed, "{key}");
            assert_eq!([Notify, Transfer, Update].map(|op| allows(key, op, "a.b.EXAMPLE.org")), allowed, "{key}");
            for elsewhere in ["org", ".", "example.net", "notexample.org", "example.org.example.net"] {
                assert_eq!([Notify, Transfer, Update].map(|op| allows(key, op, elsewhere)), [false; 3], "{key}");
            }
        }
        assert!(allows("k._update", Update, "."));
        assert!(allows("k._update", Update, "example.org"));
        let certbot = "certbot._update._acme-challenge.www.example.org";
        assert!(allows(certbot, Update, "_acme-challenge.www.example.org"));
        assert!(!allows(certbot, Update, "www.example.org"));
        assert!(!allows(certbot, Update, "example.org"));
    }

    #[test]
    fn what_is_above() {
        let above = |key: &str, zone: &str| Grant::of(&name(key)).unwrap().is_above(&name(zone));
        for (key, zone, expected) in [
            ("k._update", "example.org", true),
            ("k._update", "org", true),
            ("k._update.org", "example.ORG", true),
            ("k._update", ".", false),
            ("k._update.example.org", "example.org", false),
            ("k._update.EXAMPLE.org", "example.org", false),
            ("k._update.example.org", "sub.example.org", true),
            ("k._update.sub.example.org", "example.org", false),
            ("k._update.example.net", "example.org", false),
        ] {
            assert_eq!(above(key, zone), expected, "{key} {zone}");
        }
    }

    #[test]
    fn addresses() {
        let of = |key: &str| {
            Addresses::of(&name(key))
                .map(|Addresses { primary, secondary }| (primary.to_string(), secondary.map(|s| s.to_string())))
        };
        let both = Some(("192.0.2.53".into(), Some("198.51.100.53".into())));
        assert_eq!(of("192.0.2.53.198.51.100.53._transfer.example.org"), both);
        assert_eq!(of("x.y.192.0.2.53.198.51.100.53._transfer"), both);
        let one = Some(("192.0.2.53".into(), None));
        assert_eq!(of("192.0.2.53._transfer.example.org"), one);
        assert_eq!(of("x.192.0.2.53._transfer.example.org"), one);
        assert_eq!(of("a.b.c.d.192.0.2.53._transfer.example.org"), one);
        for key in [
            "192.0.2.53._update.example.org",
            "192.0.2.256._transfer.example.org",
            "0.2.53._transfer.example.org",
            "192.0.2.53.x._transfer.example.org",
            "192.0.2.53.example.org",
            "_transfer.192.0.2.53",
        ] {
            assert_eq!(of(key), None, "{key}");
        }
    }
}
