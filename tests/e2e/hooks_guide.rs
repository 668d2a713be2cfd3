//! The commands in the guides work as they are written.
//!
//! Every block of `docs/guide.md` and `docs/migrating.md` that is marked `sh test` is run, in one shell and in order; one
//! marked `sh refused` has to end with an error. Nothing in them is replaced. Instead they run where they may do as they
//! like: in namespaces of their own, with a network of the guide's addresses, a copy of this machine's `/etc`, and a `/var`
//! and a `/srv` as they are right after installation, whatever this machine has had on them since. What makes one machine
//! several is a handful of programs: `zonule` and `systemctl` start servers on the machines of their addresses, `ssh` runs
//! its command here, and `sudo` does nothing more. `sleep` gives up where waiting is in vain: too long, or for a server that
//! has ended. Let's Encrypt is Pebble, by certbot's own configuration.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use zonule_harness::namespace::is_root;
use zonule_harness::{Sandbox, workspace};

use crate::hooks::program;

/// What all commands begin with; `$1` is the directory of the programs.
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
# What follows hides all places where the programs may lie.
mkdir /run/bin /run/etc /run/nsd /run/knot /run/named
mount --bind "$1" /run/bin
# Not everything in /etc can be read by everybody, and nothing of that is needed.
cp -a /etc/. /run/etc 2>/dev/null || :
mount --bind /run/etc /etc
for place in /var /srv /tmp; do mount -t tmpfs tmpfs $place; done
ln -s /run /var/run
mkdir -p /var/lib/nsd /var/lib/knot /var/log /var/tmp /srv/home
# Where root is only a name there are no other users: neither are files theirs, nor can servers become them.
if chown nsd: /var/lib/nsd /run/nsd; then nsd_user=nsd; else nsd_user=; fi
# What Debian's installation has made, where it may be read.
[ -r /etc/nsd/nsd_server.key ] || nsd-control-setup
# Debian's tells the system's log only, which nobody has started.
sed -i /log-only-syslog/d /etc/nsd/nsd.conf
export HOME=/srv/home PATH="/run/bin:$PATH:/usr/sbin:/sbin" GIT_CONFIG_NOSYSTEM=1 nsd_user
export patience_ends=$(($(date +%s) + 240))
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
    for (from, to) in [(program(), "zonule-hook"), (Path::new(env!("CARGO_BIN_EXE_zonule")), "zonule-itself")] {
        fs::hard_link(from, bin.join(to)).or_else(|_| fs::copy(from, bin.join(to)).map(drop)).unwrap();
    }
    let on = |machine: &str, command: &str| format!("nsenter --net=/run/netns/{machine} {command}");
    let service = |machine: &str, command: &str| {
        let (run, ended) = (on(machine, command), format!("echo \"ended with $?: {command}\" | tee -a /run/ended"));
        format!("({run}; {ended}) &")
    };
    let nsd = service("1920254", "nsd -d -V 2 -u \"$nsd_user\" -c /etc/nsd/nsd.conf");
    let knot = service("1985110053", "knotd -c /etc/knot/knot.conf");
    let serve = on("$(echo ${1#*=} | sed 's/:.*//; s/[.]//g')", "zonule-itself \"$@\"");
    for (name, text) in [
        ("sudo", "exec \"$@\"".to_owned()),
        // The last word is the command.
        ("ssh", "for last; do :; done\nexec sh -c \"$last\"".to_owned()),
        ("systemctl", format!("case $2 in\nnsd) {nsd} ;;\nknot) {knot} ;;\n*) exit 1;;\nesac")),
        ("zonule", format!("case $1 in\n--listen=*) exec {serve};;\n*) exec zonule-itself \"$@\";;\nesac")),
        (
            "sleep",
            "if [ -s /run/ended ]; then echo \"in vain: $(cat /run/ended)\"; exit 1; fi\n\
             if [ \"$(date +%s)\" -gt \"$patience_ends\" ]; then echo 'in vain: this takes too long'; exit 1; fi\n\
             exec /bin/sleep \"$@\""
                .to_owned(),
        ),
    ] {
        fs::write(bin.join(name), format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(bin.join(name), Permissions::from_mode(0o755)).unwrap();
    }
    let file = sandbox.path().join("script");
    fs::write(&file, format!("{PREPARE}{script}\necho 'all is done'\n")).unwrap();
    // What `sleep` does not end, this does; and with the first process ends all it has started.
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "300", "unshare"]);
    if !is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "sh", "-x"]);
    let log = sandbox.path().join("log");
    let output = fs::File::create(&log).unwrap();
    command.arg(file).arg(&bin).stdout(output.try_clone().unwrap()).stderr(output);
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
