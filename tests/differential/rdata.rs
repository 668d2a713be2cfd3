//! Record data, sound and malformed: who takes it?
//!
//! One record that a secondary cannot read stops the transfer of a whole zone there, so what we take every other server
//! must take. Each type of the table gets its example, more data of the kinds that it has, and all of these cut short,
//! too long, and with octets changed. BIND, Knot and we get each as an update whose prerequisite fails: a server that can read
//! the data answers NXDOMAIN, and nothing is changed.
//!
//! What we take and BIND or Knot refuses is a fault. What we refuse and BIND takes must be explained by one of [`RULES`], and
//! each rule must be needed. `docs/differences.md` lists them for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zonule::zonefile;

use crate::name::Random;
use zonule::dns::{Name, Type};
use zonule::tsig::{self, Key as Tsig};
use zonule_harness::wire::{self, Record, class};
use zonule_harness::{Key, Peer, Remote, Sandbox, Target};

const ZONE: &str = "example.org";

/// The response code 3: the name of the prerequisite does not exist, so the message could be read.
const NXDOMAIN: u8 = 3;

/// The first label of all records' owner: a hash, which NSEC3 records have.
const OWNER: &str = "2t7b4g4vsa5smi47k61mv5bv1a22bojr";

/// SIG, NXT, RRSIG, NSEC and NSEC3: BIND refuses to add such records, but reads them in prerequisites.
const DNSSEC: [u16; 5] = [24, 30, 46, 47, 50];

/// How many updates may be on their way at once.
const WINDOW: usize = 32;

/// How long a reply may take; each update is sent three times.
const PATIENCE: Duration = Duration::from_secs(3);

/// Data besides the example of each type: all kinds that a type has.
const MORE: &[(&str, &str)] = &[
    ("TXT", r#""" "two""#),
    ("NULL", r"\# 1 00"),
    ("WKS", r"\# 5 C000020106"),
    ("ISDN", "150862028003217"),
    ("KEY", "512 3 253 AWEAAQ=="),
    ("DNSKEY", "256 3 253 AWEAAQ=="),
    ("DNSKEY", "256 3 254 BAYCKgMB"),
    ("CDNSKEY", "0 3 0 AA=="),
    ("RRSIG", "TYPE65280 13 0 300 0 0 1 . AQID"),
    ("SIG", "NXT 8 0 0 0 0 1 key. AQID"),
    ("NXT", "a. A NXT TYPE127"),
    ("NSEC", ". TYPE1234 A TYPE65280"),
    ("CSYNC", "1 3"),
    ("CSYNC", "1 3 TYPE1234 A TYPE65280"),
    ("NSEC3", "1 1 10 AABBCC 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR"),
    ("NSEC3", "2 1 10 AABBCC 2T7B4G4VSA5SMI47 TYPE1234 A"),
    ("NSEC3PARAM", "1 0 10 AABBCC"),
    ("NAPTR", r#"1 1 "" "" "" a."#),
    ("NAPTR", r#"1 1 u x "!^(\\+441)([0-9a-f]*)$!\\2\\1!i" ."#),
    ("NAPTR", r#"1 1 u x "/(a|b){2,3}|[]a-z[:digit:]]/c/" ."#),
    ("CERT", "PGP 0 0 AA=="),
    ("APL", ""),
    ("APL", "!1:10.0.0.0/8 1:0.0.0.0/0"),
    ("APL", r"\# 6 0003 08 02 0A01"),
    ("LOC", r"\# 16 01020304050607080910111213141516"),
    ("LOC", "90 S 180 W -100000 0 0 0"),
    ("DS", "1 8 1 000102030405060708090A0B0C0D0E0F10111213"),
    ("DS", "1 8 3 000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"),
    ("DS", "1 8 9 00"),
    ("CDS", "0 0 0 00"),
    ("SSHFP", "1 1 000102030405060708090A0B0C0D0E0F10111213"),
    ("SSHFP", "1 3 00"),
    ("IPSECKEY", "10 0 2 . AQID"),
    ("IPSECKEY", "10 2 2 2001:db8::1 AQID"),
    ("IPSECKEY", "10 3 2 gw. AQID"),
    ("HIP", "2 2001 AQID"),
    ("HIP", "2 2001 AQID a. b."),
    ("ZONEMD", "1 1 240 000102030405060708090A0B"),
    ("SVCB", "0 a."),
    (
        "SVCB",
        r#"1 . mandatory=alpn,port alpn=h2,h3 no-default-alpn port=53 ipv4hint=192.0.2.1 ech=AQ== dohpath="/q{?dns}""#,
    ),
    ("HTTPS", "1 . ipv6hint=2001:db8::1,::2 ohttp key9=a key65000"),
    ("URI", r#"1 1 """#),
    ("CAA", r#"128 tbs """#),
    ("A6", r"\# 17 00 00112233445566778899AABBCCDDEEFF"),
    ("A6", r"\# 4 80 016100"),
    ("A6", r"\# 20 04 01112233445566778899AABBCCDDEEFF 016100"),
    ("ATMA", r"\# 4 02 313233"),
    ("AMTRELAY", r"\# 2 0A80"),
    ("AMTRELAY", r"\# 18 0A02 00112233445566778899AABBCCDDEEFF"),
    ("AMTRELAY", r"\# 5 0A83 016100"),
    ("AMTRELAY", r"\# 4 0A84 0102"),
    ("DOA", r"\# 10 00000001 00000002 03 00"),
    ("TYPE65280", r"\# 3 010203"),
    ("TYPE65280", r"\# 0"),
];

/// Malformed data that none of the changes to sound data make.
const MALFORMED: &[(u16, &[u8])] = &[
    // KEY without a key: RFC 2535 had it.
    (25, &[0xc0, 0, 3, 5]),
    (48, &[0xc0, 0, 3, 5]),
    // NXT that has type 0.
    (30, &[0, 0x80, 1]),
    // NAPTR whose pattern has a range up to a bracket.
    (35, b"\0\x01\0\x01\0\0\x09![z-[]!x!\0"),
    // A name that goes on in the header.
    (2, &[1, b'a', 0xc0, 4]),
    // RRSIG and SIG of private algorithms.
    (24, &[0, 1, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]),
    (46, &[0, 1, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]),
    (46, &[0, 1, 254, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1]),
];

/// First labels of owners, hashes and not.
const LABELS: &[&str] = &["x", "0", "0p", "0g", "000", "0000", "00001", "www", "v-", "*", "_x", "2T7B4G4V"];

/// Why we refuse what BIND takes.
struct Rule {
    /// What it is called in `docs/differences.md`.
    name: &'static str,
    explains: fn(u16, &[u8]) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        name: "digests of GOST",
        explains: |kind, data| is_digest(kind) && data.get(3) == Some(&3) && data.len() != 36,
    },
    Rule { name: "private keys' object identifiers", explains: private_identifier },
    Rule { name: "private signatures", explains: private_signature },
    Rule { name: "fingerprints of no octets", explains: |kind, data| kind == 44 && data.len() == 2 },
    Rule { name: "service parameters", explains: service_parameters },
    Rule {
        name: "keys that are none",
        explains: |kind, data| kind == 25 && data.first().is_some_and(|o| o & 0xc0 == 0xc0),
    },
    Rule { name: "NXT without types", explains: |kind, data| kind == 30 && ends_with_name(data) },
    Rule { name: "NULL of no octets", explains: |kind, data| kind == 10 && data.is_empty() },
    Rule { name: "LOC of other versions", explains: |kind, data| kind == 29 && data.first() != Some(&0) },
    Rule { name: "brackets in ranges", explains: bracket_in_range },
    Rule { name: "pointers into the header", explains: has_pointer_to_header },
    Rule { name: "compressed names", explains: |kind, data| MAY_NOT_COMPRESS.contains(&kind) && has_pointer(data) },
];

/// Types whose names no server should compress (RFC 3597 §4, RFC 9460 §2.2 and those of the types), and we do not expand.
const MAY_NOT_COMPRESS: &[u16] = &[23, 25, 36, 38, 39, 45, 47, 48, 50, 55, 57, 58, 60, 64, 65, 66, 107, 260];

/// How many updates are signed with one key. The server remembers 6,000 of a key, and refuses what it cannot tell from a
/// replay once a key has more, as it may within a second here.
const UPDATES_OF_A_KEY: usize = 4_000;

/// DS, CDS, TA, DLV.
fn is_digest(kind: u16) -> bool {
    matches!(kind, 43 | 59 | 32768 | 32769)
}

/// RFC 4034 §A.1.1: a key of algorithm 254 begins with an object identifier. BIND 9.18 does not look, later ones do.
fn private_identifier(kind: u16, data: &[u8]) -> bool {
    matches!(kind, 25 | 48 | 57 | 60) && data.get(3) == Some(&254)
}

/// The same of signatures, and of names that those of algorithm 253 begin with.
fn private_signature(kind: u16, data: &[u8]) -> bool {
    matches!(kind, 24 | 46) && matches!(data.get(2), Some(253 | 254))
}

/// RFC 9460 §7.3 and RFC 9540 §4: `ech` has a value, `ohttp` has none.
fn service_parameters(kind: u16, data: &[u8]) -> bool {
    let parameter = |wanted: &[u8; 4]| data.windows(4).any(|parameter| parameter == wanted);
    matches!(kind, 64 | 65) && (parameter(&[0, 5, 0, 0]) || parameter(&[0, 8, 0, 1]) || parameter(&[0, 8, 0, 8]))
}

/// POSIX: both ends of a range are characters, the second not below the first. BIND does not look at a bracket.
fn bracket_in_range(kind: u16, data: &[u8]) -> bool {
    kind == 35 && (data.windows(2).any(|ends| ends == b"-[") || data.windows(3).any(|ends| ends == b"[[-"))
}

fn has_pointer(data: &[u8]) -> bool {
    data.windows(2).any(|pair| pair[0] >= 0xc0)
}

/// RFC 1035 §4.1.4: a pointer leads to a prior occurrence of a name. The header holds none.
fn has_pointer_to_header(_: u16, data: &[u8]) -> bool {
    data.windows(2).any(|pair| pair[0] == 0xc0 && pair[1] < 12)
}

fn ends_with_name(data: &[u8]) -> bool {
    Name::from_wire(data).is_ok()
}

/// Data by the type's number.
type Data = (u16, Vec<u8>);

/// A record that is sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    kind: u16,
    data: Vec<u8>,
    owner: &'static str,
}

/// Returns the data of all types as it should be.
fn sound() -> Vec<Data> {
    let examples = Type::all().filter_map(|rtype| Some((rtype.to_string(), rtype.example()?)));
    let more = MORE.iter().map(|&(rtype, text)| (rtype.to_owned(), text));
    let read = |(rtype, data): (String, &str)| {
        let apex = Name::from_text(ZONE).unwrap();
        let soa = if rtype == "SOA" { "" } else { "@ SOA a. b. 1 2 3 4 5\n" };
        let owner = if rtype == "SOA" { "@" } else { OWNER };
        let text = format!("$TTL 60\n{soa}@ NS a.\n{owner} {rtype} {data}\n");
        let reading = zonefile::read(&apex, ZONE, text.as_bytes());
        let zone = reading.zone.unwrap_or_else(|| panic!("{rtype} {data}: {:?}", reading.diagnostics));
        let rtype = Type::from_text(rtype.as_bytes()).unwrap();
        let name = if owner == "@" { apex } else { Name::from_text(&format!("{OWNER}.{ZONE}")).unwrap() };
        let octets = zone.node(&name).unwrap().rrset(rtype).unwrap().rdata().next().unwrap().to_vec();
        (rtype.0, octets)
    };
    examples.chain(more).map(read).collect()
}

/// Returns some data with every kind of fault, and as it is.
fn variants(data: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (0..=data.len()).map(|len| data[..len].to_vec()).collect();
    all.extend([0, 1, 5, 0xc0].map(|octet| [data, &[octet]].concat()));
    all.push([data, &[0; 300]].concat());
    for (at, &octet) in data.iter().enumerate().take(48) {
        let (front, back) = (&data[..at], &data[at + 1..]);
        // Lengths, kinds and numbers that are too small, too large, or not what they were.
        for other in [0, 1, octet.wrapping_sub(1), octet.wrapping_add(1), octet ^ 0x40, octet ^ 0x80, 0xff] {
            all.push([front, &[other], back].concat());
        }
        all.push([front, back].concat());
        all.push([front, &[octet, octet], back].concat());
        if octet == 0 {
            // Where a name ends: one that goes on elsewhere in the message, and one that is too long.
            all.push([front, &[0xc0, 12], back].concat());
            let long = [&[63], &[b'a'; 63][..]].concat().repeat(4);
            all.push([front, &long, &data[at..]].concat());
        }
    }
    // Windows of types that are out of order, empty, too long, or end in a zero octet.
    for windows in ["\u{1}\u{1}@\0\u{1}@", "\0\0", "\0\u{2}@\0", "\0\u{21}", "\0\u{20}"] {
        let map = windows.as_bytes();
        let filled = [map, &[1; 33][..usize::from(map[1]) * usize::from(map.len() == 2)]].concat();
        all.push([data, &filled].concat());
    }
    all
}

/// Returns some data with a few octets replaced, inserted and removed at random, many times.
fn damaged(data: &[u8], times: usize, random: &mut Random) -> Vec<Vec<u8>> {
    // What means something in expressions, templates, lengths and kinds.
    const OCTETS: &[u8] =
        b"!\\()[]{}|*+?^$-,:=.%/_0129aidns;&\0\x01\x02\x03\x04\x05\x14\x20\x30\x7f\x80\xc0\xfd\xfe\xff";
    let damage = |_| {
        let mut octets = data.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(octets.len() + 1);
            let to = (at + random.below(4)).min(octets.len());
            let new: Vec<u8> = (0..random.below(3)).map(|_| random.pick(OCTETS)).collect();
            octets.splice(at..to, new);
        }
        octets
    };
    (0..times).map(damage).collect()
}

/// Sends updates that add data, and returns the response code for each.
fn ask(server: SocketAddr, keys: &[Arc<Tsig>], all: &BTreeSet<Case>) -> BTreeMap<Case, u8> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let send = |id: u16, Case { kind, data, owner }: &Case| {
        let exists = Record { owner: &["nowhere"], kind: 255, class: class::ANY, ttl: 0, data: &[] };
        let record = Record { owner: &[owner], kind: *kind, class: class::IN, ttl: 0, data };
        let mut message = match DNSSEC.contains(kind) {
            true => wire::update(id, ZONE, &[exists, record], &[]),
            false => wire::update(id, ZONE, &[exists], &[record]),
        };
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        if let Some(key) = keys.get(usize::from(id) / UPDATES_OF_A_KEY) {
            tsig::sign(key, &mut message, unix).unwrap();
        }
        socket.send(&message).unwrap();
    };
    let mut outcomes = BTreeMap::new();
    let mut waiting: BTreeMap<u16, &Case> = BTreeMap::new();
    let mut left = (0..).zip(all);
    let mut reply = [0; 4096];
    let mut failures = 0;
    loop {
        while waiting.len() < WINDOW
            && let Some((id, data)) = left.next()
        {
            send(id, data);
            waiting.insert(id, data);
        }
        if waiting.is_empty() {
            return outcomes;
        }
        match socket.recv(&mut reply) {
            Ok(len) => {
                let (id, code) = (wire::id(&reply[..len]).unwrap(), wire::rcode(&reply[..len]).unwrap());
                if let Some(data) = waiting.remove(&id) {
                    outcomes.insert(data.clone(), code);
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                failures += 1;
                assert!(failures < 3, "no reply to {waiting:x?}");
                waiting.iter().for_each(|(id, data)| send(*id, data));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn hosted_takes_the_data_others_take() {
    let sound = sound();
    let case = |kind: u16, data: &[u8], owner: &'static str| Case { kind, data: data.to_vec(), owner };
    let mut all: BTreeSet<Case> = sound
        .iter()
        .flat_map(|(kind, data)| variants(data).into_iter().map(|data| Case { kind: *kind, data, owner: OWNER }))
        .collect();
    let mut random = Random::new(crate::number("ZONULE_SEED").unwrap_or(1));
    for (kind, data) in &sound {
        let damaged = damaged(data, 40, &mut random).into_iter();
        all.extend(damaged.map(|data| Case { kind: *kind, data, owner: OWNER }));
    }
    all.extend(MALFORMED.iter().map(|(kind, data)| case(*kind, data, OWNER)));
    let hashed = sound.iter().find(|(kind, _)| *kind == 50).unwrap();
    all.extend(LABELS.iter().map(|label| case(50, &hashed.1, label)));
    assert!(all.len() < usize::from(u16::MAX), "each has an id of its own");

    let sandbox = Sandbox::new("rdata").unwrap();
    let count = all.len() / UPDATES_OF_A_KEY + 1;
    let keys: Vec<_> = (0..count).map(|key| Key::new(&format!("test{key}._update.{ZONE}")).unwrap()).collect();
    let lines: String = keys.iter().map(Key::line).collect();
    let text = "$TTL 60\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.53\n";
    let files = [(ZONE.to_owned(), text.to_owned()), (format!("{ZONE}._keys"), lines)];
    let remote = Remote::with_files(sandbox.path(), files).unwrap();
    let target = Target::hosted(env!("CARGO_BIN_EXE_zonule"));
    let mut server = target.boot().remote(&remote).argument("--rate-limit=off").start(&sandbox).unwrap();
    let zones = [(ZONE, sandbox.path().join("zones").join(ZONE))];
    let [bind, knot] = [Peer::Bind, Peer::Knot].map(|peer| peer.start(sandbox.path(), &zones).unwrap());
    server.until_serving(ZONE).unwrap();

    let signer = |key: &Key| {
        let argument = key.argument();
        Arc::new(Tsig::parse_argument(argument.strip_prefix("--tsig-key=").unwrap()).unwrap())
    };
    let signers: Vec<_> = keys.iter().map(signer).collect();
    let (ours, theirs, third) = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| ask(bind.address(), &[], &all));
        let third = scope.spawn(|| ask(knot.address(), &[], &all));
        (ask(server.address(), &signers, &all), theirs.join().unwrap(), third.join().unwrap())
    });

    let mut faults = Vec::new();
    let mut used = BTreeSet::new();
    for (kind, data) in &sound {
        let case = case(*kind, data, OWNER);
        let both = (ours[&case], theirs[&case]);
        if both != (NXDOMAIN, NXDOMAIN) {
            faults.push(format!("sound data is refused: {} {data:02x?}: {both:?}", Type(*kind)));
        }
    }
    for (at, code) in &ours {
        let Case { kind, data, owner } = at;
        let (we, they) = (*code == NXDOMAIN, theirs[at] == NXDOMAIN);
        let shown = || format!("{owner} {} {data:02x?}: Zonule {code}, BIND {}", Type(*kind), theirs[at]);
        if !we && *code != wire::FORMERR {
            faults.push(format!("neither taken nor FORMERR: {}", shown()));
        }
        if we && !they {
            faults.push(format!("taken by us alone: {}", shown()));
        }
        if we && third[at] != NXDOMAIN {
            faults.push(format!("refused by Knot: {}, Knot {}", shown(), third[at]));
        }
        if !we && they {
            match RULES.iter().find(|rule| (rule.explains)(*kind, data)) {
                Some(rule) => drop(used.insert(rule.name)),
                None => faults.push(format!("refused by us alone: {}", shown())),
            }
        }
    }
    let unused: Vec<&str> = RULES.iter().map(|rule| rule.name).filter(|name| !used.contains(name)).collect();
    eprintln!("{} updates, {} taken", all.len(), ours.values().filter(|code| **code == NXDOMAIN).count());
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert_eq!(unused, Vec::<&str>::new(), "rules that explain nothing");
}
