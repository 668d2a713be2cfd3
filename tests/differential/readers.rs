//! Zone files, good and bad: who takes them?
//!
//! Each peer's zone checker reads the same files as our server. Where one decides otherwise than we, the table says
//! why; an entry that is not needed fails as one that is missing.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use zonule_harness::Peer::{self, Bind, Knot, Nsd};
use zonule_harness::wire::{self, kind};
use zonule_harness::{Remote, Sandbox, Target, eventually};

/// What most files begin with.
const BASE: &str = "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 300\n@ NS ns\nns A 192.0.2.53\n";

/// A file, and who decides otherwise than we.
struct File {
    what: &'static str,
    text: String,
    good: bool,
    others: &'static [(Peer, &'static str)],
}

/// A file that begins like all.
fn file(what: &'static str, more: &str, good: bool, others: &'static [(Peer, &'static str)]) -> File {
    File { what, text: format!("{BASE}{more}"), good, others }
}

/// A file as it stands.
fn whole(what: &'static str, text: &str, good: bool, others: &'static [(Peer, &'static str)]) -> File {
    File { what, text: text.to_owned(), good, others }
}

fn files() -> Vec<File> {
    let label = |len: usize| "a".repeat(len);
    // Below `fNN.test.`, 10 octets.
    let longest = |last: usize| [label(63), label(63), label(63), label(last)].join(".");
    vec![
        file("the least", "", true, &[]),
        file("no newline at the end", "www A 192.0.2.1", true, &[]),
        whole("CR LF", &BASE.replace('\n', "\r\n"), true, &[(Knot, "takes CR for data")]),
        file("comments", "; one\nwww A 192.0.2.1 ; two\n;three", true, &[]),
        file("TTL with units", "www 1h30m A 192.0.2.1\n", true, &[]),
        file("class before TTL", "www IN 60 A 192.0.2.1\n", true, &[]),
        file("class after TTL", "www 60 IN A 192.0.2.1\n", true, &[]),
        file("small letters", "www in a 192.0.2.1\n", true, &[]),
        file("owner from above", "www A 192.0.2.1\n    A 192.0.2.2\n", true, &[]),
        file("parentheses", "www TXT ( one ; comment\n two\n )\n", true, &[]),
        file(
            "$ORIGIN",
            "$ORIGIN sub\nwww A 192.0.2.1\n",
            true,
            &[(Nsd, "wants an absolute name"), (Knot, "wants an absolute name")],
        ),
        file("escapes in names", "a\\.b\\032c\\046 A 192.0.2.1\n", true, &[]),
        file("escapes in strings", "www TXT \"\\000\\\"\\255;\" un\\;quoted\n", true, &[]),
        file("blank string", "www TXT \"\"\n", true, &[]),
        file("string of 255", &format!("www TXT {}\n", label(255)), true, &[]),
        file("string of 256", &format!("www TXT {}\n", label(256)), false, &[(Knot, "makes two strings of it")]),
        file("string without an end", "www TXT \"one\nwww2 TXT two\n", false, &[]),
        file("escape above 255", "www TXT \\256\n", false, &[(Nsd, "takes the octet that is left")]),
        file("label of 63", &format!("{} A 192.0.2.1\n", label(63)), true, &[]),
        file("label of 64", &format!("{} A 192.0.2.1\n", label(64)), false, &[]),
        file("name of 255", &format!("{} A 192.0.2.1\n", longest(52)), true, &[]),
        file("name of 256", &format!("{} A 192.0.2.1\n", longest(53)), false, &[]),
        file("empty label", "a..b A 192.0.2.1\n", false, &[]),
        file("wildcard", "*.www A 192.0.2.1\na.*.www A 192.0.2.2\n", true, &[]),
        file("unknown type", "www TYPE65280 \\# 3 abcdef\n", true, &[]),
        file("unknown type without data", "www TYPE65280 \\# 0\n", true, &[]),
        file("known type as unknown", "www A \\# 4 c0000201\n", true, &[]),
        file("known type as unknown, too short", "www A \\# 3 c00002\n", false, &[(Knot, "does not look into it")]),
        file("unknown data of another length", "www TYPE65280 \\# 4 abcdef\n", false, &[(Nsd, "believes the data")]),
        file("unknown data with half an octet", "www TYPE65280 \\# 3 abcde\n", false, &[]),
        file("CLASS1", "www CLASS1 A 192.0.2.1\n", true, &[(Knot, "knows classes by name only")]),
        file("class CH", "www CH A 192.0.2.1\n", false, &[]),
        file("type nobody knows", "www NOSUCH 1\n", false, &[]),
        file("no type", "www 300\n", false, &[]),
        file("no data", "www A\n", false, &[]),
        file("too much data", "www A 192.0.2.1 192.0.2.2\n", false, &[]),
        file("no address", "www A 192.0.2.256\n", false, &[]),
        file("address of three parts", "www A 192.0.2\n", false, &[]),
        file("IPv6 as IPv4", "www A 2001:db8::1\n", false, &[]),
        file("IPv4 within IPv6", "www AAAA ::ffff:192.0.2.1\n", true, &[]),
        file("preference too large", "www MX 65536 ns\n", false, &[(Nsd, "takes what is left of it")]),
        file("unknown directive", "$NONE 1\n", false, &[]),
        file(
            "$GENERATE",
            "$GENERATE 1-3 h$ A 192.0.2.$\n",
            true,
            &[(Nsd, "an invention of BIND's"), (Knot, "an invention of BIND's")],
        ),
        file(
            "$GENERATE with width and base",
            "$GENERATE 8-12/2 h${1,3,x} A 192.0.2.$\n",
            true,
            &[(Nsd, "an invention of BIND's"), (Knot, "an invention of BIND's")],
        ),
        file("parenthesis without an end", "www TXT ( one\n", false, &[(Nsd, "the end of the file closes it")]),
        file("parenthesis without a beginning", "www TXT one )\n", false, &[]),
        file("TTL of 31 bits", "www 2147483647 A 192.0.2.1\n", true, &[]),
        file("TTL of 32 bits", "www 2147483648 A 192.0.2.1\n", true, &[]),
        file("TTL of 33 bits", "www 4294967296 A 192.0.2.1\n", false, &[(Nsd, "takes what is left of it")]),
        file("different TTLs", "www 60 A 192.0.2.1\nwww 61 A 192.0.2.2\n", true, &[]),
        file("record twice", "www A 192.0.2.1\nwww A 192.0.2.1\n", true, &[]),
        whole("no file", "", false, &[]),
        whole("no SOA", "$TTL 300\n@ NS ns\nns A 192.0.2.1\n", false, &[]),
        whole("no NS", "$TTL 300\n@ SOA ns hostmaster 1 2 3 4 5\n", false, &[(Nsd, "does not look")]),
        whole("no TTL", "@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", true, &[]),
        whole("TTL of the SOA only", "@ 60 SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", true, &[]),
        whole(
            "no owner",
            "$TTL 300\n SOA ns hostmaster 1 2 3 4 5\n NS ns\nns A 192.0.2.1\n",
            false,
            &[(Nsd, "begins with the zone's own name")],
        ),
        whole(
            "serial of 33 bits",
            "$TTL 300\n@ SOA ns hostmaster 4294967296 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n",
            false,
            &[(Nsd, "takes what is left of it")],
        ),
        whole("serial with a unit", "$TTL 300\n@ SOA ns hostmaster 1h 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", false, &[]),
        file("second SOA", "@ SOA ns hostmaster 2 7200 900 1209600 300\n", false, &[(Knot, "drops it")]),
        file("SOA elsewhere", "www SOA ns hostmaster 2 7200 900 1209600 300\n", false, &[(Knot, "drops it")]),
        file("data out of the zone", "www.example.org. A 192.0.2.1\n", true, &[(Nsd, "refuses what we leave out")]),
        file("CNAME and A", "www CNAME ns\nwww A 192.0.2.1\n", false, &[]),
        file("two CNAMEs", "www CNAME ns\nwww CNAME ns2\n", false, &[]),
        file("two DNAMEs", "www DNAME ns\nwww DNAME ns2\n", false, &[]),
        file("DNAME and CNAME", "www DNAME ns\nwww CNAME ns2\n", false, &[]),
        file("DNAME and NS", "www DNAME ns\nwww NS ns\n", true, &[(Knot, "RFC 6672 §2.3 allows it at the apex only")]),
        file(
            "name below a DNAME",
            "www DNAME ns\na.www A 192.0.2.1\n",
            false,
            &[(Bind, "hides what RFC 6672 §2.4 forbids")],
        ),
        file("name below a cut", "www NS ns\na.www TXT hidden\n", true, &[]),
        file("NS of a wildcard", "*.www NS ns\n", true, &[(Bind, "RFC 4592 §4.2 leaves its meaning open")]),
        file("NS without an address", "@ NS ns2\n", true, &[(Knot, "to us a warning"), (Bind, "to us a warning")]),
        file(
            "NS that is an alias",
            "@ NS ns2\nns2 CNAME ns\n",
            true,
            &[(Knot, "to us a warning"), (Bind, "to us a warning")],
        ),
        file("cut without glue", "www NS ns.www\n", true, &[(Knot, "to us a warning")]),
        file("MX that is an alias", "@ MX 1 mail\nmail CNAME ns\n", true, &[]),
        file("MX that is an address", "@ MX 1 192.0.2.1\n", true, &[]),
        file("host name with an underscore", "a_b A 192.0.2.1\n", true, &[]),
        file(
            "DS without NS",
            "www DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
            true,
            &[],
        ),
        file("DS too short", "www NS ns\nwww DS 1 13 2 0123\n", false, &[(Nsd, "does not look")]),
        file("LOC", "www LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\n", true, &[]),
        file("APL", "www APL 1:192.168.32.0/21 !1:192.168.38.0/28\n", true, &[]),
        file(
            "IPSECKEY",
            "www IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==\n",
            true,
            &[],
        ),
        file("X25", "www X25 311061700956\n", true, &[(Knot, "knows it as TYPE19 only")]),
        file("ISDN", "www ISDN 150862028003217 004\n", true, &[(Knot, "knows it as TYPE20 only")]),
        file("NID with short groups", "www NID 10 14:4fff:ff20:ee64\n", true, &[(Knot, "wants four digits each")]),
        file("SVCB", "www SVCB 1 ns alpn=h2,h3 port=8443 ipv4hint=192.0.2.1 key667=hello\n", true, &[]),
        file("SVCB with a key twice", "www SVCB 1 ns port=1 port=2\n", false, &[]),
        file("CAA", "www CAA 0 issue \"ca.example; policy=ev\"\n", true, &[]),
        file("HINFO of one string", "www HINFO one\n", false, &[]),
        file("EUI48", "www EUI48 00-00-5e-00-53-2a\n", true, &[]),
        file("URI", "www URI 10 1 \"https://www.example.org/\"\n", true, &[]),
        file("type mnemonic as owner", "a A 192.0.2.1\nmx A 192.0.2.2\nin A 192.0.2.3\n", true, &[]),
    ]
}

#[test]
fn hosted_takes_the_zone_files_others_take() {
    let sandbox = Sandbox::new("readers").unwrap();
    let files: BTreeMap<String, File> =
        files().into_iter().enumerate().map(|(number, file)| (format!("f{number:02}.test"), file)).collect();
    let remote = Remote::with_files(sandbox.path(), files.iter().map(|(name, file)| (name, &file.text))).unwrap();
    let target = Target::hosted(env!("CARGO_BIN_EXE_zonule"));
    let mut server = target.boot().remote(&remote).start(&sandbox).unwrap();
    server.until_console("zones loaded").unwrap();

    let copies = sandbox.path().join("files");
    fs::create_dir(&copies).unwrap();
    let mut faults = Vec::new();
    for (number, (zone, File { what, text, good, others })) in (0..).zip(&files) {
        let query = wire::query(number, zone, kind::SOA);
        let reply =
            eventually(what, || wire::exchange(server.address(), &query, Duration::from_secs(2)).unwrap()).unwrap();
        let taken = match wire::rcode(&reply) {
            Some(0) => true,
            Some(2) => false,
            other => panic!("{what}: {other:?}"),
        };
        let word = |taken: bool| if taken { "taken" } else { "refused" };
        if taken != *good {
            let console = server.console();
            let said: Vec<&str> = console.lines().filter(|line| line.contains(zone)).collect();
            faults.push(format!("Zonule: {what} is {}\n  {}", word(taken), said.join("\n  ")));
        }
        let path = copies.join(zone);
        fs::write(&path, text).unwrap();
        for peer in Peer::ALL {
            let (taken, said) = peer.check_zone(zone, &path).unwrap();
            let reason = others.iter().find(|(other, _)| *other == peer);
            if (taken != *good) != reason.is_some() {
                faults.push(format!(
                    "{peer}: {what} is {}: {}",
                    word(taken),
                    said.lines().take(3).collect::<Vec<_>>().join(" / ")
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}
