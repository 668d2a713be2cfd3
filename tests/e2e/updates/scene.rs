//! What scenarios of updates share: a zone that keys may change, and a ledger of what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use zonule_harness::{Boot, Client, Commit, Key, Outcome, Proxy, Remote, Sandbox, Server, Target, Transport, run};

use crate::scene::zone;

/// The zone that is updated.
pub(crate) const ZONE: &str = "example.org";

/// The file that holds its keys.
pub(crate) const KEYS: &str = "example.org._keys";

/// A server whose zone a key may update; dropped in this order.
pub(crate) struct Updating {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) remote: Remote,
    pub(crate) sandbox: Sandbox,
    /// May change all of [`ZONE`].
    pub(crate) key: Key,
    pub(crate) ledger: Ledger,
}

impl Updating {
    /// Starts `target` on a small [`ZONE`] and its key, by way of a proxy, and waits until it serves.
    pub(crate) fn start(target: &Target) -> Updating {
        Updating::with_arguments(target, &[])
    }

    /// The same, with more boot `arguments`.
    pub(crate) fn with_arguments(target: &Target, arguments: &[&str]) -> Updating {
        let key = Key::new("laptop._update.example.org").unwrap();
        let files = vec![(ZONE.to_owned(), zone(1, "")), (KEYS.to_owned(), key.line())];
        Updating::with_files(target, files, key, arguments)
    }

    /// The same, on a remote that holds `files`, `key` among them.
    pub(crate) fn with_files(target: &Target, files: Vec<(String, String)>, key: Key, arguments: &[&str]) -> Updating {
        let sandbox = Sandbox::new("updates").unwrap();
        let remote = Remote::with_files(sandbox.path(), files).unwrap();
        Updating::on(target, sandbox, remote, key, arguments)
    }

    /// The same, on the zones of `zones-example/`, whose key for all of `example.org` is a public one.
    pub(crate) fn on_examples(target: &Target) -> Updating {
        let sandbox = Sandbox::new("updates").unwrap();
        let zones = zonule_harness::workspace().join("zones-example");
        let remote = Remote::with_directory(sandbox.path(), &zones).unwrap();
        let text = remote.read(KEYS).unwrap();
        let name = "laptop._update.example.org";
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let mut key = Key::new(name).unwrap();
        key.secret = line.split_whitespace().last().unwrap().to_owned();
        Updating::on(target, sandbox, remote, key, &[])
    }

    fn on(target: &Target, sandbox: Sandbox, remote: Remote, key: Key, arguments: &[&str]) -> Updating {
        let proxy = Proxy::to(&remote).unwrap();
        let boot = if arguments.iter().any(|argument| argument.starts_with("--git-poll=")) {
            target.boot().argument(format!("--git-remote={}", proxy.url(target.host())))
        } else {
            target.boot().remote_through(&proxy)
        };
        let boot = boot.argument("--rate-limit=off");
        let boot = arguments.iter().fold(boot, |boot, argument| Boot::argument(boot, *argument));
        let mut server = boot.start(&sandbox).unwrap();
        server.until_serving(ZONE).unwrap();
        Updating { server, proxy, remote, sandbox, key, ledger: Ledger::default() }
    }

    /// Sends an update of [`ZONE`] with `nsupdate` by UDP, signed; see [`Client::update`].
    pub(crate) fn update(&self, operations: &[&str]) -> Outcome {
        self.update_with(&self.key, operations)
    }

    /// The same, with another key.
    pub(crate) fn update_with(&self, key: &Key, operations: &[&str]) -> Outcome {
        Client::Nsupdate.update(self.server.address(), Transport::Udp, Some(key), ZONE, operations).unwrap()
    }

    /// Adds the TXT record `u<number>`, by UDP for even numbers and TCP for odd ones, and enters the outcome in the
    /// ledger.
    pub(crate) fn add(&self, number: u32) -> Outcome {
        self.entered(number, '+', &format!("update add u{number}.{ZONE}. 300 TXT \"number {number}\""))
    }

    /// Deletes that record again, and enters the outcome in the ledger.
    pub(crate) fn delete(&self, number: u32) -> Outcome {
        self.entered(number, '-', &format!("update delete u{number}.{ZONE}. TXT"))
    }

    fn entered(&self, number: u32, sign: char, operation: &str) -> Outcome {
        let transport = Transport::ALL[number as usize % 2];
        let address = self.server.address();
        let outcome = Client::Nsupdate.update(address, transport, Some(&self.key), ZONE, &[operation]).unwrap();
        self.ledger.enter(format!("{sign}u{number}"), &outcome);
        outcome
    }

    /// Adds records, `u<first>` and on, until one is accepted; after a fault, the server may need a moment.
    pub(crate) fn add_until_accepted(&self, first: u32) {
        let mut numbers = first..;
        let what = "an update is accepted";
        zonule_harness::eventually(what, || (self.add(numbers.next()?).status == "NOERROR").then_some(())).unwrap();
    }

    /// Checks what must always be: served is the head of the remote; every change a client was told of is in the
    /// history, once, and nothing else is; the repository is sound, and its history a line.
    pub(crate) fn check(&mut self) -> Vec<Commit> {
        let (remote, sandbox, ledger) = (&self.remote, &self.sandbox, &self.ledger);
        let mut last = (Vec::new(), Vec::new());
        let same = self.server.until("what is served is the head of the remote", |server| {
            let head = remote.records(ZONE, sandbox.path()).ok()?;
            let served = served(server, &head, &ledger.names())?;
            let head: BTreeSet<&String> = head.iter().collect();
            let missing = head.iter().filter(|record| !served.contains(**record)).map(ToString::to_string).collect();
            let surplus = served.iter().filter(|record| !head.contains(record)).cloned().collect();
            last = (missing, surplus);
            (last.0.is_empty() && last.1.is_empty()).then_some(())
        });
        same.unwrap_or_else(|error| panic!("{error}; not served: {:#?}, not in the head: {:#?}", last.0, last.1));
        assert_eq!(remote.fsck().unwrap(), "");
        let log = remote.log().unwrap();
        for pair in log.windows(2) {
            assert_eq!(pair[1].parents, [pair[0].id.clone()], "history is no line");
        }
        assert_eq!(ledger.first_lie(&log), None);
        log
    }
}

/// The records the server answers with when it is asked for the RRset of each of `records` and for TXT at `names`.
fn served(server: &Server, records: &[String], names: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    let mut questions: BTreeSet<(String, String)> = BTreeSet::new();
    for record in records {
        let mut fields = record.split(' ');
        questions.insert((fields.next()?.to_owned(), fields.nth(2)?.to_owned()));
    }
    questions.extend(names.iter().map(|name| (format!("{name}.{ZONE}."), "TXT".to_owned())));
    let (ip, port) = (server.address().ip(), server.address().port());
    let mut command = Command::new("dig");
    command.args(["-r", &format!("@{ip}"), "-p", &port.to_string()]);
    command.args(["+norecurse", "+noall", "+answer", "+nosplit"]);
    command.args(questions.iter().flat_map(|(name, kind)| [name, kind]));
    let text = run(&mut command).ok()?;
    Some(text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect())
}

/// What a client was told about its change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is done.
    Done,
    /// It is not done and will not be.
    NotDone,
    /// Nothing, or what counts as nothing.
    Nothing,
}

/// What clients were told: for each change, `+u1` or `-u1`, made once.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<BTreeMap<String, Told>>);

impl Ledger {
    pub(crate) fn enter(&self, change: String, outcome: &Outcome) {
        let told = match outcome.status.as_str() {
            "NOERROR" => Told::Done,
            "TIMEOUT" => Told::Nothing,
            _ => Told::NotDone,
        };
        let before = self.entries().insert(change.clone(), told);
        assert_eq!(before, None, "{change} was made twice by the test");
    }

    /// Forgets what was told about a change whose outcome nobody could know.
    pub(crate) fn doubt(&self, change: &str) {
        self.entries().insert(change.to_owned(), Told::Nothing);
    }

    /// The owners of all changes.
    fn names(&self) -> BTreeSet<String> {
        self.entries().keys().map(|change| change[1..].to_owned()).collect()
    }

    /// Returns the first change that is not as often in the history as its client was told.
    pub(crate) fn first_lie(&self, log: &[Commit]) -> Option<String> {
        let mut made: BTreeMap<String, usize> = BTreeMap::new();
        for line in log.iter().flat_map(|commit| &commit.changes) {
            let Some(owner) = line[1..].split_whitespace().next() else { continue };
            let owner = owner.strip_suffix(".example.org.").unwrap_or(owner);
            *made.entry(format!("{}{owner}", &line[..1])).or_default() += 1;
        }
        self.entries().iter().find_map(|(change, told)| {
            let times = made.get(change).copied().unwrap_or_default();
            let right = match told {
                Told::Done => times == 1,
                Told::NotDone => times == 0,
                Told::Nothing => times <= 1,
            };
            (!right).then(|| format!("{change} was told to be {told:?} and is in the history {times} times"))
        })
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Told>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A history of one commit with these changed lines.
    fn history(changes: &[&str]) -> Vec<Commit> {
        let changes = changes.iter().map(ToString::to_string).collect();
        let text = String::new;
        vec![Commit {
            id: text(),
            parents: Vec::new(),
            author: text(),
            committer: text(),
            subject: text(),
            message: text(),
            changes,
        }]
    }

    fn holds(status: &str, changes: &[&str]) -> bool {
        let ledger = Ledger::default();
        ledger.enter("+u1".to_owned(), &Outcome { status: status.to_owned(), ..Outcome::default() });
        ledger.first_lie(&history(changes)).is_none()
    }

    #[test]
    fn ledger_finds_lies() {
        assert!(holds("NOERROR", &["-@ SOA 1", "+@ SOA 2", "+u1 TXT x", "+u10 TXT x"]));
        assert!(!holds("NOERROR", &["+u10 TXT x"]));
        assert!(!holds("NOERROR", &["+u1 TXT x", "-u1 TXT x", "+u1.example.org. TXT x"]));
        assert!(holds("SERVFAIL", &["-u1 TXT x"]));
        assert!(!holds("SERVFAIL", &["+u1 TXT x"]));
        assert!(holds("TIMEOUT", &["+u1 TXT x"]) && holds("TIMEOUT", &[]));
    }
}
