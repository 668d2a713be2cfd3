//! Tests of client and server against each other, against messages from dnspython, and against tampering.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::dns::Name;
use crate::dns::message::Rcode;

const NOW: u64 = 1_700_000_000;
const SECRET: &[u8] = b"0123456789abcdefghijklmnopqrstuv";

/// An UPDATE of example.org that adds an address, its signatures at [`NOW`] with each algorithm, and those of [`REPLY`]
/// to it a second later; generated with dnspython 2.9.2 by `dns.tsig.sign(message, key, rdata, time, request_mac)` with
/// the key `Laptop._update.Example.ORG.` and [`SECRET`].
const UPDATE: &str =
    "123428000001000000010000076578616d706c65036f7267000006000105686f737437c00c000100010000012c0004c0000207";
const REPLY: &str = "1234a8000001000000000000076578616d706c65036f72670000060001";
const MACS: [(Algorithm, &str, &str); 5] = [
    (Algorithm::Sha1, "978bbe1b04bd20ff906c72b4bba708b8b4bcadb7", "b2aef51a6b10d3a5973120d0724af9d8250eb544"),
    (
        Algorithm::Sha224,
        "2200ef7ba36d4be118fa210e248b666ed68665a41ed0d46b1f1f2e27",
        "8fe93930ec44ca4efb74ae5bffb7c25767875c279306bf6544068ebc",
    ),
    (
        Algorithm::Sha256,
        "050a92e1266371381ef10286563787b53adcea31a7b5af1972265a07a9df006a",
        "a5fbd9283e35ffafe84312384e0f593d385faf025b6d34ae28812f6fa0348ec1",
    ),
    (
        Algorithm::Sha384,
        "83e35cbd9fd56dc73e2f98bf0aa2c3cece14841b5577b816c7273d5c64eaad9f3eb51693982cd7485aee988259a1bbee",
        "f013757c95d4433126051e4609100f5d4ad8c97a14f806597e1c8b1bb814197e0449b486665966c96546b0a4f57e4a86",
    ),
    (
        Algorithm::Sha512,
        "06ccb503bf569c997f47b5c8642ee27e74b272af90a0b5f2802455ef33e79b31\
         b14849861dac4d3a411214cd94530a34e790f1b58fe7bee0fcce1ef85acf7813",
        "bb8ed63cd651ef05422d2c2da2f77cffd985fa335ffa0f0a433066308aab2b20\
         fb2e7a96f73cbff27016e9336ba6612d0ae78c14c4a472d170ebec9b326d20d5",
    ),
];

/// The TSIG records of the same UPDATE signed with HMAC-SHA256 400 seconds before [`NOW`], and of the reply with
/// BADTIME, which is [`REPLY`] with the code NOTAUTH.
const LATE: &str = "064c6170746f70075f757064617465074578616d706c65034f52470000fa00ff00000000003d0b686d61632d7368613235\
    360000006553ef70012c0020076be1af338be1cab4c66a9475d56d284a0c650cb336267ad7356a783ad1bf4a123400000000";
const BADTIME: &str = "064c6170746f70075f757064617465074578616d706c65034f52470000fa00ff0000000000430b686d61632d736861\
    3235360000006553ef70012c00206b4998afc48da87561b3bee926736105997f2e07aa3f9628b37abd73dcd58e1b12340012000600006553f1\
    00";

/// A query for a transfer and its MAC at [`NOW`], the first of five messages of the answer, which differ in their last
/// octet, and their MACs at intervals of one second: when all are signed, and when the second and third are not.
/// Generated with the same function with `ctx` and `multi`.
const AXFR: &str = "432100000001000000000000076578616d706c65036f72670000fc0001";
const AXFR_MAC: &str = "8b16c4ec4cfe946295f6d2547c3f8732cc41cec8e3528214202c3ea2b565def9";
const AXFR_REPLY: &str = "432184000001000100000000076578616d706c65036f72670000fc0001c00c001000010000000100020130";
const ALL_SIGNED: [&str; 5] = [
    "b4a5a4ac50af14a895d4e2bfcbfeadf347658ea0fc99edeb2f6e7d104e7fc89e",
    "e860deddc1ba73aa0c0b75eae0bd13ddb4b11dbc59478b0f40de30f7ed63efad",
    "c9320b9fed5ac68d769b46d94e38e5135cadca0bfa6ae36f19c3b92bd3b5f2fd",
    "77619c17a9baaae9f39bf311dab5659b8857d60b053486589d063eab52db6ee9",
    "bb469ead22aa397b5107f8e040010bc9117ca75f04f671f55ed52eba3f155094",
];
const SOME_SIGNED: [&str; 5] = [
    "b4a5a4ac50af14a895d4e2bfcbfeadf347658ea0fc99edeb2f6e7d104e7fc89e",
    "",
    "",
    "4dd85e660de446e70ad7b973fa01b06d2fd6439fa727610699508a829f046034",
    "1f06d9404ced36451d90b96173130e0d495a366cf4bb5334a0f4fe798b6fa334",
];

fn hex(digits: &str) -> Vec<u8> {
    HEXLOWER.decode(digits.as_bytes()).unwrap()
}

fn key(algorithm: Algorithm) -> Arc<Key> {
    let name = Name::from_text("Laptop._update.Example.ORG").unwrap();
    Arc::new(Key::new(name, algorithm, SECRET.to_vec()).unwrap())
}

/// A TSIG record written field by field.
struct Written<'a> {
    name: &'a [u8],
    class: u16,
    ttl: u32,
    algorithm: &'a [u8],
    time: u64,
    mac: &'a [u8],
    original_id: u16,
    rest: &'a [u8],
}

impl Written<'_> {
    fn new(key: &Key, time: u64) -> Written<'_> {
        let (name, algorithm) = (key.name().as_wire(), key.algorithm().wire());
        Written { name, class: 255, ttl: 0, algorithm, time, mac: &[], original_id: 0x1234, rest: &[0; 4] }
    }

    /// Returns `message` with the record appended.
    fn on(&self, message: &[u8]) -> Vec<u8> {
        let data = [
            self.algorithm,
            &self.time.to_be_bytes()[2..],
            &[1, 44],
            &(self.mac.len() as u16).to_be_bytes(),
            self.mac,
            &self.original_id.to_be_bytes(),
            self.rest,
        ]
        .concat();
        let mut message = message.to_vec();
        message[11] += 1;
        message.extend(self.name);
        message.extend(250_u16.to_be_bytes());
        message.extend(self.class.to_be_bytes());
        message.extend(self.ttl.to_be_bytes());
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
        message
    }
}

/// Verifies a message with a single known key.
fn verify_with(key: &Arc<Key>, message: &[u8], now: u64) -> Result<Option<Verified>, Failure> {
    verify(message, |name| (name == key.name()).then(|| key.clone()), &Policy::default(), now)
}

/// Returns a reply that a failure has signed.
fn failed(failure: &Failure) -> Vec<u8> {
    let mut reply = hex(REPLY);
    reply[3] = failure.rcode().flags() as u8;
    let len = reply.len();
    reply.resize(len + failure.room(), 0);
    let end = failure.sign(&mut reply, len).unwrap();
    reply.truncate(end);
    reply
}

#[test]
fn signatures_match_dnspython() {
    for (algorithm, request_mac, reply_mac) in MACS {
        let key = key(algorithm);
        let mut message = hex(UPDATE);
        let sent = sign(&key, &mut message, NOW).unwrap();
        assert_eq!(message, Written { mac: &hex(request_mac), ..Written::new(&key, NOW) }.on(&hex(UPDATE)));

        let Verified { message, request } = verify_with(&key, &message, NOW + 300).unwrap().unwrap();
        assert_eq!(message, hex(UPDATE));
        assert_eq!((request.time_signed(), request.fudge(), request.full_mac()), (NOW, 300, &*hex(request_mac)));

        let mut reply = hex(REPLY);
        let len = reply.len();
        reply.resize(len + request.room(), 0);
        assert_eq!(request.sign(&mut reply[..len + request.room() - 1], len, NOW + 1), None);
        assert_eq!(reply[..len], hex(REPLY));
        assert_eq!(request.sign(&mut reply, len, NOW + 1), Some(reply.len()));
        assert_eq!(reply, Written { mac: &hex(reply_mac), ..Written::new(&key, NOW + 1) }.on(&hex(REPLY)));
        assert_eq!(sent.verify(&reply, NOW), Ok(hex(REPLY)));
    }
}

/// RFC 8945 §5.2.3: the reply has the client's time and fudge, the server's time as other data, and a signature.
#[test]
fn bad_time_matches_dnspython() {
    let key = key(Algorithm::Sha256);
    let mut message = hex(UPDATE);
    let sent = sign(&key, &mut message, NOW - 400).unwrap();
    assert_eq!(HEXLOWER.encode(&message[hex(UPDATE).len()..]), LATE);
    let failure = verify_with(&key, &message, NOW).unwrap_err();
    assert_eq!(failure.cause(), &Cause::Time { ahead: -400, fudge: 300 });
    let expected = "key Laptop._update.Example.ORG.: the client's clock is 400 s behind ours, and the request allows 300 s (BADTIME)";
    assert_eq!(failure.to_string(), expected);
    let reply = failed(&failure);
    assert_eq!(HEXLOWER.encode(&reply[hex(REPLY).len()..]), BADTIME);
    assert_eq!(sent.verify(&reply, NOW - 400), Err(ReplyError::BadTime { server: Some(NOW) }));
}

#[test]
fn chains_match_dnspython() {
    let key = key(Algorithm::Sha256);
    let mut message = hex(AXFR);
    let sent = sign(&key, &mut message, NOW).unwrap();
    assert_eq!(message, Written { mac: &hex(AXFR_MAC), original_id: 0x4321, ..Written::new(&key, NOW) }.on(&hex(AXFR)));
    let request = verify_with(&key, &message, NOW).unwrap().unwrap().request;
    let plain = |index: usize| {
        let mut message = hex(AXFR_REPLY);
        *message.last_mut().unwrap() += index as u8;
        message
    };
    let written = |index: usize, mac: &str| match mac {
        "" => plain(index),
        mac => {
            Written { mac: &hex(mac), original_id: 0x4321, ..Written::new(&key, NOW + index as u64) }.on(&plain(index))
        }
    };

    let mut chain = request.chain();
    for (index, mac) in ALL_SIGNED.iter().enumerate() {
        let mut message = plain(index);
        let len = message.len();
        message.resize(len + chain.room(), 0);
        assert_eq!(chain.sign(&mut message, len, NOW + index as u64), Some(message.len()));
        assert_eq!(message, written(index, mac));
    }
    for macs in [ALL_SIGNED, SOME_SIGNED] {
        let mut chain = sent.chain();
        for (index, mac) in macs.iter().enumerate() {
            assert_eq!(chain.verify(&written(index, mac), NOW), Ok(plain(index)));
        }
        assert_eq!(chain.finish(), Ok(()));
    }

    // The first and last messages must be signed, and no message may be missing, added or out of order.
    assert_eq!(sent.chain().verify(&plain(0), NOW), Err(ReplyError::Gap));
    assert_eq!(sent.chain().finish(), Err(ReplyError::Gap));
    for order in [&[0, 1, 2][..], &[0, 2, 3], &[0, 1, 3], &[0, 2, 1, 3], &[0, 1, 1, 2, 3], &[3]] {
        let mut chain = sent.chain();
        let results: Vec<_> = order.iter().map(|&i| chain.verify(&written(i, SOME_SIGNED[i]), NOW)).collect();
        let last = results.last().unwrap();
        assert!(last == &Err(ReplyError::Signature) || chain.finish() == Err(ReplyError::Gap), "{order:?}");
    }
    let mut chain = sent.chain();
    chain.verify(&written(0, ALL_SIGNED[0]), NOW).unwrap();
    assert!((0..99).all(|_| chain.verify(&plain(1), NOW).is_ok()));
    assert_eq!(chain.verify(&plain(1), NOW), Err(ReplyError::Gap));
}

/// Times stay in order if the clock is set back during the reply (RFC 8945 §5.3.1).
#[test]
fn times_of_a_chain() {
    let key = key(Algorithm::Sha512);
    let mut message = hex(AXFR);
    let sent = sign(&key, &mut message, NOW).unwrap();
    let mut chain = verify_with(&key, &message, NOW).unwrap().unwrap().request.chain();
    let mut verifier = sent.chain();
    for now in [NOW + 5, NOW + 2, NOW + 9] {
        let mut reply = hex(AXFR_REPLY);
        let len = reply.len();
        reply.resize(len + chain.room(), 0);
        chain.sign(&mut reply, len, now).unwrap();
        let time = &reply[len + key.name().as_wire().len() + 10 + key.algorithm().wire().len()..][..6];
        assert_eq!(time, &now.max(NOW + 5).to_be_bytes()[2..]);
        verifier.verify(&reply, NOW).unwrap();
    }
}

/// RFC 8945 §5.1: a malformed record yields FORMERR, and the reply has no TSIG record.
#[test]
fn malformed() {
    let key = key(Algorithm::Sha256);
    let plain = hex(UPDATE);
    let mac = hex(MACS[2].1);
    let good = Written { mac: &mac, ..Written::new(&key, NOW) };
    let signed = good.on(&plain);
    assert!(verify_with(&key, &signed, NOW).unwrap().is_some());
    assert!(verify_with(&key, &plain, NOW).unwrap().is_none());
    let counted = |at: usize, count: u8| {
        let mut message = signed.clone();
        message[at] = count;
        message
    };
    let long = [mac.as_slice(), &[0]].concat();
    let cases = [
        ("no header", vec![0; 11]),
        ("two signatures", good.on(&signed)),
        ("as an update", counted(9, 2).iter().enumerate().map(|(at, &o)| if at == 11 { 0 } else { o }).collect()),
        ("a record behind it", [counted(11, 2), hex("00000100010000000000")].concat()),
        ("octets behind it", [signed.as_slice(), &[0]].concat()),
        ("octets behind an unsigned message", [plain.as_slice(), &[0]].concat()),
        ("too many questions", counted(4, 255)),
        ("too many records", counted(11, 2)),
        ("class IN", Written { class: 1, mac: &mac, ..Written::new(&key, NOW) }.on(&plain)),
        ("a TTL", Written { ttl: 1, mac: &mac, ..Written::new(&key, NOW) }.on(&plain)),
        ("a compressed algorithm", Written { algorithm: &[0xc0, 12], ..Written::new(&key, NOW) }.on(&plain)),
        ("a pointer forward", Written { name: &[0xc0, 255], mac: &mac, ..Written::new(&key, NOW) }.on(&plain)),
        ("no other data", Written { rest: &[0; 2], mac: &mac, ..Written::new(&key, NOW) }.on(&plain)),
        ("too much data", Written { rest: &[0; 5], mac: &mac, ..Written::new(&key, NOW) }.on(&plain)),
        ("a MAC too long", Written { mac: &long, ..Written::new(&key, NOW) }.on(&plain)),
        ("a MAC below half", Written { mac: &mac[..15], ..Written::new(&key, NOW) }.on(&plain)),
        ("no MAC", Written::new(&key, NOW).on(&plain)),
    ];
    for (what, message) in cases {
        let failure = verify_with(&key, &message, NOW).expect_err(what);
        assert!(matches!(failure.cause(), Cause::Malformed(_)), "{what}: {failure}");
        assert_eq!(
            (failure.rcode(), failure.error(), failure.room(), failure.key_name()),
            (Rcode::FORMAT_ERROR, None, 0, None),
            "{what}"
        );
        let mut reply = hex(REPLY);
        reply[3] = 1;
        assert_eq!(failed(&failure), reply, "{what}");
    }
    for len in 0..signed.len() {
        verify_with(&key, &signed[..len], NOW).unwrap_err();
    }
}

/// RFC 8945 §5.2: key, MAC, time and truncation are checked in this order; errors about key and MAC are not signed.
#[test]
fn order_of_checks() {
    let key = key(Algorithm::Sha256);
    let other = Arc::new(Key::new(Name::from_text("other").unwrap(), Algorithm::Sha256, SECRET.to_vec()).unwrap());
    let wrong = Arc::new(Key::new(key.name().clone(), Algorithm::Sha256, b"wrong".to_vec()).unwrap());
    let weak = Arc::new(Key::new(key.name().clone(), Algorithm::Sha1, SECRET.to_vec()).unwrap());
    let full = Policy { shortest_mac: 64 };
    let case = |signer: &Arc<Key>, time: u64, mac_len: usize| {
        let mut sent = sign(signer, &mut hex(UPDATE), time).unwrap();
        sent.mac = sent.mac[..mac_len].into();
        let message = Written { mac: &sent.mac, ..Written::new(signer, time) }.on(&hex(UPDATE));
        let result = verify(&message, |name| (name == key.name()).then(|| key.clone()), &full, NOW);
        (sent, result.expect_err("it is wrong"))
    };
    type Case<'a> = (&'a Arc<Key>, u64, usize, u16, ReplyError);
    let cases: [Case<'_>; 6] = [
        // Each request is also wrong in everything that is checked later.
        (&other, 0, 16, 17, ReplyError::BadKey),
        (&weak, 0, 10, 17, ReplyError::BadKey),
        (&wrong, 0, 16, 16, ReplyError::BadSignature),
        (&key, 0, 16, 18, ReplyError::BadTime { server: Some(NOW) }),
        (&key, NOW + 301, 16, 18, ReplyError::BadTime { server: Some(NOW) }),
        (&key, NOW - 300, 16, 22, ReplyError::BadTruncation),
    ];
    for (signer, time, mac_len, error, expected) in cases {
        let (sent, failure) = case(signer, time, mac_len);
        assert_eq!((failure.rcode(), failure.error()), (Rcode::NOT_AUTHORITATIVE, Some(error)), "{failure}");
        assert_eq!(failure.key_name(), Some(signer.name()));
        assert_eq!(sent.verify(&failed(&failure), NOW), Err(expected), "{failure}");
        assert_eq!(expected.is_authentic(), error == 18 || error == 22);
    }
    let expected = |signer, time, len| case(signer, time, len).1.to_string();
    assert_eq!(expected(&other, NOW, 16), "key other.: unknown key (BADKEY)");
    assert_eq!(
        expected(&weak, NOW, 20),
        "key Laptop._update.Example.ORG.: the algorithm of the key is hmac-sha256, not hmac-sha1 (BADKEY)"
    );
    assert_eq!(
        expected(&key, NOW, 20),
        "key Laptop._update.Example.ORG.: the MAC is truncated to 20 octets (BADTRUNC)"
    );
}

/// RFC 8945 §5.2.2.1, §5.2.4: requests may be truncated as far as the policy allows; replies may not.
#[test]
fn truncated_requests() {
    for algorithm in Algorithm::ALL {
        let key = key(algorithm);
        let mac = sign(&key, &mut hex(UPDATE), NOW).unwrap().mac;
        for len in 0..=mac.len() {
            let message = Written { mac: &mac[..len], ..Written::new(&key, NOW) }.on(&hex(UPDATE));
            match verify_with(&key, &message, NOW) {
                Ok(verified) => {
                    let request = verified.unwrap().request;
                    assert!(len >= 16.max(algorithm.shortest_mac()));
                    assert_eq!(request.full_mac(), &*mac, "by whatever part of it a request is signed");
                    let mut reply = hex(REPLY);
                    let at = reply.len();
                    reply.resize(at + request.room(), 0);
                    request.sign(&mut reply, at, NOW).unwrap();
                    assert_eq!(reply.len(), at + key.name().as_wire().len() + 26 + algorithm.wire().len() + mac.len());
                }
                Err(failure) if len < algorithm.shortest_mac() => assert_eq!(failure.rcode(), Rcode::FORMAT_ERROR),
                Err(failure) => {
                    assert!(len < 16);
                    assert_eq!(failure.error(), Some(22));
                }
            }
        }
    }
}

/// The name may be compressed and in any letter case, and a forwarder may change the ID (RFC 8945 §4.3.2, §5.5).
#[test]
fn compressed_names_and_changed_ids() {
    let key = key(Algorithm::Sha256);
    let mac = hex(MACS[2].1);
    let compressed = Written { name: b"\x06lAPTOP\x07_UPDATE\xc0\x0c", mac: &mac, ..Written::new(&key, NOW) };
    let mut message = compressed.on(&hex(UPDATE));
    message[..2].copy_from_slice(&[0xab, 0xcd]);
    let Verified { message, request } = verify_with(&key, &message, NOW).unwrap().unwrap();
    assert_eq!(message[..2], [0xab, 0xcd]);
    assert_eq!(message[2..], hex(UPDATE)[2..]);
    let mut reply = hex(REPLY);
    reply[..2].copy_from_slice(&[0xab, 0xcd]);
    let len = reply.len();
    reply.resize(len + request.room(), 0);
    request.sign(&mut reply, len, NOW + 1).unwrap();
    // The forwarder restores the ID.
    reply[..2].copy_from_slice(&[0x12, 0x34]);
    let name = Name::from_text("lAPTOP._UPDATE.example.org").unwrap();
    let as_asked = Written { name: name.as_wire(), mac: &hex(MACS[2].2), ..Written::new(&key, NOW + 1) };
    assert_eq!(reply, as_asked.on(&hex(REPLY)));
    let mut message = hex(UPDATE);
    assert_eq!(sign(&key, &mut message, NOW).unwrap().verify(&reply, NOW), Ok(hex(REPLY)));

    let upper = key.algorithm().wire().to_ascii_uppercase();
    let message = Written { algorithm: &upper, mac: &mac, ..Written::new(&key, NOW) }.on(&hex(UPDATE));
    assert!(verify_with(&key, &message, NOW).unwrap().is_some());
}

#[test]
fn rejected_replies() {
    let key = key(Algorithm::Sha256);
    let mut message = hex(UPDATE);
    let sent = sign(&key, &mut message, NOW).unwrap();
    let request = verify_with(&key, &message, NOW).unwrap().unwrap().request;
    let signed = |now| {
        let mut reply = hex(REPLY);
        let len = reply.len();
        reply.resize(len + request.room(), 0);
        request.sign(&mut reply, len, now).unwrap();
        reply
    };
    assert_eq!(sent.verify(&hex(REPLY), NOW), Err(ReplyError::Unsigned));
    assert_eq!(sent.verify(&signed(NOW + 301), NOW), Err(ReplyError::Time { ahead: 301 }));
    assert_eq!(sent.verify(&signed(NOW - 301), NOW), Err(ReplyError::Time { ahead: -301 }));
    assert!(sent.verify(&signed(NOW - 300), NOW).is_ok());
    // The reply to another request; the request itself; a reply signed with another key.
    let mut other = hex(AXFR);
    assert_eq!(sign(&key, &mut other, NOW).unwrap().verify(&signed(NOW), NOW), Err(ReplyError::Signature));
    assert_eq!(sent.verify(&message, NOW), Err(ReplyError::Signature));
    let other = self::key(Algorithm::Sha1);
    let mut message = hex(UPDATE);
    assert_eq!(sign(&other, &mut message, NOW).unwrap().verify(&signed(NOW), NOW), Err(ReplyError::OtherKey));
    // An error without a MAC is accepted only if it is one that cannot be signed.
    for (code, expected) in [(16, ReplyError::BadSignature), (17, ReplyError::BadKey)] {
        let mut reply = Written { rest: &[0, code, 0, 0], ..Written::new(&key, NOW) }.on(&hex(REPLY));
        assert!(matches!(sent.verify(&reply, NOW), Err(ReplyError::Malformed(_))));
        reply[3] |= 9;
        assert_eq!(sent.verify(&reply, NOW), Err(expected));
    }
    let mut reply = Written { rest: &[0, 18, 0, 0], ..Written::new(&key, NOW) }.on(&hex(REPLY));
    reply[3] |= 9;
    assert!(matches!(sent.verify(&reply, NOW), Err(ReplyError::Malformed(_))));
}

#[test]
fn no_room() {
    let key = key(Algorithm::Sha256);
    let mut none = vec![0; 5];
    assert!(sign(&key, &mut none, NOW).is_none());
    assert_eq!(none, [0; 5]);
    let mut long = vec![0; 65_500];
    assert!(sign(&key, &mut long, NOW).is_none());
    assert_eq!(long, [0; 65_500]);
    let mut full = hex(UPDATE);
    full[10..12].fill(0xff);
    assert!(sign(&key, &mut full, NOW).is_none());
}

fn any_algorithm() -> impl Strategy<Value = Algorithm> {
    prop::sample::select(&Algorithm::ALL[..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A signed message verifies and is returned unchanged.
    #[test]
    fn round_trip(
        name in crate::dns::name::tests::names_of(any::<u8>(), 1..8, 1..6),
        algorithm in any_algorithm(),
        secret in proptest::collection::vec(any::<u8>(), 1..200),
        (time, skew) in (0_u64..1 << 47, -300_i64..=300),
        header: [u8; 4],
    ) {
        let key = Arc::new(Key::new(name, algorithm, secret).unwrap());
        let mut plain = hex(UPDATE);
        plain[..4].copy_from_slice(&header);
        let mut message = plain.clone();
        let sent = sign(&key, &mut message, time).unwrap();
        let now = time.saturating_add_signed(skew);
        let verified = verify_with(&key, &message, now).unwrap().unwrap();
        prop_assert_eq!(&verified.message, &plain);
        let mut reply = plain.clone();
        reply.resize(plain.len() + verified.request.room(), 0);
        prop_assert_eq!(verified.request.sign(&mut reply, plain.len(), now), Some(reply.len()));
        prop_assert_eq!(sent.verify(&reply, time), Ok(plain));
    }

    /// A message with a flipped bit does not verify, unless the bit is not covered: the letter case of key and
    /// algorithm names, and the ID, which a forwarder may change.
    #[test]
    fn flipped_bits(algorithm in any_algorithm(), at: prop::sample::Index, bit in 0..8) {
        let key = key(algorithm);
        let mut message = hex(UPDATE);
        let sent = sign(&key, &mut message, NOW).unwrap();
        let request = verify_with(&key, &message, NOW).unwrap().unwrap().request;
        let mut reply = hex(REPLY);
        let len = reply.len();
        reply.resize(len + request.room(), 0);
        request.sign(&mut reply, len, NOW).unwrap();
        for (message, start) in [(message, hex(UPDATE).len()), (reply, len)] {
            let mut turned = message.clone();
            let at = at.index(turned.len());
            turned[at] ^= 1_u8 << bit;
            let name = key.name().as_wire().len();
            let in_name = (start..start + name).contains(&at)
                || (start + name + 10..start + name + 10 + algorithm.wire().len()).contains(&at);
            let same = at < 2 || in_name && turned[at].eq_ignore_ascii_case(&message[at]);
            let verified = if start == len { sent.verify(&turned, NOW).is_ok() } else { matches!(verify_with(&key, &turned, NOW), Ok(Some(_))) };
            prop_assert_eq!(verified, same, "octet {} of {}", at, message.len());
        }
    }

    /// Any input can be replied to.
    #[test]
    fn any_octets_never_panic(mut message in proptest::collection::vec(any::<u8>(), 0..200), signed: bool, plain_header: bool, cut: prop::sample::Index) {
        let key = key(Algorithm::Sha256);
        if plain_header && message.len() > 12 {
            message[4..12].fill(0);
            message.truncate(12);
        }
        if signed && message.len() >= 12 {
            sign(&key, &mut message, NOW);
            message.truncate(cut.index(message.len()).max(12));
        }
        match verify_with(&key, &message, NOW) {
            Err(failure) => drop((failed(&failure), failure.to_string())),
            Ok(None) => {}
            Ok(Some(verified)) => prop_assert!(signed && verified.message.len() < message.len()),
        }
    }
}
