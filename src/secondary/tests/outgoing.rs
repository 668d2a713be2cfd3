//! Tests that receive our own outgoing transfers: whole zones and condensed differences, signed and unsigned.

use proptest::prelude::*;

use super::*;
use crate::answer::Transport;
use crate::secondary::{Bounds, Incoming, Outcome, Progress};
use crate::transfer::{Content, Outgoing, Request};
use crate::tsig::{Policy, verify};
use crate::zone::difference;

const LINES: &[&str] = &[
    "a 60 A 192.0.2.1\n",
    "A 60 A 192.0.2.1\n",
    "a 60 A 192.0.2.2\n",
    "a 5 A 192.0.2.1\n",
    "a 60 MX 1 B.example.org.\n",
    "b.a 60 TXT x\n",
    "*.w 60 TXT x\n",
    "sub NS ns.sub\n",
    "ns.sub AAAA ::1\n",
    "d DNAME x.test.\n",
    "c CNAME a\n",
];

fn any_lines() -> impl Strategy<Value = String> {
    proptest::collection::vec(prop::sample::select(LINES), 0..8).prop_map(|lines| lines.concat())
}

/// Feeds a transfer with what our own primary sends, in messages of at most `limit` octets.
fn run(mut incoming: Incoming, request: &[u8], versions: &[Arc<Zone>], limit: usize) -> (Outcome, usize) {
    let verified = verify(request, |_| Some(key()), &Policy::default(), UNIX).unwrap();
    let mut chain = verified.as_ref().map(|verified| verified.request.chain());
    let plain = verified.as_ref().map_or(request, |verified| &verified.message);
    let request = Request::parse(plain, Transport::TCP).unwrap();
    let newest = versions.last().unwrap();
    let differences: Vec<_> = versions.windows(2).map(|pair| Arc::new(difference(&pair[0], &pair[1]))).collect();
    let known = (versions.len() > 1).then_some(&differences[..]);
    let mut outgoing = Outgoing::new(request.reply(&[]), Content::of(&request, newest.clone(), known));
    let mut message = vec![0; 65_535];
    let reserve = chain.as_ref().map_or(0, |chain| chain.room());
    let mut messages = 0;
    while let Some(mut len) = outgoing.next(&mut message, limit, reserve).unwrap() {
        messages += 1;
        if let Some(chain) = &mut chain {
            len = chain.sign(&mut message, len, UNIX).unwrap();
        }
        match incoming.message(&message[..len], UNIX).unwrap() {
            Progress::More => assert!(!outgoing.is_done()),
            Progress::Finished(outcome) => {
                assert!(outgoing.is_done());
                return (outcome, messages);
            }
        }
    }
    panic!("the transfer has not ended")
}

proptest! {
    #[test]
    fn own_transfers_are_received(
        lines in proptest::collection::vec(any_lines(), 1..5),
        limit in 400..2000_usize,
        first in any::<u32>(),
        signed in any::<bool>(),
    ) {
        let versions: Vec<_> = lines.iter().zip(0..).map(|(lines, at)| zone(first.wrapping_add(at), lines)).collect();
        let newest = versions.last().unwrap();
        let key = signed.then(key);
        let (incoming, request) = Incoming::whole(newest.apex(), key.as_ref(), Bounds::default(), 7, UNIX).unwrap();
        let (Outcome::Zone { zone: got, .. }, _) = run(incoming, &request, &versions, limit) else { panic!() };
        prop_assert!(difference(newest, &got).is_empty());
        let (incoming, request) = Incoming::differences(&versions[0], key.as_ref(), Bounds::default(), 7, UNIX).unwrap();
        match run(incoming, &request, &versions, limit).0 {
            Outcome::UpToDate(serial) => prop_assert_eq!(serial, versions[0].serial()),
            Outcome::Zone { zone: got, .. } => {
                prop_assert!(difference(newest, &got).is_empty());
                prop_assert_eq!(got.record_count(), newest.record_count());
            }
        }
    }
}

/// A large zone in messages of maximum size.
#[test]
fn a_large_zone() {
    let mut text = String::from("$TTL 60\n@ SOA ns host 1 900 300 3600 60\n@ NS ns\nns A 192.0.2.1\n");
    for n in 0..20_000 {
        text.push_str(&format!("h{n} A 10.0.{}.{}\n", n / 256 % 256, n % 256));
    }
    let apex = name("example.org");
    let large = Arc::new(read(&apex, "example.org", text.as_bytes()).zone.unwrap());
    let key = key();
    let (incoming, request) = Incoming::whole(&apex, Some(&key), Bounds::default(), 7, UNIX).unwrap();
    let (Outcome::Zone { zone: got, .. }, messages) = run(incoming, &request, std::slice::from_ref(&large), 65_535)
    else {
        panic!()
    };
    assert!(difference(&large, &got).is_empty() && messages > 3);
}
