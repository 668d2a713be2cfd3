//! Zones that were signed elsewhere are served unchanged: a signature keeps the TTL of what it signs (RFC 4034 §3).

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use zonule_harness::{Algorithm, Console, Form, Key, Make, Port, Sandbox, Setup, Target, Way, run, serial};

use crate::secondaries::scene::{Leading, ZONE};

/// The text of a zone whose names own RRsets of different TTLs.
fn unsigned(serial: u32, more: &str) -> String {
    // Differences shall be small beside the zone.
    let more = (0..40).fold(more.to_owned(), |text, number| text + &format!("stays{number} A 192.0.2.{number}\n"));
    format!(
        "$TTL 3600\n@ SOA ns hostmaster {serial} 3600 2 3600000 300\n@ NS ns\nns 600 A 192.0.2.53\nns 900 AAAA 2001:db8::53\n\
         www 60 A 192.0.2.80\nwww 7200 TXT \"a\"\nwww 0 HINFO \"x\" \"y\"\n{more}"
    )
}

/// Signs zones, with the same keys each time.
struct Signer<'p> {
    directory: &'p Path,
    keys: [String; 2],
}

impl Signer<'_> {
    /// Makes keys in a directory.
    fn new(directory: &Path) -> Signer<'_> {
        let key = |flags: &[&str]| {
            let mut command = Command::new("dnssec-keygen");
            command.current_dir(directory).args(["-q", "-a", "ED25519"]).args(flags).arg(ZONE);
            run(&mut command).unwrap().trim().to_owned()
        };
        Signer { directory, keys: [key(&["-f", "KSK"]), key(&[])] }
    }

    /// Signs with NSEC3 as BIND does, which gives the NSEC3PARAM record and its signature the TTL 0.
    fn with_nsec3(&self, serial: u32, more: &str) -> String {
        fs::write(self.directory.join("unsigned"), unsigned(serial, more)).unwrap();
        let mut command = Command::new("dnssec-signzone");
        command.current_dir(self.directory).args([
            "-q",
            "-S",
            "-s",
            "20200101000000",
            "-e",
            "20370101000000",
            "-3",
            "-",
            "-H",
            "0",
            "-o",
            ZONE,
            "-f",
            "signed",
            "unsigned",
        ]);
        run(&mut command).unwrap();
        let text = fs::read_to_string(self.directory.join("signed")).unwrap();
        let is_zero = |line: &str| line.split_whitespace().take(3).eq(["0", "RRSIG", "NSEC3PARAM"]);
        assert!(text.lines().any(is_zero), "{text}");
        text
    }

    /// Signs with a digest of the whole zone (RFC 8976).
    fn with_digest(&self, serial: u32) -> String {
        let (plain, full) = (self.directory.join("unsigned"), self.directory.join("full"));
        fs::write(&plain, unsigned(serial, "")).unwrap();
        let mut command = Command::new("named-compilezone");
        run(command.args(["-q", "-i", "none", "-s", "full", "-o"]).arg(&full).arg(ZONE).arg(&plain)).unwrap();
        let mut command = Command::new("ldns-signzone");
        command.current_dir(self.directory).args(["-n", "-z", "simple:sha384", "-o", ZONE, "-f", "signed", "full"]);
        run(command.args(&self.keys)).unwrap();
        fs::read_to_string(self.directory.join("signed")).unwrap()
    }
}

/// Asserts that a zone's signatures, and its digest if it has one, are good for these records.
fn verify(directory: &Path, records: &[String], has_digest: bool) {
    let file = directory.join("transferred");
    fs::write(&file, records.join("\n") + "\n").unwrap();
    let digest = if has_digest { &["-Z"][..] } else { &[] };
    run(Command::new("ldns-verify-zone").args(digest).arg(&file)).unwrap();
    // It also sees that the TTLs of signatures are those of what they cover.
    run(Command::new("kzonecheck").args(["-d", "on", "-o", ZONE]).arg(&file)).unwrap();
    for signature in records.iter().filter(|record| record.contains(" rrsig ")) {
        let words: Vec<&str> = signature.split(' ').collect();
        assert_eq!(words[1], words[7], "the original TTL: {signature}");
    }
}

/// Transfers a zone; unlike `whole_zone`, in the letters it has: those of signatures count.
fn transferred(address: SocketAddr, key: &Key) -> Vec<String> {
    let (ip, port) = (format!("@{}", address.ip()), address.port().to_string());
    let mut command = Command::new("dig");
    command.args(["-r", &ip, "-p", &port, "+noall", "+answer", "+nosplit", "+onesoa", "+time=60", "-y", &key.option()]);
    let text = run(command.args([ZONE, "AXFR"])).unwrap();
    let records = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let mut records: Vec<_> = records.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    records.sort_unstable();
    records
}

scenario!(signatures_in_git_are_served_with_their_own_ttls, |target| {
    let keys = Sandbox::new("keys").unwrap();
    let signer = Signer::new(keys.path());
    let followers = [(Make::Bind, Algorithm::Sha256), (Make::Knot, Algorithm::Sha256)];
    let mut scene = Leading::with_zone(target, &followers, &signer.with_nsec3(1, ""), &[], 256);
    // What is in git, what is served, and what followers have.
    scene.compare();
    let key = scene.key.clone();
    let address = scene.server().address();
    verify(keys.path(), &transferred(address, &key), false);
    let reply = scene.server().dig(&[ZONE, "RRSIG", "+tcp"]).unwrap();
    let ttls: BTreeSet<u32> = reply.answer.iter().filter_map(|record| record.split(" ").nth(1)?.parse().ok()).collect();
    assert_eq!(ttls, BTreeSet::from([0, 3600]));

    // Signed anew, with another name and another TTL: differences tell all.
    scene.way.forget();
    scene.remote.write(ZONE, signer.with_nsec3(2, "more 90 A 192.0.2.90\nwww 60 AAAA 2001:db8::80\n")).unwrap();
    scene.remote.push("Sign a new name").unwrap();
    scene.until_serial(2);
    scene.compare();
    let address = scene.server().address();
    verify(keys.path(), &transferred(address, &key), false);
    scene.assert_incremental();

    // An update leaves the signatures of all else as they are, though who updates a signed zone must sign it again.
    scene.update(&["update add new.example.org. 60 TXT \"unsigned\""]);
    let records = scene.compare();
    assert!(records.iter().any(|record| record.contains("0 in rrsig nsec3param ")), "{records:#?}");
    for signature in records.iter().filter(|record| record.contains(" in rrsig ")) {
        let words: Vec<&str> = signature.split(' ').collect();
        assert_eq!(words[1], words[7], "the original TTL: {signature}");
    }
    // One that is about signatures itself sets the TTL of those that cover the same type.
    let signature =
        |ttl: u32| format!("www.{ZONE}. {ttl} RRSIG A 13 3 60 20300101000000 20200101000000 1 {ZONE}. AQID");
    // Knot gives a signature the TTL of those it has.
    scene.followers.retain(|follower| follower.neighbour.make() != Make::Knot);
    scene.update(&[&format!("update add {}", signature(61))]);
    let records = scene.compare();
    let of_www = |covered: &str| {
        let beginning = format!("www.{ZONE}. ");
        let all = records.iter().filter(|record| record.starts_with(&beginning) && record.contains(covered));
        all.map(|record| record.split(' ').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(of_www(" rrsig a "), ["61", "61"]);
    assert_eq!((of_www(" rrsig txt "), of_www(" rrsig hinfo ")), (vec!["7200".to_owned()], vec!["0".to_owned()]));
});

scenario!(digest_of_a_zone_in_git_stays_right, |target| {
    let keys = Sandbox::new("keys").unwrap();
    let text = Signer::new(keys.path()).with_digest(1);
    let mut scene = Leading::with_zone(target, &[], &text, &[], 256);
    scene.compare();
    let (address, key) = (scene.server().address(), scene.key.clone());
    verify(keys.path(), &transferred(address, &key), true);
});

/// Our server as a secondary of a signed zone: what it passes on is what it got.
fn passes_on(target: &Target, make: Make) {
    let sandbox = Sandbox::new("signed").unwrap();
    let key = Key::new(&format!("peer._transfer.{ZONE}")).unwrap();
    let signer = Signer::new(sandbox.path());
    let port = Port::new();
    let setup = Setup::new(make, sandbox.path()).unwrap().gives(ZONE, &signer.with_nsec3(1, "")).unwrap().guarded(&key);
    let primary = setup.notifies(port.address(), Some(&key)).start().unwrap();
    primary.until_serial(ZONE, 1).unwrap();
    let way = Way::to(primary.address()).unwrap();
    let argument = format!("--primary={}:{},{}", target.host(), way.address().port(), key.name);
    let boot = target.boot().argument(key.argument()).argument(argument).argument(format!("--zones={ZONE}"));
    let mut server = boot.start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap();
    let mut same = |wanted: u32, has_digest: bool| {
        primary.until_serial(ZONE, wanted).unwrap();
        let followed = format!("serial {wanted}");
        server.until(&followed, |server| (serial(server.address(), ZONE)? == wanted).then_some(())).unwrap();
        let ours = transferred(server.address(), &key);
        assert_eq!(ours, transferred(primary.address(), &key));
        verify(sandbox.path(), &ours, has_digest);
    };
    same(1, false);
    way.forget();
    primary.change(ZONE, &signer.with_nsec3(2, "more 90 A 192.0.2.90\nwww 60 AAAA 2001:db8::80\n")).unwrap();
    same(2, false);
    primary.change(ZONE, &signer.with_nsec3(3, "more 91 A 192.0.2.90\n")).unwrap();
    same(3, false);
    assert!(way.transfers(ZONE).contains(&Form::Incremental), "{:?}", way.transfers(ZONE));
    primary.change(ZONE, &signer.with_digest(4)).unwrap();
    same(4, true);
}

scenario!(signed_zone_of_bind_is_passed_on_as_it_is, |target| {
    passes_on(target, Make::Bind);
});

scenario!(signed_zone_of_knot_is_passed_on_as_it_is, |target| {
    passes_on(target, Make::Knot);
});
