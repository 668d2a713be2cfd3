//! DNS cookies (RFC 7873) in the interoperable form of RFC 9018.
//!
//! A server cookie is a keyed hash over the client's cookie, the time and the client's address. A client that returns
//! one has recently received a reply at that address, so the source of its queries is not forged. The server keeps no
//! state for it.

use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip::SipHasher24;

/// The length of a client cookie in octets (RFC 7873 §4).
const CLIENT: usize = 8;

/// The length of a client cookie and a server cookie of RFC 9018 §4, in octets.
pub(super) const COOKIES: usize = CLIENT + 16;

/// The version of the only defined construction (RFC 9018 §4.1).
const VERSION: u8 = 1;

/// How long a cookie is valid, in seconds (RFC 9018 §4.3).
const LIFETIME: i32 = 3600;

/// The age from which a cookie is renewed, in seconds (RFC 9018 §4.3).
const RENEWAL: i32 = 1800;

/// How far in the future a cookie from another server at the same address may be, in seconds (RFC 9018 §4.3).
const AHEAD: i32 = 300;

/// A secret for server cookies (RFC 9018 §5).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 16]);

impl Secret {
    /// Returns a secret that consists of 16 octets, which should be random.
    #[must_use]
    pub fn new(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The generator and verifier of server cookies.
pub(super) struct Cookies(Vec<Key>);

/// A secret that can be replaced while other threads use it.
///
/// A thread that reads it between the two stores generates a cookie that is invalid later. The client then gets another
/// one, which costs less than a lock for every query.
struct Key([AtomicU64; 2]);

/// The result of checking a query's cookies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Checked {
    /// The cookies for the reply.
    pub(super) octets: [u8; COOKIES],
    pub(super) standing: Standing,
}

/// The standing of a client, by its cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There is no server cookie: this may be the client's first query.
    New,
    /// The server cookie is invalid or too old.
    Bad,
    /// The server cookie is valid, so the client's address is not forged.
    Verified,
}

impl Cookies {
    /// Creates a generator that uses the first of `secrets`, and verifies with all of them.
    pub(super) fn new(secrets: &[Secret]) -> Self {
        Self(secrets.iter().map(Key::new).collect())
    }

    /// Replaces the secret that generates cookies, which invalidates all cookies generated with it.
    pub(super) fn renew(&self, secret: &Secret) {
        if let Some(key) = self.0.first() {
            key.set(secret);
        }
    }

    /// Returns whether the data of a COOKIE option has a valid length (RFC 7873 §5.2.2).
    pub(super) fn is_well_formed(data: &[u8]) -> bool {
        matches!(data.len(), CLIENT | 16..=40)
    }

    /// Verifies the cookies in the well-formed `data` of a query from `source`, and generates those for the reply.
    ///
    /// `now`, like the times in cookies, is in seconds since 1970, modulo 2³² (RFC 9018 §4.3).
    pub(super) fn check(&self, data: &[u8], source: IpAddr, now: u32) -> Option<Checked> {
        let client = data.first_chunk::<CLIENT>()?;
        let mut standing = if data.len() == CLIENT { Standing::New } else { Standing::Bad };
        if let Ok(octets) = <[u8; COOKIES]>::try_from(data) {
            let [.., v, _, _, _, t0, t1, t2, t3, _, _, _, _, _, _, _, _] = octets;
            let age = now.wrapping_sub(u32::from_be_bytes([t0, t1, t2, t3])) as i32;
            if v == VERSION && (-AHEAD..=LIFETIME).contains(&age) {
                // All secrets are tried and whole words are compared, so the time does not leak anything.
                let ours = self.0.iter().map(|key| sign(key, octets, source) == octets);
                let (mut verified, mut first) = (false, true);
                for (index, ours) in ours.enumerate() {
                    verified |= ours;
                    first &= ours | (index > 0);
                }
                if verified {
                    standing = Standing::Verified;
                }
                if verified && first && age < RENEWAL {
                    return Some(Checked { octets, standing });
                }
            }
        }
        let mut octets = [0; COOKIES];
        octets[..CLIENT].copy_from_slice(client);
        octets[CLIENT] = VERSION;
        octets[12..16].copy_from_slice(&now.to_be_bytes());
        Some(Checked { octets: sign(self.0.first()?, octets, source), standing })
    }
}

impl Key {
    fn new(secret: &Secret) -> Self {
        let key = Self(Default::default());
        key.set(secret);
        key
    }

    fn set(&self, secret: &Secret) {
        for (half, octets) in self.0.iter().zip(secret.0.as_chunks().0) {
            half.store(u64::from_ne_bytes(*octets), Ordering::Relaxed);
        }
    }

    fn hash(&self, input: &[u8]) -> u64 {
        let mut key = [0; 16];
        for (octets, half) in key.as_chunks_mut().0.iter_mut().zip(&self.0) {
            *octets = half.load(Ordering::Relaxed).to_ne_bytes();
        }
        SipHasher24::new_with_key(&key).hash(input)
    }
}

/// Returns `octets` with the hash over their other parts and the client's address (RFC 9018 §4.4).
fn sign(key: &Key, mut octets: [u8; COOKIES], source: IpAddr) -> [u8; COOKIES] {
    let mut input = [0; 32];
    input[..16].copy_from_slice(&octets[..16]);
    let len = match source {
        IpAddr::V4(address) => {
            input[16..20].copy_from_slice(&address.octets());
            20
        }
        IpAddr::V6(address) => {
            input[16..].copy_from_slice(&address.octets());
            32
        }
    };
    octets[16..].copy_from_slice(&key.hash(&input[..len]).to_le_bytes());
    octets
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookies({} secrets)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(digits: &str) -> [u8; N] {
        data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap().try_into().unwrap()
    }

    fn check(secrets: &[&str], data: &str, source: &str, now: u32) -> (String, Standing) {
        let secrets: Vec<Secret> = secrets.iter().map(|digits| Secret::new(hex(digits))).collect();
        let data = data_encoding::HEXLOWER.decode(data.as_bytes()).unwrap();
        let checked = Cookies::new(&secrets).check(&data, source.parse().unwrap(), now).unwrap();
        (data_encoding::HEXLOWER.encode(&checked.octets), checked.standing)
    }

    /// RFC 9018 appendix A.
    #[test]
    fn examples_of_the_rfc() {
        const SECRET: &str = "e5e973e5a6b2a43f48e7dc849e37bfcf";
        let learned = "2464c4abcf10c957010000005cf79f111f8130c3eee29480";
        assert_eq!(
            check(&[SECRET], "2464c4abcf10c957", "198.51.100.100", 1_559_731_985),
            (learned.to_string(), Standing::New)
        );
        // The same cookie within half an hour, then a new one.
        let again = check(&[SECRET], learned, "198.51.100.100", 1_559_731_985 + 1799);
        assert_eq!(again, (learned.to_string(), Standing::Verified));
        let renewed = check(&[SECRET], learned, "198.51.100.100", 1_559_734_385);
        assert_eq!(renewed, ("2464c4abcf10c957010000005cf7a871d4a564a1442aca77".to_string(), Standing::Verified));
        // Nonzero reserved octets are accepted, but ours are zero.
        let reserved = "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5";
        assert_eq!(
            check(&[SECRET], reserved, "203.0.113.203", 1_559_734_700),
            ("fc93fc62807ddb86010000005cf7a9acf73a7810aca2381e".to_string(), Standing::Bad)
        );
        assert_eq!(check(&[SECRET], reserved, "203.0.113.203", 1_559_727_985 + 3600).1, Standing::Verified);
        // A roll-over, over IPv6.
        let (old, new) = ("dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962");
        assert_eq!(
            check(
                &[new, old],
                "22681ab97d52c298010000005cf7c57926556bd0934c72f8",
                "2001:db8:220:1:59de:d0f4:8769:82b8",
                1_559_741_961
            ),
            ("22681ab97d52c298010000005cf7c609a6bb79d16625507a".to_string(), Standing::Verified)
        );
    }

    /// RFC 9018 §4.3.
    #[test]
    fn cookies_depend_on_time_and_address() {
        const SECRET: &str = "00112233445566778899aabbccddeeff";
        let standing = |data: &str, source, now| check(&[SECRET], data, source, now).1;
        for made in [1_800_000_000, 0, u32::MAX - 10] {
            let (cookies, _) = check(&[SECRET], "0102030405060708", "192.0.2.1", made);
            for (age, expected) in [
                (0, Standing::Verified),
                (3600, Standing::Verified),
                (3601, Standing::Bad),
                (-300, Standing::Verified),
                (-301, Standing::Bad),
            ] {
                assert_eq!(standing(&cookies, "192.0.2.1", made.wrapping_add_signed(age)), expected, "{made} {age}");
            }
            assert_eq!(standing(&cookies, "192.0.2.2", made), Standing::Bad);
            assert_eq!(check(&["ff112233445566778899aabbccddeeff"], &cookies, "192.0.2.1", made).1, Standing::Bad);
            // The previous secret still verifies, and the reply has a cookie from the new one.
            let rolled = check(&["ff112233445566778899aabbccddeeff", SECRET], &cookies, "192.0.2.1", made);
            assert_eq!(rolled.1, Standing::Verified);
            assert_ne!(rolled.0, cookies);
            // A cookie of another version or length is from another server.
            assert_eq!(standing(&cookies.replacen("0801", "0802", 1), "192.0.2.1", made), Standing::Bad);
            assert_eq!(standing(&cookies[..46], "192.0.2.1", made), Standing::Bad);
            assert_eq!(standing(&format!("{cookies}00"), "192.0.2.1", made), Standing::Bad);
        }
    }

    #[test]
    fn a_renewed_secret_invalidates_only_its_cookies() {
        let source = "192.0.2.1".parse().unwrap();
        let [first, second, third] = [1, 2, 3].map(|octet| Secret::new([octet; 16]));
        let cookies = Cookies::new(&[first, second.clone()]);
        let check = |cookies: &Cookies, data: &[u8]| cookies.check(data, source, 1_800_000_000).unwrap();
        let of_first = check(&cookies, b"12345678").octets;
        let of_second = check(&Cookies::new(&[second]), b"12345678").octets;
        assert_eq!(check(&cookies, &of_first).standing, Standing::Verified);
        cookies.renew(&third);
        assert_eq!(check(&cookies, &of_first).standing, Standing::Bad);
        assert_eq!(check(&cookies, &of_second).standing, Standing::Verified);
        let fresh = check(&cookies, b"12345678").octets;
        assert_eq!(fresh, check(&Cookies::new(&[third]), b"12345678").octets);
    }

    #[test]
    fn lengths() {
        let good: Vec<usize> = (0..100).filter(|&len| Cookies::is_well_formed(&vec![0; len])).collect();
        assert_eq!(good, [8].into_iter().chain(16..=40).collect::<Vec<_>>());
    }
}
