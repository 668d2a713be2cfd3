//! Randomness and cryptography as libraries do them: by C symbols, assembly and vector registers.
//!
//! TLS and SSH stand on these. A register lost in a preemption would be a wrong tag or signature here, and a connection
//! that breaks now and then there.

use crate::vectors::compete;
use crate::{Check, Outcome, ensure};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use ring::{agreement, digest};
use std::time::{Duration, Instant};

pub(crate) const CHECKS: &[Check] = &[
    ("randomness by every way libraries ask for it", randomness),
    ("known digests", digests),
    ("known ciphertexts", ciphertexts),
    ("a known signature", signature),
    ("two sides agree on a key", agreements),
    ("ciphers across preemption", ciphers_compete),
    ("signatures and digests across preemption", signatures_compete),
];

/// How long the threads compete.
const LONG: Duration = Duration::from_millis(150);

fn randomness() -> Outcome {
    let mut found = [[0_u8; 32]; 4];
    let [by_syscall, by_symbol, by_new_symbol, by_ring] = &mut found;
    getrandom_02::getrandom(by_syscall).map_err(|error| format!("getrandom 0.2: {error}"))?;
    getrandom_03::fill(by_symbol).map_err(|error| format!("getrandom 0.3: {error}"))?;
    getrandom_04::fill(by_new_symbol).map_err(|error| format!("getrandom 0.4: {error}"))?;
    SystemRandom::new().fill(by_ring).map_err(|_| "ring has no randomness")?;
    for (index, octets) in found.iter().enumerate() {
        ensure!(octets.iter().any(|&octet| octet != 0), "way {index} left only zeroes");
        ensure!(!found[..index].contains(octets), "way {index} gave what another did");
    }
    Ok(())
}

/// FIPS 180-4's own example.
fn digests() -> Outcome {
    for (algorithm, expected) in [
        (&digest::SHA256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            &digest::SHA384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
    ] {
        let found = digest::digest(algorithm, b"abc");
        ensure!(found.as_ref() == hex(expected), "{algorithm:?} is {found:?}");
    }
    Ok(())
}

fn ciphertexts() -> Outcome {
    // RFC 8439 §2.8.2.
    let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
                 sunscreen would be it.";
    known(
        &CHACHA20_POLY1305,
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        text,
        "d31a8d34648e60db7b86afbc53ef7ec2",
        "1ae10b594f09e26a7e902ecbd0600691",
    )?;
    // Test case 4 of the specification of GCM.
    let text = hex(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    ));
    known(
        &AES_128_GCM,
        "feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        &text,
        "42831ec2217774244b7221b784d0d49c",
        "5bc94fbc3221a5db94fae95ae7121a47",
    )
}

/// Encrypts `text` and compares the ciphertext's beginning and the tag, which depends on all of it.
fn known(
    algorithm: &'static Algorithm,
    key_digits: &str,
    nonce: &str,
    associated: &str,
    text: &[u8],
    begins: &str,
    tag: &str,
) -> Outcome {
    let nonce: [u8; 12] = hex(nonce).try_into().map_err(|_| "a nonce has 12 octets")?;
    let mut sealed = text.to_vec();
    let found = key(algorithm, &hex(key_digits))?
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(hex(associated)), &mut sealed)
        .map_err(|_| "sealing failed")?;
    ensure!(sealed.starts_with(&hex(begins)), "{algorithm:?} gave {sealed:02x?}");
    ensure!(found.as_ref() == hex(tag), "{algorithm:?} gave the tag {:02x?}", found.as_ref());
    Ok(())
}

/// RFC 8032 §7.1, test 2.
fn signature() -> Outcome {
    let pair = pair()?;
    let found = pair.sign(&[0x72]);
    let expected = hex(concat!(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    ));
    ensure!(found.as_ref() == expected, "it is {:02x?}", found.as_ref());
    let public = UnparsedPublicKey::new(&ED25519, pair.public_key().as_ref());
    ensure!(public.verify(&[0x72], found.as_ref()).is_ok(), "its own signature is refused");
    ensure!(public.verify(&[0x73], found.as_ref()).is_err(), "another message's signature is taken");
    Ok(())
}

fn agreements() -> Outcome {
    for algorithm in [&agreement::X25519, &agreement::ECDH_P256] {
        let random = SystemRandom::new();
        let side = || {
            let private = agreement::EphemeralPrivateKey::generate(algorithm, &random).map_err(|_| "no private key")?;
            let public = private.compute_public_key().map_err(|_| "no public key")?;
            Ok::<_, &str>((private, public))
        };
        let ((ours, our_public), (theirs, their_public)) = (side()?, side()?);
        let agree = |private, public: &agreement::PublicKey| {
            let public = agreement::UnparsedPublicKey::new(algorithm, public.as_ref());
            agreement::agree_ephemeral(private, &public, <[u8]>::to_vec).map_err(|_| "no agreement")
        };
        let (one, other) = (agree(ours, &their_public)?, agree(theirs, &our_public)?);
        ensure!(one == other && one.iter().any(|&octet| octet != 0), "{algorithm:?}: {one:02x?} and {other:02x?}");
    }
    Ok(())
}

/// Three threads encrypt and decrypt at once, with the implementations for long texts.
fn ciphers_compete() -> Outcome {
    compete(|number| {
        let algorithm = [&CHACHA20_POLY1305, &AES_256_GCM, &AES_128_GCM][number as usize % 3];
        let key = key(algorithm, &vec![number as u8; algorithm.key_len()])?;
        let nonce = || Nonce::assume_unique_for_key([number as u8; 12]);
        let text: Vec<u8> = (0..5000).map(|index| (index * number) as u8).collect();
        let (mut first, began) = (None, Instant::now());
        while first.is_none() || began.elapsed() < LONG {
            let mut octets = text.clone();
            key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut octets).map_err(|_| "sealing failed")?;
            let first = first.get_or_insert_with(|| octets.clone());
            ensure!(*first == octets, "{algorithm:?} gave another ciphertext");
            let opened = key.open_in_place(nonce(), Aad::empty(), &mut octets);
            ensure!(opened.is_ok_and(|opened| *opened == text), "{algorithm:?} does not open what it sealed");
        }
        Ok(())
    })
}

fn signatures_compete() -> Outcome {
    compete(|number| {
        let (pair, message) = (pair()?, vec![number as u8; 2000]);
        let (expected, began) = ((pair.sign(&message), digest::digest(&digest::SHA256, &message)), Instant::now());
        while began.elapsed() < LONG {
            ensure!(pair.sign(&message).as_ref() == expected.0.as_ref(), "the signature has changed");
            ensure!(
                digest::digest(&digest::SHA256, &message).as_ref() == expected.1.as_ref(),
                "the digest has changed"
            );
        }
        Ok(())
    })
}

fn key(algorithm: &'static Algorithm, octets: &[u8]) -> Result<LessSafeKey, String> {
    UnboundKey::new(algorithm, octets).map(LessSafeKey::new).map_err(|_| format!("{algorithm:?} refuses its key"))
}

fn pair() -> Result<Ed25519KeyPair, String> {
    let seed = hex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| error.to_string())
}

/// Returns the octets of a constant's digits.
fn hex(digits: &str) -> Vec<u8> {
    let octet = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("the constants above are hexadecimal");
    (0..digits.len()).step_by(2).map(octet).collect()
}
