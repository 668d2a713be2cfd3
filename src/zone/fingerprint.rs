//! The fingerprint of a version of a zone: equal fingerprints mean equal contents.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::Zone;
use crate::dns::Type;

/// The number of octets of SHA-256 that are kept.
const OCTETS: usize = 16;

/// The hash of everything a transfer of a zone contains, including letter case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; OCTETS]);

impl Fingerprint {
    /// Returns the fingerprint of a zone.
    #[must_use]
    pub fn of(zone: &Zone) -> Self {
        Self::of_all(zone, |_| 0)
    }

    /// Returns the fingerprint of a zone as it would be with the serial number 0: that of its contents.
    #[must_use]
    pub fn of_contents(zone: &Zone) -> Self {
        // After the two names: serial, refresh, retry, expire, minimum.
        Self::of_all(zone, |data| data.len().saturating_sub(20))
    }

    /// `serial` says where in the SOA record's data the serial number is to be left out; 0 is nowhere.
    fn of_all(zone: &Zone, serial: impl Fn(&[u8]) -> usize) -> Self {
        let mut hash = Sha256::new();
        for node in zone.iter() {
            hash.update([node.owner().len() as u8]);
            hash.update(node.owner());
            for rrset in node.rrsets() {
                hash.update(rrset.rtype().0.to_be_bytes());
                hash.update(rrset.len().to_be_bytes());
                hash.update(rrset.ttl().to_be_bytes());
                for data in rrset.rdata() {
                    hash.update((data.len() as u16).to_be_bytes());
                    match if rrset.rtype() == Type::SOA { serial(data) } else { 0 } {
                        0 => hash.update(data),
                        at => {
                            hash.update(&data[..at]);
                            hash.update(data.get(at + 4..).unwrap_or_default());
                        }
                    }
                }
            }
        }
        let mut octets = [0; OCTETS];
        octets.copy_from_slice(&hash.finalize()[..OCTETS]);
        Self(octets)
    }

    /// Parses the output of `Display`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let octets = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        octets.try_into().ok().map(Self)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Name;
    use crate::zonefile::read;

    fn zone(serial: u32, lines: &str) -> Zone {
        let text = format!("$TTL 60\n@ SOA ns host {serial} 1 1 1 1\n@ NS ns\n{lines}");
        read(&Name::from_text("example.org").unwrap(), "example.org", text.as_bytes()).zone.unwrap()
    }

    #[test]
    fn tells_contents_apart_and_serial_numbers_too_or_not() {
        let zones = ["", "a A 192.0.2.1\n", "A A 192.0.2.1\n", "a 61 A 192.0.2.1\n", "b A 192.0.2.1\n"];
        for (at, a) in zones.iter().enumerate() {
            for (other, b) in zones.iter().enumerate() {
                assert_eq!(Fingerprint::of(&zone(1, a)) == Fingerprint::of(&zone(1, b)), at == other, "{a}{b}");
                let contents = |serial, lines| Fingerprint::of_contents(&zone(serial, lines));
                assert_eq!(contents(1, a) == contents(2, b), at == other, "{a}{b}");
            }
            assert_ne!(Fingerprint::of(&zone(1, a)), Fingerprint::of(&zone(2, a)));
        }
        let one = Fingerprint::of(&zone(1, ""));
        assert_eq!(Fingerprint::parse(&one.to_string()), Some(one));
        assert_eq!(Fingerprint::parse("00"), None);
    }
}
