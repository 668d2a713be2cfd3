//! The guides' commands, run as they are written.
//!
//! Every block of `docs/guide.md` and `docs/migrating.md` that is marked `sh test` is run, in one shell and in order; one
//! marked `sh refused` has to end with an error. Nothing in them is replaced. Instead they run where they may do as they
//! like: in namespaces of their own, with a network of the guide's addresses, and with `/etc`, `/var` and `/srv` laid over
//! those of this machine, which never see a change. What makes one machine several is a handful of programs: `zonule` and
//! `systemctl` start servers on the machines of their addresses, `ssh` runs its command here, and `sudo` does nothing more.
//! Let's Encrypt is Pebble, by certbot's own configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use zonule_harness::namespace::is_root;
use zonule_harness::{Sandbox, workspace};

use crate::hooks::program;

/// What all commands begin with; `$1` is the sandbox.
const PREPARE: &str = r#"
set -eu
ip link set lo up
mount -t tmpfs tmpfs /run
ip link add lan type bridge
ip link set lan up
ip addr add 192.0.2.10/24 dev lan
ip addr add 192.0.2.1/32 dev lan
ip route add 198.51.100.0/24 dev lan
for address in 192.0.2.53 192.0.2.54 192.0.2.55 198.51.100.53; do
  machine=$(echo $address | tr -d .)
  ip netns add $machine
  ip link add p$machine type veth peer name eth0 netns $machine
  ip link set p$machine master lan up
  ip -n $machine link set lo up
  ip -n $machine link set eth0 up
  ip -n $machine addr add $address/32 dev eth0
  ip -n $machine route add 192.0.2.0/24 dev eth0
  ip -n $machine route add 198.51.100.0/24 dev eth0
done
mount -t tmpfs tmpfs "$1/layers"
for place in etc var srv; do
  mkdir -p "$1/layers/$place/upper" "$1/layers/$place/work"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=$1/layers/$place/upper,workdir=$1/layers/$place/work" /$place
done
mount -t tmpfs tmpfs /tmp
mkdir -p /srv/home /run/nsd /run/knot /run/named
export HOME=/srv/home PATH="$1/bin:$PATH:/usr/sbin:/sbin" GIT_CONFIG_NOSYSTEM=1
cd "$HOME"
git config --global user.name 'A Person'
git config --global user.email person@example.org
git config --global init.defaultBranch main
git config --global gc.auto 0
"#;

/// A certificate authority in the place of Let's Encrypt.
const AUTHORITY: &str = r#"
mkdir -p /etc/letsencrypt /srv/pebble
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout /srv/pebble/key.pem \
  -out /srv/pebble/cert.pem -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 2>/dev/null
cat > /srv/pebble/config.json <<END
{"pebble": {"listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000",
 "certificate": "/srv/pebble/cert.pem", "privateKey": "/srv/pebble/key.pem", "httpPort": 5002, "tlsPort": 5001,
 "ocspResponderURL": "", "externalAccountBindingRequired": false}}
END
PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0 pebble -config /srv/pebble/config.json -dnsserver 192.0.2.53:53 >/dev/null &
printf 'server = https://127.0.0.1:14000/dir\nno-verify-ssl = true\n' > /etc/letsencrypt/cli.ini
"#;

/// A server of another make with two zones.
const OLD_SERVER: &str = r#"
mkdir -p /srv/bind
for zone in example.com example.net; do
  cat > /etc/bind/db.$zone <<'END'
; Kept as it is.
$TTL 2h
@	IN SOA	ns1 hostmaster.example.org. (
	2026010203	; serial
	2h 15m 2w 1h )
	NS	ns1
	MX	10 mail
ns1	A	192.0.2.53
mail	A	192.0.2.25
$GENERATE 1-20 host-${0,2} A 192.0.2.$
text	TXT	"a \"quoted\" text" "and ; no comment"
END
done
cat > /srv/bind/named.conf <<'END'
options { directory "/srv/bind"; pid-file none; session-keyfile none; listen-on { 192.0.2.1; }; listen-on-v6 { none; };
 recursion no; notify no; allow-transfer { any; }; empty-zones-enable no; };
controls { };
zone "example.com" { type primary; file "/etc/bind/db.example.com"; };
zone "example.net" { type primary; file "/etc/bind/db.example.net"; };
END
named -g -c /srv/bind/named.conf >/srv/bind/log 2>&1 &
"#;

/// A repository as dns-primary-git leaves it: zones as it prints them, and keys.
const FORERUNNER: &str = r#"
git init --quiet --bare /srv/git/unikernel.git
git clone --quiet /srv/git/unikernel.git /srv/forerunner 2>/dev/null
cd /srv/forerunner
printf '$ORIGIN org.\n$TTL 3600\nexample\tSOA\tns1.example\thostmaster.example\t7\t7200\t900\t1209600\t3600\n' > example.org
printf '$ORIGIN example.org.\n@\tNS\tns1\nns1\tA\t192.0.2.55\n' >> example.org
secret=8nJxBhHGVlu1hlbfa3uCJTwPHVSGZmFkFTWhOhLSCeQ=
printf 'mykey._update.example.org. DNSKEY 0 3 163 %s\n' $secret > example.org._keys
git add . && git commit --quiet --message 'From the unikernel' && git push --quiet
cd "$HOME"
"#;

/// Returns the marked blocks of a text as one script.
fn script(text: &str) -> String {
    let mut script = String::new();
    let mut rest = text;
    while let Some((_, block)) = rest.split_once("\n```") {
        let (mark, block) = block.split_once('\n').unwrap();
        let (block, after) = block.split_once("\n```").unwrap();
        match mark {
            "sh test" => script += &format!("{block}\n"),
            "sh refused" => script += &format!("if {{ {block}\n}}; then echo 'this was not refused'; exit 1; fi\n"),
            _ => {}
        }
        rest = after;
    }
    script
}

/// Runs a script in namespaces of its own, and returns what it printed.
fn run_apart(name: &str, script: &str) -> String {
    let sandbox = Sandbox::new(name).unwrap();
    let bin = sandbox.path().join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::create_dir_all(sandbox.path().join("layers")).unwrap();
    symlink(program(), bin.join("zonule-hook")).unwrap();
    let on = |machine: &str, command: &str| format!("nsenter --net=/run/netns/{machine} {command}");
    let nsd = on("1920254", "nsd -d -c /etc/nsd/nsd.conf");
    let knot = on("1985110053", "knotd -c /etc/knot/knot.conf");
    let zonule = env!("CARGO_BIN_EXE_zonule");
    let serve = on("$(echo ${1#*=} | sed 's/:.*//; s/[.]//g')", &format!("'{zonule}' \"$@\""));
    for (name, text) in [
        ("sudo", "exec \"$@\"".to_owned()),
        // The last word is the command.
        ("ssh", "for last; do :; done\nexec sh -c \"$last\"".to_owned()),
        ("systemctl", format!("case $2 in\nnsd) exec {nsd} & ;;\nknot) exec {knot} & ;;\n*) exit 1;;\nesac")),
        ("zonule", format!("case $1 in\n--listen=*) exec {serve};;\n*) exec '{zonule}' \"$@\";;\nesac")),
    ] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let file = sandbox.path().join("script");
    fs::write(&file, format!("{PREPARE}{script}\necho 'all is done'\n")).unwrap();
    // A loop that waits for what never comes ends with the time; and with the first process ends all it has started.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "180", "unshare"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-x"]);
    let log = sandbox.path().join("log");
    let output = fs::File::create(&log).unwrap();
    command.arg(file).arg(sandbox.path()).stdout(output.try_clone().unwrap()).stderr(output);
    let status = command.stdin(std::process::Stdio::null()).status().unwrap();
    let printed = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
    assert!(status.success() && printed.ends_with("all is done\n"), "{status}: {printed}");
    printed
}

fn text(name: &str) -> String {
    fs::read_to_string(Path::new(workspace()).join("docs").join(name)).unwrap()
}

#[test]
fn guide_as_written() {
    let printed = run_apart("guide", &format!("{AUTHORITY}{}", script(&text("guide.md"))));
    // What the guide shows is what is printed.
    for shown in [
        "remote: 192.0.2.53: example.org serial 2 acknowledged",
        "example.org:11:13: error: expected an IPv4 address, not `192.0.2.256`",
        "    11 | ftp   A     192.0.2.256\n       |             ^\n",
        "zonule-hook: 1 mistake; nothing was committed",
        "pre-receive hook declined",
        "Successfully received certificate",
    ] {
        assert!(printed.contains(shown), "no `{shown}` in:\n{printed}");
    }
}

#[test]
fn migrating_as_written() {
    let guide = text("guide.md");
    let (before, _) = guide.split_once("\n## 3. ").unwrap();
    let (bind, forerunner) =
        text("migrating.md").split_once("\n## From dns-primary-git").map(|(a, b)| (script(a), script(b))).unwrap();
    // An appliance that is not there yet is not waited for.
    let patience = "git -C /srv/git/zones.git config zonule.patience 1\n";
    let all = format!("{}{patience}{OLD_SERVER}{bind}{FORERUNNER}{forerunner}", script(before));
    let printed = run_apart("migrating", &all);
    assert!(printed.contains("192.0.2.99"), "{printed}");
}

#[test]
fn blocks_are_found() {
    let text = "a\n```sh test\none\ntwo\n```\n\n```text\nno\n```\n```sh refused\nthree\n```\n```sh\nno\n```\n";
    let script = script(text);
    assert!(script.starts_with("one\ntwo\nif { three\n}; then"), "{script}");
    assert!(!script.contains("no\n"));
}
