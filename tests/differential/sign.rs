//! Signed worlds: the zones of a random world, signed by BIND's `dnssec-signzone`.

use std::fs;
use std::path::Path;
use std::process::Command;

use zonule_harness::run;

use crate::world::{World, Zone};

/// How a world is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// With a chain of NSEC records.
    Nsec,
    /// With a chain of NSEC3 records.
    Nsec3,
    /// With a chain of NSEC3 records that leaves out unsigned delegations, a salt and further iterations.
    OptOut,
}

impl Signing {
    pub(crate) const ALL: [Signing; 3] = [Signing::Nsec, Signing::Nsec3, Signing::OptOut];

    fn options(self) -> &'static [&'static str] {
        match self {
            Signing::Nsec => &[],
            Signing::Nsec3 => &["-3", "-"],
            Signing::OptOut => &["-3", "aabbccdd", "-H", "3", "-A"],
        }
    }
}

/// Replaces the text of all zones by their signed form; keys and files are written to `directory`.
pub(crate) fn sign(world: &mut World, signing: Signing, directory: &Path) {
    let directory = directory.join("signing");
    fs::create_dir_all(&directory).unwrap();
    for zone in &mut world.zones {
        sign_zone(zone, signing, &directory);
    }
    world.signing = Some(signing);
}

fn sign_zone(zone: &mut Zone, signing: Signing, directory: &Path) {
    let (apex, file) = (zone.apex.to_string(), zone.file_name());
    fs::write(directory.join(&file), &zone.text).unwrap();
    for role in [&["-f", "KSK"][..], &[]] {
        let mut command = Command::new("dnssec-keygen");
        run(command.current_dir(directory).args(["-q", "-a", "ECDSAP256SHA256"]).args(role).arg(&apex)).unwrap();
    }
    let signed = format!("{file}.signed");
    let mut command = Command::new("dnssec-signzone");
    command.current_dir(directory).args(["-S", "-P", "-x", "-n", "1", "-o", &apex, "-O", "full", "-f", &signed]);
    run(command.args(signing.options()).arg(&file)).unwrap();
    let text = fs::read_to_string(directory.join(&signed)).unwrap();
    zone.text = text.lines().map(|line| format!("{}\n", for_knot(line))).collect();
    let mut command = Command::new("dnssec-dsfromkey");
    zone.anchor = run(command.current_dir(directory).args(["-2", "-f", &signed, &apex])).unwrap();
}

/// Rewrites a line of BIND's so that Knot takes it: it does not know X25, and wants four digits in each group of L64 and NID.
pub(crate) fn for_knot(line: &str) -> String {
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let (Some(&[owner, ttl, "IN"]), false) = (words.first_chunk(), words.len() < 5) else { return line.to_owned() };
    let head = format!("{owner} {ttl} ");
    words.drain(..3);
    match words.as_slice() {
        ["X25", _] => format!("{head}IN TYPE19 \\# 13 0c333131303631373030393536"),
        [rtype @ ("L64" | "NID"), preference, locator] => {
            let groups: Vec<String> = locator.split(':').map(|group| format!("{group:0>4}")).collect();
            format!("{head}IN {rtype} {preference} {}", groups.join(":"))
        }
        ["RRSIG" | "NSEC" | "NSEC3", ..] => {
            words.iter_mut().filter(|word| **word == "X25").for_each(|word| *word = "TYPE19");
            format!("{head}IN {}", words.join(" "))
        }
        _ => line.to_owned(),
    }
}
