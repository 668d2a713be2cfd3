//! The first pass over the text: where the records stand that an edit is about.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::places::Places;
use crate::dns::{Type, name};
use crate::zone::{Amendment, Zone};
use crate::zonefile::entries::{Content, Directive, Entry};

/// Where an entry begins: the file's index in the order of the files' first lines, and the offset in it.
///
/// The zone's own file is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) file: usize,
    pub(super) start: usize,
}

/// A record of an owner that an edit is about.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) spot: Spot,
    pub(super) rtype: Type,
    pub(super) ttl: u32,
    pub(super) data: Box<[u8]>,
    /// It is one of those a `$GENERATE` entry makes.
    pub(super) generated: bool,
    pub(super) head: Head,
}

impl Line {
    /// Returns whether the record belongs to the RRset of an amendment.
    pub(super) fn is_of(&self, amendment: &Amendment) -> bool {
        (self.rtype, self.rtype.covers(&self.data)) == amendment.key()
    }
}

/// How a record has its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// It is the first of some records of that owner.
    First,
    /// It leaves out the owner, which is the one before.
    Leans,
    /// It has the owner of the one before, and says so.
    Repeats,
}

/// The files of a zone and the way into the current one.
#[derive(Debug, Default)]
pub(super) struct Stack {
    /// Each file's path, and how often it was read to its end.
    pub(super) files: Vec<(String, usize)>,
    open: Vec<usize>,
}

impl Stack {
    /// Returns the index of the file an entry stands in, and whether it has just been opened.
    pub(super) fn enter(&mut self, entry: &Entry<'_>) -> (usize, bool) {
        // A file is never open twice, so another path than the last one's is one just opened.
        if let Some(&top) = self.open.last()
            && self.files[top].0 == entry.path
        {
            return (top, false);
        }
        let file = self.files.iter().position(|(path, _)| path == entry.path).unwrap_or_else(|| {
            self.files.push((entry.path.to_string(), 0));
            self.files.len() - 1
        });
        self.open.push(file);
        (file, true)
    }

    /// Returns whether all files have ended.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Leaves the file that has ended.
    pub(super) fn leave(&mut self) {
        if let Some(file) = self.open.pop() {
            self.files[file].1 += 1;
        }
    }
}

/// Whether owners are left out where they can be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    leaning: usize,
    repeating: usize,
}

impl Habits {
    /// Counts a record.
    pub(super) fn count(&mut self, head: Head) {
        self.leaning += usize::from(head == Head::Leans);
        self.repeating += usize::from(head == Head::Repeats);
    }

    /// Returns whether owners are left out; `None` if nothing tells.
    pub(super) fn leave_out(self) -> Option<bool> {
        (self.leaning + self.repeating > 0).then_some(self.leaning >= self.repeating)
    }
}

/// A file that is open.
#[derive(Default)]
struct Open {
    /// It has had a record with an owner of its own.
    owned: bool,
    /// Its directives since then.
    directives: Vec<Spot>,
}

/// What the text says about the owners of some amendments.
pub(super) struct Survey {
    pub(super) stack: Stack,
    /// The records of each owner in the order of the text; owners in wire form and small letters.
    pub(super) owners: HashMap<Vec<u8>, Vec<Line>>,
    /// How many records those `$GENERATE` entries make that make one of the above.
    pub(super) generated: BTreeMap<Spot, usize>,
    /// How many records in the zone's own file leave out the owner, and how many repeat it.
    pub(super) habits: Habits,
    pub(super) places: Places,
    /// The directives that stand between a record and another that leans on its owner.
    pub(super) leant_over: HashSet<Spot>,
    open: Vec<Open>,
    making: usize,
    small: Vec<u8>,
}

impl Survey {
    /// Begins to look for the records of some amendments to a zone; `text` is its own file's.
    pub(super) fn new(before: &Zone, amendments: &[Amendment], text: &[u8]) -> Self {
        // Names need a place unless they have records there; those they have may all stand in included files.
        let is_include = |line: &[u8]| line.get(..8).is_some_and(|word| word.eq_ignore_ascii_case(b"$INCLUDE"));
        let includes = text.split(|&octet| octet == b'\n').any(is_include);
        let new = amendments.iter().filter(|amendment| includes || before.node(&amendment.owner).is_none());
        Self {
            stack: Stack::default(),
            owners: amendments.iter().map(|a| (a.owner.as_wire().to_ascii_lowercase(), Vec::new())).collect(),
            generated: BTreeMap::new(),
            habits: Habits::default(),
            places: Places::new(before.apex().as_wire(), new.map(|amendment| amendment.owner.as_wire())),
            leant_over: HashSet::new(),
            open: Vec::new(),
            making: 0,
            small: Vec::new(),
        }
    }

    /// Takes the next entry.
    pub(super) fn visit(&mut self, entry: &Entry<'_>) {
        let (file, opened) = self.stack.enter(entry);
        if opened {
            self.open.push(Open::default());
        }
        let (owner, ttl, rtype, data, spans, generated) = match &entry.content {
            Content::End => {
                self.stack.leave();
                self.open.pop();
                return;
            }
            Content::Directive { directive, span } => {
                if *directive == Directive::Generate {
                    self.making = 0;
                } else if let Some(open) = self.open.last_mut() {
                    open.directives.push(Spot { file, start: span.start });
                }
                return;
            }
            Content::Record { owner, ttl, rtype, data, spans, generated } => {
                (*owner, *ttl, *rtype, *data, *spans, *generated)
            }
        };
        let head = match &spans.owner {
            None => Head::Leans,
            Some(_) if entry.before.owner().is_some_and(|before| name::eq(before, owner)) => Head::Repeats,
            Some(_) => Head::First,
        };
        if !generated {
            self.lean(head);
        }
        let spot = Spot { file, start: spans.entry.start };
        if generated {
            self.making += 1;
            if let Some(count) = self.generated.get_mut(&spot) {
                *count = self.making;
            }
        } else if file == 0 {
            self.habits.count(head);
            self.places.visit(owner, entry.before.origin(), spot);
        }
        self.small.clear();
        self.small.extend(owner.iter().map(u8::to_ascii_lowercase));
        if let Some(lines) = self.owners.get_mut(&self.small) {
            lines.push(Line { spot, rtype, ttl, data: data.into(), generated, head });
            if generated {
                self.generated.insert(spot, self.making);
            }
        }
    }
    /// Takes note of the directives a record leans over.
    fn lean(&mut self, head: Head) {
        if head != Head::Leans {
            if let Some(open) = self.open.last_mut() {
                open.owned = true;
                open.directives.clear();
            }
            return;
        }
        // At the head of an included file, a record leans out of it.
        for open in self.open.iter_mut().rev() {
            self.leant_over.extend(open.directives.drain(..));
            if open.owned {
                break;
            }
        }
    }
}
