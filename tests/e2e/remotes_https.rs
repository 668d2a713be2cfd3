//! An HTTPS remote is followed and updated, and a bad certificate or missing permission is refused and explained.

use zonule_harness::{
    Certificate, Client, Key, Outcome, Remote, Sandbox, Server, Site, Target, Transport, USERS, Validity, Web,
};

use crate::scene::zone;
use crate::updates::scene::{KEYS, ZONE};

/// This machine, as the Linux binary and as the image see it.
const HERE: &str = "IP:127.0.0.1,IP:10.0.2.2";

/// A repository with a zone and a key for it, and what makes certificates; nothing serves it yet.
struct Place {
    remote: Remote,
    key: Key,
    authority: Certificate,
    sandbox: Sandbox,
}

impl Place {
    fn new() -> Place {
        let sandbox = Sandbox::new("https").unwrap();
        let key = Key::new("laptop._update.example.org").unwrap();
        let mut remote = Remote::with_files(sandbox.path(), [(ZONE, zone(1, "")), (KEYS, key.line())]).unwrap();
        remote.go_away();
        remote.git_bare(&["config", "http.receivepack", "true"]).unwrap();
        let authority = Certificate::authority(sandbox.path(), "authority").unwrap();
        Place { remote, key, authority, sandbox }
    }

    fn certificate(&self, name: &str, names: &str, validity: Validity) -> Site {
        Site { certificate: Some(self.authority.issue(name, names, validity).unwrap()), ..Site::default() }
    }

    fn serve(&self, site: &Site) -> Web {
        Web::start(self.sandbox.path(), site).unwrap()
    }

    fn boot(&self, target: &Target, web: &Web, login: &str, arguments: &[&str]) -> Server {
        let url = web.url(target.host(), login, "zones.git");
        let boot = target.boot().argument(format!("--git-remote={url}")).argument("--git-poll=1");
        arguments.iter().fold(boot, |boot, argument| boot.argument(*argument)).start(&self.sandbox).unwrap()
    }

    fn add(&self, server: &Server, name: &str) -> Outcome {
        let operation = format!("update add {name}.{ZONE}. 300 A 192.0.2.7");
        Client::Nsupdate.update(server.address(), Transport::Tcp, Some(&self.key), ZONE, &[&operation]).unwrap()
    }
}

scenario!(https_remote_is_followed_and_updated, |target| {
    let place = Place::new();
    // Not for us, and on the way to us all the same.
    place.remote.write("README", noise(4 << 20)).unwrap();
    place.remote.push("Several megabytes").unwrap();
    let web = place.serve(&Site { users: true, ..place.certificate("here", HERE, Validity::Now) });
    let (user, token) = USERS[0];
    let (ca, user, token) =
        (place.authority.base64(true).unwrap(), format!("--git-user={user}"), format!("--git-token={token}"));
    let mut server =
        place.boot(target, &web, "", &[&format!("--git-tls-ca={ca}"), &user, &token, "--update-patience=60"]);
    server.until_serving(ZONE).unwrap();

    for serial in 2..5 {
        place.remote.git(&["pull", "--quiet", "--rebase", "origin", "main"]).unwrap();
        let text = place.remote.read(ZONE).unwrap();
        let number = format!("192.0.2.{serial}");
        place.remote.write(ZONE, text + &format!("pushed{serial} A {number}\n")).unwrap();
        place.remote.push("By a person").unwrap();
        server.until_dig(&[&format!("pushed{serial}.{ZONE}"), "A"], |reply| reply.answer_data() == [&number]).unwrap();
        // The serial number is raised by a commit of the server's own, and then there is the update.
        let outcome = place.add(&server, &format!("updated{serial}"));
        assert_eq!(outcome.status, "NOERROR", "{}\n{}", outcome.text, server.console());
    }
    assert_eq!(place.remote.fsck().unwrap(), "");
    let head = place.remote.git_bare(&["show", &format!("main:{ZONE}")]).unwrap();
    for name in ["pushed2", "updated2", "pushed4", "updated4"] {
        assert!(head.contains(name), "{name} is not in the head:\n{head}");
    }
    assert!(!server.console().contains("s3cret"));
});

scenario!(https_remote_with_a_bad_certificate_is_not_believed, |target| {
    let place = Place::new();
    let other = place.sandbox.path().join("other");
    std::fs::create_dir(&other).unwrap();
    let stranger = Certificate::authority(&other, "stranger").unwrap();
    let strange = Site { certificate: Some(stranger.issue("here", HERE, Validity::Now).unwrap()), ..Site::default() };
    let mut web = place.serve(&strange);
    let ca = place.authority.base64(true).unwrap();
    let mut server = place.boot(target, &web, "", &[&format!("--git-tls-ca={ca}")]);
    server.until_console("no CA of --git-tls-ca vouches for the certificate of").unwrap();
    server.until_console("--git-tls-fingerprint=sha256:").unwrap();
    server.until_console("answering SERVFAIL").unwrap();
    for (name, names, validity, message) in [
        ("past", HERE, Validity::Past, "was valid until 2020-02-22"),
        ("future", HERE, Validity::Future, "is not valid before 2090-02-02"),
        ("else", "DNS:git.example.org", Validity::Now, "is for git.example.org: use that name in --git-remote"),
    ] {
        web.serve(&place.certificate(name, names, validity)).unwrap();
        server.until_console(message).unwrap();
    }
    web.serve(&Site::default()).unwrap();
    server.until_console("does not speak TLS").unwrap();
    web.serve(&place.certificate("here", HERE, Validity::Now)).unwrap();
    server.until_serving(ZONE).unwrap();
    server.until_console("answers again").unwrap();
});

scenario!(https_user_who_may_only_read_is_told_so, |target| {
    let place = Place::new();
    let site = Site { users: true, ..place.certificate("old", "DNS:git.example.org", Validity::Past) };
    let mut web = place.serve(&site);
    let pin = site.certificate.as_ref().unwrap().fingerprint().unwrap().replace("sha256 Fingerprint=", "sha256:");
    let mut server = place.boot(target, &web, "reader:r-s3cret@", &[&format!("--git-tls-fingerprint={pin}")]);
    // Neither the name nor the dates matter.
    server.until_serving(ZONE).unwrap();
    let outcome = place.add(&server, "refused");
    assert_eq!(outcome.status, "SERVFAIL", "{}", outcome.text);
    server.until_console("the user or token may not push (reader has read access only)").unwrap();
    assert_eq!(server.dig(&[&format!("refused.{ZONE}"), "A"]).unwrap().status, "NXDOMAIN");
    assert_eq!(place.remote.log().unwrap().len(), 1);

    // Another certificate at the same place, as somebody in the middle would have it.
    web.serve(&Site { users: true, ..place.certificate("here", HERE, Validity::Now) }).unwrap();
    server.until_console("but --git-tls-fingerprint wants sha256:").unwrap();
    assert_eq!(server.dig(&[&format!("www.{ZONE}"), "A"]).unwrap().answer_data(), ["192.0.2.80"]);
    let console = server.console();
    assert!(!console.contains("s3cret") && console.contains("zones from https://"), "{console}");
});

/// Returns octets that do not compress.
fn noise(length: usize) -> Vec<u8> {
    let mut random = 1_u64;
    let mut octet = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        random.to_be_bytes()[0]
    };
    (0..length).map(|_| octet()).collect()
}
