use hickory_proto::op::Message;
use proptest::prelude::*;

use crate::dns::message::*;
use crate::dns::name::tests::names_of;

/// Layouts of data as names and other octets, for the types whose names may be compressed and some others.
const LAYOUTS: &[(u16, &[u8], usize, &[u8])] = &[
    (1, b"\xc0\0\x02\x01", 0, b""),
    (2, b"", 1, b""),
    (5, b"", 1, b""),
    (6, b"", 2, b"\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05"),
    (12, b"", 1, b""),
    (14, b"", 2, b""),
    (15, b"\0\x0a", 1, b""),
    (16, b"\x03\xc0\x0c\xff", 0, b""),
    (17, b"", 2, b""),
    (18, b"\0\x01", 1, b""),
    (26, b"\0\x01", 2, b""),
    (33, b"\0\x01\0\x02\0\x03", 1, b""),
    (35, b"\0\x01\0\x02\x01u\x03E2U\0", 1, b""),
    (65280, b"\xc0\x0c", 0, b""),
];

/// A writer that compresses names wherever `coins` says so.
#[derive(Default)]
struct Writer {
    octets: Vec<u8>,
    /// Suffixes of names and their offsets.
    places: Vec<(Vec<u8>, usize)>,
    coins: Vec<bool>,
}

impl Writer {
    fn name(&mut self, name: &Name) {
        let mut rest = name.as_wire();
        while rest[0] > 0 {
            let known = self.places.iter().find(|(end, at)| end == rest && *at < 0x4000).map(|(_, at)| *at);
            if let (Some(at), Some(true)) = (known, self.coins.pop()) {
                self.octets.extend((0xc000 | at as u16).to_be_bytes());
                return;
            }
            self.places.push((rest.to_vec(), self.octets.len()));
            let (label, after) = rest.split_at(1 + usize::from(rest[0]));
            self.octets.extend(label);
            rest = after;
        }
        self.octets.push(0);
    }

    fn record(&mut self, record: &Record, layout: &(u16, &[u8], usize, &[u8]), names: &[Name]) {
        self.name(&record.owner);
        self.octets.extend(record.rtype.0.to_be_bytes());
        self.octets.extend(record.class.to_be_bytes());
        self.octets.extend(record.ttl.to_be_bytes());
        let len = self.octets.len();
        self.octets.extend([0; 2]);
        self.octets.extend(layout.1);
        names.iter().take(layout.2).for_each(|name| self.name(name));
        self.octets.extend(layout.3);
        let written = (self.octets.len() - len - 2) as u16;
        self.octets[len..len + 2].copy_from_slice(&written.to_be_bytes());
    }
}

fn any_name() -> impl Strategy<Value = Name> {
    names_of(prop::sample::select(&b"aAb"[..]), 1..3, 0..5)
}

type Drawn = (Name, usize, u32, [Name; 2]);

fn any_record() -> impl Strategy<Value = Drawn> {
    (any_name(), 0..LAYOUTS.len(), 0..0x8000_0000_u32, [any_name(), any_name()])
}

fn expanded((owner, layout, ttl, names): &Drawn) -> Record {
    let (rtype, front, count, back) = LAYOUTS[*layout];
    let names: Vec<u8> = names.iter().take(count).flat_map(|name| name.as_wire().to_vec()).collect();
    let data = [front, &names, back].concat().into();
    Record { owner: owner.clone(), rtype: Type(rtype), class: 1, ttl: *ttl, data }
}

type Whole = (Vec<Question>, Vec<(Section, Record)>);

fn read_all(message: &[u8]) -> Result<Whole, Malformed> {
    let mut reader = Reader::new(message)?;
    let (mut questions, mut records) = (Vec::new(), Vec::new());
    while let Some(question) = reader.question()? {
        questions.push(question);
    }
    while let Some(record) = reader.record()? {
        records.push(record);
    }
    assert_eq!(reader.record().unwrap(), None);
    Ok((questions, records))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// The reader returns what was written, however it was compressed, and hickory-proto reads the same.
    #[test]
    fn as_written(
        question in any_name(),
        drawn in proptest::collection::vec(any_record(), 0..12),
        coins in proptest::collection::vec(any::<bool>(), 100),
        cuts in [any::<prop::sample::Index>(), any::<prop::sample::Index>()],
    ) {
        let mut cuts = cuts.map(|cut| cut.index(drawn.len() + 1));
        cuts.sort();
        let counts = [1, cuts[0], cuts[1] - cuts[0], drawn.len() - cuts[1]];
        let mut writer = Writer { octets: vec![0, 7, 0x84, 0], coins, ..Writer::default() };
        writer.octets.extend(counts.iter().flat_map(|count| (*count as u16).to_be_bytes()));
        writer.name(&question);
        writer.octets.extend([0, 252, 0, 1]);
        let records: Vec<Record> = drawn.iter().map(expanded).collect();
        for (record, drawn) in records.iter().zip(&drawn) {
            writer.record(record, &LAYOUTS[drawn.1], &drawn.3);
        }

        let (questions, read) = read_all(&writer.octets).unwrap();
        prop_assert_eq!(questions, [Question { name: question, qtype: Type::AXFR, qclass: 1 }]);
        let sections = (0..read.len()).map(|index| match index {
            index if index < cuts[0] => Section::Answer,
            index if index < cuts[1] => Section::Authority,
            _ => Section::Additional,
        });
        prop_assert!(read.iter().map(|(section, _)| *section).eq(sections));
        prop_assert!(read.iter().map(|(_, record)| record).eq(&records));
        for ((_, read), record) in read.iter().zip(&records) {
            prop_assert_eq!(read.owner.as_wire(), record.owner.as_wire(), "letter case too");
        }

        let theirs = Message::from_vec(&writer.octets).unwrap();
        prop_assert_eq!(theirs.metadata.id, 7);
        let all: Vec<_> = theirs.answers.iter().chain(&theirs.authorities).chain(&theirs.additionals).collect();
        prop_assert_eq!(all.len(), records.len());
        for (theirs, record) in all.iter().zip(&records) {
            prop_assert_eq!(Name::from_text(&theirs.name.to_string()).unwrap(), record.owner.clone());
            prop_assert_eq!((u16::from(theirs.record_type()), theirs.ttl), (record.rtype.0, record.ttl));
        }
        // hickory-proto decompresses these too, but leaves pointers in data of types that it does not know.
        if records.iter().any(|record| matches!(record.rtype.0, 14 | 17 | 18 | 26)) {
            return Ok(());
        }
        let (_, again) = read_all(&theirs.to_vec().unwrap()).unwrap();
        prop_assert_eq!(again.len(), read.len());
        for ((section, again), (same, record)) in again.iter().zip(&read) {
            prop_assert_eq!((section, &again.owner), (same, &record.owner));
            prop_assert_eq!((again.rtype, again.ttl), (record.rtype, record.ttl));
            prop_assert_eq!(again.data.to_ascii_lowercase(), record.data.to_ascii_lowercase());
        }
    }

    /// Any octets are either read or rejected, without a panic.
    #[test]
    fn any_octets_never_panic(
        octets in proptest::collection::vec(prop_oneof![Just(0), Just(0xc0), Just(12), 1..4_u8, any::<u8>()], 0..100),
        counts in [0..3_u8, 0..3_u8, 0..3_u8, 0..3_u8],
    ) {
        let _ = read_all(&octets);
        let mut message = vec![0; 4];
        message.extend(counts.iter().flat_map(|&count| [0, count]));
        message.extend(octets);
        if let Ok((_, records)) = read_all(&message) {
            let held = |record: &Record| size_of::<Record>() + record.owner.as_wire().len() + record.data.len();
            prop_assert!(records.iter().map(|(_, record)| held(record)).sum::<usize>() <= 51 * message.len());
        }
    }
}

/// A message of one record that begins at octet 12.
fn record(octets: &[u8]) -> Result<Record, Malformed> {
    let message = [b"\0\0\0\0\0\0\0\x01\0\0\0\0", octets].concat();
    read_all(&message).map(|(_, mut records)| records.remove(0).1)
}

#[test]
fn malformed_messages() {
    const FIXED: &[u8] = b"\0\x02\0\x01\0\0\0\0";
    let with = |owner: &[u8], data: &[u8]| record(&[owner, FIXED, &(data.len() as u16).to_be_bytes(), data].concat());
    assert!(with(b"\x01a\0", b"\xc0\x0c").is_ok());
    assert_eq!(with(b"\x01a\0", b"\xc0\x0c").unwrap().data[..], *b"\x01a\0");
    for (owner, data, expected) in [
        // Pointers to themselves, forward, into the header, to each other.
        (&b"\xc0\x0c"[..], &b"\0"[..], Malformed::Pointer { at: 12 }),
        (b"\xc0\x0e", b"\0", Malformed::Pointer { at: 12 }),
        (b"\xc0\x02", b"\0", Malformed::Pointer { at: 12 }),
        (b"\x01a\xc0\x0c", b"\0", Malformed::Pointer { at: 12 }),
        (b"\0", b"\xc0\x17", Malformed::Pointer { at: 23 }),
        // The other two kinds of label.
        (b"\x40", b"\0", Malformed::Name { at: 12 }),
        (b"\x80", b"\0", Malformed::Name { at: 12 }),
        (b"\x3f", b"\0", Malformed::Truncated { at: 12 }),
    ] {
        assert_eq!(with(owner, data), Err(expected), "{owner:?} {data:?}");
    }
    // A name that does not end with its data, and data that continues after it.
    for data in [&b"\x01"[..], b"\x01a", b"\0\0", b"\xc0"] {
        assert!(matches!(with(b"\0", data), Err(Malformed::Data { at: 12, rtype: Type::NS, .. })), "{data:?}");
    }
    assert!(with(b"\0", b"").unwrap().data.is_empty());
    assert_eq!(record(b"\0\0\x02\0\x01\0\0\0\0\0\x01"), Err(Malformed::Truncated { at: 12 }));
    assert_eq!(record(b"\0\0\x02\0\x01\0\0\0"), Err(Malformed::Truncated { at: 12 }));
    assert_eq!(record(b""), Err(Malformed::Truncated { at: 12 }));
    assert_eq!(record(b"\0\0\x02\0\x01\0\0\0\0\0\0x"), Err(Malformed::Trailing { at: 23 }));
    assert_eq!(read_all(b"\0\0\0\0\0\0\0\0\0\0\0").unwrap_err(), Malformed::Truncated { at: 0 });
    assert_eq!(read_all(b"\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff").unwrap_err(), Malformed::Truncated { at: 12 });
}

#[test]
fn names_that_are_too_long() {
    // 126 labels of one octet in front of a pointer to one more.
    let mut message = b"\0\0\0\0\0\x02\0\0\0\0\0\0\x01a\0\0\x01\0\x01".to_vec();
    message.extend(b"\x01a".repeat(126));
    message.extend(b"\xc0\x0c\0\x01\0\x01");
    let (questions, _) = read_all(&message).unwrap();
    assert_eq!(questions[1].name.as_wire().len(), MAX_NAME);
    message.splice(19..19, *b"\x01a");
    assert_eq!(read_all(&message).unwrap_err(), Malformed::Name { at: 19 });
}

/// A chain of pointers costs no more steps than the labels of a name.
#[test]
fn chains_of_pointers() {
    let chain = |links: usize| {
        // A question for the root, and a record of a type with arbitrary data that contains a chain of pointers.
        let mut message = b"\0\0\0\0\0\x01\0\x02\0\0\0\0\0\0\x01\0\x01\0\xff\0\0\x01\0\0\0\0".to_vec();
        message.extend(((links * 2) as u16).to_be_bytes());
        let mut to = 12;
        for _ in 0..links {
            let at = message.len();
            message.extend((0xc000 | to as u16).to_be_bytes());
            to = at;
        }
        message.extend((0xc000 | to as u16).to_be_bytes());
        message.extend(b"\0\x01\0\x01\0\0\0\0\0\0");
        read_all(&message)
    };
    assert_eq!(chain(100).unwrap().1[1].1.owner, Name::root());
    assert!(matches!(chain(1000), Err(Malformed::Pointer { .. })));
}
