//! Tests for flags, unusual messages, EDNS, cookies, signatures and limits.

use super::*;

/// A query for web.example.org with the EDNS options `options`.
fn with_options(options: &[u8]) -> Vec<u8> {
    let mut query = query("web.example.org", Type::A, Some(1232));
    let len = u16::try_from(options.len()).unwrap().to_be_bytes();
    let at = query.len() - 2;
    query[at..].copy_from_slice(&len);
    query.extend(options);
    query
}

/// The options of a reply's OPT record, the last record unless a signature follows, by number.
fn options(reply: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let edns = Message::from_vec(reply).unwrap().edns.expect("an OPT record");
    let options = edns.options().as_ref().iter();
    let mut all: Vec<(u16, Vec<u8>)> =
        options.map(|(code, option)| (u16::from(*code), Vec::<u8>::try_from(option).unwrap())).collect();
    all.sort();
    all
}

/// The response code with EDNS's upper bits, and the extended error if there is one.
fn codes(reply: &[u8]) -> (u16, Option<u16>) {
    let message = Message::from_vec(reply).unwrap();
    let extended = if message.edns.is_some() { options(reply) } else { Vec::new() };
    let extended =
        extended.iter().find(|(code, _)| *code == 15).map(|(_, data)| u16::from_be_bytes([data[0], data[1]]));
    (u16::from(message.metadata.response_code), extended)
}

fn udp(query: &[u8]) -> Vec<u8> {
    send(&zones(), Transport::UDP, query).unwrap()
}

/// RFC 1035 §4.1.1, RFC 6891 §6.1, RFC 8906 §3.
#[test]
fn headers_and_edns() {
    let zones = zones();
    let plain = query("web.example.org", Type::A, None);
    let edit = |at: usize, value: u8| {
        let mut query = plain.clone();
        query[at] = value;
        send(&zones, Transport::UDP, &query)
    };
    // RD is copied; CD, AD, Z and RA are not.
    let reply = edit(3, 0xf0).unwrap();
    assert_eq!(reply[..4], [0x12, 0x34, 0x85, 0]);
    assert_eq!(edit(2, 0x80), None);
    // Updates and notifications are set aside.
    for opcode in (1..16).filter(|opcode| !matches!(opcode, 4 | 5)) {
        let reply = edit(2, opcode << 3).unwrap();
        assert_eq!(reply, [0x12, 0x34, 0x80 | opcode << 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
    let form_error = [0x12, 0x34, 0x81, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(edit(5, 0).unwrap(), form_error);
    assert_eq!(edit(5, 2).unwrap(), form_error);
    assert_eq!(edit(11, 1).unwrap(), form_error);
    for len in 12..plain.len() {
        assert_eq!(send(&zones, Transport::UDP, &plain[..len]).unwrap(), form_error);
    }
    for len in 0..12 {
        assert_eq!(send(&zones, Transport::UDP, &plain[..len]), None);
    }
    let trailing = [&plain[..], &[0]].concat();
    assert_eq!(send(&zones, Transport::UDP, &trailing).unwrap(), form_error);

    let mut edns = query("web.example.org", Type::A, Some(0));
    let opt = edns.len() - 11;
    edns[opt + 7] = 0x80;
    let reply = send(&zones, Transport::UDP, &edns).unwrap();
    assert!(reply.ends_with(&[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]), "{reply:02x?}");
    // An unknown option is ignored, a malformed one is not.
    let with_option = |option: &[u8]| {
        let mut query = edns.clone();
        *query.last_mut().unwrap() = option.len() as u8;
        query.extend(option);
        send(&zones, Transport::UDP, &query).unwrap()[3]
    };
    assert_eq!(with_option(&[0xff, 0, 0, 1, 7]), 0);
    assert_eq!(with_option(&[0xff, 0, 0, 2, 7]), 1);
    edns[opt + 6] = 1;
    let reply = send(&zones, Transport::UDP, &edns).unwrap();
    assert_eq!((reply[3], reply[7], reply[reply.len() - 6]), (0, 0, 1), "BADVERS is 16, one in the upper bits");
    edns[opt + 6] = 0;
    let mut twice = edns.clone();
    twice.extend_from_slice(&edns[opt..]);
    twice[11] = 2;
    assert_eq!(send(&zones, Transport::UDP, &twice).unwrap()[3], 1);
    let mut owned = query("web.example.org", Type::A, None);
    owned[11] = 1;
    owned.extend([1, b'a', 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    assert_eq!(send(&zones, Transport::UDP, &owned).unwrap()[3], 1);
}

/// RFC 1035 §4.1.1, RFC 6895 §2.2, RFC 8906 §3.1.5, §8: unknown opcodes, whatever the rest of the message is.
#[test]
fn unknown_opcodes() {
    // Updates and notifications are set aside.
    for opcode in (1..16).filter(|opcode| !matches!(opcode, 4 | 5)) {
        let mut plain = query("web.example.org", Type::SOA, None);
        plain[2] = opcode << 3 | 1;
        assert_eq!(udp(&plain), [0x12, 0x34, 0x81 | opcode << 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(udp(&plain[..12])[3], 4, "header only");
        plain[4..6].fill(0xff);
        assert_eq!(udp(&plain)[3], 4);
        let mut edns = query("web.example.org", Type::SOA, Some(1232));
        edns[2] = opcode << 3;
        let reply = udp(&edns);
        assert_eq!((codes(&reply), reply.len()), ((4, Some(21)), 12 + 11 + 6));
        let version = edns.len() - 5;
        edns[version] = 1;
        assert_eq!(codes(&udp(&edns)), (16, None));
    }
}

/// RFC 6891 §6.1.3: BADVERS with our own version and without an answer.
#[test]
fn unknown_versions() {
    for version in [1, 100, 255] {
        let mut query = with_options(&[0, 3, 0, 0, 0xff, 0, 0, 1, 7]);
        let at = query.len() - 9 - 5;
        query[at] = version;
        let reply = udp(&query);
        assert_eq!(codes(&reply), (16, None));
        assert_eq!((reply[6..10].to_vec(), reply.len()), (vec![0; 4], 12 + 21 + 11));
        assert_eq!(reply[reply.len() - 5], 0);
    }
}

/// RFC 6891 §6.1.2, §6.1.4, RFC 8906 §8.2: unknown options and flags are ignored and not copied.
#[test]
fn unknown_options_and_flags() {
    let mut query = with_options(&[0, 100, 0, 0, 0xfd, 0xe9, 0, 3, 1, 2, 3]);
    let at = query.len() - 11 - 4;
    query[at..at + 2].copy_from_slice(&[0x7f, 0xff]);
    let reply = udp(&query);
    assert_eq!((codes(&reply), options(&reply)), ((0, None), vec![]));
    assert_eq!(reply[reply.len() - 4..], [0; 4]);
    // DO is copied (RFC 3225 §3).
    query[at] = 0x80;
    assert_eq!(udp(&query)[reply.len() - 4..], [0x80, 0, 0, 0]);
}

/// RFC 1035 §4.1.1, RFC 4035 §3.1.6: the header flags that are copied.
#[test]
fn header_flags() {
    for (sent, expected) in [
        ([0x00, 0x00], [0x84, 0]),
        ([0x01, 0x00], [0x85, 0]), // RD
        ([0x02, 0x00], [0x84, 0]), // TC
        ([0x04, 0x00], [0x84, 0]), // AA
        ([0x00, 0x80], [0x84, 0]), // RA
        ([0x00, 0x40], [0x84, 0]), // Z
        ([0x00, 0x20], [0x84, 0]), // AD
        ([0x00, 0x10], [0x84, 0]), // CD
        ([0x07, 0xff], [0x85, 0]), // all flags and a response code
    ] {
        let mut query = query("web.example.org", Type::A, None);
        query[2..4].copy_from_slice(&sent);
        assert_eq!(udp(&query)[2..4], expected, "{sent:02x?}");
    }
}

/// RFC 9619: one question; RFC 7873 §5.4: or none, for a cookie.
#[test]
fn question_counts() {
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let with_count = |count: u8, questions: &[&[u8]], options: &[u8]| {
        let mut query = vec![0, 7, 1, 0, 0, count, 0, 0, 0, 0, 0, 1];
        query.extend(questions.concat());
        query.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
        query.extend(options);
        udp(&query)
    };
    let question: &[u8] = b"\x03web\x07example\x03org\0\0\x01\0\x01";
    // The second question points to the first.
    for reply in [with_count(2, &[question, &[0xc0, 12, 0, 1, 0, 1]], &cookie), with_count(0, &[], &[])] {
        assert_eq!((codes(&reply), reply[4..10].to_vec()), ((1, Some(0)), vec![0; 6]));
    }
    assert_eq!(codes(&with_count(1, &[], &cookie)), (1, None));
    let reply = with_count(0, &[], &cookie);
    assert_eq!((codes(&reply), reply[2..12].to_vec()), ((0, None), vec![0x81, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    let (code, learned) = options(&reply).remove(0);
    assert_eq!((code, &learned[..9], learned.len()), (10, &[1, 2, 3, 4, 5, 6, 7, 8, 1][..], 24));
    // Query again with the learned cookie, and with another one.
    let again = |data: &[u8]| with_count(0, &[], &[&[0, 10, 0, data.len() as u8], data].concat());
    assert_eq!((codes(&again(&learned)), options(&again(&learned))), ((0, None), vec![(10, learned.clone())]));
    let mut wrong = learned.clone();
    wrong[23] ^= 1;
    assert_eq!((codes(&again(&wrong)), options(&again(&wrong))), ((23, None), vec![(10, learned)]));
    // Cookies are optional if there is a question.
    assert_eq!(codes(&udp(&with_options(&[&[0, 10, 0, 24][..], &wrong].concat()))), (0, None));
}

/// RFC 7873 §5.2.2; RFC 6891 §6.1.2.
#[test]
fn malformed_options() {
    for len in 0..50_u8 {
        let reply = udp(&with_options(&[&[0, 10, 0, len][..], &vec![9; usize::from(len)]].concat()));
        let good = matches!(len, 8 | 16..=40);
        assert_eq!(codes(&reply).0, u16::from(!good), "{len}");
        assert_eq!(options(&reply).len(), usize::from(good));
    }
    // Only the first one counts.
    let twice = udp(&with_options(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 10, 0, 0]));
    assert_eq!(options(&twice)[0].1[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(codes(&udp(&with_options(&[0, 3, 0, 1]))).0, 1);
    assert_eq!(codes(&udp(&with_options(&[0, 3, 0]))).0, 1);
}

/// RFC 5001, RFC 7828 §3.2.1, RFC 7830 §4, RFC 8467: options that are sent only on request and only over some
/// transports.
#[test]
fn requested_options() {
    let all = [0, 3, 0, 0, 0, 11, 0, 0, 0, 12, 0, 4, 0, 0, 0, 0];
    let zones = zones();
    let with_texts = settings().nsid(Some("ns7".into())).idle(Duration::from_secs(10));
    let asked = |settings: &Settings, transport, options_sent: &[u8]| {
        options(&send_to(&context(Some(&zones), settings, transport), &with_options(options_sent)).unwrap())
    };
    assert_eq!(asked(&with_texts, Transport::UDP, &all), [(3, b"ns7".to_vec())]);
    assert_eq!(asked(&with_texts, Transport::TCP, &all), [(3, b"ns7".to_vec()), (11, vec![0, 100])]);
    assert_eq!(asked(&with_texts, Transport::TCP, &[]), []);
    // NSID is not configured, and there is no padding because no transport is encrypted.
    assert_eq!(asked(&settings(), Transport::UDP, &all), []);
}

/// RFC 6891 §6.2.3, §6.2.5; the operator's limit.
#[test]
fn payload_sizes() {
    let zones = zones();
    for (ours, theirs, limit) in [
        (1232, 0, 512),
        (1232, 511, 512),
        (1232, 65_535, 1232),
        (4096, 65_535, 4096),
        (512, 4096, 512),
        (4096, 900, 900),
    ] {
        let settings = settings().payload(ours);
        let context = context(Some(&zones), &settings, Transport::UDP);
        let mut longest = 0;
        for (owner, qtype) in [("many.large.example", Type::A), ("x.cut.large.example", Type::A)] {
            let reply = send_to(&context, &query(owner, qtype, Some(theirs))).unwrap();
            longest = longest.max(reply.len());
            let message = Message::from_vec(&reply).unwrap();
            assert_eq!(message.edns.unwrap().max_payload(), ours.max(512));
        }
        assert!(longest <= limit, "{longest} octets");
    }
    // Requested options fit even with the longest question.
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}.example.org", "b".repeat(49));
    let settings = settings().nsid(Some("n".repeat(MAX_TEXT)));
    let mut query = query(&longest, Type::A, Some(0));
    let asking = [0, 3, 0, 0, 0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    *query.last_mut().unwrap() = asking.len() as u8;
    query.extend(asking);
    let reply = send_to(&context(Some(&zones), &settings, Transport::UDP), &query).unwrap();
    assert_eq!((options(&reply).len(), reply.len() <= 512), (2, true));
}

/// RFC 8914.
#[test]
fn extended_errors() {
    let mut of_class = |class: u8| {
        let mut query = query("web.example.org", Type::A, Some(1232));
        let at = query.len() - 12;
        query[at] = class;
        codes(&udp(&query))
    };
    assert_eq!([3, 4, 254, 255].map(&mut of_class), [(5, Some(20)), (5, Some(21)), (5, Some(21)), (5, Some(21))]);
    for (owner, qtype, expected) in [
        ("example.org", Type::NXNAME, (1, Some(30))),
        ("example.org", Type::OPT, (1, Some(30))),
        ("example.org", Type::MAILA, (4, Some(21))),
        ("example.org", Type::AXFR, (5, Some(21))),
        ("example.com", Type::A, (5, Some(20))),
        ("broken.example", Type::A, (2, Some(24))),
        ("example.org", Type::A, (0, None)),
    ] {
        assert_eq!(codes(&udp(&query(owner, qtype, Some(1232)))), expected, "{owner} {qtype}");
    }
    let settings = settings();
    let reply = send_to(&context(None, &settings, Transport::UDP), &query("a", Type::A, Some(1232))).unwrap();
    assert_eq!(codes(&reply), (2, Some(14)));
    // Without EDNS there is no extended error.
    assert!(Message::from_vec(&udp(&query("example.com", Type::A, None))).unwrap().edns.is_none());
}

/// RFC 4892.
#[test]
fn identity_and_version() {
    let zones = zones();
    let with_texts = settings().nsid(Some("ns7".into())).version(Some("Zonule 9".into()));
    let ask = |settings: &Settings, owner: &str, qtype| {
        let mut query = query(owner, qtype, None);
        *query.last_mut().unwrap() = 3;
        send_to(&context(Some(&zones), settings, Transport::UDP), &query).unwrap()
    };
    for (owner, text) in
        [("version.bind", "Zonule 9"), ("Version.Server", "Zonule 9"), ("id.server", "ns7"), ("HOSTNAME.BIND", "ns7")]
    {
        for qtype in [Type::TXT, Type::ANY] {
            let reply = ask(&with_texts, owner, qtype);
            assert_eq!(shown(&reply), format!("NoError AA\nan {owner}. 0 TXT {text}"));
            assert_eq!(ask(&settings(), owner, qtype)[3], 5);
        }
        assert_eq!(ask(&with_texts, owner, Type::A)[3], 5);
    }
    assert_eq!(ask(&with_texts, "authors.bind", Type::TXT)[3], 5);
    assert_eq!(ask(&with_texts, "example.org", Type::SOA)[3], 5);
}

/// A TSIG record with a MAC of 32 octets.
fn tsig(owner: &[u8]) -> Vec<u8> {
    let mut data = b"\x0bhmac-sha256\0".to_vec();
    data.extend([0, 0, 0x65, 0, 0, 1, 1, 44, 0, 32]);
    data.extend([0xaa; 32]);
    data.extend([0xbe, 0xef, 0, 0, 0, 0]);
    [owner, &[0, 250, 0, 255, 0, 0, 0, 0, 0, data.len() as u8], &data].concat()
}

/// Signed messages and updates are set aside, unless they are malformed.
#[test]
fn messages_set_aside() {
    let zones = zones();
    let settings = settings();
    let unexamined = Context { reserve: None, ..context(Some(&zones), &settings, Transport::UDP) };
    let ask = |query: &[u8]| respond(&unexamined, query, &mut [0; 1232]);
    let key = tsig(b"\x03Key\x07example\0");
    let opt = vec![0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0];
    let with = |opcode: u8, records: &[&[u8]]| {
        let mut query = query("web.example.org", Type::A, None);
        query[2] = opcode << 3;
        query[11] = records.len() as u8;
        query.extend(records.concat());
        query
    };
    for records in [&[&key[..]][..], &[&opt, &key]] {
        for opcode in [0, 4, 5] {
            assert_eq!(ask(&with(opcode, records)), Answer::Aside);
        }
        // A message with an unknown opcode may be malformed.
        assert!(matches!(ask(&with(6, records)), Answer::Reply(_)));
    }
    assert_eq!(ask(&with(4, &[])), Answer::Aside);
    assert_eq!(ask(&with(5, &[])), Answer::Aside);
    for qtype in [Type::AXFR, Type::IXFR] {
        assert_eq!(ask(&query("example.org", qtype, None)), Answer::Aside);
    }
    assert!(matches!(ask(&with(0, &[&opt])), Answer::Reply(_)));
    // RFC 8945 §5.1: TSIG must be the last record.
    for records in [&[&key[..], &key][..], &[&key, &opt]] {
        let mut reply = [0; 600];
        assert!(matches!(respond(&unexamined, &with(0, records), &mut reply), Answer::Reply(_)));
        assert_eq!(reply[3], 1);
    }
}

/// Room for a signature is reserved in every reply, and records that do not fit because of it are omitted.
#[test]
fn room_for_a_signature() {
    let zones = zones();
    let settings = settings();
    for (edns, limit) in [(None, 512), (Some(1232), 1232)] {
        for reserve in [0, 100, 300, 400, 500] {
            let context = Context { reserve: Some(reserve), ..context(Some(&zones), &settings, Transport::UDP) };
            for owner in ["web.example.org", "many.large.example", "nowhere.example.org"] {
                let mut reply = [0; 4096];
                match respond(&context, &query(owner, Type::A, edns), &mut reply) {
                    Answer::Reply(len) => assert!(len + reserve <= limit, "{owner} {len}"),
                    answer => assert!(answer == Answer::Silence && limit - reserve < 40, "{owner} {reserve}"),
                }
            }
        }
    }
}

/// The reply to an update repeats its zone and has the reason.
#[test]
fn reports() {
    let settings = settings();
    let context = context(None, &settings, Transport::UDP);
    let verdict = Verdict::of(Rcode::YX_RRSET).because(ExtendedError { code: 0, text: "it exists" });
    for (edns, ending) in [(Some(1232), &b"\0\x0f\0\x0b\0\0it exists"[..]), (None, b"\x07example\x03org\0\0\x06\0\x01")]
    {
        let mut request = query("example.org", Type::SOA, edns);
        request[2] = 5 << 3;
        let mut reply = [0; 600];
        let len = report(&context, &request, verdict, &mut reply).unwrap();
        assert!(reply[..len].ends_with(ending), "{:02x?}", &reply[..len]);
        assert_eq!(reply[..12], [0x12, 0x34, 0xa8, 7, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    }
}

fn limited(slip: u8) -> Limiter {
    Limiter::new(RateLimit { per_second: 1, slip, ..RateLimit::default() }, [9; 16])
}

/// A limited client gets no reply, or one that makes it retry in a way that cannot be forged.
#[test]
fn limited_replies() {
    let (zones, settings, limiter) = (zones(), settings(), limited(2));
    let base = context(Some(&zones), &settings, Transport::UDP);
    let udp = Context { limiter: Some(&limiter), ..base };
    let ask = |context: &Context<'_>, query: &[u8]| send_to(context, query);
    let plain = query("web.example.org", Type::A, Some(1232));
    assert_eq!(ask(&udp, &plain).unwrap()[7], 2);
    assert_eq!(ask(&udp, &plain), None);
    let slipped = ask(&udp, &plain).unwrap();
    assert_eq!((&slipped[..12], slipped.len()), (&[0x12, 0x34, 0x87, 0, 0, 1, 0, 0, 0, 0, 0, 1][..], plain.len()));
    // A client with a new cookie need not use TCP (RFC 7873 §5.2.3): the learned server cookie exempts it from the
    // limit.
    let cookie = with_options(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(ask(&udp, &cookie), None);
    let reply = ask(&udp, &cookie).unwrap();
    assert_eq!((codes(&reply), reply[2] & 2, reply[7]), ((23, None), 0, 0));
    let learned = options(&reply).remove(0).1;
    let proven = with_options(&[&[0, 10, 0, 24][..], &learned].concat());
    for _ in 0..10 {
        assert_eq!(ask(&udp, &proven).unwrap()[7], 2);
    }
    // Another client's cookie does not, and streams need none.
    let elsewhere = Context { source: IpAddr::from([192, 0, 2, 2]), ..udp };
    let replies = [ask(&elsewhere, &proven), ask(&elsewhere, &proven)];
    assert_eq!(replies.map(|reply| reply.map(|reply| codes(&reply).0)), [None, Some(23)]);
    assert_eq!(ask(&Context { transport: Transport::TCP, ..udp }, &plain).unwrap()[7], 2);
    // Denials and errors have their own buckets; errors are never sent truncated.
    for (owner, code) in [("nothing.example.org", 3), ("example.com", 5)] {
        let query = query(owner, Type::A, None);
        let codes = [(); 5].map(|()| ask(&udp, &query).map(|reply| (reply[3], reply[2] & 2)));
        let slip = (code == 3).then_some((3, 2));
        assert_eq!(codes, [Some((code, 0)), None, slip, None, slip], "{owner}");
    }
    let malformed = [(); 3].map(|()| ask(&udp, &plain[..20]));
    assert_eq!(malformed, [None, None, None]);
}

/// An EDNS option, arbitrary or supported.
fn any_option() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![Just(3_u16), Just(10), Just(11), Just(12), Just(15), any::<u16>()];
    let data = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..45),
        proptest::collection::vec(any::<u8>(), 8),
        proptest::collection::vec(any::<u8>(), 24),
    ];
    (code, data).prop_map(|(code, data)| [&code.to_be_bytes()[..], &(data.len() as u16).to_be_bytes(), &data].concat())
}

proptest! {
    /// For any query, flags and options, the reply is a message, respects the size limit and matches the query.
    #[test]
    fn any_query_gets_a_message(
        owner in any_owner(), qtype in any_qtype(), class in prop_oneof![4 => Just(1_u8), 1 => any::<u8>()],
        flags: (u8, u8), one_opcode: bool, payload in proptest::option::of(any::<u16>()), version in 0..2_u8, edns_flags: [u8; 2],
        option in proptest::collection::vec(any_option(), 0..4), signed in prop_oneof![5 => Just(false), 1 => Just(true)],
        tcp: bool, ours: u16, with_texts: bool, limiting: bool,
    ) {
        let zones = zones();
        let transport = if tcp { Transport::TCP } else { Transport::UDP };
        let mut query = query(&owner, Type(qtype), None);
        *query.last_mut().unwrap() = class;
        query[2] = flags.0 & if one_opcode { 0x07 } else { 0x7f };
        query[3] = flags.1;
        if let Some(payload) = payload {
            query[11] += 1;
            query.extend([0, 0, 41]);
            query.extend(payload.to_be_bytes());
            query.extend([0, version, edns_flags[0], edns_flags[1]]);
            let options = option.concat();
            query.extend((options.len() as u16).to_be_bytes());
            query.extend(options);
        }
        if signed {
            query[11] += 1;
            query.extend(tsig(b"\x01k\0"));
        }
        let mut settings = settings().payload(ours);
        if with_texts {
            settings = settings.nsid(Some("n".repeat(MAX_TEXT))).version(Some("v".repeat(MAX_TEXT)));
        }
        let limiter = limited(1);
        let mut context = context(Some(&zones), &settings, transport);
        if limiting {
            context.limiter = Some(&limiter);
            // The bucket is empty.
            send_to(&context, &query);
        }
        let Some(reply) = send_to(&context, &query) else {
            prop_assert!(limiting && !tcp);
            return Ok(());
        };
        let message = Message::from_vec(&reply).unwrap();
        prop_assert_eq!(&reply[..2], &query[..2]);
        prop_assert_eq!(reply[2] & 0xf9, 0x80 | query[2] & 0x79, "QR, opcode and RD");
        prop_assert_eq!(reply[3] & 0xf0, 0, "RA, Z, AD and CD");
        let limit = if tcp { 65_535 } else { payload.unwrap_or(512).clamp(512, ours.clamp(512, 4096)) };
        prop_assert!(reply.len() <= usize::from(limit));
        prop_assert_eq!(message.edns.is_some(), payload.is_some());
        if let Some(edns) = &message.edns {
            prop_assert_eq!((edns.version(), edns.max_payload()), (0, ours.clamp(512, 4096)));
            prop_assert!(options(&reply).iter().all(|(code, _)| matches!(code, 3 | 10 | 11 | 15)));
        }
        if let Some(question) = message.queries.first() {
            prop_assert!(question.name().to_string().eq_ignore_ascii_case(&name(&owner).to_string()) || owner.contains('\\'));
        }
    }
}
