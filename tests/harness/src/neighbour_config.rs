//! Configuration files of other name servers.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::neighbour::{Far, Make, Setup};
use crate::peer::find;
use crate::{Error, Key, Result, run};

/// Debian's path of the schema of PowerDNS's database.
const SCHEMA: &str = "/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql";

/// Writes the configuration of `setup` into its directory.
pub(crate) fn write(setup: &Setup) -> Result<()> {
    let (name, text) = match setup.make {
        Make::Bind => ("config", bind(setup)),
        Make::Knot => ("config", knot(setup)),
        Make::Nsd => ("config", nsd(setup)),
        Make::PowerDns => ("pdns.conf", powerdns(setup)),
    };
    let file = setup.home.join(name);
    fs::write(&file, text).map_err(Error::io(format!("cannot write {}", file.display())))?;
    if setup.make == Make::PowerDns { powerdns_database(setup) } else { Ok(()) }
}

/// Returns all its keys, each once.
fn keys(setup: &Setup) -> Vec<&Key> {
    let far = setup.from.iter().chain(&setup.notified).filter_map(|far| far.key.as_ref());
    let mut keys: Vec<&Key> = far.chain(&setup.guard).collect();
    keys.sort_by(|one, other| one.name.cmp(&other.name));
    keys.dedup_by(|one, other| one.name == other.name);
    keys
}

fn bind(setup: &Setup) -> String {
    let server = |far: &Far| {
        let key = far.key.as_ref().map_or_else(String::new, |key| format!(" key \"{}\"", key.name));
        format!("{} port {}{key}; ", far.address.ip(), far.address.port())
    };
    let allowed = |key: Option<&Key>| {
        key.map_or_else(|| "{ 127.0.0.1; }".to_owned(), |key| format!("{{ key \"{}\"; }}", key.name))
    };
    let mut text = String::new();
    for Key { name, algorithm, secret } in keys(setup) {
        put(&mut text, format_args!("key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n"));
    }
    let (home, port) = (setup.home.display(), setup.port.number());
    put(
        &mut text,
        format_args!(
            "options {{\n directory \"{home}\"; pid-file none; session-keyfile none; lock-file none;\n \
             listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n \
             recursion no; dnssec-validation no; empty-zones-enable no; check-integrity no; minimal-responses yes;\n \
             min-refresh-time 1; min-retry-time 1; notify-delay 0; notify-rate 1000; startup-notify-rate 1000;\n \
             serial-query-rate 1000; transfers-in 100; transfers-per-ns 100; ixfr-from-differences yes;\n \
             notify explicit; allow-transfer {};\n",
            allowed(setup.guard.as_ref())
        ),
    );
    put(&mut text, format_args!(" also-notify {{ {}}};\n", setup.notified.iter().map(server).collect::<String>()));
    let from = setup.from.as_ref();
    let primaries = format!("{{ {}}}", from.map(server).unwrap_or_default());
    let allow_notify = allowed(from.and_then(|far| far.key.as_ref()));
    if let Some(catalog) = &setup.consumed {
        put(
            &mut text,
            format_args!(
                " catalog-zones {{ zone \"{catalog}\" default-primaries {primaries} in-memory yes min-update-interval 1; }};\n \
                 allow-notify {allow_notify};\n"
            ),
        );
    }
    text += "};\ncontrols { };\n";
    for zone in setup.taken.iter().chain(&setup.consumed) {
        put(
            &mut text,
            format_args!(
                "zone \"{zone}\" {{ type secondary; file \"{zone}.taken\"; primaries {primaries}; allow-notify {allow_notify}; }};\n"
            ),
        );
    }
    let signing = if setup.signs { "dnssec-policy default; inline-signing yes;" } else { "" };
    for zone in &setup.given {
        put(&mut text, format_args!("zone \"{zone}\" {{ type primary; file \"{zone}\"; {signing} }};\n"));
    }
    text
}

fn knot(setup: &Setup) -> String {
    let (home, port) = (setup.home.display(), setup.port.number());
    let mut text = format!(
        "server:\n  rundir: \"{home}\"\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  \
         background-workers: 2\n  nsid: \"\"\n\
         log:\n- target: stderr\n  any: info\n\
         database:\n  storage: \"{home}\"\n"
    );
    let keys = keys(setup);
    if !keys.is_empty() {
        text += "key:\n";
    }
    for Key { name, algorithm, secret } in keys {
        put(&mut text, format_args!("- id: {name}\n  algorithm: {algorithm}\n  secret: {secret}\n"));
    }
    let key = |key: Option<&Key>| key.map_or_else(String::new, |key| format!("  key: {}\n", key.name));
    let servers = setup.from.iter().map(|far| ("from".to_owned(), far));
    let servers: Vec<_> =
        servers.chain(setup.notified.iter().enumerate().map(|(number, far)| (format!("to{number}"), far))).collect();
    if !servers.is_empty() {
        text += "remote:\n";
    }
    for (id, far) in &servers {
        let address = knot_address(far.address);
        put(&mut text, format_args!("- id: {id}\n  address: {address}\n{}", key(far.key.as_ref())));
    }
    put(
        &mut text,
        format_args!("acl:\n- id: transfer\n  address: 127.0.0.1\n  action: transfer\n{}", key(setup.guard.as_ref())),
    );
    if let Some(far) = &setup.from {
        put(&mut text, format_args!("- id: notify\n  address: 127.0.0.1\n  action: notify\n{}", key(far.key.as_ref())));
    }
    let notified: Vec<_> = (0..setup.notified.len()).map(|number| format!("to{number}")).collect();
    let notify = if notified.is_empty() { String::new() } else { format!("  notify: [ {} ]\n", notified.join(", ")) };
    let common = format!(
        "  storage: \"{home}\"\n  zonefile-sync: -1\n  journal-content: changes\n  semantic-checks: off\n\
         {notify}  refresh-min-interval: 2\n  retry-min-interval: 1\n"
    );
    put(&mut text, format_args!("template:\n- id: default\n{common}  zonefile-load: difference\n  acl: transfer\n"));
    if setup.from.is_some() {
        put(
            &mut text,
            format_args!("- id: taken\n{common}  zonefile-load: none\n  acl: [ transfer, notify ]\n  master: from\n"),
        );
    }
    text += "zone:\n";
    for zone in &setup.taken {
        put(&mut text, format_args!("- domain: {zone}\n  template: taken\n"));
    }
    if let Some(zone) = &setup.consumed {
        put(
            &mut text,
            format_args!("- domain: {zone}\n  template: taken\n  catalog-role: interpret\n  catalog-template: taken\n"),
        );
    }
    if let Some(zone) = &setup.produced {
        put(
            &mut text,
            format_args!("- domain: {zone}\n  catalog-role: generate\n  journal-content: all\n  zonefile-load: none\n"),
        );
    }
    for zone in &setup.given {
        put(&mut text, format_args!("- domain: {zone}\n  file: {zone}\n"));
        if setup.signs {
            text += "  dnssec-signing: on\n  journal-content: all\n  zonefile-load: difference-no-serial\n";
        }
        if let Some(catalog) = &setup.produced {
            put(&mut text, format_args!("  catalog-role: member\n  catalog-zone: {catalog}\n"));
        }
    }
    text
}

fn knot_address(address: SocketAddr) -> String {
    format!("{}@{}", address.ip(), address.port())
}

fn nsd(setup: &Setup) -> String {
    let (home, port) = (setup.home.display(), setup.port.number());
    let mut text = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n verbosity: 2\n \
         zonesdir: \"{home}\"\n database: \"\"\n zonelistfile: \"{home}/zone.list\"\n xfrdfile: \"{home}/xfrd.state\"\n \
         xfrdir: \"{home}\"\n pidfile: \"\"\n xfrd-reload-timeout: 0\n\
         remote-control:\n control-enable: no\n"
    );
    for Key { name, algorithm, secret } in keys(setup) {
        put(&mut text, format_args!("key:\n name: \"{name}\"\n algorithm: {algorithm}\n secret: \"{secret}\"\n"));
    }
    let key = |key: Option<&Key>| key.map_or_else(|| "NOKEY".to_owned(), |key| key.name.clone());
    let mut common = format!(" provide-xfr: 127.0.0.1 {}\n", key(setup.guard.as_ref()));
    for far in &setup.notified {
        put(&mut common, format_args!(" notify: {} {}\n", knot_address(far.address), key(far.key.as_ref())));
    }
    for zone in &setup.taken {
        put(&mut text, format_args!("zone:\n name: \"{zone}\"\n zonefile: \"{zone}.taken\"\n{common}"));
        if let Some(far) = &setup.from {
            let (address, key) = (knot_address(far.address), key(far.key.as_ref()));
            put(
                &mut text,
                format_args!(
                    " request-xfr: {address} {key}\n allow-notify: 127.0.0.1 {key}\n min-refresh-time: 1\n min-retry-time: 1\n"
                ),
            );
        }
    }
    for zone in &setup.given {
        put(
            &mut text,
            format_args!(
                "zone:\n name: \"{zone}\"\n zonefile: \"{zone}\"\n store-ixfr: yes\n ixfr-number: 200\n create-ixfr: yes\n{common}"
            ),
        );
    }
    text
}

fn powerdns(setup: &Setup) -> String {
    let (home, port) = (setup.home.display(), setup.port.number());
    let notified: Vec<String> = setup.notified.iter().map(|far| far.address.to_string()).collect();
    format!(
        "launch=gsqlite3\ngsqlite3-dnssec=yes\ngsqlite3-database={home}/database\ngsqlite3-pragma-synchronous=0\nsocket-dir={home}\n\
         local-address=127.0.0.1\nlocal-port={port}\ndaemon=no\nguardian=no\nwrite-pid=no\ndisable-syslog=yes\n\
         log-timestamp=no\nloglevel=6\nsecurity-poll-suffix=\nprimary=yes\nsecondary=yes\nsecondary-do-renotify=yes\n\
         xfr-cycle-interval=1\nalso-notify={}\nonly-notify=\nallow-axfr-ips={}\nprevent-self-notification=no\n\
         cache-ttl=0\nquery-cache-ttl=0\nnegquery-cache-ttl=0\nzone-cache-refresh-interval=0\nzone-metadata-cache-ttl=0\n\
         dnssec-key-cache-ttl=0\nreceiver-threads=1\ndistributor-threads=1\nretrieval-threads=1\nsigning-threads=1\n",
        notified.join(","),
        if setup.guard.is_some() { "" } else { "127.0.0.1" },
    )
}

/// Fills PowerDNS's database with zones, keys and permissions.
fn powerdns_database(setup: &Setup) -> Result<()> {
    let schema = fs::read_to_string(SCHEMA).map_err(Error::io(format!("cannot read {SCHEMA}")))?;
    let mut text = schema + "\nBEGIN;\n";
    for Key { name, algorithm, secret } in keys(setup) {
        put(
            &mut text,
            format_args!(
                "INSERT INTO tsigkeys (name, algorithm, secret) VALUES ('{name}', '{algorithm}', '{secret}');\n"
            ),
        );
    }
    let from = setup.from.as_ref();
    let primary = from.map_or_else(|| "NULL".to_owned(), |far| format!("'{}'", far.address));
    let taken = setup.taken.iter().map(|zone| (zone, "SLAVE"));
    let kinds = taken.chain(setup.consumed.iter().map(|zone| (zone, "CONSUMER")));
    for (zone, kind) in kinds.chain(setup.given.iter().map(|zone| (zone, "MASTER"))) {
        put(
            &mut text,
            format_args!("INSERT INTO domains (name, type, master) VALUES ('{zone}', '{kind}', {primary});\n"),
        );
        let mut tell = |kind: &str, content: &str| {
            put(
                &mut text,
                format_args!(
                    "INSERT INTO domainmetadata (domain_id, kind, content) \
                     SELECT id, '{kind}', '{content}' FROM domains WHERE name = '{zone}';\n"
                ),
            );
        };
        tell("IXFR", "1");
        if let Some(key) = from.and_then(|far| far.key.as_ref()) {
            tell("AXFR-MASTER-TSIG", &key.name);
        }
        // It signs notifications with the key that is allowed to transfer the zone.
        let notified = setup.notified.iter().filter_map(|far| far.key.as_ref());
        for key in setup.guard.iter().chain(notified) {
            tell("TSIG-ALLOW-AXFR", &key.name);
        }
    }
    text += "COMMIT;\n";
    let script = setup.home.join("database.sql");
    fs::write(&script, text).map_err(Error::io(format!("cannot write {}", script.display())))?;
    let database = setup.home.join("database");
    let _ = fs::remove_file(&database);
    run(Command::new("sqlite3").arg(&database).arg(format!(".read {}", script.display())))?;
    setup.given.iter().try_for_each(|zone| load_powerdns(setup, zone))
}

/// Loads a zone file into the database with PowerDNS's tool.
pub(crate) fn load_powerdns(setup: &Setup, zone: &str) -> Result<()> {
    let mut command = Command::new(find("pdnsutil"));
    command.arg(config_directory(&setup.home)).args(["load-zone", zone]).arg(setup.home.join(zone));
    run(&mut command)?;
    if !setup.signs {
        return Ok(());
    }
    let pdnsutil = |arguments: &[&str]| {
        run(Command::new(find("pdnsutil")).arg(config_directory(&setup.home)).args(arguments)).map(drop)
    };
    match pdnsutil(&["secure-zone", zone]) {
        Err(Error::Failed { output, .. }) if output.contains("already secure") => {}
        result => result?,
    }
    pdnsutil(&["rectify-zone", zone])
}

fn config_directory(home: &Path) -> String {
    format!("--config-dir={}", home.display())
}

fn put(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("a String accepts all");
}
