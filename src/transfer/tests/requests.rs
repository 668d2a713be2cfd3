//! Tests for parsing and admitting requests.

use super::*;
use crate::dns::message::Rcode;

/// A record in wire form.
fn record(owner: &[u8], rtype: u16, class: u16, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(rtype.to_be_bytes());
    record.extend(class.to_be_bytes());
    record.extend([0; 4]);
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn message(qtype: u16, counts: [u8; 3], records: &[Vec<u8>]) -> Vec<u8> {
    let mut message = vec![0, 1, 0, 0, 0, 1, 0, counts[0], 0, counts[1], 0, counts[2]];
    message.extend(apex().as_wire());
    message.extend(qtype.to_be_bytes());
    message.extend([0, 1]);
    message.extend(records.concat());
    message
}

#[test]
fn forms() {
    const AXFR: u16 = 252;
    const IXFR: u16 = 251;
    let here: &[u8] = &[0xc0, 12];
    let mut data = vec![0; 22];
    data[2..6].copy_from_slice(&[0, 0, 0, 9]);
    let soa = record(here, 6, 1, &data);
    let opt = OPT.to_vec();
    let upper = record(name("EXAMPLE.org").as_wire(), 6, 1, &data);
    let parse = |message: Vec<u8>| Request::parse(&message, Transport::TCP).map(|request| request.kind());
    let nine = Ok(Kind::Ixfr(Serial(9)));

    assert_eq!(parse(message(AXFR, [0, 0, 0], &[])), Ok(Kind::Axfr));
    assert_eq!(parse(message(AXFR, [0, 0, 1], std::slice::from_ref(&opt))), Ok(Kind::Axfr));
    assert_eq!(parse(message(IXFR, [0, 1, 0], std::slice::from_ref(&soa))), nine);
    assert_eq!(parse(message(IXFR, [0, 1, 1], &[soa.clone(), opt])), nine);
    assert_eq!(parse(message(IXFR, [0, 1, 0], &[upper])), nine, "names are compared in any letter case");

    // RFC 5936 §2.1.1.
    assert_eq!(parse(message(AXFR, [1, 0, 0], std::slice::from_ref(&soa))), Err(Fault::Answer));
    assert_eq!(parse(message(AXFR, [0, 1, 0], std::slice::from_ref(&soa))), Err(Fault::Authority));
    // RFC 1995 §3.
    assert_eq!(parse(message(IXFR, [1, 0, 0], std::slice::from_ref(&soa))), Err(Fault::Answer));
    assert_eq!(parse(message(IXFR, [0, 0, 0], &[])), Err(Fault::Authority));
    assert_eq!(parse(message(IXFR, [0, 0, 1], std::slice::from_ref(&soa))), Err(Fault::Authority));
    assert_eq!(parse(message(IXFR, [0, 2, 0], &[soa.clone(), soa.clone()])), Err(Fault::Authority));
    for wrong in [
        record(here, 2, 1, &[0]),
        record(here, 6, 3, &data),
        record(here, 6, 255, &data),
        record(here, 6, 1, &[]),
        record(&[0], 6, 1, &data),
        record(name("www.example.org").as_wire(), 6, 1, &data),
    ] {
        assert_eq!(parse(message(IXFR, [0, 1, 0], &[wrong])), Err(Fault::Authority));
    }
    let malformed = |message| matches!(parse(message), Err(Fault::Malformed(_)));
    assert!(malformed(message(IXFR, [0, 1, 0], &[record(here, 6, 1, &data[..21])])));
    assert!(malformed(message(IXFR, [0, 1, 0], &[])));
    assert!(malformed(message(AXFR, [0, 0, 0], &[vec![0]])), "trailing octets");
    assert!(malformed(vec![0; 11]));

    assert_eq!(parse(message(1, [0, 0, 0], &[])), Err(Fault::NotForTransfer));
    for (at, octet) in [(2, 0x80), (2, 0x20), (5, 0), (5, 2)] {
        let mut message = message(AXFR, [0, 0, 0], &[]);
        message[at] = octet;
        assert_eq!(parse(message), Err(Fault::NotForTransfer));
    }
    // RFC 5936 §4.2; RFC 1995 §2.
    assert_eq!(Request::parse(&message(AXFR, [0, 0, 0], &[]), Transport::UDP), Err(Fault::Datagram));
    assert!(Request::parse(&message(IXFR, [0, 1, 0], &[soa]), Transport::UDP).is_ok());
}

#[test]
fn serial_of_outdated_client() {
    let zone = zone(9, "");
    assert_eq!(request(Kind::Axfr).outdated_serial(&zone), None);
    for (serial, expected) in [(8, Some(Serial(8))), (9, None), (10, None)] {
        assert_eq!(request(Kind::Ixfr(Serial(serial))).outdated_serial(&zone), expected);
    }
}

#[test]
fn authorization() {
    let request = request(Kind::Axfr);
    let zone = zone(1, "");
    let good = Entry::Zone(zone.clone());
    let broken = Entry::Broken(apex(), crate::zone::Fault::Errors);
    let elsewhere = Entry::Broken(name("org"), crate::zone::Fault::Errors);
    let source: IpAddr = [192, 0, 2, 1].into();
    let make = |text: &str| Key::new(name(text), Algorithm::from_dnskey_number(163).unwrap(), vec![1; 32]).unwrap();
    let admit = |entry: Option<&Entry>, key: Option<&str>, from: [u8; 4]| {
        let key = key.map(&make);
        request.admit(entry, key.as_ref(), source, |source| source == IpAddr::from(from)).map(|zone| zone.serial())
    };
    let (inside, outside) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    let served = Ok(Serial(1));
    for may in ["a._transfer.example.org", "a._transfer.org", "a._transfer", "a._update.example.org"] {
        assert_eq!(admit(Some(&good), Some(may), outside), served, "{may}");
    }
    for may_not in ["a._notify.example.org", "a._transfer.www.example.org", "a._transfer.example.net", "a.example.org"]
    {
        assert_eq!(admit(Some(&good), Some(may_not), outside), Err(Refusal::Key), "{may_not}");
        assert_eq!(admit(Some(&good), Some(may_not), inside), served, "{may_not}");
    }
    assert_eq!(admit(Some(&good), None, inside), served);
    assert_eq!(admit(Some(&good), None, outside), Err(Refusal::Unsigned));
    assert_eq!(admit(Some(&broken), None, inside), Err(Refusal::Broken));
    assert_eq!(admit(Some(&broken), None, outside), Err(Refusal::Unsigned));
    assert_eq!(admit(Some(&elsewhere), None, inside), Err(Refusal::NotServed));
    assert_eq!(admit(None, None, outside), Err(Refusal::NotServed));
    // RFC 5936 §2.2.1.
    let rcodes = [Refusal::NotServed, Refusal::Unsigned, Refusal::Key, Refusal::Broken].map(Refusal::rcode);
    assert_eq!(rcodes, [Rcode::NOT_AUTHORITATIVE, Rcode::REFUSED, Rcode::REFUSED, Rcode::SERVER_FAILURE]);

    let mut chaos = query(Kind::Axfr);
    *chaos.last_mut().unwrap() = 3;
    let chaos = Request::parse(&chaos, Transport::TCP).unwrap();
    assert_eq!(chaos.admit(Some(&good), None, source, |_| true).unwrap_err(), Refusal::NotServed);
}
