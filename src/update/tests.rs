//! Tests for the rules of RFC 2136 §3, in order.

use super::*;
use crate::dns::{Serial, print};
use crate::zone::Zone;
use crate::zonefile::read;

mod against_model;

const SOA: &str = "ns host 7 1 1 1 1";

fn apex() -> Name {
    name("@")
}

/// A name relative to `example.org`.
fn name(text: &str) -> Name {
    match (text, text.strip_suffix('.')) {
        ("@", _) => Name::from_text("example.org").unwrap(),
        (_, Some(absolute)) => Name::from_text(absolute).unwrap(),
        _ => Name::from_text(&format!("{text}.example.org")).unwrap(),
    }
}

/// The wire form of data with names relative to `example.org`.
fn data(rtype: Type, text: &str) -> Vec<u8> {
    let record = format!("{rtype} {text}\n");
    let (soa, own) =
        if rtype == Type::SOA { (record, String::new()) } else { ("SOA a. b. 1 1 1 1 1\n".into(), record) };
    let own = if own.is_empty() { own } else { format!("00.rdata.test. {own}") };
    let text = format!("$TTL 1\n$ORIGIN example.org.\nrdata.test. {soa}rdata.test. NS a.\n{own}");
    let apex = Name::from_text("rdata.test").unwrap();
    let reading = read(&apex, "rdata.test", text.as_bytes());
    let zone = reading.zone.unwrap_or_else(|| panic!("{text}: {:?}", reading.diagnostics));
    let owner = if rtype == Type::SOA { apex } else { Name::from_text("00.rdata.test").unwrap() };
    zone.node(&owner).unwrap().rrset(rtype).unwrap().rdata().next().unwrap().to_vec()
}

/// A record in wire form.
fn wire(owner: &Name, rtype: Type, class: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut wire = owner.as_wire().to_vec();
    wire.extend(rtype.0.to_be_bytes());
    wire.extend(class.to_be_bytes());
    wire.extend(ttl.to_be_bytes());
    wire.extend((data.len() as u16).to_be_bytes());
    wire.extend(data);
    wire
}

/// A record of the prerequisite or update section in wire form, from one of these descriptions: `+ owner ttl type
/// data`, `- owner`, `- owner type`, `- owner type data`, `exists owner`, `exists owner type`, `absent owner`, `absent
/// owner type`, `has owner type data`.
fn encode(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let rtype = |text: &str| Type::from_text(text.as_bytes()).unwrap();
    let of = |class, words: &[&str]| match words {
        [owner] => wire(&name(owner), Type::ANY, class, 0, &[]),
        [owner, kind] => wire(&name(owner), rtype(kind), class, 0, &[]),
        _ => panic!("{line}"),
    };
    match &*words {
        ["+", owner, ttl, kind, rest @ ..] => {
            wire(&name(owner), rtype(kind), class::IN, ttl.parse().unwrap(), &data(rtype(kind), &rest.join(" ")))
        }
        ["-", owner, kind, rest @ ..] if !rest.is_empty() => {
            wire(&name(owner), rtype(kind), class::NONE, 0, &data(rtype(kind), &rest.join(" ")))
        }
        ["has", owner, kind, rest @ ..] => {
            wire(&name(owner), rtype(kind), class::IN, 0, &data(rtype(kind), &rest.join(" ")))
        }
        ["-" | "exists", rest @ ..] => of(class::ANY, rest),
        ["absent", rest @ ..] => of(class::NONE, rest),
        _ => panic!("{line}"),
    }
}

/// A message that consists of the given records.
fn message(zone: &[u8], prerequisites: &[Vec<u8>], operations: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x28, 0];
    for count in [usize::from(!zone.is_empty()), prerequisites.len(), operations.len(), 0] {
        message.extend((count as u16).to_be_bytes());
    }
    message.extend(zone);
    message.extend(prerequisites.concat());
    message.extend(operations.concat());
    message
}

fn question(name: &Name, rtype: Type, class: u16) -> Vec<u8> {
    let mut question = name.as_wire().to_vec();
    question.extend(rtype.0.to_be_bytes());
    question.extend(class.to_be_bytes());
    question
}

fn of_example(prerequisites: &[Vec<u8>], operations: &[Vec<u8>]) -> Vec<u8> {
    message(&question(&apex(), Type::SOA, class::IN), prerequisites, operations)
}

fn parse(prerequisites: &[Vec<u8>], operations: &[Vec<u8>]) -> Result<Update, Refusal> {
    let message = of_example(prerequisites, operations);
    let parsed = Update::parse(&message);
    assert_eq!(Update::check_form(&message), parsed.as_ref().map(drop).map_err(Refusal::clone));
    parsed
}

fn update(lines: &[&str]) -> Update {
    let is_operation = |line: &&&str| line.starts_with(['+', '-']);
    let of = |operations| lines.iter().filter(move |line| is_operation(line) == operations).map(|line| encode(line));
    parse(&of(false).collect::<Vec<_>>(), &of(true).collect::<Vec<_>>()).unwrap()
}

fn zone(lines: &str) -> Zone {
    let text = format!("$TTL 60\n@ SOA {SOA}\n@ NS ns\n{lines}");
    let reading = read(&apex(), "example.org", text.as_bytes());
    reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
}

/// The records of a zone without the SOA record, with relative names.
fn records_of(zone: &Zone) -> Vec<String> {
    let mut lines = Vec::new();
    for node in zone.iter() {
        for rrset in node.rrsets().filter(|rrset| rrset.rtype() != Type::SOA) {
            for data in rrset.rdata() {
                let line = print::record(node.owner(), rrset.ttl(), rrset.rtype(), data).replace(" IN ", " ");
                lines.push(line.replace(".example.org.", "").replace("example.org.", "@"));
            }
        }
    }
    lines
}

/// The result of an update: the records, without the NS record of the apex, and the serial number.
fn result_of(before: &str, lines: &[&str]) -> (Vec<String>, u32) {
    let zone = zone(before);
    match update(lines).apply(Some(&zone), Scope::Zones).unwrap() {
        Effect::Unchanged => (vec!["unchanged".into()], zone.serial().0),
        Effect::Amended(amendments) => {
            let order = |amendment: &crate::zone::Amendment| (amendment.owner.clone(), amendment.rtype);
            assert!(amendments.is_sorted_by(|a, b| order(a) < order(b)));
            let new = zone.amend(&amendments).unwrap();
            assert_eq!(crate::zone::difference(&zone, &new).amendments(&new), amendments, "exactly the differences");
            (records_of(&new).into_iter().filter(|line| line != "@ 60 NS ns").collect(), new.serial().0)
        }
        other => panic!("{other:?}"),
    }
}

/// The records after an update that raises the serial number by one.
fn after(before: &str, lines: &[&str]) -> Vec<String> {
    let (records, serial) = result_of(before, lines);
    assert_eq!(serial, if records == ["unchanged"] { 7 } else { 8 });
    records
}

fn refused(before: &str, lines: &[&str]) -> (Rcode, String) {
    let refusal = update(lines).apply(Some(&zone(before)), Scope::Zones).unwrap_err();
    (refusal.rcode, refusal.reason.into_owned())
}

/// §3.1.1, §3.1.2.
#[test]
fn zone_section() {
    let parse = |zone: &[u8]| Update::parse(&message(zone, &[], &[])).map_err(|refusal| refusal.rcode);
    assert_eq!(parse(&[]), Err(Rcode::FORMAT_ERROR));
    assert_eq!(parse(&question(&apex(), Type::A, class::IN)), Err(Rcode::FORMAT_ERROR));
    assert_eq!(parse(&question(&apex(), Type::SOA, 3)), Err(Rcode::NOT_AUTHORITATIVE));
    assert_eq!(parse(&question(&apex(), Type::SOA, class::IN)).unwrap().zone(), &apex());
    let mut two = message(&question(&apex(), Type::SOA, class::IN), &[], &[]);
    two[5] = 2;
    assert_eq!(Update::parse(&two).unwrap_err().rcode, Rcode::FORMAT_ERROR);
    let mut query = message(&question(&apex(), Type::SOA, class::IN), &[], &[]);
    query[2] = 0;
    assert_eq!(Update::parse(&query).unwrap_err().rcode, Rcode::FORMAT_ERROR);
    assert_eq!(update(&[]).apply(None, Scope::Zones).unwrap_err().rcode, Rcode::NOT_AUTHORITATIVE);
}

/// §3.2.1 to §3.2.3, §3.2.5: the form of prerequisites.
#[test]
fn form_of_prerequisites() {
    let (www, other) = (name("www"), name("www.example.net."));
    for (record, rcode, reason) in [
        (wire(&www, Type::A, class::ANY, 1, &[]), Rcode::FORMAT_ERROR, "www.example.org. A: the TTL is not 0"),
        (
            wire(&other, Type::A, class::ANY, 0, &[]),
            Rcode::NOT_ZONE,
            "www.example.net. is not in the zone example.org.",
        ),
        (wire(&www, Type::A, class::ANY, 0, &[1]), Rcode::FORMAT_ERROR, ""),
        (
            wire(&www, Type::A, class::ANY, 0, &[1, 2, 3, 4]),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: the data is not empty",
        ),
        (
            wire(&www, Type::A, class::NONE, 0, &[1, 2, 3, 4]),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: the data is not empty",
        ),
        (wire(&www, Type::A, 3, 0, &[]), Rcode::FORMAT_ERROR, "www.example.org. A: the class is not IN, ANY or NONE"),
        (
            wire(&www, Type::ANY, class::IN, 0, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE255: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::AXFR, class::ANY, 0, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE252: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::A, class::IN, 0, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: field 1 of 1 of the data is missing",
        ),
    ] {
        let refusal = parse(&[record], &[]).unwrap_err();
        assert_eq!(refusal.rcode, rcode, "{refusal}");
        assert!(reason.is_empty() || refusal.reason == format!("prerequisite: {reason}"), "{refusal}");
    }
}

/// §3.2.5, §2.4.1 to §2.4.5: evaluation of prerequisites.
#[test]
fn prerequisites() {
    let before = "www 60 A 192.0.2.1\nwww 60 A 192.0.2.2\na.b 60 MX 1 Mail.example.org.\n*.w TXT x\n";
    for holds in [
        &["exists www"][..],
        &["exists WWW A"],
        &["absent xxx"],
        // Empty non-terminals (§2.4.4) and names that only match a wildcard own nothing.
        &["absent b", "absent x.w"],
        &["absent www AAAA"],
        &["absent xxx A"],
        &["has www A 192.0.2.2", "has wWw A 192.0.2.1"],
        &["has www A 192.0.2.2", "has www A 192.0.2.1", "has www A 192.0.2.1"],
        &["has a.b MX 1 mail.EXAMPLE.org."],
        &["has @ SOA ns HOST 7 1 1 1 1"],
    ] {
        assert_eq!(update(holds).apply(Some(&zone(before)), Scope::Zones).unwrap(), Effect::Unchanged, "{holds:?}");
    }
    for (fails, rcode, reason) in [
        (&["exists xxx"][..], Rcode::NAME_ERROR, "xxx.example.org. has no records"),
        (&["exists b"], Rcode::NAME_ERROR, "b.example.org. has no records"),
        (&["exists www AAAA"], Rcode::NX_RRSET, "www.example.org. AAAA does not exist"),
        (&["exists xxx AAAA"], Rcode::NX_RRSET, "xxx.example.org. AAAA does not exist"),
        (&["absent www"], Rcode::YX_DOMAIN, "www.example.org. has records"),
        (&["absent www A"], Rcode::YX_RRSET, "www.example.org. A exists"),
        (&["has www A 192.0.2.1"], Rcode::NX_RRSET, "www.example.org. A has other records"),
        (&["has www A 192.0.2.1", "has www A 192.0.2.3"], Rcode::NX_RRSET, "www.example.org. A has other records"),
        (
            &["has www A 192.0.2.1", "has www A 192.0.2.2", "has www A 192.0.2.3"],
            Rcode::NX_RRSET,
            "www.example.org. A has other records",
        ),
        (&["has www TXT x"], Rcode::NX_RRSET, "www.example.org. TXT does not exist"),
    ] {
        assert_eq!(refused(before, fails), (rcode, format!("prerequisite: {reason}")));
        // A failed prerequisite prevents all operations.
        assert_eq!(refused(before, &[fails, &["- www"]].concat()).0, rcode);
    }
}

/// §3.4.1.2, §3.4.1.3: the form of the update section.
#[test]
fn form_of_operations() {
    let (www, other) = (name("www"), name("www.example.net."));
    let a = [192, 0, 2, 1];
    for (record, rcode, reason) in [
        (wire(&other, Type::A, class::IN, 1, &a), Rcode::NOT_ZONE, "www.example.net. is not in the zone example.org."),
        (wire(&www, Type::A, 3, 1, &a), Rcode::FORMAT_ERROR, "www.example.org. A: the class is not IN, ANY or NONE"),
        (
            wire(&www, Type::ANY, class::IN, 1, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE255: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::OPT, class::IN, 1, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE41: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::A, class::ANY, 1, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: the TTL of a deletion is not 0",
        ),
        (
            wire(&www, Type::A, class::NONE, 1, &a),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: the TTL of a deletion is not 0",
        ),
        (
            wire(&www, Type::A, class::ANY, 0, &a),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: the deletion of an RRset has data",
        ),
        (
            wire(&www, Type::MAILB, class::ANY, 0, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE253: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::ANY, class::NONE, 0, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. TYPE255: this is a query type or meta-type",
        ),
        (
            wire(&www, Type::A, class::IN, 1, &[]),
            Rcode::FORMAT_ERROR,
            "www.example.org. A: field 1 of 1 of the data is missing",
        ),
    ] {
        // An error in the last record prevents the first operation, too.
        let refusal = parse(&[], &[encode("- www"), record]).unwrap_err();
        assert_eq!((refusal.rcode, &*refusal.reason), (rcode, &*format!("update: {reason}")));
    }
    for kind in [0, 128, 249, 250, 251, 252, 253, 254] {
        for (class, data) in [(class::IN, &b"x"[..]), (class::ANY, b""), (class::NONE, b"x")] {
            let refusal = parse(&[], &[wire(&www, Type(kind), class, 0, data)]).unwrap_err();
            assert_eq!(refusal.rcode, Rcode::FORMAT_ERROR);
        }
    }
    let bad = parse(&[], &[wire(&www, Type::A, class::IN, 1, b"xyz")]).unwrap_err();
    assert_eq!(bad.rcode, Rcode::FORMAT_ERROR);
    assert_eq!(bad.reason, "octet 29: bad A record: field 1 of 1 of the data is cut short or malformed");
}

/// §3.4.2.2: adding.
#[test]
fn additions() {
    assert_eq!(after("", &["+ www 5 A 192.0.2.2", "+ www 5 A 192.0.2.1"]), ["www 5 A 192.0.2.1", "www 5 A 192.0.2.2"]);
    // An existing record is not added again.
    assert_eq!(after("www A 192.0.2.1", &["+ WWW 60 A 192.0.2.1"]), ["unchanged"]);
    assert_eq!(after("www MX 1 Mail.x.", &["+ www 60 MX 1 mAIL.x."]), ["unchanged"]);
    // RFC 2181 §5.2: the RRset has one TTL, the last one requested.
    assert_eq!(after("www A 192.0.2.1", &["+ www 5 A 192.0.2.2"]), ["www 5 A 192.0.2.1", "www 5 A 192.0.2.2"]);
    assert_eq!(after("www A 192.0.2.1", &["+ www 5 A 192.0.2.1"]), ["www 5 A 192.0.2.1"]);
    // RFC 2181 §8.
    assert_eq!(after("www A 192.0.2.1", &["+ www 2147483648 A 192.0.2.1"]), ["www 0 A 192.0.2.1"]);
    // RFC 3597: unknown types.
    assert_eq!(after("", &["+ www 60 TYPE65280 \\# 0"]), ["www 60 TYPE65280 \\# 0"]);
    // A WKS record replaces one of the same address and protocol.
    let wks = ["+ www 60 WKS \\# 6 C000020106FF", "+ www 60 WKS \\# 5 C000020111"];
    assert_eq!(
        after("www WKS \\# 5 C000020106", &wks),
        ["www 60 WKS \\# 6 C000020106FF", "www 60 WKS \\# 5 C000020111"]
    );
}

/// §3.4.2.2: CNAME and other data; RFC 6672 §5.2 for DNAME.
#[test]
fn aliases() {
    assert_eq!(after("www A 192.0.2.1", &["+ www 60 CNAME x"]), ["unchanged"]);
    assert_eq!(after("www CNAME x", &["+ www 60 A 192.0.2.1"]), ["unchanged"]);
    assert_eq!(after("www CNAME x", &["+ www 5 CNAME y"]), ["www 5 CNAME y"]);
    assert_eq!(after("www CNAME x", &["- www CNAME", "+ www 60 A 192.0.2.1"]), ["www 60 A 192.0.2.1"]);
    assert_eq!(after("www A 192.0.2.1", &["- www", "+ www 60 CNAME x"]), ["www 60 CNAME x"]);
    assert_eq!(after("", &["+ @ 60 CNAME x"]), ["unchanged"]);
    // Only DNSSEC records may exist at the owner of a CNAME (RFC 4034 §2.5).
    assert_eq!(after("www NSEC x CNAME", &["+ www 60 CNAME x"]).len(), 2);
    assert_eq!(after("www CNAME x", &["+ www 60 NSEC x CNAME"]).len(), 2);
    assert_eq!(after("d DNAME x", &["+ d 60 DNAME y"]), ["d 60 DNAME y"]);
    assert_eq!(after("d CNAME x", &["+ d 60 DNAME y"]), ["unchanged"]);
    assert_eq!(after("d DNAME x", &["+ d 60 CNAME y"]), ["unchanged"]);
}

/// §3.4.2.2: the SOA record, and the serial numbers of RFC 1982.
#[test]
fn start_of_authority() {
    for (serial, newer) in [(8, true), (7, false), (6, false), (0x8000_0006, true), (0x8000_0007, false), (0, false)] {
        let line = format!("+ @ 5 SOA ns2 host {serial} 1 1 1 1");
        let (records, result_of) = result_of("", &[&line]);
        assert_eq!(result_of, if newer { serial } else { 7 }, "{serial}: {records:?}");
    }
    // The serial is not raised again if the update raised it.
    assert_eq!(result_of("", &["+ @ 5 SOA ns host 100 1 1 1 1", "+ a 60 TXT x"]), (vec!["a 60 TXT \"x\"".into()], 100));
    // Two steps in serial arithmetic must not lead back.
    let around = ["+ @ 5 SOA ns host 8 1 1 1 1", "+ @ 5 SOA ns host 2147483655 1 1 1 1"];
    assert_eq!(result_of("", &around), (Vec::new(), 8));
    // An SOA record below the apex is ignored.
    assert_eq!(after("", &["+ www 5 SOA ns host 100 1 1 1 1"]), ["unchanged"]);
    assert_eq!(raised(Serial(7)), Serial(8));
    assert_eq!(raised(Serial(u32::MAX)), Serial(1));
}

/// §3.4.2.3: deleting RRsets and names.
#[test]
fn deletions_of_rrsets() {
    let before = "www A 192.0.2.1\nwww A 192.0.2.2\nwww TXT x\nx.www TXT y\n";
    assert_eq!(after(before, &["- WWW A"]), ["www 60 TXT \"x\"", "x.www 60 TXT \"y\""]);
    assert_eq!(after(before, &["- www"]), ["x.www 60 TXT \"y\""]);
    assert_eq!(after(before, &["- www AAAA", "- xxx", "- xxx A"]), ["unchanged"]);
    assert_eq!(after("@ MX 1 mail", &["- @"]), Vec::<String>::new());
    assert_eq!(after("", &["- @", "- @ NS"]), ["unchanged"]);
    assert_eq!(after("sub NS ns", &["- sub NS"]), Vec::<String>::new());
}

/// §3.4.2.4: deleting records.
#[test]
fn deletions_of_records() {
    let before = "www A 192.0.2.1\nwww A 192.0.2.2\nm MX 1 Mail.x.\nsub NS ns\n";
    let left = after(before, &["- www A 192.0.2.1", "- m MX 1 mail.X.", "- sub NS NS"]);
    assert_eq!(left, ["www 60 A 192.0.2.2"]);
    assert_eq!(after(before, &["- www A 192.0.2.3", "- xxx A 192.0.2.1"]), ["unchanged"]);
    // The apex keeps its last NS record.
    assert_eq!(after("", &["- @ NS ns"]), ["unchanged"]);
    assert_eq!(after("@ NS ns2", &["- @ NS ns", "- @ NS ns2"]), ["@ 60 NS ns2"]);
    assert_eq!(after("", &["- @ NS ns", "+ @ 60 NS ns2", "- @ NS ns"]), ["@ 60 NS ns2"]);
}

/// §3.4.2: operations that cancel each other out are no change.
#[test]
fn operations_that_cancel_out() {
    let before = "www A 192.0.2.1\n";
    assert_eq!(after(before, &["- www", "+ www 60 A 192.0.2.1"]), ["unchanged"]);
    assert_eq!(after(before, &["+ a 60 TXT x", "- a"]), ["unchanged"]);
    assert_eq!(after(before, &["+ www 5 A 192.0.2.2", "- www A 192.0.2.2", "+ www 60 A 192.0.2.1"]), ["unchanged"]);
}

/// The letter case of existing names is kept.
#[test]
fn letter_case_is_kept() {
    let zone = zone("WwW A 192.0.2.1\n");
    let Effect::Amended(amendments) = update(&["+ www 60 A 192.0.2.2"]).apply(Some(&zone), Scope::Zones).unwrap()
    else {
        panic!()
    };
    assert_eq!(amendments[1].owner.to_string(), "WwW.example.org.");
}

/// Adding and deleting the SOA record creates and deletes zones.
#[test]
fn creation_and_deletion() {
    let soa = format!("+ @ 60 SOA {SOA}");
    let created = update(&[&soa, "+ @ 60 NS ns", "+ ns 60 A 192.0.2.1"]);
    assert!(created.adds_soa() && !created.deletes_soa());
    let Effect::Created(amendments) = created.apply(None, Scope::Zones).unwrap() else { panic!() };
    let zone = Zone::of(apex(), &amendments).unwrap();
    assert_eq!((zone.serial().0, records_of(&zone)), (7, vec!["@ 60 NS ns".to_string(), "ns 60 A 192.0.2.1".into()]));
    // An existing zone is not created again: the SOA record is not newer.
    assert_eq!(created.apply(Some(&zone), Scope::Zones).unwrap(), Effect::Unchanged);

    let refusal = |lines: &[&str]| update(lines).apply(None, Scope::Zones).map_err(|refusal| refusal.rcode);
    assert_eq!(refusal(&["+ @ 60 NS ns"]), Err(Rcode::NOT_AUTHORITATIVE));
    assert_eq!(refusal(&[&soa]), Err(Rcode::REFUSED));
    assert_eq!(refusal(&["absent @", &soa, "+ @ 60 NS ns"]).map(|_| ()), Ok(()));
    assert_eq!(refusal(&["exists @", &soa, "+ @ 60 NS ns"]), Err(Rcode::NAME_ERROR));
    for lines in [["- @ SOA", &soa, "+ @ 60 NS ns"], [&soa, "+ @ 60 NS ns", "- @ SOA"]] {
        assert!(matches!(update(&lines).apply(None, Scope::Zones), Ok(Effect::Created(_))), "{lines:?}");
    }
    assert_eq!(refusal(&[&soa, "+ @ 60 NS ns", "+ @ 60 DNAME x.", "+ ns 60 A 192.0.2.1"]), Err(Rcode::REFUSED));

    let before = self::zone("www A 192.0.2.1\n");
    for lines in [&["- @ SOA"][..], &[&*format!("- @ SOA {SOA}")], &["- @ SOA", "+ www 60 TXT x"]] {
        let update = update(lines);
        assert!(update.deletes_soa());
        assert_eq!(update.apply(Some(&before), Scope::Zones).unwrap(), Effect::Deleted, "{lines:?}");
    }
    assert_eq!(after("", &["- @ SOA ns host 6 1 1 1 1"]), ["unchanged"]);
    // Adding another one replaces it: the result is as if the deletion was ignored (§3.4.2.3).
    assert_eq!(after("a TXT x", &["- @ SOA", "+ @ 60 SOA ns2 host 8 1 1 1 1"]), ["a 60 TXT \"x\""]);
    assert_eq!(after("a TXT x", &["- @ SOA", &soa]), ["unchanged"]);
    assert_eq!(after("a TXT x", &["+ @ 60 SOA ns2 host 8 1 1 1 1", "- @ SOA"]), ["a 60 TXT \"x\""]);
    assert_eq!(after("a TXT x", &["+ @ 60 SOA ns2 host 8 1 1 1 1", &format!("- @ SOA {SOA}")]), ["a 60 TXT \"x\""]);
}

/// Without permission to create and delete zones, RFC 2136 applies: deleting the SOA record is ignored (§3.4.2.3,
/// §3.4.2.4), and the server is not authoritative for a missing zone (§3.1.2).
#[test]
fn zones_are_neither_created_nor_deleted() {
    let soa = format!("+ @ 60 SOA {SOA}");
    let refusal = update(&[&soa, "+ @ 60 NS ns"]).apply(None, Scope::Records).unwrap_err();
    assert_eq!(refusal.rcode, Rcode::NOT_AUTHORITATIVE);
    assert!(refusal.reason.ends_with("to create it, use a key whose grant covers a parent of it"), "{refusal}");
    let before = zone("www A 192.0.2.1\n");
    let same_soa = format!("- @ SOA {SOA}");
    for lines in [&["- @ SOA"][..], &[&same_soa], &["- @ SOA", "- @"], &["- @ SOA", &soa], &["- @", "- @ NS"]] {
        assert_eq!(update(lines).apply(Some(&before), Scope::Records).unwrap(), Effect::Unchanged, "{lines:?}");
    }
    let lines = ["- @ SOA", "+ a 60 TXT x", "+ @ 60 SOA ns2 host 8 1 1 1 1"];
    let Effect::Amended(amendments) = update(&lines).apply(Some(&before), Scope::Records).unwrap() else { panic!() };
    let after = before.amend(&amendments).unwrap();
    assert_eq!((after.serial().0, records_of(&after).len()), (8, 3));
}

/// An update whose result the zone-file reader would reject is refused.
#[test]
fn invalid_zones() {
    let below = |x: &str, d: &str| (Rcode::REFUSED, format!("{x}.example.org. would be below the DNAME record of {d}"));
    let d = "d.example.org.";
    assert_eq!(refused("d DNAME x.", &["+ a.b.d 60 TXT x"]), below("a.b.d", d));
    assert_eq!(refused("a.b.d TXT x", &["+ d 60 DNAME x."]), below("a.b.d", d));
    assert_eq!(refused("", &["+ d 60 DNAME x.", "+ a.b.d 60 NS x."]), below("a.b.d", d));
    assert_eq!(refused("a TXT x", &["+ @ 60 DNAME x."]), below("a", "example.org."));
    assert_eq!(after("d DNAME x.\n", &["+ a.b.d 60 TXT x", "- d DNAME"]), ["a.b.d 60 TXT \"x\""]);
    // A delegation hides the names below it until it is deleted.
    let hidden = "s NS x.\nd.s DNAME x.\na.d.s TXT x\n";
    assert_eq!(refused(hidden, &["- s"]), below("a.d.s", "d.s.example.org."));
    assert_eq!(after(hidden, &["- s", "- a.d.s"]), ["d.s 60 DNAME x."]);
    assert_eq!(after("s NS x.\na.d.s TXT x\n", &["+ d.s 60 DNAME x."]).len(), 3);
    // NSEC3 records are allowed below an apex with a DNAME (RFC 5155 §7.1).
    assert_eq!(after("@ DNAME x.", &["+ 0g 60 NSEC3 2 0 0 - 0g"]).len(), 2);

    for (rtype, number) in [(Type::DNSKEY, 163), (Type(25), 157), (Type(60), 161), (Type(57), 165)] {
        let record = wire(&name("k"), rtype, class::IN, 60, &[0, 0, 3, number, 1, 2]);
        let refusal = parse(&[], &[record]).unwrap().apply(Some(&zone("")), Scope::Zones).unwrap_err();
        assert_eq!(refusal.rcode, Rcode::REFUSED);
        assert!(refusal.reason.ends_with("this record is a TSIG key, whose secret would be served to everybody"));
    }

    let full: String = (0..65_535).map(|n| format!("a TXT {n}\n")).collect();
    let (rcode, reason) = refused(&full, &["+ a 60 TXT more"]);
    assert_eq!(
        (rcode, &*reason),
        (Rcode::REFUSED, "a.example.org. would have 65536 TXT records; the maximum is 65535")
    );
    assert_eq!(update(&["+ a 60 TXT more", "- a TXT 1"]).apply(Some(&zone(&full)), Scope::Zones).map(|_| ()), Ok(()));
}

#[test]
fn owners_are_listed_once() {
    let update = update(&["+ b 1 TXT x", "- a", "- B TXT", "- @ TXT", "exists c"]);
    let owners: Vec<_> = update.owners().map(|owner| owner.to_canonical().to_string()).collect();
    assert_eq!(owners, ["example.org.", "a.example.org.", "b.example.org."]);
    assert!(!update.adds_soa() && !update.deletes_soa());
}

/// Reasons are short enough for replies and log lines.
#[test]
fn reasons_are_short() {
    let long =
        Name::from_text(&[&*"\\000".repeat(60), &"\\001".repeat(60), &"\\002".repeat(60), "example.org"].join("."))
            .unwrap();
    let refusal = parse(&[wire(&long, Type::A, class::ANY, 1, &[])], &[]).unwrap_err();
    assert!(refusal.reason.ends_with("... A: the TTL is not 0"), "{refusal}");
    let refusal = Refusal::new(Rcode::REFUSED, "\u{e9}\n".repeat(300));
    assert_eq!(refusal.reason.len(), MAX_REASON);
    assert!(refusal.reason.starts_with("????"));
}

/// What BIND's nsupdate sends for one operation of each kind: `update delete old`, `mail A` and `web A 192.0.2.81`,
/// `update add` of two records, after `prereq yxdomain www`, `nxrrset www A` and `yxrrset @ NS ns1`.
#[test]
fn messages_of_nsupdate() {
    let update = Update::parse(include_bytes!("../../fuzz/seeds/update/nsupdate")).unwrap();
    let encode = self::update(&[
        "exists www",
        "absent www A",
        "has @ NS ns1",
        "- old",
        "- mail A",
        "- web A 192.0.2.81",
        "+ host7 300 A 192.0.2.7",
        "+ host7 300 MX 10 mail",
    ]);
    assert_eq!(update, encode);
}
