//! Tests that check answers with an independent message parser.

use crate::zonefile;
use std::sync::Arc;

use hickory_proto::op::Message;
use hickory_proto::rr::RData;
use proptest::prelude::*;

use super::*;
use crate::dns::Name;

mod protocol;

const EXAMPLE: &str = r#"
$TTL 3600
@       SOA ns1 hostmaster 2026010101 1h 15m 1w 5m
        NS  ns1
        NS  ns.other.example.
        MX  10 mail
        MX  20 mail
        A   192.0.2.80
ns1     A   192.0.2.1
        AAAA 2001:db8::1
mail    A   192.0.2.25
www     CNAME web
web     A   192.0.2.81
        A   192.0.2.82
a.b.c   TXT "deep"
*.wild  TXT "wild"
*.wild  MX 5 mail
x.wild  A   192.0.2.90
y.*.ent TXT "below an empty wildcard"
*.alias CNAME web
naptr   NAPTR 1 1 "S" "SIP+D2U" "" _sip._tcp
        NAPTR 2 1 "a" "" "" web
        NAPTR 3 1 "U" "E2U+sip" "!^.*$!sip:info@example.org!" .
        NAPTR 4 1 "" "" "" mail
svc     HTTPS 1 . alpn=h2
        A   192.0.2.83
        AAAA 2001:db8::83
svcalias HTTPS 0 svc
nosvc   SVCB 0 .
svcb    SVCB 1 web
        SVCB 2 q.hosts
*.hosts A   192.0.2.84
wildmx  MX  1 a.hosts
        MX  2 b.hosts
        MX  3 A.hosts
_sip._tcp SRV 1 1 5060 mail
        SRV 2 1 5061 mail
loop1   CNAME loop2
loop2   CNAME loop1
away    CNAME www.elsewhere.example.
gone    CNAME nothing
cross   CNAME www.sub2.example.org.
incut   CNAME www.sub
sub     NS  ns.sub
        NS  ns.sub2
        DS  1 13 9 abcd
ns.sub  A   192.0.2.53
        AAAA 2001:db8::53
www.sub A   192.0.2.99
sub2    NS  ns.sub2
ns.sub2 A   192.0.2.54
old     DNAME new
old     TXT "the owner itself is not redirected"
host.new A  192.0.2.70
big     TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
"#;

const SUB2: &str = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.54\nwww A 192.0.2.55\n";

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

fn load(zones: &mut Zones, apex: &str, text: &str) {
    let reading = zonefile::read(&name(apex), apex, text.as_bytes());
    let zone = reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics));
    zones.insert(Arc::new(zone));
}

fn zones() -> Zones {
    let mut zones = Zones::default();
    load(&mut zones, "example.org", EXAMPLE);
    load(&mut zones, "sub2.example.org", SUB2);
    let many: String = (0..100).map(|n| format!("many A 192.0.2.{n}\nbig TXT \"{n} {}\"\n", "x".repeat(90))).collect();
    let cut: String =
        (0..12).map(|n| format!("cut NS ns{n}.cut\nns{n}.cut A 192.0.2.{n}\nns{n}.cut AAAA 2001:db8::{n}\n")).collect();
    let sibling: String = (0..13).map(|n| format!("sibling NS ns{n}.cut\n")).collect();
    load(
        &mut zones,
        "large.example",
        &format!("$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n{many}{cut}{sibling}"),
    );
    zones.insert_broken(name("broken.example"), Fault::Errors);
    zones
}

/// A query for `owner`, with an OPT record of the given payload size if there is one.
fn query(owner: &str, qtype: Type, edns: Option<u16>) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    query.extend(name(owner).as_wire());
    query.extend(qtype.0.to_be_bytes());
    query.extend([0, 1]);
    if let Some(payload) = edns {
        query.extend([0, 0, 41]);
        query.extend(payload.to_be_bytes());
        query.extend([0, 0, 0, 0, 0, 0]);
    }
    query
}

fn settings() -> Settings {
    Settings::new(&[Secret::new([1; 16])])
}

/// A context without rate limiting and without server texts.
fn context<'a>(zones: Option<&'a Zones>, settings: &'a Settings, transport: Transport) -> Context<'a> {
    let source = IpAddr::from([192, 0, 2, 1]);
    Context {
        zones,
        settings,
        limiter: None,
        transport,
        source,
        uptime: Duration::ZERO,
        unix: 1_800_000_000,
        reserve: Some(0),
    }
}

fn send_to(context: &Context<'_>, query: &[u8]) -> Option<Vec<u8>> {
    let mut reply = vec![0xee; 65_535];
    let len = respond(context, query, &mut reply).octets()?;
    reply.truncate(len);
    Some(reply)
}

fn send(zones: &Zones, transport: Transport, query: &[u8]) -> Option<Vec<u8>> {
    send_to(&context(Some(zones), &settings(), transport), query)
}

/// Formats a reply: flags and code, then one line for each record with its section.
fn shown(reply: &[u8]) -> String {
    let message = Message::from_vec(reply).unwrap_or_else(|error| panic!("{error}: {reply:02x?}"));
    let mut out = format!("{:?}", message.metadata.response_code);
    for (flag, set) in [("AA", message.metadata.authoritative), ("TC", message.metadata.truncation)] {
        if set {
            out += &format!(" {flag}");
        }
    }
    for (section, records) in [("an", &message.answers), ("au", &message.authorities), ("ad", &message.additionals)] {
        for record in records {
            let data = match &record.data {
                // hickory-proto does not support DNAME.
                RData::Unknown { code, rdata } if u16::from(*code) == 39 => {
                    Name::from_wire(&rdata.anything).unwrap().to_string()
                }
                data => data.to_string(),
            };
            out += &format!("\n{section} {} {} {} {data}", record.name, record.ttl, record.record_type());
        }
    }
    out
}

fn ask(owner: &str, qtype: Type) -> String {
    shown(&send(&zones(), Transport::TCP, &query(owner, qtype, None)).unwrap())
}

const SOA: &str = "au example.org. 300 SOA ns1.example.org. hostmaster.example.org. 2026010101 3600 900 604800 300";

#[track_caller]
fn expect(owner: &str, qtype: Type, expected: &[&str]) {
    assert_eq!(ask(owner, qtype), expected.join("\n"), "{owner} {qtype}");
}

/// RFC 1034 §4.3.2 step 3a.
#[test]
fn exact_match() {
    expect(
        "web.example.org",
        Type::A,
        &["NoError AA", "an web.example.org. 3600 A 192.0.2.81", "an web.example.org. 3600 A 192.0.2.82"],
    );
    expect("web.example.org", Type::TXT, &["NoError AA", SOA]);
    expect(
        "old.example.org",
        Type::TXT,
        &["NoError AA", "an old.example.org. 3600 TXT the owner itself is not redirected"],
    );
    expect("*.wild.example.org", Type::TXT, &["NoError AA", "an *.wild.example.org. 3600 TXT wild"]);
}

/// RFC 2308 §2, §5; RFC 4592 §2.2.2 for empty non-terminals.
#[test]
fn negative() {
    expect("nothing.example.org", Type::A, &["NXDomain AA", SOA]);
    expect("b.c.example.org", Type::A, &["NoError AA", SOA]);
    expect("c.example.org", Type::A, &["NoError AA", SOA]);
    expect("z.c.example.org", Type::A, &["NXDomain AA", SOA]);
    expect("x.a.b.c.example.org", Type::A, &["NXDomain AA", SOA]);
}

/// RFC 4592 §2.2.1, §3.3.1, §4.
#[test]
fn wildcards() {
    expect("q.wild.example.org", Type::TXT, &["NoError AA", "an q.wild.example.org. 3600 TXT wild"]);
    expect("r.q.wild.example.org", Type::TXT, &["NoError AA", "an r.q.wild.example.org. 3600 TXT wild"]);
    expect("q.wild.example.org", Type::A, &["NoError AA", SOA]);
    expect("x.wild.example.org", Type::TXT, &["NoError AA", SOA]);
    expect("q.x.wild.example.org", Type::TXT, &["NXDomain AA", SOA]);
    expect("wild.example.org", Type::TXT, &["NoError AA", SOA]);
    expect("q.ent.example.org", Type::TXT, &["NoError AA", SOA]);
    expect(
        "q.wild.example.org",
        Type::MX,
        &["NoError AA", "an q.wild.example.org. 3600 MX 5 mail.example.org.", "ad mail.example.org. 3600 A 192.0.2.25"],
    );
    expect(
        "q.alias.example.org",
        Type::A,
        &[
            "NoError AA",
            "an q.alias.example.org. 3600 CNAME web.example.org.",
            "an web.example.org. 3600 A 192.0.2.81",
            "an web.example.org. 3600 A 192.0.2.82",
        ],
    );
}

/// RFC 1034 §3.6.2, §4.3.2 step 3a; RFC 6604 for the code.
#[test]
fn aliases() {
    let www = "an www.example.org. 3600 CNAME web.example.org.";
    expect("www.example.org", Type::AAAA, &["NoError AA", www, SOA]);
    expect("www.example.org", Type::CNAME, &["NoError AA", www]);
    expect(
        "loop1.example.org",
        Type::A,
        &[
            "NoError AA",
            "an loop1.example.org. 3600 CNAME loop2.example.org.",
            "an loop2.example.org. 3600 CNAME loop1.example.org.",
        ],
    );
    expect("away.example.org", Type::A, &["NoError AA", "an away.example.org. 3600 CNAME www.elsewhere.example."]);
    expect("gone.example.org", Type::A, &["NXDomain AA", "an gone.example.org. 3600 CNAME nothing.example.org.", SOA]);
    expect(
        "cross.example.org",
        Type::A,
        &[
            "NoError AA",
            "an cross.example.org. 3600 CNAME www.sub2.example.org.",
            "an www.sub2.example.org. 60 A 192.0.2.55",
        ],
    );
    expect(
        "incut.example.org",
        Type::A,
        &[
            "NoError AA",
            "an incut.example.org. 3600 CNAME www.sub.example.org.",
            "au sub.example.org. 3600 NS ns.sub.example.org.",
            "au sub.example.org. 3600 NS ns.sub2.example.org.",
            "ad ns.sub.example.org. 3600 A 192.0.2.53",
            "ad ns.sub.example.org. 3600 AAAA 2001:db8::53",
            "ad ns.sub2.example.org. 3600 A 192.0.2.54",
        ],
    );
}

/// Chains of aliases are limited, and loops end.
#[test]
fn chains() {
    let mut zones = zones();
    let links: String = (0..40).map(|n| format!("c{n} CNAME c{}\n", n + 1)).collect();
    load(
        &mut zones,
        "c.example",
        &format!("$TTL 1\n@ SOA n h 1 1 1 1 1\n@ NS n.e.\n{links}c40 A 192.0.2.1\nme CNAME me\n"),
    );
    let send = |owner: &str| {
        let reply = shown(&send(&zones, Transport::UDP, &query(owner, Type::A, Some(1232))).unwrap());
        (reply.starts_with("NoError AA\n"), reply.matches(" CNAME ").count(), reply.ends_with(" A 192.0.2.1"))
    };
    assert_eq!(send("c0.c.example"), (true, 16, false));
    assert_eq!(send("c24.c.example"), (true, 16, false));
    assert_eq!(send("c25.c.example"), (true, 15, true));
    assert_eq!(send("me.c.example"), (true, 1, false));
}

/// RFC 6672 §3.2.
#[test]
fn dname() {
    expect(
        "host.old.example.org",
        Type::A,
        &[
            "NoError AA",
            "an old.example.org. 3600 DNAME new.example.org.",
            "an host.old.example.org. 3600 CNAME host.new.example.org.",
            "an host.new.example.org. 3600 A 192.0.2.70",
        ],
    );
    let alias = ask("host.old.example.org", Type::CNAME);
    assert!(alias.ends_with("\nan host.old.example.org. 3600 CNAME host.new.example.org."), "{alias}");
    let long = format!("{}old.example.org", "a.".repeat(119));
    assert!(ask(&long, Type::A).starts_with("NXDomain AA\nan old.example.org. 3600 DNAME"));
    let mut zones = zones();
    load(&mut zones, "d.example", "$TTL 1\n@ SOA n h 1 1 1 1 1\n@ NS n.e.\na DNAME much.longer\nself DNAME x.self\n");
    let send = |owner: &str| shown(&send(&zones, Transport::TCP, &query(owner, Type::A, None)).unwrap());
    let long = format!("{}a.d.example", "a.".repeat(120));
    assert_eq!(send(&long), "YXDomain AA\nan a.d.example. 1 DNAME much.longer.d.example.");
    let circle = send("q.self.d.example");
    assert!(circle.starts_with("NoError AA") && circle.matches(" DNAME ").count() == 1, "{circle}");
}

/// RFC 1034 §4.3.2 step 3b; RFC 4035 §3.1.4.1 for DS.
#[test]
fn delegations() {
    let referral = [
        "NoError",
        "au sub.example.org. 3600 NS ns.sub.example.org.",
        "au sub.example.org. 3600 NS ns.sub2.example.org.",
        "ad ns.sub.example.org. 3600 A 192.0.2.53",
        "ad ns.sub.example.org. 3600 AAAA 2001:db8::53",
        "ad ns.sub2.example.org. 3600 A 192.0.2.54",
    ];
    for owner in ["sub.example.org", "www.sub.example.org", "ns.sub.example.org", "q.w.sub.example.org"] {
        expect(owner, Type::A, &referral);
    }
    expect("sub.example.org", Type::NS, &referral);
    expect("x.sub.example.org", Type::DS, &referral);
    let ds = ask("sub.example.org", Type::DS);
    assert!(ds.starts_with("NoError AA\nan sub.example.org. 3600 DS"), "{ds}");
    // The parent answers for DS even if the child is served here, too.
    expect("sub2.example.org", Type::DS, &["NoError AA", SOA]);
    expect(
        "sub2.example.org",
        Type::NS,
        &["NoError AA", "an sub2.example.org. 60 NS ns.sub2.example.org.", "ad ns.sub2.example.org. 60 A 192.0.2.54"],
    );
    // It also does if the child is broken, although other queries for the child then fail.
    let mut zones = zones();
    zones.insert_broken(name("sub.example.org"), Fault::Awaited);
    let code = |owner, qtype| send(&zones, Transport::TCP, &query(owner, qtype, None)).unwrap()[3];
    assert_eq!(
        (code("sub.example.org", Type::DS), code("sub.example.org", Type::A), code("x.sub.example.org", Type::DS)),
        (0, 2, 2)
    );
    // A zone whose parent is not served here answers for itself.
    expect("example.org", Type::DS, &["NoError AA", SOA]);
}

/// RFC 1035 §3.3.9, RFC 2782: addresses of hosts in the data, without duplicates.
#[test]
fn additional() {
    expect(
        "example.org",
        Type::MX,
        &[
            "NoError AA",
            "an example.org. 3600 MX 10 mail.example.org.",
            "an example.org. 3600 MX 20 mail.example.org.",
            "ad mail.example.org. 3600 A 192.0.2.25",
        ],
    );
    let srv = ask("_sip._tcp.example.org", Type::SRV);
    assert!(srv.ends_with("\nad mail.example.org. 3600 A 192.0.2.25") && srv.lines().count() == 4, "{srv}");
    // RFC 3403 §4.1: the flags determine the records; none for URIs and rules.
    let naptr = ask("naptr.example.org", Type::NAPTR);
    let added: Vec<&str> = naptr.lines().filter(|line| line.starts_with("ad")).collect();
    assert_eq!(
        added,
        [
            "ad _sip._tcp.example.org. 3600 SRV 1 1 5060 mail.example.org.",
            "ad _sip._tcp.example.org. 3600 SRV 2 1 5061 mail.example.org.",
            "ad web.example.org. 3600 A 192.0.2.81",
            "ad web.example.org. 3600 A 192.0.2.82",
        ]
    );
    // RFC 9460 §2.4.2, §2.5.2, §4.1.
    let added = |owner, qtype| {
        let reply = ask(owner, qtype);
        let added: Vec<String> = reply.lines().filter(|line| line.starts_with("ad")).map(str::to_string).collect();
        added.join("\n")
    };
    let addresses = "ad svc.example.org. 3600 A 192.0.2.83\nad svc.example.org. 3600 AAAA 2001:db8::83";
    assert_eq!(added("svc.example.org", Type::HTTPS), addresses);
    assert!(
        added("svcalias.example.org", Type::HTTPS)
            .starts_with(&format!("{addresses}\nad svc.example.org. 3600 HTTPS 1 ."))
    );
    assert_eq!(added("nosvc.example.org", Type::SVCB), "");
    assert_eq!(
        added("svcb.example.org", Type::SVCB),
        "ad web.example.org. 3600 A 192.0.2.81\nad web.example.org. 3600 A 192.0.2.82\nad q.hosts.example.org. 3600 A 192.0.2.84"
    );
    assert_eq!(
        added("wildmx.example.org", Type::MX),
        "ad a.hosts.example.org. 3600 A 192.0.2.84\nad b.hosts.example.org. 3600 A 192.0.2.84"
    );
    // RFC 8482: one RRset.
    expect("example.org", Type::ANY, &["NoError AA", "an example.org. 3600 A 192.0.2.80"]);
}

#[test]
fn outside_our_zones() {
    let zones = zones();
    for (owner, expected) in
        [("com", "Refused"), ("org", "Refused"), ("broken.example", "ServFail"), ("x.broken.example", "ServFail")]
    {
        assert_eq!(ask(owner, Type::A), expected);
    }
    let reply = send(&zones, Transport::UDP, &query("com", Type::A, Some(1232))).unwrap();
    assert!(reply.ends_with(&[0, 6, 0, 15, 0, 2, 0, 20]));
    let mut reply = [0; 600];
    let len = respond(&context(None, &settings(), Transport::UDP), &query("com", Type::A, Some(1232)), &mut reply)
        .octets()
        .unwrap();
    assert_eq!(reply[3], 2);
    assert!(reply[..len].ends_with(b"\x00\x0e" as &[u8]) || reply[..len].windows(4).any(|w| w == [0, 26, 0, 14]));
    for qtype in [Type::AXFR, Type::IXFR] {
        assert_eq!(ask("example.org", qtype), "Refused");
    }
    assert_eq!(ask("example.org", Type::MAILB), "NotImp");
    for class in [3, 254, 255] {
        let mut query = query("example.org", Type::A, None);
        *query.last_mut().unwrap() = class;
        assert_eq!(send(&zones, Transport::UDP, &query).unwrap()[3], 5);
    }
}

/// RFC 1035 §2.3.3, §4.1.4: the letter case of the question is kept, also in names that point to it.
#[test]
fn letter_case_is_kept() {
    let query = query("wWw.eXample.oRg", Type::A, None);
    let reply = send(&zones(), Transport::UDP, &query).unwrap();
    assert_eq!(&reply[12..query.len()], &query[12..]);
    // CNAME to `web` and a pointer into the question, then two A records owned by a pointer to that.
    let target = [3, b'w', b'e', b'b', 0xc0, 16];
    let at = reply.windows(6).position(|window| window == target).unwrap();
    assert_eq!(reply[at + 6..at + 8], [0xc0, at as u8]);
    assert_eq!(reply.len(), query.len() + 12 + 6 + 2 * 16);
}

/// RFC 2181 §9, RFC 6891 §6.2.5, RFC 9471 §3.
#[test]
fn truncation() {
    let zones = zones();
    let udp = |owner: &str, qtype, payload| send(&zones, Transport::UDP, &query(owner, qtype, payload)).unwrap();
    for (payload, limit) in [(None, 512), (Some(0), 512), (Some(600), 600), (Some(4096), 1232)] {
        let reply = udp("many.large.example", Type::A, payload);
        assert!(reply.len() <= limit && reply[2] & 2 != 0);
        assert_eq!(reply[6..10], [0; 4], "no part of an RRset");
        let reply = udp("x.cut.large.example", Type::A, payload);
        let all = reply[11] == 24 + u8::from(payload.is_some());
        assert!(reply.len() <= limit && (reply[2] & 2 == 0) == all, "{}", shown(&reply));
        assert!(reply[9] == 12);
        // Missing addresses of servers elsewhere do not set TC.
        let reply = udp("x.sibling.large.example", Type::A, payload);
        assert!(reply.len() <= limit && reply[2] & 2 == 0);
    }
    let reply = send(&zones, Transport::TCP, &query("many.large.example", Type::A, None)).unwrap();
    assert_eq!((reply[2] & 2, reply[7]), (0, 100));
    // The caller's buffer is a limit, too.
    let query = query("many.large.example", Type::A, Some(4096));
    for room in 0..600 {
        let mut reply = vec![0; room];
        match respond(&context(Some(&zones), &settings(), Transport::UDP), &query, &mut reply).octets() {
            Some(len) => assert!(len <= room && len >= 12),
            None => assert!(room < 100),
        }
    }
}

/// RFC 9471 §3.2: addresses of sibling servers are added as far as they fit; one with too many does not prevent others.
#[test]
fn sibling_glue_after_a_host_that_does_not_fit() {
    let many: String = (0..90).map(|n| format!("a.cut A 192.0.2.{n}\n")).collect();
    let mut zones = Zones::default();
    let text = format!(
        "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\ncut NS a.cut\nother NS a.cut\nother NS b.cut\n\
         b.cut A 192.0.2.2\n{many}"
    );
    load(&mut zones, "example.org", &text);
    let reply = send(&zones, Transport::UDP, &query("x.other.example.org", Type::A, None)).unwrap();
    let reply = shown(&reply);
    assert!(reply.starts_with("NoError\n"), "{reply}");
    assert!(reply.ends_with("\nad b.cut.example.org. 60 A 192.0.2.2"), "{reply}");
}

/// RFC 1035 §2.3.4: names of 255 octets, labels of 63; RFC 1035 §4.2.2: RRsets that do not fit into any message.
#[test]
fn extremes() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61 - 14));
    let records: String = (0..10_000).map(|n| format!("m A 10.0.{}.{}\n", n / 256, n % 256)).collect();
    let fits: String = (0..4_000).map(|n| format!("n A 10.0.{}.{}\n", n / 256, n % 256)).collect();
    let text = format!("$TTL 1\n@ SOA n h 1 1 1 1 1\n@ NS n\n*.{label} TXT w\n{longest} TXT x\n{records}{fits}");
    let reading = zonefile::read(&name("large.example"), "large.example", text.as_bytes());
    assert_eq!(reading.diagnostics.len(), 1, "{:?}", reading.diagnostics);
    let mut zones = Zones::default();
    zones.insert(Arc::new(reading.zone.unwrap()));
    let longest = format!("{longest}.large.example");
    assert_eq!(name(&longest).as_wire().len(), 255);
    for (owner, qtype, records) in [
        (&*longest, Type::TXT, 1),
        (&longest.replacen('a', "c", 1), Type::TXT, 0),
        (&format!("c.{label}.large.example"), Type::TXT, 1),
        ("n.large.example", Type::A, 4_000),
    ] {
        let reply = send(&zones, Transport::TCP, &query(owner, qtype, None)).unwrap();
        assert_eq!((reply[2] & 2, u16::from_be_bytes([reply[6], reply[7]])), (0, records), "{owner}");
    }
    let reply = send(&zones, Transport::TCP, &query("m.large.example", Type::A, None)).unwrap();
    assert_eq!((reply[2] & 2, reply.len()), (2, 33), "{}", shown(&reply));
}

fn any_qtype() -> impl Strategy<Value = u16> {
    prop_oneof![
        Just(1),
        Just(2),
        Just(5),
        Just(6),
        Just(15),
        Just(16),
        Just(28),
        Just(33),
        Just(39),
        Just(43),
        Just(255),
        any::<u16>()
    ]
}

fn any_owner() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        Just("www"),
        Just("web"),
        Just("sub"),
        Just("sub2"),
        Just("wild"),
        Just("old"),
        Just("x"),
        Just("a"),
        Just("b"),
        Just("c"),
        Just("*"),
        Just("loop1"),
        Just("cross"),
        Just("incut"),
        Just("many"),
        Just("cut"),
        Just("ent"),
        Just("\\000"),
    ];
    let apex = prop_oneof![
        Just("example.org."),
        Just("large.example."),
        Just("sub2.example.org."),
        Just("broken.example."),
        Just("")
    ];
    (proptest::collection::vec(label, 0..5), apex).prop_map(|(labels, apex)| {
        let name: String = labels.iter().flat_map(|label| [*label, "."]).chain([apex]).collect();
        if name.is_empty() { ".".into() } else { name }
    })
}

proptest! {
    /// Every reply is a message that an independent parser accepts, and respects the size limit.
    #[test]
    fn replies_are_messages(owner in any_owner(), qtype in any_qtype(), edns in proptest::option::of(any::<u16>()), tcp: bool) {
        let zones = zones();
        let transport = if tcp { Transport::TCP } else { Transport::UDP };
        let reply = send(&zones, transport, &query(&owner, Type(qtype), edns)).unwrap();
        let message = Message::from_vec(&reply).unwrap();
        prop_assert_eq!(message.queries.len(), 1);
        let limit = if tcp { 65_535 } else { edns.unwrap_or(512).clamp(512, 1232) };
        prop_assert!(reply.len() <= usize::from(limit));
        prop_assert_eq!(message.edns.is_some(), edns.is_some());
        prop_assert!(!message.metadata.recursion_available && !message.metadata.authentic_data);
    }

    #[test]
    fn any_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..100), room in 0..700_usize) {
        let mut reply = vec![0; room];
        if let Some(len) = respond(&context(Some(&zones()), &settings(), Transport::UDP), &octets, &mut reply).octets() {
            prop_assert!(len <= room);
        }
    }

    #[test]
    fn mutated_queries_never_panic(
        owner in any_owner(), qtype in any_qtype(), edns in proptest::option::of(any::<u16>()),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), cut in any::<prop::sample::Index>(),
    ) {
        let mut query = query(&owner, Type(qtype), edns);
        for (at, value) in changes {
            let at = at.index(query.len());
            query[at] = value;
        }
        query.truncate(cut.index(query.len() * 2) + 1);
        if let Some(reply) = send(&zones(), Transport::UDP, &query) {
            prop_assert!(reply.len() >= 12 && reply.len() <= 1232);
            prop_assert_eq!(&reply[..2], &query[..2]);
        }
    }
}
