//! Zones that Zonule signs, as the verifiers of other makes see them, and zones that others sign, as Zonule does.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use zonule::dns::{Name, Severity, print};
use zonule::dnssec::{
    DenialMethod, DigestType, KeyAlgorithm, MasterSecret, Role, SigningKey, SigningPolicy, Validation,
    delegation_signer, sign, validate,
};
use zonule::zone::Zone;
use zonule::zonefile::read;
use zonule_harness::{Sandbox, run};

use crate::name::Random;
use crate::sign::{self as signzone, Signing};
use crate::world::World;

/// Today, in seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Reads the text of a zone.
fn zone(apex: &str, text: &str) -> Zone {
    let reading = read(&Name::from_text(apex).unwrap(), apex, text.as_bytes());
    reading.zone.unwrap_or_else(|| panic!("{:?}", reading.diagnostics))
}

/// Returns the text of a zone, a record a line.
fn text(zone: &Zone) -> String {
    let mut text = String::new();
    for node in zone.iter() {
        for rrset in node.rrsets() {
            for data in rrset.rdata() {
                let line = print::record(node.owner(), rrset.ttl(), rrset.rtype(), data);
                writeln!(text, "{}", signzone::for_knot(&line)).unwrap();
            }
        }
    }
    text
}

/// The keys of a zone: one for everything, or one of each role.
fn keys(apex: &Name, algorithm: KeyAlgorithm, roles: &[Role]) -> Vec<SigningKey> {
    let secret = MasterSecret::new([7; 32]);
    roles.iter().map(|role| SigningKey::derive(&secret, apex, *role, algorithm, 1).unwrap()).collect()
}

/// Returns the errors that other verifiers report for a signed zone; empty if all accept it.
fn verdicts(directory: &Path, apex: &Name, text: &str, has_digest: bool) -> Vec<String> {
    let file = directory.join("signed");
    fs::write(&file, text).unwrap();
    let apex = apex.to_string();
    let mut ldns = Command::new("ldns-verify-zone");
    ldns.args(if has_digest { &["-Z"][..] } else { &[] }).arg(&file);
    let mut bind = Command::new("dnssec-verify");
    bind.args(["-q", "-x", "-o", &apex]).arg(&file);
    let mut knot = Command::new("kzonecheck");
    knot.args(["-d", "on", "-o", &apex]).arg(&file);
    let mut commands = vec![bind, knot];
    // ldns never ends when it computes the digest of some zones with NSEC3.
    if !has_digest || !text.contains(" NSEC3PARAM ") {
        commands.push(ldns);
    }
    let errors = commands.into_iter().filter_map(|mut command| run(&mut command).err());
    // Knot also looks for glue, which not all delegations of our worlds have.
    let is_about_glue = |line: &str| line.is_empty() || line.contains("missing glue record");
    let is_other = |line: &&str| !is_about_glue(line) && !line.contains("kzonecheck -d") && *line != "Error summary:";
    errors.map(|error| error.to_string()).filter(|error| error.lines().any(|line| is_other(&line))).collect()
}

/// Returns whether a validator would object.
fn objects(validation: &Validation) -> bool {
    validation.findings.iter().any(|finding| finding.severity == Severity::Error)
}

#[test]
fn others_accept_what_we_sign() {
    let sandbox = Sandbox::new("signing").unwrap();
    let day = (now() / 86_400) as u32;
    let csk = &[Role::Csk][..];
    let plans = [
        (KeyAlgorithm::ECDSAP256SHA256, csk, SigningPolicy { cds: true, zonemd: true, ..SigningPolicy::default() }),
        (
            KeyAlgorithm::ED25519,
            csk,
            SigningPolicy { denial: DenialMethod::Nsec3 { opt_out: false }, zonemd: true, cds: false },
        ),
        (
            KeyAlgorithm::ECDSAP256SHA256,
            &[Role::Ksk, Role::Zsk][..],
            SigningPolicy { denial: DenialMethod::Nsec3 { opt_out: true }, zonemd: false, cds: true },
        ),
    ];
    for seed in 21..23 {
        let world = World::random(seed);
        for source in &world.zones {
            for (algorithm, roles, policy) in &plans {
                let apex = Name::from_text(&source.apex.to_string()).unwrap();
                let keys = keys(&apex, *algorithm, roles);
                let plain = zone(&source.apex.to_string(), &source.text);
                let signed = sign(&plain, &keys, policy, day, None).unwrap();
                let found = validate(&signed, now(), usize::MAX);
                assert_eq!((found.errors, found.warnings), (0, 0), "seed {seed} {apex}: {:#?}", found.findings);
                let said = verdicts(sandbox.path(), &apex, &text(&signed), policy.zonemd);
                assert!(said.is_empty(), "seed {seed} {apex} {policy:?}: {said:#?}");
                // Signing again changes nothing, with or without what was signed before.
                for before in [None, Some(&signed)] {
                    assert_eq!(text(&sign(&signed, &keys, policy, day, before).unwrap()).len(), text(&signed).len());
                    assert_eq!(text(&sign(&plain, &keys, policy, day, before).unwrap()), text(&signed));
                }
                // On any later day, too, and some signatures are new.
                let later = sign(&plain, &keys, policy, day + 3, Some(&signed)).unwrap();
                let found = validate(&later, now() + 3 * 86_400, usize::MAX);
                assert_eq!((found.errors, found.warnings), (0, 0), "{:#?}", found.findings);
                assert_eq!(text(&later), text(&sign(&plain, &keys, policy, day + 3, None).unwrap()));
            }
        }
    }
}

#[test]
fn delegation_signers_are_those_of_bind() {
    let sandbox = Sandbox::new("signers").unwrap();
    let apex = Name::from_text("example.org").unwrap();
    for algorithm in [KeyAlgorithm::ECDSAP256SHA256, KeyAlgorithm::ED25519] {
        let key = &keys(&apex, algorithm, &[Role::Csk])[0];
        let file = sandbox.path().join("keys");
        let rtype = zonule::dns::Type::DNSKEY;
        fs::write(&file, format!("{apex} 60 IN DNSKEY {}\n", print::data(rtype, key.public().data()))).unwrap();
        for (option, digest_type) in
            [("-1", DigestType::Sha1), ("-2", DigestType::Sha256), ("-a SHA-384", DigestType::Sha384)]
        {
            let mut command = Command::new("dnssec-dsfromkey");
            let theirs = run(command.args(option.split(' ')).arg("-f").arg(&file).arg("example.org")).unwrap();
            let ours = print::data(zonule::dns::Type::DS, &delegation_signer(&apex, key.public(), digest_type));
            let theirs: Vec<&str> = theirs.split_whitespace().skip(3).collect();
            assert_eq!(ours.split_whitespace().collect::<String>().to_lowercase(), theirs.concat().to_lowercase());
        }
    }
}

#[test]
fn we_accept_what_others_sign() {
    for (seed, signing) in (31..).zip(Signing::ALL) {
        let sandbox = Sandbox::new("signed").unwrap();
        let mut world = World::random(seed);
        signzone::sign(&mut world, signing, sandbox.path());
        for source in &world.zones {
            let found = validate(&zone(&source.apex.to_string(), &source.text), now(), usize::MAX);
            assert!(found.is_signed && found.errors == 0, "{signing:?} {}: {:#?}", source.apex, found.findings);
        }
    }
}

/// Damages a signed zone in one place at random and says how.
fn damage(random: &mut Random, text: &str) -> (String, String) {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let is_about = |line: &str| [" RRSIG ", " NSEC ", " NSEC3 ", " DNSKEY "].iter().any(|rtype| line.contains(rtype));
    loop {
        let at = random.below(lines.len());
        let line = lines[at].clone();
        if line.contains(" SOA ") || !is_about(&line) && random.chance(70) {
            continue;
        }
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let how = match random.below(4) {
            0 if is_about(&line) => {
                lines.remove(at);
                "removed"
            }
            1 if line.contains(" RRSIG ") => {
                let last = words.last_mut().unwrap();
                let flipped = if last.starts_with('A') { "B" } else { "A" };
                last.replace_range(0..1, flipped);
                lines[at] = words.join(" ");
                "altered"
            }
            2 if line.contains(" A ") && !line.contains("RRSIG") && !line.contains("NSEC") => {
                *words.last_mut().unwrap() = "203.0.113.213".to_owned();
                lines[at] = words.join(" ");
                "altered"
            }
            3 if !line.contains("NSEC3PARAM") => {
                let name = format!("added{}.{}", random.below(1000), words[0]);
                lines.push(format!("{name} 60 IN TXT \"added\""));
                "added below"
            }
            _ => continue,
        };
        return (lines.join("\n") + "\n", format!("{how}: {line}"));
    }
}

#[test]
fn damage_is_found_as_others_find_it() {
    let sandbox = Sandbox::new("damage").unwrap();
    let mut random = Random::new(5);
    let (day, mut both) = ((now() / 86_400) as u32, 0);
    for seed in 41..43 {
        let world = World::random(seed);
        for source in world.zones.iter().filter(|source| source.records.len() > 10) {
            let apex = Name::from_text(&source.apex.to_string()).unwrap();
            let plain = zone(&source.apex.to_string(), &source.text);
            for denial in [DenialMethod::Nsec, DenialMethod::Nsec3 { opt_out: false }] {
                let policy = SigningPolicy { denial, ..SigningPolicy::default() };
                let keys = keys(&apex, KeyAlgorithm::ECDSAP256SHA256, &[Role::Csk]);
                let signed = text(&sign(&plain, &keys, &policy, day, None).unwrap());
                for _ in 0..8 {
                    let (damaged, how) = damage(&mut random, &signed);
                    let reading = read(&apex, "zone", damaged.as_bytes());
                    let Some(zone) = reading.zone else { continue };
                    let found = validate(&zone, now(), usize::MAX);
                    let said = verdicts(sandbox.path(), &apex, &damaged, false);
                    // The verifiers may disagree; only unanimous verdicts are compared.
                    if said.is_empty() {
                        assert!(!objects(&found), "{apex}: {how}: {:#?}", found.findings);
                    } else if said.len() == 3 {
                        both += 1;
                        assert!(objects(&found), "{apex}: {how}: {said:#?}");
                    }
                }
            }
        }
    }
    assert!(both > 40, "{both}");
}
