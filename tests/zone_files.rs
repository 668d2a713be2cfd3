//! Zone files read by us and by the servers whose files we promise to read.
//!
//! `tests/zone_files/` holds zones that exercise the language. BIND's reading of each is compared with ours octet by
//! octet, NSD's where it reads the file at all, and each of our readings is printed and read once more. A table of
//! single lines fixes who refuses what. A server whose checker is not installed is left out.
#![allow(missing_docs)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use zonule::{dns, zonefile};

use zonule::dns::{Name, Severity, print};
use zonule::zone::Zone;
use zonule::zonefile::{FileRole, IncludeError, Reading};
use zonule_harness::workspace;

/// Owner in lower case, type, TTL and data.
type Record = (Vec<u8>, u16, u32, Vec<u8>);

fn corpus() -> PathBuf {
    workspace().join("tests/zone_files")
}

fn apex() -> Name {
    Name::from_text("example.org").unwrap()
}

fn reading(text: &[u8]) -> Reading {
    zonefile::read_including(&apex(), "example.org", text, |path| {
        fs::read(corpus().join(path)).map_err(|_| IncludeError::Missing)
    })
}

fn records(zone: &Zone) -> BTreeSet<Record> {
    let mut all = BTreeSet::new();
    for node in zone.iter() {
        for rrset in node.rrsets() {
            let owner = node.owner().to_ascii_lowercase();
            all.extend(rrset.rdata().map(|data| (owner.clone(), rrset.rtype().0, rrset.ttl(), data.to_vec())));
        }
    }
    all
}

fn shown(records: &BTreeSet<Record>) -> Vec<String> {
    records.iter().map(|(owner, rtype, ttl, data)| print::record(owner, *ttl, dns::Type(*rtype), data)).collect()
}

/// Compares two sets and shows only what differs.
fn assert_same(what: &str, ours: &BTreeSet<Record>, theirs: &BTreeSet<Record>) {
    let only = |a: &BTreeSet<Record>, b: &BTreeSet<Record>| shown(&a.difference(b).cloned().collect());
    assert_eq!(only(ours, theirs), only(theirs, ours), "{what}: ours and theirs");
}

/// Runs a program of the path or of where administrators' programs are; `None` if it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"]
        .map(|place| Path::new(place).join(program))
        .into_iter()
        .find(|path| path.is_file())?;
    Some(Command::new(found).args(arguments).current_dir(corpus()).output().expect("it starts"))
}

/// A file that is gone when this is.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id())))
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

const LENIENT: [&str; 14] =
    ["-i", "none", "-k", "ignore", "-n", "ignore", "-m", "ignore", "-M", "ignore", "-S", "ignore", "-r", "ignore"];

/// What BIND reads from a file, by its raw format; `None` if it is not installed.
fn bind(file: &str) -> Option<BTreeSet<Record>> {
    let out = Scratch::new(&file.replace('/', "-"));
    let output =
        run("named-compilezone", &[&LENIENT[..], &["-F", "raw", "-o", out.path(), "example.org", file]].concat())?;
    assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout));
    let raw = fs::read(&out.0).expect("it was written");
    let mut records = BTreeSet::new();
    let mut rest = &raw[24..];
    // Length (4), class (2), type (2), covers (2), TTL (4), count (4), the owner and then the data, counted.
    while !rest.is_empty() {
        let number = |at: usize, len: usize| rest[at..at + len].iter().fold(0_usize, |n, &o| n << 8 | usize::from(o));
        let (len, rtype, ttl, count, owner) = (number(0, 4), number(6, 2), number(10, 4), number(14, 4), number(18, 2));
        let name = rest[20..20 + owner].to_ascii_lowercase();
        let mut data = &rest[20 + owner..len];
        for _ in 0..count {
            let (octets, after) = data[2..].split_at(usize::from(u16::from_be_bytes([data[0], data[1]])));
            records.insert((name.clone(), rtype as u16, ttl as u32, octets.to_vec()));
            data = after;
        }
        assert!(data.is_empty());
        rest = &rest[len..];
    }
    Some(records)
}

/// What NSD reads from a file, as it prints it; `None` if it is not installed.
fn nsd(file: &str) -> Option<BTreeSet<Record>> {
    let output = run("nsd-checkzone", &["-p", "example.org", file])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{file}: {text}{}", String::from_utf8_lossy(&output.stderr));
    // The last line is the verdict.
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("zone ")).collect();
    let reading = reading(lines.join("\n").as_bytes());
    Some(records(&reading.zone.unwrap_or_else(|| panic!("{:?}\n{text}", reading.diagnostics))))
}

/// Reads one file of the corpus; warnings are allowed.
fn ours(file: &str) -> BTreeSet<Record> {
    let reading = reading(&fs::read(corpus().join(file)).expect("the corpus is there"));
    records(&reading.zone.unwrap_or_else(|| panic!("{file}: {:?}", reading.diagnostics)))
}

#[test]
fn bind_reads_the_same() {
    for entry in fs::read_dir(corpus()).expect("the corpus is there") {
        let file = entry.expect("it is readable").file_name().into_string().expect("it is text");
        if file.ends_with(".zone") {
            let Some(theirs) = bind(&file) else { return eprintln!("left out: named-compilezone is not installed") };
            assert_same(&file, &ours(&file), &theirs);
        }
    }
}

#[test]
fn nsd_and_knot_read_the_same() {
    for file in ["common.zone", "names.zone", "ttl.zone", "minimum.zone"] {
        // Where BIND, Knot and we take the last TTL or the SOA's minimum, NSD takes 3600.
        match nsd(file).filter(|_| !["ttl.zone", "minimum.zone"].contains(&file)) {
            Some(theirs) => assert_same(file, &ours(file), &theirs),
            None => eprintln!("{file}: not compared with NSD"),
        }
        match run("kzonecheck", &["-o", "example.org", "-d", "off", file]) {
            Some(output) => assert!(output.status.success(), "{file}: {}", String::from_utf8_lossy(&output.stdout)),
            None => eprintln!("{file}: not compared with Knot"),
        }
    }
}

/// Line ends, a missing one and a byte-order mark change nothing; neither does printing and reading again.
#[test]
fn read_again() {
    for file in ["common.zone", "language.zone", "names.zone", "types.zone", "generate.zone", "include.zone"] {
        let text = fs::read_to_string(corpus().join(file)).expect("the corpus is there");
        let expected = ours(file);
        let printed = shown(&expected).join("\n");
        let windows = format!("\u{feff}{}", text.replace('\n', "\r\n"));
        let variants = [("printed", printed.as_str()), ("CRLF", &windows), ("trimmed", text.trim_end())];
        for (what, text) in variants {
            let reading = reading(text.as_bytes());
            let zone = reading.zone.unwrap_or_else(|| panic!("{file} {what}: {:?}", reading.diagnostics));
            assert_same(&format!("{file} {what}"), &records(&zone), &expected);
        }
    }
}

/// What we show as an example gives no cause for remarks.
#[test]
fn examples_are_without_fault() {
    let examples = workspace().join("zones-example");
    let open = |path: &str| fs::read(examples.join(path)).map_err(|_| IncludeError::Missing);
    let mut zones = 0;
    for entry in fs::read_dir(&examples).expect("the examples are there") {
        let path = entry.expect("it is readable").file_name().into_string().expect("it is text");
        let FileRole::Zone(apex) = FileRole::of(&path) else { continue };
        if path.ends_with(".inc") {
            continue;
        }
        let reading = zonefile::read_including(&apex, &path, &open(&path).expect("it is there"), open);
        assert!(reading.zone.is_some() && reading.diagnostics.is_empty(), "{:?}", reading.diagnostics);
        zones += 1;
    }
    assert!(zones > 3);
}

/// Lines behind a good zone's head, and who takes them: ours, BIND, Knot, NSD; `w` where we warn.
///
/// `-` refuses, `+` takes, `?` is not asked. Other versions of a server may judge otherwise, so they are not asked.
const VERDICTS: &[(&str, &str)] = &[
    ("a A 192.0.2.1", "++++"),
    ("a A 192.0.2", "----"),
    ("a A 192.0.2.1 x", "----"),
    ("a AAAA 192.0.2.1", "----"),
    ("a AAAA ::ffff:192.0.2.1", "++++"),
    ("a TXT", "----"),
    ("a TXT \"open", "----"),
    ("a TXT ( x", "---+"),
    ("a TXT x )", "----"),
    ("a TXT \\256", "---+"),
    ("a..b A 192.0.2.1", "----"),
    (".a A 192.0.2.1", "----"),
    ("a CNAME b\na A 192.0.2.1", "----"),
    ("a CNAME b\na CNAME c", "----"),
    ("a CNAME b\na CNAME b", "w+++"),
    ("a CNAME b\na NSEC c CNAME NSEC", "++++"),
    ("@ CNAME b", "----"),
    ("a DNAME b.\na DNAME c.", "----"),
    ("a DNAME b.\nx.a A 192.0.2.1", "-+--"),
    ("a DNAME b.\na A 192.0.2.1", "++++"),
    ("a SOA b c 1 2 3 4 5", "--+-"),
    ("@ SOA b c 1 2 3 4 5", "--?-"),
    ("a.example.com. A 192.0.2.1", "w++-"),
    ("a 60 A 192.0.2.1\na 61 A 192.0.2.2", "w+?+"),
    ("a A 192.0.2.1\na A 192.0.2.1", "w+++"),
    ("a 4294967295 A 192.0.2.1", "w+++"),
    ("a 4294967296 A 192.0.2.1", "---?"),
    ("a CH A 192.0.2.1", "--?-"),
    ("a TYPE65280 abcd", "----"),
    ("a TYPE65280 \\# 3 abcd", "---+"),
    ("a A \\# 3 c00002", "--+-"),
    ("a TYPE0 \\# 0", "-???"),
    ("a TYPE255 \\# 0", "-???"),
    ("a DS 1 8 2 abcd", "---+"),
    ("a NS ns.a\na DS 1 8 2 abcd", "---+"),
    ("a CAA 0 is-sue x", "-???"),
    ("a CAA 256 issue x", "---+"),
    ("a MX 65536 b", "---+"),
    ("a SVCB 1 . mandatory=port", "----"),
    ("a SVCB 1 . no-default-alpn", "--+?"),
    ("a SVCB 1 . port=1 port=2", "----"),
    ("a SVCB 0 b. port=1", "++++"),
    ("*.a NS b.", "w-++"),
    ("a SVCB 1 . key3=443", "--++"),
    ("a TXT \"two\nlines\"", "---+"),
    ("a WKS 192.0.2.1 tcp smtp", "-+-+"),
    ("a AMTRELAY 10 0 1 203.0.113.15", "-+--"),
    ("a ZONEMD 1 1 1 ab", "--++"),
    ("a DNSKEY 257 DNSSEC 13 AQID", "-+--"),
    ("a HTTPS 1 . ech=", "-+-+"),
    ("a TXT \\# text", "++-+"),
    ("a TXT \\#", "++--"),
    ("a TXT \\# 3 abcdef", "--++"),
    ("a SPF \\# text", "----"),
    ("a SSHFP 4 2 0123", "--++"),
    ("a SSHFP 1 3", "-+--"),
    ("a DHCID \\# 0", "---+"),
    ("a OPENPGPKEY \\# 0", "---+"),
    ("a TLSA \\# 3 030101", "--++"),
    ("a DS \\# 4 00010800", "---+"),
    ("a NSEC b", "--++"),
    ("a NXT b", "-+--"),
    ("a NSEC3 1 0 0 - 2t7b4g4v A", "--++"),
    ("a NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A", "-+++"),
    ("a X25 abcd", "---+"),
    ("a X25 123", "---+"),
    ("a TYPE22 \\# 0", "--++"),
    ("a CERT 1 2 3 \\# 0", "----"),
    ("a KEY 49152 3 5", "-+--"),
    ("a KEY 49152 3 5 AQ==", "--++"),
    ("a DNSKEY 49152 3 5", "----"),
    ("a CDNSKEY 0 3 0 AA==", "++++"),
    ("a CDS 0 0 0 00", "++++"),
    ("a IPSECKEY 10 0 0 .", "--++"),
    ("a NAPTR 1 1 u x !a .", "--++"),
    ("a NAPTR 1 1 u x !a**!b! .", "--++"),
    ("a NAPTR 1 1 u x \"\" .", "++++"),
    ("a TXT \"\"", "++++"),
    ("a SVCB 1 . dohpath=x", "---+"),
    ("a LOC \\# 16 00051613800000008000000000989680", "--++"),
    ("a LOC 91 N 0 E 0", "---+"),
    ("a APL 1:192.0.2.0/33", "----"),
    ("a EUI48 00-00-5e-00-53", "----"),
    ("a NSEC3PARAM 1 0 0 abc", "----"),
    ("$ORIGIN", "----"),
    ("$TTL x", "----"),
    ("$NOTHING", "---+"),
    ("$INCLUDE nowhere", "----"),
    ("$INCLUDE parts/one", "++--"),
    ("$GENERATE 1-2 a$ A 192.0.2.$", "++--"),
    ("$GENERATE 2-1 a$ A 192.0.2.$", "----"),
    ("$GENERATE 1-2 a$ MX 1 b", "----"),
];

/// Returns whether a program says that it is of a version.
fn is_version(program: &str, argument: &str, version: &str) -> bool {
    let is = run(program, &[argument]).is_some_and(|output| {
        [output.stdout, output.stderr].iter().any(|text| String::from_utf8_lossy(text).contains(version))
    });
    if !is {
        eprintln!("left out: {program} is not of version {version}");
    }
    is
}

#[test]
fn who_refuses_what() {
    let mut wrong = Vec::new();
    let is_bind = is_version("named-checkzone", "-v", "9.18.");
    let is_knot = is_version("kzonecheck", "-V", " 3.2.");
    let is_nsd = is_version("nsd-checkzone", "-h", " 4.6.");
    for (index, (lines, verdicts)) in VERDICTS.iter().enumerate() {
        let text = format!("$TTL 60\n@ SOA ns.example.net. h.example.net. 1 2 3 4 5\n@ NS ns.example.net.\n{lines}\n");
        let file = Scratch::new(&format!("verdict-{index}"));
        fs::write(&file.0, &text).expect("it can be written");
        let reading = reading(text.as_bytes());
        let warned = reading.diagnostics.iter().any(|told| told.severity == Severity::Warning && told.line > 3);
        let ours = if reading.zone.is_none() {
            '-'
        } else if warned {
            'w'
        } else {
            '+'
        };
        let path = file.path();
        let sign = |is_asked: bool, program: &str, arguments: &[&str]| match run(program, arguments) {
            Some(output) if is_asked && output.status.success() => '+',
            Some(_) if is_asked => '-',
            _ => '?',
        };
        let bind = sign(is_bind, "named-checkzone", &[&LENIENT[..], &["-q", "example.org", path]].concat());
        let knot = sign(is_knot, "kzonecheck", &["-o", "example.org", "-d", "off", path]);
        let nsd = sign(is_nsd, "nsd-checkzone", &["example.org", path]);
        let found = [ours, bind, knot, nsd];
        let same = found
            .iter()
            .zip(verdicts.chars())
            .all(|(&found, verdict)| found == verdict || found == '?' || verdict == '?');
        if !same {
            wrong.push(format!("{lines:?}: {verdicts} is {}", found.iter().collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
