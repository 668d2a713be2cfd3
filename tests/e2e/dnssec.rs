//! Signed zones from git and from primaries validate; zones that validators would reject are reported, or held back.

use std::fs;
use std::path::Path;
use std::process::Command;

use zonule_harness::{
    Anchored, Console, Judgement, Key, Make, Port, Sandbox, Setup, Target, Validator, dig, eventually, run, serial,
};

use crate::scene::Scene;
use crate::updates::scene::{KEYS, Updating};

const ZONE: &str = "example.org";

/// The text of a zone with all that a validator may ask for.
fn unsigned(serial: u32) -> String {
    format!(
        "$TTL 300\n@ SOA ns hostmaster {serial} 3600 600 1209600 300\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.80\n\
         alias CNAME www\n*.wild TXT \"w\"\na.b.c A 192.0.2.1\nold DNAME new\nhost.new A 192.0.2.70\n\
         safe NS ns.safe\nns.safe A 192.0.2.54\nsafe DS 4711 13 2 {}\nunsafe NS ns.unsafe\nns.unsafe A 192.0.2.55\n",
        "0123456789abcdef".repeat(4)
    )
}

/// The questions to the zone, and whether the answer is NXDOMAIN.
const QUESTIONS: [(&str, &str, bool); 14] = [
    ("example.org", "SOA", false),
    ("example.org", "DNSKEY", false),
    ("www.example.org", "A", false),
    ("www.example.org", "AAAA", false),
    ("WWW.example.org", "MX", false),
    ("alias.example.org", "A", false),
    ("x.y.wild.example.org", "TXT", false),
    ("x.wild.example.org", "A", false),
    ("b.c.example.org", "A", false),
    ("nothing.example.org", "A", true),
    ("nothing.a.b.c.example.org", "A", true),
    ("host.old.example.org", "A", false),
    ("safe.example.org", "DS", false),
    ("unsafe.example.org", "DS", false),
];

/// Signs zones with `dnssec-signzone`, with the same keys each time.
struct Signer<'p>(&'p Path);

impl Signer<'_> {
    /// Generates keys in a directory.
    fn new(directory: &Path) -> Signer<'_> {
        for role in [&["-f", "KSK"][..], &[]] {
            let mut command = Command::new("dnssec-keygen");
            run(command.current_dir(directory).args(["-q", "-a", "ECDSAP256SHA256"]).args(role).arg(ZONE)).unwrap();
        }
        Signer(directory)
    }

    /// Signs the zone of this serial number; the signatures end at `end`, as the program takes it.
    fn sign(&self, serial: u32, end: &str, more: &[&str]) -> String {
        fs::write(self.0.join("unsigned"), unsigned(serial)).unwrap();
        let mut command = Command::new("dnssec-signzone");
        command.current_dir(self.0).args(["-q", "-S", "-P", "-s", "now-172800", "-e", end, "-o", ZONE, "-f", "signed"]);
        run(command.args(more).arg("unsigned")).unwrap();
        fs::read_to_string(self.0.join("signed")).unwrap()
    }

    /// The zone's DS records.
    fn anchor(&self) -> String {
        run(Command::new("dnssec-dsfromkey").current_dir(self.0).args(["-2", "-f", "signed", ZONE])).unwrap()
    }
}

/// Asserts that unbound, which asks us, takes all answers for secure.
fn assert_secure(validator: &Validator) {
    for (name, rtype, is_absent) in QUESTIONS {
        let (judgement, reply) = validator.judge(name, rtype).unwrap();
        let status = if is_absent { "NXDOMAIN" } else { "NOERROR" };
        let seen = (judgement, reply.status.as_str());
        assert_eq!(seen, (Judgement::Secure, status), "{name} {rtype}: {reply:#?}\n{}", validator.log());
    }
}

scenario!(bogus_zones_are_reported_and_served, |target| {
    let keys = Sandbox::new("keys").unwrap();
    let signer = Signer::new(keys.path());
    let good = signer.sign(1, "now+2592000", &[]);
    let mut scene = Scene::with_files(target, [(ZONE, good.as_str())]);
    scene.server.until_serving(ZONE).unwrap();
    let anchored = Anchored { zone: format!("{ZONE}."), server: scene.server.address(), anchor: signer.anchor() };
    let validator = Validator::start(keys.path(), &[anchored]).unwrap();
    assert_secure(&validator);
    assert!(!scene.server.console().contains("DNSSEC"), "{}", scene.server.console());

    // Somebody changes an address and does not sign again.
    let bad = signer.sign(2, "now+2592000", &["-3", "-"]).replace("192.0.2.80", "192.0.2.81");
    scene.remote.write(ZONE, bad).unwrap();
    scene.remote.push("Change an address without signing").unwrap();
    let reason = "zone example.org.: DNSSEC: the A records of www.example.org. have no valid signature: the signature does \
                  not match the records";
    scene.server.until_console(reason).unwrap();
    scene.server.until_dig(&["www.example.org", "A"], |reply| reply.answer_data() == ["192.0.2.81"]).unwrap();
    let judged = eventually("the answer is bogus", || {
        let (judgement, _) = validator.judge("www.example.org", "A").unwrap();
        (judgement == Judgement::Bogus).then_some(())
    });
    judged.unwrap();

    scene.remote.write(ZONE, signer.sign(3, "now+2592000", &["-3", "-"])).unwrap();
    scene.remote.push("Sign again").unwrap();
    scene.server.until_console("zone example.org.: DNSSEC: nothing is wrong any more").unwrap();
    eventually("the answer is secure", || {
        let (judgement, _) = validator.judge("www.example.org", "A").unwrap();
        (judgement == Judgement::Secure).then_some(())
    })
    .unwrap();
    assert_secure(&validator);

    // A serial number that is not higher is not raised: that would invalidate the signature of the SOA record.
    scene.remote.write(ZONE, signer.sign(3, "now+100000", &[])).unwrap();
    scene.remote.push("Forget the serial").unwrap();
    scene.server.until_console("the new contents are not served").unwrap();

    scene.remote.write(ZONE, signer.sign(4, "now+100000", &[])).unwrap();
    scene.remote.push("Sign for a day").unwrap();
    scene.server.until_console("zone example.org.: DNSSEC: the first signature expires in 27 hours").unwrap();
    scene.remote.write(ZONE, signer.sign(5, "now-10", &[])).unwrap();
    scene.remote.push("Sign for yesterday").unwrap();
    scene.server.until_console("have no valid signature: it expired at").unwrap();
});

scenario!(bogus_zones_are_kept_back, |target| {
    let keys = Sandbox::new("keys").unwrap();
    let signer = Signer::new(keys.path());
    let key = Key::new("laptop._update.example.org").unwrap();
    let files = vec![(ZONE.to_owned(), signer.sign(1, "now+2592000", &[])), (KEYS.to_owned(), key.line())];
    let mut scene = Updating::with_files(target, files, key, &["--dnssec-bogus=refuse"]);
    scene.server.until_serving(ZONE).unwrap();
    let refused = scene.update(&["update add new.example.org. 60 A 192.0.2.1"]);
    assert_eq!(refused.status, "REFUSED", "{refused:?}");
    assert_eq!(serial(scene.server.address(), ZONE), Some(1));

    let bad = signer.sign(2, "now+2592000", &[]).replace("192.0.2.80", "192.0.2.81");
    scene.remote.write(ZONE, bad).unwrap();
    scene.remote.push("Change an address without signing").unwrap();
    scene
        .server
        .until_console("--dnssec-bogus=refuse: validators would reject the zone example.org.: the A records of")
        .unwrap();
    scene.server.until_console("serial 1 is still served").unwrap();
    assert_eq!(scene.server.dig(&["www.example.org", "A"]).unwrap().answer_data(), ["192.0.2.80"]);

    scene.remote.write(ZONE, signer.sign(3, "now+2592000", &[])).unwrap();
    scene.remote.push("Sign again").unwrap();
    scene.server.until_dig(&[ZONE, "SOA"], |reply| reply.answer.iter().any(|line| line.contains(" 3 3600 "))).unwrap();
});

/// Our server as a secondary of a primary that signs: before and after a change, all is secure.
fn follows_signer(target: &Target, make: Make) {
    let sandbox = Sandbox::new("signer").unwrap();
    let key = Key::new(&format!("peer._transfer.{ZONE}")).unwrap();
    let port = Port::new();
    let setup = Setup::new(make, sandbox.path()).unwrap().gives(ZONE, &unsigned(1)).unwrap().guarded(&key).signs();
    let primary = setup.notifies(port.address(), Some(&key)).start().unwrap();
    let keys = || {
        let reply = dig(primary.address(), &[ZONE, "DNSKEY", "+tcp"]).unwrap();
        reply.answer.into_iter().filter(|line| line.contains(" DNSKEY 257 ")).collect::<Vec<_>>()
    };
    let signatures = || dig(primary.address(), &[ZONE, "SOA", "+dnssec"]).unwrap().answer.len() == 2;
    eventually("the primary has signed", || (!keys().is_empty() && signatures()).then_some(())).unwrap();
    let argument = format!("--primary={}:{},{}", target.host(), primary.address().port(), key.name);
    let boot = target.boot().argument(key.argument()).argument(argument).argument(format!("--zones={ZONE}"));
    let boot = boot.argument("--dnssec-bogus=refuse").argument("--rate-limit=off");
    let mut server = boot.start_on(port, Console::File(sandbox.path().join("console.log"))).unwrap();
    server.until_serving(ZONE).unwrap();
    let anchor = keys().join("\n");
    let anchored = Anchored { zone: format!("{ZONE}."), server: server.address(), anchor };
    let validator = Validator::start(sandbox.path(), &[anchored]).unwrap();
    let same = || serial(server.address(), ZONE) == primary.serial(ZONE);
    eventually("the zone is transferred", || same().then_some(())).unwrap();
    assert_secure(&validator);

    primary.change(ZONE, &(unsigned(20) + "more A 192.0.2.90\n")).unwrap();
    eventually("the change is secure", || {
        let (judgement, reply) = validator.judge("more.example.org", "A").unwrap();
        (judgement == Judgement::Secure && reply.answer_data().contains(&"192.0.2.90")).then_some(())
    })
    .unwrap();
    eventually("the change is transferred", || same().then_some(())).unwrap();
    assert_secure(&validator);
}

scenario!(zones_that_bind_signs_are_secure, |target| {
    follows_signer(target, Make::Bind);
});

scenario!(zones_that_knot_signs_are_secure, |target| {
    follows_signer(target, Make::Knot);
});

scenario!(zones_that_powerdns_signs_are_secure, |target| {
    follows_signer(target, Make::PowerDns);
});
