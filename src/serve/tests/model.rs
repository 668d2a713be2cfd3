//! A model of servers, people and secondaries around one repository: under all events, secondaries get correct
//! differences.
//!
//! The remote is a branch and a record, moved by compare-and-swap. People move the branch anywhere, since the shape of
//! its history does not matter, only its position when a server fetches. Servers do what the writer does, with the same
//! values ([`Primary`], [`Record`], [`History`]), and may stop between any two steps. Everything that is served is
//! recorded, and each secondary that gets a difference, or nothing, must end up with the result of a full transfer.

use crate::zonefile;
use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use crate::answer::Transport;
use crate::config::Author;
use crate::dns::{Name, Serial};
use crate::git::{self, CommitInfo, File, ObjectId};
use crate::primary::{Base, Primary, SerialPolicy, names};
use crate::serve::record::{Found, Note, Record};
use crate::transfer::{Content, History, Limits, Past, Request, from_versions};
use crate::zone::{Entry, Zone};
use crate::zonefile::{FileRole, IncludeError};

/// How far back a server looks.
const DEPTH: usize = 40;

type Files = BTreeMap<String, String>;

fn apex() -> Name {
    Name::from_text("example.org").unwrap()
}

/// The contents of a commit from a person's point of view.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Draft {
    /// The name of the zone's file; `None` while it is removed.
    file: Option<&'static str>,
    serial: u32,
    hosts: BTreeMap<u8, u8>,
    /// Bit mask of the hosts written in capitals.
    capitals: u8,
    part: u8,
    is_broken: bool,
    comment: u8,
}

impl Draft {
    fn files(&self) -> Files {
        let mut files = Files::from([("parts/x".to_string(), format!("part A 192.0.2.{}\n", self.part))]);
        if let Some(file) = self.file {
            let mut text = format!(
                "$TTL 60\n@ SOA ns host {} 1 1 1 1\n@ NS ns\n; {}\n$INCLUDE parts/x\n",
                self.serial, self.comment
            );
            for (host, value) in &self.hosts {
                let letter = if self.capitals & (1 << host) == 0 { 'h' } else { 'H' };
                text += &format!("{letter}{host} A 192.0.2.{value}\nmx{host} MX {value} {letter}x.example.\n");
            }
            if self.is_broken {
                text += "rubbish\n";
            }
            files.insert(file.to_string(), text);
        }
        files
    }

    fn changed(&self, change: &Edit) -> Draft {
        let mut draft = self.clone();
        match *change {
            Edit::Host(host, value) => drop(draft.hosts.insert(host % 6, value % 4)),
            Edit::NoHost(host) => drop(draft.hosts.remove(&(host % 6))),
            Edit::Capitals(capitals) => draft.capitals ^= capitals & 0x3f,
            Edit::Part(part) => draft.part = part % 3,
            Edit::Serial(step) => draft.serial = draft.serial.wrapping_add_signed(i32::from(step)),
            Edit::Rename => {
                draft.file =
                    draft.file.map(|file| if file == "example.org" { "Example.ORG.zone" } else { "example.org" })
            }
            Edit::Remove => draft.file = draft.file.xor(Some("example.org")).filter(|_| draft.file.is_none()),
            Edit::Break => draft.is_broken = !draft.is_broken,
            Edit::Comment(comment) => draft.comment = comment,
        }
        draft
    }
}

#[derive(Clone, Debug)]
enum Edit {
    Host(u8, u8),
    NoHost(u8),
    Capitals(u8),
    Part(u8),
    Serial(i8),
    Rename,
    Remove,
    Break,
    Comment(u8),
}

#[derive(Clone, Debug)]
enum Event {
    /// A person moves the branch to a change of what it was the given number of pushes ago.
    Push(prop::sample::Index, Vec<Edit>),
    /// A person moves the branch back or forth.
    Force(prop::sample::Index),
    /// A server fetches the branch.
    Fetch(usize),
    /// A server loads what it has fetched and serves it.
    Serve(usize),
    /// The same, but the server stops before it serves.
    Crash(usize),
    /// A client updates, deletes or recreates the zone.
    Update(usize, Edit),
    /// A server stops.
    Down(usize),
    /// A secondary polls a server.
    Refresh(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => any::<(u8, u8)>().prop_map(|(host, value)| Edit::Host(host, value)),
        2 => any::<u8>().prop_map(Edit::NoHost),
        1 => any::<u8>().prop_map(Edit::Capitals),
        2 => any::<u8>().prop_map(Edit::Part),
        4 => prop_oneof![4 => Just(1), 1 => Just(2), 1 => Just(-1), 1 => Just(3)].prop_map(Edit::Serial),
        1 => Just(Edit::Rename),
        1 => Just(Edit::Remove),
        1 => Just(Edit::Break),
        1 => any::<u8>().prop_map(Edit::Comment),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let server = || 0_usize..2;
    prop_oneof![
        6 => (any::<prop::sample::Index>(), proptest::collection::vec(edit(), 1..4)).prop_map(|(at, edits)| Event::Push(at, edits)),
        2 => any::<prop::sample::Index>().prop_map(Event::Force),
        6 => server().prop_map(Event::Fetch),
        8 => server().prop_map(Event::Serve),
        1 => server().prop_map(Event::Crash),
        4 => (server(), edit()).prop_map(|(server, edit)| Event::Update(server, edit)),
        3 => server().prop_map(Event::Down),
        9 => (0_usize..3, server()).prop_map(|(secondary, server)| Event::Refresh(secondary, server)),
    ]
}

/// A directory of files, which is all that a commit contains here.
struct Tree {
    files: Files,
    /// The draft it is written from, if a person wrote it; for commits of servers, what a person would see.
    draft: Draft,
}

/// The tree that a server's commit is based on.
struct Upon<'a>(&'a Remote, ObjectId);

impl Base for Upon<'_> {
    type Error = String;

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        self.0.read(id)
    }

    fn names(&self) -> Result<Vec<String>, String> {
        Ok(self.0.trees[&self.1].files.keys().cloned().collect())
    }
}

/// The contents of git.
#[derive(Default)]
struct Remote {
    trees: BTreeMap<ObjectId, Tree>,
    blobs: BTreeMap<ObjectId, Vec<u8>>,
    /// All positions of the branch so far.
    pushes: Vec<ObjectId>,
    branch: Option<ObjectId>,
    /// The entries of the record: id, directory, text.
    record: Vec<(ObjectId, ObjectId, String)>,
}

impl Remote {
    /// Writes a directory and returns its id, which also stands for a commit.
    fn write(&mut self, draft: Draft) -> ObjectId {
        let files = draft.files();
        let id = git::blob_id(format!("{files:?}").as_bytes());
        for text in files.values() {
            self.blobs.insert(git::blob_id(text.as_bytes()), text.clone().into_bytes());
        }
        self.trees.insert(id, Tree { files, draft });
        id
    }

    fn files(&self, tree: ObjectId) -> Vec<File> {
        let files = &self.trees[&tree].files;
        files
            .iter()
            .map(|(path, text)| File { path: path.clone(), id: git::blob_id(text.as_bytes()), link: None })
            .collect()
    }

    fn read(&self, id: &ObjectId) -> Result<Vec<u8>, String> {
        self.blobs.get(id).cloned().ok_or_else(|| "no such blob".to_string())
    }

    fn tip(&self) -> Option<ObjectId> {
        self.record.last().map(|(id, ..)| *id)
    }

    /// Returns the record as a server reads it for a secondary, as `past` does.
    fn versions(&self) -> impl Iterator<Item = Past> + '_ {
        self.record.iter().rev().take(DEPTH).filter_map(|(_, tree, note)| {
            let files = &self.trees[tree].files;
            let (path, name) = files.keys().find_map(|path| match FileRole::of(path) {
                FileRole::Zone(name) => Some((path, name)),
                _ => None,
            })?;
            let reading = zonefile::read_including(&name, path, files[path].as_bytes(), |path| {
                files.get(path).map(|text| text.clone().into_bytes()).ok_or(IncludeError::Missing)
            });
            reading.zone.map(if names(note, &apex()) { Past::Doubtful } else { Past::Served })
        })
    }
}

/// A running server.
struct Server {
    pristine: Primary,
    base: Primary,
    primary: Primary,
    record: Record,
    history: History,
    head: ObjectId,
    loaded: Option<ObjectId>,
    served: Option<Arc<Zone>>,
}

fn author() -> Author {
    Author { name: "zonule".into(), email: "zonule@example".into() }
}

fn zone_in(primary: &Primary) -> Option<Arc<Zone>> {
    primary.zones().get(&apex()).and_then(Entry::zone).cloned()
}

impl Server {
    fn boot(remote: &Remote, policy: SerialPolicy) -> Self {
        let limits = Limits { octets: usize::MAX, differences: 100 };
        Server {
            pristine: Primary::new(policy, Vec::new()),
            base: Primary::new(policy, Vec::new()),
            primary: Primary::new(policy, Vec::new()),
            record: Record::default(),
            history: History::new(limits),
            head: remote.branch.unwrap(),
            loaded: None,
            served: None,
        }
    }

    /// Does what the writer's `recall` does.
    fn recall(&mut self, remote: &Remote) {
        let Some((id, tree, note)) = remote.record.last() else { return self.record.is_gone() };
        let first = self.loaded.is_none();
        match self.record.found(*id, *tree, note) {
            Found::Known => return,
            Found::Next => return self.base = self.primary.clone(),
            Found::News => {}
        }
        let (_, is_all) = self.base.recall(remote.files(*tree), |id| remote.read(id), note);
        if !is_all {
            self.base = self.pristine.clone();
            let begin = remote.record.len().saturating_sub(DEPTH);
            for (_, tree, note) in &remote.record[begin..] {
                self.base.recall(remote.files(*tree), |id| remote.read(id), note);
            }
        }
        if !first {
            self.take_over(remote, true);
        }
    }

    fn take_over(&mut self, remote: &Remote, again: bool) {
        if self.loaded == Some(self.head) && !again {
            return;
        }
        self.primary = self.base.clone();
        let changes = self.primary.load(remote.files(self.head), |id| remote.read(id));
        let first = self.loaded.replace(self.head).is_none();
        if first || changes.iter().any(crate::serve::writer::is_news) {
            self.note(self.head);
        } else {
            self.record.add_nothing();
        }
    }

    fn note(&mut self, tree: ObjectId) {
        self.record.add(Note { tree, text: self.primary.note(&tree), seconds: 1 });
    }

    /// Adds to the record; returns whether the record was where it was expected.
    fn push_record(&mut self, remote: &mut Remote, entries: &[git::Entry], trees: &[(ObjectId, String)]) -> bool {
        if entries.last().is_some_and(|last| remote.tip() == Some(last.id())) {
            return true;
        }
        if entries.first().is_some_and(|first| first.before() != remote.tip()) {
            return false;
        }
        let added = entries.iter().zip(trees).map(|(entry, (tree, text))| (entry.id(), *tree, text.clone()));
        remote.record.extend(added);
        true
    }

    /// Loads the head and serves it; `crash` stops the server before that.
    fn serve(&mut self, remote: &mut Remote, crash: bool) {
        if self.loaded.is_none() {
            self.recall(remote);
        }
        self.take_over(remote, false);
        for _ in 0..10 {
            while self.primary.not_raised().next().is_some() {
                if !self.raise(remote) {
                    break;
                }
            }
            let entries = self.record.entries(&author()).unwrap();
            let notes = self.record.notes();
            if self.push_record(remote, &entries, &notes) {
                self.record.accepted(&entries, None);
                break;
            }
            self.recall(remote);
            self.head = remote.branch.unwrap();
            self.take_over(remote, false);
        }
        if !crash {
            self.publish();
        }
    }

    /// Raises the serial number; returns whether it must be retried.
    fn raise(&mut self, remote: &mut Remote) -> bool {
        let by = CommitInfo::new(self.head, "somebody");
        let mut next = self.primary.clone();
        let Ok(commit) = next.prepare_raise(&apex(), &by, &Upon(remote, self.head)) else { return false };
        let raised = commit.files().values().flatten().next().map(|text| String::from_utf8(text.clone()).unwrap());
        let serial: u32 = raised.unwrap().split_whitespace().nth(6).unwrap().parse().unwrap();
        next.accept(commit);
        let draft = Draft { serial, ..remote.trees[&self.head].draft.clone() };
        self.push(remote, next, draft);
        true
    }

    /// Pushes what `next` was made from, with its entry, or takes over what has come in between.
    fn push(&mut self, remote: &mut Remote, next: Primary, draft: Draft) -> bool {
        let tree = remote.write(draft);
        let note = Note { tree, text: next.note(&tree), seconds: 1 };
        let entries = self.record.entries_up_to(Some(&note), &author()).unwrap();
        let mut notes = self.record.notes();
        notes.truncate(entries.len() - 1);
        notes.push((tree, note.text.clone()));
        let is_stale = remote.branch != Some(self.head);
        if !is_stale && self.push_record(remote, &entries, &notes) {
            remote.branch = Some(tree);
            remote.pushes.push(tree);
            self.record.accepted(&entries, Some(note));
            self.base = next.clone();
            self.primary = next;
            (self.head, self.loaded) = (tree, Some(tree));
            return true;
        }
        if !is_stale {
            self.recall(remote);
        }
        self.head = remote.branch.unwrap();
        self.take_over(remote, false);
        false
    }

    /// Handles an update by a client.
    fn update(&mut self, remote: &mut Remote, edit: &Edit) {
        for _ in 0..10 {
            if self.primary.not_raised().next().is_some() {
                self.serve(remote, false);
            }
            let Some(before) = zone_in(&self.primary) else { return };
            if self.primary.serves_other(&apex()) {
                return;
            }
            let mut draft = remote.trees[&self.head].draft.changed(edit);
            draft.serial = crate::update::raised(before.serial()).0;
            let mut next = self.primary.clone();
            let tree = remote.write(draft.clone());
            next.load(remote.files(tree), |id| remote.read(id));
            if self.push(remote, next, draft) {
                self.publish();
                return;
            }
            self.serve(remote, false);
        }
    }

    fn publish(&mut self) {
        self.record.is_served();
        self.base = self.primary.clone();
        let zone = zone_in(&self.primary);
        match (&self.served, &zone) {
            (Some(old), Some(new)) => self.history.add(old, new),
            (Some(old), None) => self.history.remove(old),
            (None, _) => {}
        }
        self.served = zone;
    }

    /// Returns what a secondary with this version gets.
    fn transfer(&mut self, remote: &Remote, from: Option<Serial>) -> Option<Content> {
        let zone = self.served.clone()?;
        let request = request(from);
        let differences = request.outdated_serial(&zone).and_then(|from| {
            self.history.chain(from, &zone).or_else(|| {
                let found = from_versions(&zone, remote.versions(), from, usize::MAX)?;
                self.history.extend(&apex(), found);
                self.history.chain(from, &zone)
            })
        });
        Some(Content::of(&request, zone, differences.as_deref()))
    }
}

fn request(from: Option<Serial>) -> Request {
    let mut query = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(apex().as_wire());
    query.extend(if from.is_some() { [0, 251, 0, 1] } else { [0, 252, 0, 1] });
    if let Some(serial) = from {
        query[9] = 1;
        query.extend([0xc0, 12, 0, 6, 0, 1, 0, 0, 0, 0, 0, 22, 0, 0]);
        query.extend(serial.0.to_be_bytes());
        query.extend([0; 16]);
    }
    Request::parse(&query, Transport::TCP).unwrap()
}

/// A record, exact in all octets: owner, type, TTL, data.
type Row = (Vec<u8>, u16, u32, Vec<u8>);

fn rows(zone: &Zone) -> Vec<Row> {
    let rows = zone.iter().flat_map(|node| {
        node.rrsets().flat_map(move |set| {
            set.rdata().map(move |data| (node.owner().to_vec(), set.rtype().0, set.ttl(), data.to_vec()))
        })
    });
    let mut rows: Vec<Row> = rows.collect();
    rows.sort();
    rows
}

/// Applies a reply to a secondary's version.
fn apply(held: &mut Option<(Serial, Vec<Row>)>, content: &Content) {
    match content {
        Content::Soa(_) => {}
        Content::Zone(zone) => *held = Some((zone.serial(), rows(zone))),
        Content::Difference(zone, difference) => {
            let (_, mut rows) = held.take().unwrap();
            let lower = |octets: &[u8]| octets.to_ascii_lowercase();
            for change in &difference.changes {
                for data in &change.removed {
                    let at = rows.iter().position(|(owner, rtype, _, held)| {
                        lower(owner) == lower(change.owner.as_wire())
                            && *rtype == change.rtype.0
                            && lower(held) == lower(data)
                    });
                    rows.remove(at.expect("what is removed is there"));
                }
            }
            for change in &difference.changes {
                for data in &change.added {
                    rows.push((
                        change.owner.as_wire().to_vec(),
                        change.rtype.0,
                        change.new_ttl.unwrap(),
                        data.to_vec(),
                    ));
                }
            }
            rows.sort();
            *held = Some((zone.serial(), rows));
        }
    }
}

fn run(events: &[Event], policy: SerialPolicy) {
    let mut remote = Remote::default();
    let begin = Draft {
        file: Some("example.org"),
        serial: 10,
        hosts: BTreeMap::new(),
        capitals: 0,
        part: 0,
        is_broken: false,
        comment: 0,
    };
    let first = remote.write(begin);
    remote.branch = Some(first);
    remote.pushes.push(first);
    let mut servers: [Option<Server>; 2] = [None, None];
    let mut secondaries: [Option<(Serial, Vec<Row>)>; 3] = [None, None, None];
    let mut stands_for: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Push(at, edits) => {
                let base = remote.trees[&remote.pushes[at.index(remote.pushes.len())]].draft.clone();
                let id = remote.write(edits.iter().fold(base, |draft, edit| draft.changed(edit)));
                remote.branch = Some(id);
                remote.pushes.push(id);
            }
            Event::Force(at) => remote.branch = Some(remote.pushes[at.index(remote.pushes.len())]),
            Event::Fetch(server) => {
                let branch = remote.branch.unwrap();
                servers[*server].get_or_insert_with(|| Server::boot(&remote, policy)).head = branch;
            }
            Event::Serve(server) => {
                servers[*server].get_or_insert_with(|| Server::boot(&remote, policy)).serve(&mut remote, false);
            }
            Event::Crash(server) => {
                servers[*server].get_or_insert_with(|| Server::boot(&remote, policy)).serve(&mut remote, true);
                servers[*server] = None;
            }
            Event::Update(server, edit) => {
                if let Some(server) = servers[*server].as_mut().filter(|server| server.loaded.is_some()) {
                    server.update(&mut remote, edit);
                }
            }
            Event::Down(server) => servers[*server] = None,
            Event::Refresh(secondary, server) => {
                let Some(server) = &mut servers[*server] else { continue };
                let held = &mut secondaries[*secondary];
                let Some(content) = server.transfer(&remote, held.as_ref().map(|(serial, _)| *serial)) else {
                    continue;
                };
                apply(held, &content);
                let (zone, (serial, have)) = (content.zone(), held.as_ref().unwrap());
                if *serial == zone.serial() {
                    assert!(*have == rows(zone), "serial {serial}, {content:?}");
                }
            }
        }
        for zone in servers.iter().flatten().filter_map(|server| server.served.as_ref()) {
            let known = stands_for.entry(zone.serial().0).or_insert_with(|| rows(zone));
            assert!(*known == rows(zone), "serial {} stands for two", zone.serial());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// A serial number stands for one version on all servers, and all secondaries have that version.
    #[test]
    fn no_secondary_is_misled(events in proptest::collection::vec(event(), 1..60)) {
        run(&events, SerialPolicy::Bump);
    }

    #[test]
    fn no_secondary_is_misled_where_people_raise_serials(events in proptest::collection::vec(event(), 1..60)) {
        run(&events, SerialPolicy::Strict);
    }
}

/// Returns the number of worlds to try; more can be requested.
fn cases() -> u32 {
    std::env::var("ZONULE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(1).max(1) * 300
}
