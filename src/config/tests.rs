use std::net::IpAddr;
use std::time::Duration;

use log::LevelFilter;

use super::*;

const REMOTE: &str = "--git-remote=git://192.0.2.1/zones";

fn serve(host: Host, words: &[&str]) -> Config {
    match parse(host, words.iter().map(ToString::to_string)) {
        Ok(Command::Serve(config)) => *config,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn refusal(host: Host, words: &[&str]) -> String {
    match parse(host, words.iter().map(ToString::to_string)) {
        Err(error) => error.to_string(),
        Ok(other) => panic!("{words:?}: {other:?}"),
    }
}

#[test]
fn a_machine_takes_address_gateway_and_remote() {
    let config = serve(
        Host::Machine,
        &["--ip=10.0.2.15/24", "--gateway=10.0.2.2", REMOTE, "--git-poll=5", "--log=warn,git=debug"],
    );
    let network = config.network.unwrap();
    assert_eq!(network.to_string(), "10.0.2.15/24");
    assert_eq!(network.gateways, [IpAddr::from([10, 0, 2, 2])]);
    assert_eq!(config.git_poll, Duration::from_secs(5));
    assert_eq!(config.listen, ["0.0.0.0:53".parse().unwrap()]);
    assert_eq!(config.log.level, LevelFilter::Warn);
    assert_eq!(config.log.modules, [("git".to_string(), LevelFilter::Debug)]);
}

#[test]
fn boot_loader_words_are_skipped_only_on_a_machine() {
    let words = ["reboot=k", "panic=1", "virtio_mmio.device=4K@0xd0000000:5", "--ip=10.0.0.2/24", REMOTE];
    serve(Host::Machine, &words);
    assert!(refusal(Host::Process, &["zones", REMOTE]).contains("--name=value"));
}

#[test]
fn an_unknown_argument_suggests_the_nearest() {
    assert!(refusal(Host::Machine, &["--gatway=10.0.0.1"]).ends_with("did you mean --gateway?"));
    assert!(refusal(Host::Machine, &["--remote=git://h/p"]).ends_with("did you mean --git-remote?"));
    assert!(refusal(Host::Machine, &["--ipv4=10.0.0.1/24"]).ends_with("did you mean --ip?"));
    assert!(refusal(Host::Machine, &["--rate-limt=off"]).ends_with("did you mean --rate-limit?"));
    assert!(refusal(Host::Machine, &["--rrl=5"]).ends_with("did you mean --rate-limit?"));
    assert!(refusal(Host::Machine, &["--zzzzzzzzzzz=1"]).ends_with("see --help"));
}

#[test]
fn arguments_of_the_other_host_are_explained() {
    assert!(refusal(Host::Process, &["--ip=10.0.0.2/24"]).contains("--listen=ADDR:PORT"));
    assert!(refusal(Host::Process, &["--accept-ra=yes"]).contains("bootable image"));
    assert!(refusal(Host::Machine, &["--listen=127.0.0.1:53"]).contains("Linux binary"));
}

#[test]
fn invalid_values_are_explained() {
    for (word, reason) in [
        ("--ip=10.0.0.2", "no prefix length"),
        ("--ip=10.0.0.2/33", "not a number from 1 to 32"),
        ("--ip=10.0.0.0/24", "the network itself"),
        ("--ip=10.0.0.255/24", "broadcast"),
        ("--ip=ten/24", "is not an address with a prefix length"),
        ("--ip", "needs a value: --ip=ADDR/PREFIX|dhcp"),
        ("--ip=", "needs a value"),
        ("--gateway=router", "is not an address, such as 192.0.2.1 or fe80::1"),
        ("--vlan=0", "not a number from 1 to 4094"),
        ("--git-poll=0", "1 to 86400"),
        ("--git-poll=soon", "1 to 86400"),
        ("--log=loud", "levels are off"),
        ("--edns-payload=511", "not a number from 512 to 4096"),
        ("--edns-payload=4097", "not a number from 512 to 4096"),
        ("--tcp-connections=0", "not a number from 1 to 65536"),
        ("--rate-limit=0", "has a rate that is not a number from 1 to 1000000 replies per second, nor off"),
        ("--rate-limit=on", "per second, nor off"),
        ("--rate-limit=5,slip=11", "has a slip that is not a number from 0 to 10"),
        ("--rate-limit=5,prefix4=33", "has a prefix4 that is not a number from 8 to 32"),
        ("--rate-limit=5,prefix6=x", "has a prefix6 that is not a number from 16 to 128"),
        ("--rate-limit=5,burst=3", "\"burst=3\"; only slip="),
    ] {
        let text = refusal(Host::Machine, &[word]);
        assert!(text.contains(reason), "{word}: {text}");
        assert!(text.starts_with(&format!("argument {}", word.trim_end_matches('='))), "{word}: {text}");
    }
    assert!(refusal(Host::Process, &["--listen=127.0.0.1"]).contains("--listen=127.0.0.1:53"));
    assert!(refusal(Host::Process, &["--listen=::1"]).contains("--listen=[::1]:53"));
}

#[test]
fn missing_and_contradictory_arguments_are_reported() {
    assert!(refusal(Host::Machine, &[REMOTE]).contains("--ip: is required"));
    assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24"]).contains("--git-remote: is required"));
    assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24", "--gateway=10.0.1.1"]).contains("outside the network"));
    assert!(refusal(Host::Machine, &["--ip=10.0.0.2/24", "--gateway=10.0.0.2"]).contains("own address"));
    assert!(refusal(Host::Machine, &["--vlan=2", "--vlan=3"]).contains("given twice"));
    assert!(refusal(Host::Machine, &["--git-poll=2", "--git-poll=3"]).contains("given twice"));
}

#[test]
fn a_password_in_a_url_is_not_shown() {
    let text = refusal(Host::Process, &["--git-remote=gopher://user:secret@host/zones"]);
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn arguments_for_answers() {
    let config = serve(Host::Process, &[REMOTE]);
    assert_eq!((config.edns_payload, config.nsid, config.version_text), (1232, None, None));
    assert!(config.cookie_secrets.is_empty() && config.tcp_connections.is_none());
    assert_eq!(config.rate_limit, Some(RateLimit { per_second: 200, slip: 2, prefix4: 24, prefix6: 56 }));
    let config = serve(
        Host::Process,
        &[
            REMOTE,
            "--edns-payload=4096",
            "--nsid=ns1.fra",
            "--version-text=7",
            "--rate-limit=50,prefix6=48,slip=0,prefix4=32",
            "--tcp-connections=10",
        ],
    );
    assert_eq!((config.edns_payload, config.nsid.as_deref()), (4096, Some("ns1.fra")));
    assert_eq!((config.version_text.as_deref(), config.tcp_connections), (Some("7"), Some(10)));
    assert_eq!(config.rate_limit, Some(RateLimit { per_second: 50, slip: 0, prefix4: 32, prefix6: 48 }));
    assert_eq!(serve(Host::Process, &[REMOTE, "--rate-limit=off"]).rate_limit, None);
}

/// RFC 9018 §5.
#[test]
fn keys_of_ssh_are_read_and_never_shown() {
    const SSH: &str = "--git-remote=dns@192.0.2.1:zones.git";
    const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
    const PIN: &str = "SHA256:O1va5lM7NcnY41WlIJBjDAoN3k9qNKGZLj5BlPvD9+A";
    let (key, pin) = (format!("--git-ssh-key=ed25519:{SEED}"), format!("--git-ssh-host-key={PIN},{PIN}"));
    let config = serve(Host::Machine, &["--ip=10.0.0.2/24", SSH, &key, &pin]);
    assert!(config.git_access.ssh.key.is_some() && !config.git_access.ssh.host_keys.is_empty());
    assert!(!format!("{config:?}").contains(&SEED[..20]));
    assert!(serve(Host::Process, &[SSH, &key]).git_access.ssh.host_keys.is_empty());
    for wrong in ["ed25519:", &SEED[..40], "rsa:"] {
        let text = refusal(Host::Process, &[SSH, &format!("--git-ssh-key={wrong}{SEED}x")]);
        assert!(text.starts_with("argument --git-ssh-key=…: ") && !text.contains(&SEED[..20]), "{text}");
    }
    let text = refusal(Host::Process, &[SSH]);
    assert_eq!(text, "argument --git-ssh-key: is required to log in at 192.0.2.1; generate one with `zonule keygen`");
    assert!(
        refusal(Host::Process, &[REMOTE, &key])
            .contains("is only valid with a --git-remote such as ssh://git@host/path")
    );
    assert!(
        refusal(Host::Process, &[REMOTE, &pin])
            .contains("is only valid with a --git-remote such as ssh://git@host/path")
    );
    assert!(refusal(Host::Process, &[SSH, &key, "--git-ssh-host-key=SHA256:abc"]).contains("cut short or mistyped"));
    assert!(refusal(Host::Process, &["--ssh-key=x"]).ends_with("did you mean --git-ssh-key?"));
}

#[test]
fn cookie_secrets_are_read_and_never_shown() {
    let digits = "e5e973e5a6b2a43f48e7dc849e37bfcf";
    let config = serve(Host::Process, &[REMOTE, &format!("--cookie-secret={digits},{}", digits.to_uppercase())]);
    assert_eq!(config.cookie_secrets.len(), 2);
    assert!(!format!("{config:?}").contains("e5") && !format!("{config:?}").contains("229"));
    for wrong in [&digits[1..], "x", &format!("{digits},"), &[digits; 5].join(",")] {
        let text = refusal(Host::Process, &[REMOTE, &format!("--cookie-secret={wrong}")]);
        assert!(text.contains("secret") && !text.contains("e973"), "{text}");
    }
}

#[test]
fn help_names_every_argument_of_the_host() {
    let Ok(Command::Help(text)) = parse(Host::Machine, ["--help".to_string()]) else { panic!("no help") };
    for argument in arguments(Host::Machine) {
        assert!(text.contains(&format!("  {}\n", argument.written())), "{} is not in {text}", argument.name);
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert!(!text.contains("--listen"));
}

#[test]
fn arguments_for_updates() {
    let config = serve(Host::Process, &[REMOTE]);
    assert_eq!((config.serial, config.update_patience), (SerialPolicy::Bump, Duration::from_secs(5)));
    assert!(config.tsig_keys.is_empty() && config.allow_update.is_none());
    assert_eq!((config.git_author.name.as_str(), config.git_author.email.as_str()), ("Zonule", "zonule@localhost"));
    let config = serve(
        Host::Process,
        &[
            REMOTE,
            "--serial=strict",
            "--update-patience=30",
            "--git-author=DNS<dns@example.org>",
            "--allow-update=192.0.2.0/24,2001:db8::/32,198.51.100.7",
        ],
    );
    assert_eq!((config.serial, config.update_patience), (SerialPolicy::Strict, Duration::from_secs(30)));
    assert_eq!(config.git_author, Author { name: "DNS".to_string(), email: "dns@example.org".to_string() });
    let networks = config.allow_update.unwrap();
    for (address, inside) in [
        ("192.0.2.255", true),
        ("192.0.3.0", false),
        ("198.51.100.7", true),
        ("198.51.100.6", false),
        ("2001:db8:ffff::1", true),
        ("2001:db9::", false),
    ] {
        assert_eq!(networks.contain(address.parse().unwrap()), inside, "{address}");
    }
    for (word, reason) in [
        ("--serial=date", "is neither bump nor strict"),
        ("--update-patience=0", "1 to 300"),
        ("--git-author=dns", "such as Zonule<dns@example.org>"),
        ("--git-author=<dns@example.org>", "that git does not allow"),
        ("--allow-update=192.0.2.0/33", "prefix length is not from 0 to 32"),
        ("--allow-update=here", "has \"here\", which is not a network"),
    ] {
        let text = refusal(Host::Process, &[REMOTE, word]);
        assert!(text.contains(reason), "{word}: {text}");
    }
}

#[test]
fn keys_are_read_and_never_shown() {
    let secret = "rpOTa8Rrp97QTxoUSaCXCHbMw5Sy9WAsqOSsBBFkJug=";
    let key = format!("--tsig-key=a._update.example.org:hmac-sha256:{secret}");
    let config = serve(Host::Process, &[REMOTE, &key, "--tsig-key=b._transfer:sha512:AAAAAAAAAAAAAAAAAAAAAA=="]);
    let names: Vec<String> = config.tsig_keys.iter().map(|key| key.name().to_string()).collect();
    assert_eq!(names, ["a._update.example.org.", "b._transfer."]);
    assert!(!format!("{config:?}").contains("rpOT"));
    let twice = refusal(Host::Process, &[REMOTE, &key, &key]);
    assert!(twice.contains("gives the key a._update.example.org. twice"), "{twice}");
    for wrong in ["a:b", "a:hmac-md5:AAAA", &format!("a:hmac-sha256:{secret}rpOT!"), &format!("a..b:sha256:{secret}")] {
        let text = refusal(Host::Process, &[REMOTE, &format!("--tsig-key={wrong}")]);
        assert!(text.starts_with("argument --tsig-key=…: ") && !text.contains("rpOT"), "{text}");
    }
}

#[test]
fn resolvers_and_time_servers() {
    let config = serve(Host::Machine, &["--ip=10.0.2.15/24", REMOTE, "--ntp=192.0.2.1,192.0.2.2:1123"]);
    assert_eq!(config.ntp, ["192.0.2.1:123".parse().unwrap(), "192.0.2.2:1123".parse().unwrap()]);
    assert!(config.webhook.is_none());
    assert!(refusal(Host::Process, &[REMOTE, "--ntp=192.0.2.1"]).contains("here the operating system keeps the clock"));
    assert!(
        refusal(Host::Process, &[REMOTE, "--resolver=dns.example"]).contains("is not an address, such as 192.0.2.1")
    );
    assert!(refusal(Host::Process, &[REMOTE, "--nameserver=192.0.2.1"]).ends_with("did you mean --resolver?"));
}

#[test]
fn a_webhook_s_secret_is_never_shown() {
    for word in ["--webhook=80800,verysecret", "--webhook=verysecret", "--webhook=80,verysecret\u{7}"] {
        let text = refusal(Host::Process, &[REMOTE, word]);
        assert!(text.starts_with("argument --webhook=…: has ") && !text.contains("verysecret"), "{text}");
    }
    let config = serve(Host::Process, &[REMOTE, "--webhook=8080,verysecret"]);
    assert!(!format!("{config:?}").contains("verysecret"));
}

#[test]
fn the_arguments_page_is_generated_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/arguments.md");
    if std::env::var_os("ZONULE_WRITE_DOCS").is_some() {
        std::fs::write(path, reference()).unwrap();
    }
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page == reference(), "run `ZONULE_WRITE_DOCS=1 cargo test --lib config::` and commit docs/arguments.md");
}
