//! Any octets as a signed request, as its reply, as a message to sign, and as a key file.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use zonule::keys::{Addresses, Grant, Keyring};
use zonule::tsig::{self, Limits, Policy, Replay, Replays};

/// When the seeds were signed.
const NOW: u64 = 1_700_000_000;

/// The keys that the seeds are signed with.
static KEYS: LazyLock<Keyring> = LazyLock::new(|| {
    let file = include_bytes!("../seeds/tsig/keys").as_slice();
    let (keys, told) = Keyring::load(&[], [("example.org._keys", file)]);
    assert!(told.is_empty() && keys.len() == 2, "good keys");
    keys
});

fuzz_target!(|octets: &[u8]| {
    let mut reply = [0x80; 1024];
    reply[4..12].fill(0);
    let find = |name: &zonule::dns::Name| KEYS.get(name).cloned();
    match tsig::verify(octets, find, &Policy::default(), NOW) {
        Ok(None) => {}
        Ok(Some(tsig::Verified { message, request })) => {
            assert!(message.len() < octets.len());
            assert_eq!(request.sign(&mut reply, 12, NOW), Some(12 + request.room()));
            let mut replays = Replays::new(Limits::default(), 0);
            assert_eq!(replays.check(&request, NOW, || 1), Replay::New(&mut 1));
            assert_eq!(replays.check(&request, NOW, || 2), Replay::Seen(&mut 1));
        }
        Err(failure) => {
            let len = failure.sign(&mut reply, 12).expect("there is room");
            assert!(len <= 12 + failure.room());
            assert!(failure.to_string().len() < 2048);
        }
    }

    let key = KEYS.iter().min_by_key(|key| key.name().as_wire().len()).expect("there are two");
    let mut message = octets.to_vec();
    if let Some(sent) = tsig::sign(key, &mut message, NOW) {
        // It fails if the signed octets are not a message; then the signature cannot be parsed either.
        if let Ok(Some(verified)) = tsig::verify(&message, find, &Policy::default(), NOW) {
            assert_eq!(verified.message, octets);
        }
        let _ = sent.verify(octets, NOW);
        let mut chain = sent.chain();
        for message in octets.chunks(128) {
            let _ = chain.verify(message, NOW);
        }
    }

    let (keys, told) = Keyring::load(&[], [("example.org._keys", octets), ("_keys", octets)]);
    assert!(told.len() <= 2 * 42);
    for key in keys.iter() {
        let _ = (Grant::of(key.name()), Addresses::of(key.name()));
    }
    if let Ok(text) = std::str::from_utf8(octets) {
        let _ = Arc::new(tsig::Key::parse_argument(text));
    }
});
