//! The place of a new name's first record in a zone's own file.
//!
//! A stretch is the text between two changes of the origin. If a stretch is in canonical order, the name goes to its
//! canonical place there; otherwise after the names it resembles: the same word with a smaller number, its parent,
//! other children of that parent.

use std::collections::HashMap;

use super::survey::Spot;
use crate::dns::name;

/// Finds places for names in one pass over the records; the time hardly depends on the number of names.
pub(super) struct Places {
    apex_len: usize,
    /// The names in canonical order.
    names: Vec<Vec<u8>>,
    /// The best canonical place found for each name.
    canonical: Vec<Option<Canonical>>,
    stretch: Stretch,
    /// The records at and below the ancestors of the names looked for.
    above: HashMap<Vec<u8>, Above>,
    /// The records at names that differ only in a number, by the name without it.
    numbered: HashMap<Vec<u8>, Numbered>,
    /// The previous owner, and the notes its records update.
    owner: Vec<u8>,
    noted: Vec<Note>,
}

#[derive(Clone, Copy)]
struct Canonical {
    spot: Spot,
    /// The length of the origin in octets: the longer it is, the shorter the relative name.
    origin: usize,
    /// Whether a greater name follows in the stretch.
    between: bool,
}

#[derive(Default)]
struct Stretch {
    origin: Vec<u8>,
    ascending: bool,
    owners: usize,
    last: Option<Spot>,
    /// The names before this one already have their place in the stretch, if any.
    next: usize,
    found: Vec<(usize, Spot, bool)>,
}

#[derive(Default)]
struct Above {
    at: Option<Spot>,
    below: Option<Spot>,
}

#[derive(Default)]
struct Numbered {
    /// The numbers looked for, ascending.
    wanted: Vec<u64>,
    /// For each number looked for, the greatest existing one between the previous number looked for and it.
    below: Vec<Option<(u64, Spot)>>,
    any: Option<Spot>,
    last: Option<u64>,
    ascending: bool,
    digits: usize,
}

/// A note to update when another record of the same owner follows.
enum Note {
    At(Vec<u8>),
    Below(Vec<u8>),
    Numbered(Vec<u8>, u64),
}

impl Places {
    /// Starts looking for places for names, all at or below the apex.
    pub(super) fn new<'n>(apex: &[u8], names: impl Iterator<Item = &'n [u8]>) -> Self {
        let mut names: Vec<Vec<u8>> = names.map(<[u8]>::to_ascii_lowercase).collect();
        names.sort_by(|a, b| name::canonical_cmp(a, b));
        names.dedup();
        let mut above: HashMap<Vec<u8>, Above> = HashMap::new();
        let mut numbered: HashMap<Vec<u8>, Numbered> = HashMap::new();
        for name in &names {
            for suffix in suffixes(name, apex.len()).skip(1) {
                above.entry(suffix.to_vec()).or_default();
            }
            if let Some((stem, number, _)) = split_number(name).filter(|_| name.len() > apex.len()) {
                numbered.entry(stem).or_default().wanted.push(number);
            }
        }
        for numbered in numbered.values_mut() {
            numbered.wanted.sort_unstable();
            numbered.below = vec![None; numbered.wanted.len() + 1];
            numbered.ascending = true;
        }
        let canonical = vec![None; names.len()];
        let (owner, noted) = (Vec::new(), Vec::new());
        Self { apex_len: apex.len(), names, canonical, stretch: Stretch::default(), above, numbered, owner, noted }
    }

    /// Processes the next record of the zone's own file.
    pub(super) fn visit(&mut self, owner: &[u8], origin: &[u8], spot: Spot) {
        if self.names.is_empty() {
            return;
        }
        if !name::eq(origin, &self.stretch.origin) {
            self.close();
            self.stretch.origin.extend_from_slice(origin);
        }
        if self.stretch.owners == 0 || !name::eq(owner, &self.owner) {
            self.advance(owner);
            self.owner.clear();
            self.owner.extend(owner.iter().map(u8::to_ascii_lowercase));
            self.note();
        }
        self.stretch.last = Some(spot);
        for note in &self.noted {
            match note {
                Note::At(name) => {
                    if let Some(above) = self.above.get_mut(name) {
                        above.at = Some(spot);
                    }
                }
                Note::Below(name) => {
                    if let Some(above) = self.above.get_mut(name) {
                        above.below = Some(spot);
                    }
                }
                Note::Numbered(stem, number) => {
                    let Some(numbered) = self.numbered.get_mut(stem) else { continue };
                    numbered.any = Some(spot);
                    let bucket = numbered.wanted.partition_point(|wanted| wanted <= number);
                    if let Some(best) = numbered.below.get_mut(bucket)
                        && best.is_none_or(|(before, _)| before <= *number)
                    {
                        *best = Some((*number, spot));
                    }
                }
            }
        }
    }

    /// Moves to another owner in the stretch.
    fn advance(&mut self, owner: &[u8]) {
        let stretch = &mut self.stretch;
        stretch.owners += 1;
        let Some(last) = stretch.last else {
            stretch.ascending = true;
            stretch.next = self.names.partition_point(|name| name::canonical_cmp(name, owner).is_lt());
            return;
        };
        stretch.ascending &= name::canonical_cmp(&self.owner, owner).is_lt();
        while stretch.ascending
            && let Some(name) = self.names.get(stretch.next)
            && name::canonical_cmp(name, owner).is_lt()
        {
            stretch.found.push((stretch.next, last, true));
            stretch.next += 1;
        }
    }

    /// Ends a stretch: the places found in it count only if all of it is in order.
    fn close(&mut self) {
        let mut stretch = std::mem::take(&mut self.stretch);
        if !stretch.ascending || stretch.owners < 2 {
            return;
        }
        if let Some(last) = stretch.last {
            stretch.found.extend((stretch.next..self.names.len()).map(|name| (name, last, false)));
        }
        for (index, spot, between) in stretch.found {
            if !name::is_at_or_below(&self.names[index], &stretch.origin) {
                continue;
            }
            let found = Canonical { spot, origin: stretch.origin.len(), between };
            let rank = |place: &Canonical| (place.origin, place.between);
            let best = &mut self.canonical[index];
            if best.as_ref().is_none_or(|best| rank(best) <= rank(&found)) {
                *best = Some(found);
            }
        }
    }

    /// Determines which notes the records of the current owner update.
    fn note(&mut self) {
        self.noted.clear();
        if !self.above.is_empty() {
            for (depth, suffix) in suffixes(&self.owner, self.apex_len).enumerate() {
                if self.above.contains_key(suffix) {
                    let name = suffix.to_vec();
                    self.noted.push(if depth == 0 { Note::At(name) } else { Note::Below(name) });
                }
            }
        }
        if !self.numbered.is_empty()
            && let Some((stem, number, digits)) = split_number(&self.owner)
            && let Some(numbered) = self.numbered.get_mut(&stem)
        {
            numbered.ascending &= numbered.last.is_none_or(|last| last < number);
            numbered.last = Some(number);
            numbered.digits = numbered.digits.max(digits);
            self.noted.push(Note::Numbered(stem, number));
        }
    }

    /// Returns the entry after which a name goes; `None` is the end of the file. All records must have been processed.
    pub(super) fn of(&mut self, name: &[u8]) -> Option<Spot> {
        self.close();
        let small = name.to_ascii_lowercase();
        let split = split_number(&small);
        let numbered = split.as_ref().and_then(|(stem, ..)| self.numbered.get(stem)).filter(|all| all.any.is_some());
        let index = self.names.binary_search_by(|other| name::canonical_cmp(other, &small)).ok()?;
        let canonical = self.canonical[index].map(|place| place.spot);
        if let (Some(numbered), Some((_, number, digits))) = (numbered, split) {
            let place = numbered.place(number);
            // Names counting up as in 9, 10 are not intended to be in canonical order.
            if canonical.is_none() || numbered.ascending && digits > numbered.digits {
                return place;
            }
        }
        canonical.or_else(|| {
            let mut above = suffixes(&small, self.apex_len).skip(1);
            above.find_map(|suffix| self.above.get(suffix).and_then(|above| above.at.or(above.below)))
        })
    }
}

impl Numbered {
    /// Returns the place of the greatest number below the one looked for, or else of any.
    fn place(&self, number: u64) -> Option<Spot> {
        let bucket = self.wanted.partition_point(|&wanted| wanted < number);
        self.below[..=bucket].iter().rev().flatten().next().map(|&(_, spot)| spot).or(self.any)
    }
}

/// Iterates over a name and its ancestors below the apex.
fn suffixes(name: &[u8], apex_len: usize) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| Some(&name[usize::from(*name.first()?) + 1..]))
        .take_while(move |name| name.len() > apex_len)
}

/// Splits trailing digits off a name's first label: the rest, the number, the count of digits.
pub(super) fn split_number(name: &[u8]) -> Option<(Vec<u8>, u64, usize)> {
    let (&len, rest) = name.split_first()?;
    let (label, rest) = rest.split_at_checked(usize::from(len))?;
    let digits = label.iter().rev().take_while(|octet| octet.is_ascii_digit()).count();
    let (stem, number) = label.split_at(label.len() - digits);
    let number = match number {
        [] => 0,
        number => std::str::from_utf8(number).ok()?.parse().ok()?,
    };
    let mut key = vec![stem.len() as u8];
    key.extend_from_slice(stem);
    key.extend_from_slice(rest);
    Some((key, number, digits))
}
