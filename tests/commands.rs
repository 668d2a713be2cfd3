//! The commands of the Linux binary, on directories and on repositories that git made.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use zonule_harness::{Sandbox, git, run};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// A repository in a work tree, or a directory before git is asked.
struct Place(Sandbox);

impl Place {
    fn new() -> Self {
        Place(Sandbox::new("commands").unwrap())
    }

    fn repository() -> Self {
        let place = Self::new();
        place.git(&["init", "-q", "-b", "main"]);
        place
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: impl AsRef<[u8]>) -> &Self {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn git(&self, arguments: &[&str]) -> String {
        let settings = ["-c", "user.name=Zone Editor", "-c", "user.email=editor@example.org", "-c", "core.fsync=none"];
        run(git(self.dir()).args(settings).args(arguments)).unwrap()
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Runs a command here.
    fn zonule(&self, arguments: &[&str]) -> Ran {
        self.zonule_with(arguments, |_| {})
    }

    fn zonule_with(&self, arguments: &[&str], prepare: impl FnOnce(&mut Command)) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zonule"));
        command.args(arguments).current_dir(self.dir()).stdin(Stdio::null());
        prepare(&mut command);
        Ran::of(command.output().unwrap())
    }
}

/// What a command left: the exit code, standard output and standard error.
#[derive(Debug, PartialEq)]
struct Ran(i32, String, String);

impl Ran {
    fn of(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).unwrap();
        Ran(output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

/// Makes what is expected of a command.
fn ran(code: i32, stdout: &str, stderr: &str) -> Ran {
    Ran(code, stdout.to_string(), stderr.to_string())
}

fn zone(serial: u32, more: &str) -> String {
    format!("$TTL 60\n@ SOA ns hostmaster {serial} 3600 600 86400 60\n@ NS ns\nns A 192.0.2.1\n{more}")
}

#[test]
fn a_directory_and_files_of_it_are_checked() {
    let place = Place::new();
    place.write("good.example", zone(1, "$INCLUDE parts/mail\n")).write("parts/mail", "@ MX 1 ns\n");
    assert_eq!(place.zonule(&["check", "."]), ran(0, "", "1 zone read: nothing is wrong\n"));
    place.write("bad.example", zone(1, "www\tAA 192.0.2.1\n")).write("parts/mail", "@ MX ns\n");
    place
        .write("bad.example._keys", format!("k._update DNSKEY 0 3 163 {KEY}x\n"))
        .write("a b", "")
        .write("README", "@");
    let mail = "parts/mail:1:6: error: expected a number from 0 to 65535, not `ns`
     1 | @ MX ns
       |      ^
       = a valid record is, for example, `MX 10 mail.example.org.`
";
    let bad = "bad.example:5:5: error: there is no record type AA
     5 | www\tAA 192.0.2.1
       |    \t^
       = did you mean A?
";
    let keys = "bad.example._keys:1:26: error: expected base64
       = a key is written `name DNSKEY 0 3 163 <base64>`, where 163 is HMAC-SHA256
";
    let odd = "a b: warning: a zone's file bears the zone's name, which has no ' '
       = rename it, or move it to a sub-directory if it is not a zone
";
    let all = [odd, bad, keys, mail].concat();
    let summary = "2 zones and 1 key file read: 3 errors, 1 warning\n";
    assert_eq!(place.zonule(&["check", "."]), ran(1, &all, summary));

    let dir = place.dir().to_str().unwrap();
    let elsewhere: String = [odd, bad, keys, mail].map(|text| format!("{dir}/{text}")).concat();
    assert_eq!(
        place.zonule_with(&["check", dir], |command| {
            command.current_dir("/");
        }),
        ran(1, &elsewhere, summary)
    );
    assert_eq!(place.zonule(&["check", "bad.example"]), ran(1, bad, "1 zone read: 1 error\n"));
    assert_eq!(place.zonule(&["check", "bad.example._keys"]), ran(1, keys, "0 zones and 1 key file read: 1 error\n"));
    let found = place.zonule_with(&["check", "-C", dir, "parts/mail"], |command| {
        command.current_dir("/");
    });
    assert_eq!(found, ran(1, &format!("{dir}/{mail}"), "1 zone read: 1 error\n"), "who includes it");
    assert_eq!(place.zonule(&["check", "a b"]), ran(0, odd, "0 zones read: 1 warning\n"));
    let Ran(code, _, said) = place.zonule(&["check", "README"]);
    assert_eq!(
        (code, said.lines().next()),
        (2, Some("zonule check: README: no zone, no keys, and included by no zone"))
    );
}

#[test]
fn for_programs_and_reviewers() {
    let place = Place::new();
    place.write("bad.example", zone(1, "www AA 192.0.2.1\n"));
    let expected = "{\"errors\":1,\"warnings\":0,\"zones\":1,\"key_files\":0,\"findings\":[
{\"kind\":\"zone\",\"severity\":\"error\",\"zone\":\"bad.example.\",\"file\":\"bad.example\",\"line\":5,\"column\":5,\
        \"reason\":\"there is no record type AA\",\"hint\":\"did you mean A?\",\"source\":\"www AA 192.0.2.1\"}
]}
";
    assert_eq!(place.zonule(&["check", "--format=json", "."]), ran(1, expected, ""));
    let expected = "::error file=bad.example,line=5,col=5::there is no record type AA (hint: did you mean A?)\n";
    assert_eq!(place.zonule(&["check", ".", "--format=github"]), ran(1, expected, ""));
    let Ran(_, coloured, _) = place.zonule(&["check", "--color=always", "."]);
    assert!(coloured.contains("\x1b[1;31merror:\x1b[0m there is no"), "{coloured}");
}

#[test]
fn changes_since_a_revision_are_checked() {
    let place = Place::repository();
    place
        .write("a.example", zone(1, ""))
        .write("b.example", zone(1, "$INCLUDE parts/b\n"))
        .write("c.example", zone(1, ""));
    place.write("parts/b", "@ MX 1 ns\n").write("broken.example", "x").write(".gitignore", "ignored\n");
    place.commit("Begin");
    let against = |more: &[&str]| place.zonule(&[&["check", "--against=HEAD", "."], more].concat());
    assert_eq!(against(&[]), ran(0, "", "0 zones read: nothing is wrong\n"));
    place.write("a.example", zone(1, "; a remark\n")).write("ignored", "x");
    assert_eq!(against(&[]), ran(0, "", "1 zone read: nothing is wrong\n"));

    place.write("a.example", zone(1, "www A 192.0.2.1\n")).write("parts/b", "@ MX 2 ns\n").write("new.example", "x\n");
    fs::remove_file(place.dir().join("c.example")).unwrap();
    let said = |zone: &str| {
        format!(
            "{zone}.example:2:21: error: the zone {zone}.example. changed, but its serial is still 1
     2 | @ SOA ns hostmaster 1 3600 600 86400 60
       |                     ^
       = make it 2, for instance; secondaries would keep the old zone
"
        )
    };
    let gone = "c.example: error: the zone c.example. is deleted
       = restore the file, or pass --allow-deletion
";
    let new = "new.example:1:2: error: the line ends without a record type
     1 | x
       |  ^
";
    let all = [&said("a"), &said("b"), gone, new].concat();
    assert_eq!(against(&[]), ran(1, &all, "3 zones read: 4 errors\n"));
    let all = [&said("a"), &said("b"), new].concat();
    assert_eq!(against(&["--allow-deletion"]), ran(1, &all, "3 zones read: 3 errors\n"));
    place.write("a.example", zone(2, "www A 192.0.2.1\n")).write("b.example", zone(2, "$INCLUDE parts/b\n"));
    fs::remove_file(place.dir().join("new.example")).unwrap();
    assert_eq!(against(&["--allow-deletion"]), ran(0, "", "2 zones read: nothing is wrong\n"));

    // What is committed, wherever it is looked for.
    place.commit("Change");
    place.write("a.example", "x");
    place.git(&["clone", "-q", "--bare", ".", "bare.git"]);
    for dir in [".", "bare.git"] {
        let found = place.zonule(&["check", "--against=main~", "--revision=main", "--allow-deletion", dir]);
        assert_eq!(found, ran(0, "", "2 zones read: nothing is wrong\n"));
    }
    let found = place.zonule(&["check", "--against=main", "--revision=main~", "bare.git"]).1;
    let expected = "bare.git/a.example:2:21: error: the zone a.example. changed, but its serial went from 2 to 1";
    assert!(found.starts_with(expected), "{found}");
}

/// A directory of a repository is looked at as if it were one.
#[test]
fn a_directory_in_a_repository() {
    let place = Place::repository();
    place.write("dns/a.example", zone(1, "$INCLUDE parts/a\n")).write("dns/parts/a", "@ MX 1 ns\n").write("other", "x");
    place.commit("Begin");
    place.write("dns/parts/a", "@ MX 2 ns\n");
    let Ran(code, found, said) = place.zonule(&["check", "--against=HEAD", "dns"]);
    assert_eq!((code, said.as_str()), (1, "1 zone read: 1 error\n"), "{found}");
    assert!(found.starts_with("dns/a.example:2:21: error: the zone a.example. changed, but"), "{found}");
    assert_eq!(place.zonule(&["check", "dns"]), ran(0, "", "1 zone read: nothing is wrong\n"));
    assert_eq!(place.zonule(&["check", "dns/a.example"]), ran(0, "", "1 zone read: nothing is wrong\n"));
    place.commit("Change");
    let expected = "zone a.example.: serial 1 -> 1, which is not higher
  - a.example. 60 IN MX 1 ns.a.example.
  + a.example. 60 IN MX 2 ns.a.example.
";
    assert_eq!(place.zonule(&["diff", "-C", "dns", "HEAD~", "HEAD"]), ran(0, expected, ""));
}

/// All there is to find, in one change that git knows, and each finding as it is told.
#[test]
fn every_kind_of_mistake_at_once() {
    let place = Place::repository();
    let multi = |serial: u32| {
        format!("$TTL 60\n@ SOA ns host ( ; begins\n\t{serial}\t; serial\n\t1 1 1 1 )\n@ NS ns\nns A 192.0.2.1\n")
    };
    let key = |name: &str, number: u32| format!("{name} DNSKEY 0 3 {number} {KEY}\n");
    place.write("back.example", multi(7)).write("gone.example", zone(1, "")).write("two.example", zone(1, ""));
    place
        .write("far.example", zone(1, ""))
        .write("_keys", key("k._update.keys.example", 163))
        .write("lost.example", zone(5, ""));
    place.commit("Begin");
    place.git(&["rm", "-q", "gone.example"]);
    place.write("back.example", multi(6)).write("two.example.zone", zone(2, "")).write("a_b!", "");
    place.write("far.example", zone(1 + (1 << 31), "")).write("lost.example", zone(6, ""));
    place.write("keys.example._keys", key("k._update", 164) + &key("idle", 163));
    place.write("keys.example", zone(1, "$INCLUDE _keys\n"));
    place.write(
        "many.example",
        "$TTL 60\n@ SOA ns host 1 1 1 1 1\na CNAME b\na A 192.0.2.1\nx MX 1 nowhere\n$INCLUDE parts/x\n",
    );
    place.write("parts/x", "y A 192.0.2.1 ; good\n\u{e4} A 192.0.2.300\n");
    // What the zone was is lost.
    let id = place.git(&["rev-parse", "HEAD:lost.example"]).trim().to_string();
    fs::remove_file(place.dir().join(".git/objects").join(&id[..2]).join(&id[2..])).unwrap();
    let expected = "a_b!: warning: a zone's file bears the zone's name, which has no '!'
       = rename it, or move it to a sub-directory if it is not a zone
back.example:3:2: error: the zone back.example. changed, but its serial went from 7 to 6, which is not higher (RFC 1982)
     3 | \t6\t; serial
       | \t^
       = make it 8, for instance; secondaries would keep the old zone
far.example:2:21: error: the zone far.example. changed, but its serial went from 1 to 2147483649, which is not higher (RFC 1982)
     2 | @ SOA ns hostmaster 2147483649 3600 600 86400 60
       |                     ^
       = make it 2, for instance; secondaries would keep the old zone
gone.example: error: the zone gone.example. is deleted
       = restore the file, or pass --allow-deletion
keys.example:5:10: error: _keys is a key file, whose secrets would be served to everybody
     5 | $INCLUDE _keys
       |          ^
       = remove this line; the server finds key files by their names
keys.example._keys:1:1: error: the key k._update.keys.example. is also in _keys:1 with another algorithm; neither is used
       = keep only one of them, or rename one
keys.example._keys:2:1: warning: the key idle.keys.example. may do nothing: its name contains no grant
       = name it <any>._update.<zone>, <any>._transfer.<zone> or <any>._notify.<zone>
lost.example: error: the previous version cannot be read: git cat-file: ID is missing
       = check its permissions, and the repository with `git fsck`
many.example:3:1: error: a.many.example. has a CNAME record and other data (A) too
     3 | a CNAME b
       | ^
       = an alias has no records of its own (RFC 2181 §10.1)
parts/x:2:5: error: expected an IPv4 address, not `192.0.2.300`
     2 | ä A 192.0.2.300
       |     ^
two.example.zone: error: two.example, two.example.zone all name the zone two.example.
       = keep one of them
";
    let found = place.zonule(&["check", "--against=HEAD", "."]);
    assert_eq!(found.1, expected.replace("ID", &id));
    assert_eq!((found.0, found.2.as_str()), (1, "5 zones and 1 key file read: 9 errors, 2 warnings\n"));
    assert!(!found.1.contains("AAEC"), "a secret");
}

#[test]
fn revisions_are_compared_in_dns_terms() {
    let place = Place::repository();
    let key = |name: &str| format!("{name} DNSKEY 0 3 163 {KEY}\n");
    place
        .write("a.example", zone(1, "www A 192.0.2.1\n"))
        .write("b.example", zone(1, ""))
        .write("a.example._keys", key("k._update"));
    place.commit("Begin");
    place.write("a.example", zone(2, "www A 192.0.2.2\nx TXT \"a b\"\n")).write("c.example", zone(7, ""));
    place.write("_keys", key("t._transfer.a.example")).write("docs/a", "x");
    fs::remove_file(place.dir().join("b.example")).unwrap();
    fs::remove_file(place.dir().join("a.example._keys")).unwrap();
    // A symbolic link to a zone file is a zone.
    std::os::unix::fs::symlink("a.example", place.dir().join("l.example")).unwrap();
    place.commit("Change");
    let expected = "zone a.example.: serial 1 -> 2
  - www.a.example. 60 IN A   192.0.2.1
  + www.a.example. 60 IN A   192.0.2.2
  + x.a.example.   60 IN TXT \"a b\"
- zone b.example.: serial 1, 3 records
+ zone c.example.: serial 7, 3 records
+ zone l.example.: serial 2, 5 records
+ key t._transfer.a.example.: transfer at and below a.example.
- key k._update.a.example.: update at and below a.example.
";
    assert_eq!(place.zonule(&["diff", "HEAD~", "HEAD"]), ran(0, expected, ""));
    let dir = place.dir().to_str().unwrap();
    let from_afar = place.zonule_with(&["diff", "-C", dir, "main~1", "main"], |command| {
        command.current_dir("/");
    });
    assert_eq!(from_afar, ran(0, expected, ""));
    assert_eq!(place.zonule(&["diff", "HEAD", "main"]), ran(0, "", ""));
    // A bare repository will do.
    place.git(&["clone", "-q", "--bare", ".", "bare.git"]);
    assert_eq!(place.zonule(&["diff", "--directory=bare.git", "main~1", "main"]), ran(0, expected, ""));
}

#[test]
fn a_directory_or_revision_answers() {
    let place = Place::repository();
    place.write("a.example", zone(1, "www A 192.0.2.1\n")).commit("Begin");
    place.write("a.example", zone(2, "www A 192.0.2.2\n"));
    let expected = |address: &str| {
        format!(
            ";; status: NOERROR, flags: qr aa

;; QUESTION SECTION:
;www.a.example. IN A

;; ANSWER SECTION:
www.a.example. 60 IN A {address}
"
        )
    };
    assert_eq!(place.zonule(&["query", ".", "www.a.example"]), ran(0, &expected("192.0.2.2"), ""));
    let committed = place.zonule(&["query", "--revision=HEAD", ".", "www.a.example.", "a"]);
    assert_eq!(committed, ran(0, &expected("192.0.2.1"), ""));
    let Ran(code, text, _) = place.zonule(&["query", ".", "x.a.example", "MX"]);
    assert!(code == 0 && text.starts_with(";; status: NXDOMAIN, flags: qr aa\n"), "{text}");
    let Ran(code, text, _) = place.zonule(&["query", ".", "b.example", "MX"]);
    assert!(code == 1 && text.starts_with(";; status: REFUSED, flags: qr\n"), "{text}");
}

#[test]
fn errors_are_reported() {
    let place = Place::repository();
    place.write("a.example", zone(1, "")).commit("Begin");
    let sandbox = Sandbox::new("commands").unwrap();
    let see = |command: &str| format!("; see zonule {command} --help");
    for (arguments, said) in [
        (
            &["check"][..],
            "a DIR or FILE is required; for the repository in the current directory: zonule check .".to_string(),
        ),
        (&["check", "none"], "none: No such file or directory (os error 2)".to_string()),
        (&["check", "--bogus", "."], format!("unknown option --bogus{}", see("check"))),
        (&["check", "--format", "."], format!("--format needs a value: --format=text|json|github{}", see("check"))),
        (&["check", "--format=xml", "."], "--format must be one of text|json|github, not xml".to_string()),
        (&["check", "--allow-deletion=no", "."], format!("--allow-deletion takes no value{}", see("check"))),
        (&["check", "--against=HEAD", "--against=HEAD~", "."], format!("--against is given twice{}", see("check"))),
        (
            &["check", "--against=HEAD", "a.example"],
            "a.example: --against and --revision need a directory, not a file".to_string(),
        ),
        (&["check", "--against=none", "."], "there is no revision none in .".to_string()),
        (&["check", "--against=--all", "."], "there is no revision --all in .".to_string()),
        (&["diff", "HEAD"], "two revisions are required; for the last commit: zonule diff HEAD~ HEAD".to_string()),
        (&["diff", "HEAD", "-x"], format!("unknown option -x{}", see("diff"))),
        (
            &["query", "."],
            "a directory and a name are required, such as: zonule query . www.example.org AAAA".to_string(),
        ),
        (
            &["query", ".", "a..b"],
            "a..b: the name has an empty label (two dots in a row, or a leading dot)".to_string(),
        ),
        (&["query", ".", "a", "AAA"], "unknown record type AAA".to_string()),
        (
            &["query", ".", "a", "TYPE252"],
            "TYPE252 cannot be queried here; use the type of a record, or ANY".to_string(),
        ),
        (&["keygen", "name"], "only options are accepted, such as --comment=ns1.example.org".to_string()),
        (&["keygen", "--comment=a\nb"], "--comment must be a single line of text".to_string()),
        (
            &["keygen", "--public"],
            "the secret does not begin with ed25519:; make a key with `zonule keygen`".to_string(),
        ),
        (&["completions"], "one shell is required: bash, zsh or fish".to_string()),
        (&["man", "check"], "no arguments are accepted: there is only one page".to_string()),
    ] {
        assert_eq!(place.zonule(arguments), ran(2, "", &format!("zonule {}: {said}\n", arguments[0])), "{arguments:?}");
    }
    let no_git = place.zonule_with(&["diff", "HEAD", "HEAD"], |command| {
        command.env("PATH", sandbox.path());
    });
    let said = "cannot run git: the program was not found; install git";
    assert_eq!(no_git, ran(2, "", &format!("zonule diff: there is no revision HEAD in .: {said}\n")));
    let elsewhere = place.zonule_with(&["diff", "HEAD", "HEAD"], |command| {
        command.current_dir("/");
    });
    assert_eq!(elsewhere.0, 2);
    assert!(elsewhere.2.contains("not a git repository"), "{elsewhere:?}");
}

/// OpenSSH takes the public half; that the secret one belongs to it, a login shows.
#[test]
fn a_key_is_generated_and_its_public_key_printed_again() {
    let place = Place::new();
    let Ran(0, printed, said) = place.zonule(&["keygen"]) else { panic!("no key") };
    assert_eq!(said, "");
    let [public, argument] = printed.lines().collect::<Vec<_>>().try_into().unwrap();
    assert!(public.starts_with("ssh-ed25519 AAAA") && public.ends_with(" zonule"), "{public}");
    assert!(argument.starts_with("--git-ssh-key=ed25519:"), "{argument}");
    place.write("key.pub", format!("{public}\n")).write("argument", format!("{argument}\n"));
    let shown = run(Command::new("ssh-keygen").args(["-lf", "key.pub"]).current_dir(place.dir())).unwrap();
    assert!(shown.contains("SHA256:") && shown.ends_with(" zonule (ED25519)\n"), "{shown}");
    let again = place.zonule_with(&["keygen", "--public", "--comment=ns1"], |command| {
        command.stdin(fs::File::open(place.dir().join("argument")).unwrap());
    });
    assert_eq!(again, ran(0, &format!("{} ns1\n", public.strip_suffix(" zonule").unwrap()), ""));
    assert_ne!(place.zonule(&["keygen"]).1, printed);
}

/// All that is known of the arguments is in one table each; help, manual and completions have all of it.
#[test]
fn help_manual_and_completions_know_all() {
    let place = Place::repository();
    let text = |arguments: &[&str]| {
        let Ran(code, text, said) = place.zonule(arguments);
        assert_eq!((code, said.as_str()), (0, ""), "{arguments:?}");
        text
    };
    let help = text(&["--help"]);
    assert_eq!(text(&["help"]), help);
    assert_eq!(text(&["help", "check"]), text(&["check", "--help"]));
    let commands = ["check", "diff", "query", "keygen", "completions", "man"];
    let manual = text(&["man"]);
    let scripts = ["bash", "zsh", "fish"].map(|shell| text(&["completions", shell]));
    for argument in help.lines().filter_map(|line| line.strip_prefix("  --")?.split([' ', '=']).next()) {
        assert!(manual.contains(&format!("\\-\\-{}", argument.replace('-', "\\-"))), "{argument}");
        for script in &scripts {
            assert!(
                script.contains(&format!("--{argument}")) || script.contains(&format!("-l {argument} ")),
                "{argument}"
            );
        }
    }
    for command in commands {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        assert!(manual.contains(&format!("zonule {command}")), "{command}");
    }

    // Git takes the page and the shells take the scripts as they are.
    let [bash, zsh, fish] = scripts;
    place.write("z.bash", bash).write("z.zsh", zsh).write("z.fish", fish).write("z.1", manual);
    for (program, arguments) in [
        ("bash", &["-n", "z.bash"][..]),
        ("zsh", &["-n", "z.zsh"]),
        ("fish", &["-n", "z.fish"]),
        ("groff", &["-man", "-ww", "-z", "-Tutf8", "z.1"]),
    ] {
        // Not every machine has all of them.
        let Ok(output) = Command::new(program).args(arguments).current_dir(place.dir()).output() else { continue };
        assert_eq!(Ran::of(output), ran(0, "", ""), "{program}");
    }

    // What bash offers, asked as it asks.
    place.write("a.example", zone(1, "")).commit("Begin");
    place.git(&["branch", "--", "odd$(touch${IFS}harm)"]);
    let script = "
        . ./z.bash
        for COMP_LINE; do
            COMP_POINT=${#COMP_LINE}
            read -ra COMP_WORDS <<< \"${COMP_LINE//=/ = }\"
            [[ $COMP_LINE == *[\\ =] ]] && COMP_WORDS+=('')
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _zonule
            echo \"${COMPREPLY[*]}\"
        done";
    let asked = [
        ("zonule ch", "check"),
        ("zonule --git-r", "--git-remote="),
        ("zonule --serial=", "bump strict"),
        ("zonule --git-remote=git://192.0.2.1/zones --serial=s", "strict"),
        ("zonule check --a", "--against= --allow-deletion"),
        ("zonule check --format=", "text json github"),
        ("zonule check . --color=n", "never"),
        ("zonule check ", ""),
        ("zonule completions ", "bash zsh fish"),
        ("zonule diff m", "main"),
        ("zonule diff o", ""),
        ("zonule help q", "query"),
    ];
    let lines = asked.iter().map(|(line, _)| *line);
    let output =
        Command::new("bash").args(["-c", script, "bash"]).args(lines).current_dir(place.dir()).output().unwrap();
    let expected: String = asked.iter().map(|(_, offered)| format!("{offered}\n")).collect();
    assert_eq!(Ran::of(output), ran(0, &expected, ""));
    assert!(!PathBuf::from(place.dir()).join("harm").exists(), "a branch's name was run");
}

#[test]
fn serving_is_as_it_was() {
    let place = Place::new();
    let Ran(code, _, said) = place.zonule(&[]);
    assert_eq!(code, 2);
    assert!(said.starts_with("zonule: argument --git-remote: is required"), "{said}");
    let expected = "zonule: argument serve: arguments have the form --name=value; see --help\n";
    assert_eq!(place.zonule(&["serve"]), ran(2, "", expected));
    assert_eq!(place.zonule(&["--git-remote=git://192.0.2.1/zones", "check"]).0, 2, "no command behind arguments");
}

/// An unclosed code block would swallow the rest of the page.
#[test]
fn code_blocks_of_the_pages_are_closed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain(["README.md", "CHANGELOG.md", "CONTRIBUTING.md"].map(|page| root.join(page)));
    for page in pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")) {
        let mut open = None;
        for (line, text) in (1..).zip(fs::read_to_string(&page).unwrap().lines()) {
            let Some(word) = text.trim_start().strip_prefix("```") else { continue };
            assert!(open.is_none() || word.is_empty(), "{}:{line}: a code block starts inside another", page.display());
            open = if open.is_none() { Some(line) } else { None };
        }
        assert_eq!(open, None, "{}: the code block that starts at this line is never closed", page.display());
    }
}
