//! The plan: what to do with each entry, derived from the amendments and the records found by the survey.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use super::places::split_number;
use super::survey::{Habits, Line, Spot, Survey};
use crate::dns::{Type, data_cmp, name};
use crate::zone::Amendment;

/// The changes to an entry.
#[derive(Debug, Default)]
pub(super) struct Op {
    /// Whether its lines are deleted.
    pub(super) delete: bool,
    /// The new TTL.
    pub(super) ttl: Option<u32>,
    /// The new data.
    pub(super) data: Option<Box<[u8]>>,
    /// The records to insert after it.
    pub(super) behind: Vec<New>,
}

/// A record to be inserted.
#[derive(Clone, Debug)]
pub(super) struct New {
    /// The owner in wire form.
    pub(super) owner: Vec<u8>,
    pub(super) rtype: Type,
    pub(super) ttl: u32,
    pub(super) data: Box<[u8]>,
    /// Whether its owner is omitted where possible.
    pub(super) leans: bool,
}

/// All planned changes.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) ops: HashMap<Spot, Op>,
    /// The records to append to the zone's own file.
    pub(super) at_end: Vec<New>,
    /// The first entry that cannot be edited, and why.
    pub(super) fixed: Option<(Spot, String)>,
}

impl Plan {
    /// Plans for amendments, whose data is in canonical order.
    pub(super) fn of(survey: &mut Survey, amendments: &[Amendment]) -> Self {
        let mut plan = Self::default();
        let mut unmade: BTreeMap<Spot, usize> = BTreeMap::new();
        let mut added = Vec::new();
        for amendment in amendments {
            let lines = lines_of(survey, amendment);
            let new = plan.rrset(amendment, lines, &mut unmade);
            added.push((amendment, new));
        }
        for (spot, count) in unmade {
            if survey.generated.get(&spot) == Some(&count) {
                plan.op(spot).delete = true;
            } else {
                plan.fix(spot, "this $GENERATE makes a record that is to go, and others that are not");
            }
        }
        added.retain(|(_, new)| !new.is_empty());
        added.sort_by(|(a, _), (b, _)| natural_cmp(a.owner.as_wire(), b.owner.as_wire()));
        // Additions to an existing RRset go right after it.
        added.sort_by_key(|(amendment, _)| {
            let mut lines = lines_of(survey, amendment).iter();
            !lines.any(|line| line.is_of(amendment) && !line.generated && line.spot.file == 0)
        });
        for (amendment, new) in added {
            plan.place(survey, amendment, new);
        }
        plan
    }

    fn op(&mut self, spot: Spot) -> &mut Op {
        self.ops.entry(spot).or_default()
    }

    fn fix(&mut self, spot: Spot, reason: impl Into<String>) {
        if self.fixed.is_none() {
            self.fixed = Some((spot, reason.into()));
        }
    }

    /// Plans the changes to the existing records of an RRset; returns the data of the records still to be added.
    fn rrset(&mut self, amendment: &Amendment, lines: &[Line], unmade: &mut BTreeMap<Spot, usize>) -> Vec<Box<[u8]>> {
        let Amendment { rtype, ttl, data: wanted, .. } = amendment;
        let mut there = vec![false; wanted.len()];
        // The records to delete, grouped by data, in the order of the text.
        let mut gone: Vec<Vec<Spot>> = Vec::new();
        let mut gone_at: HashMap<&[u8], usize> = HashMap::new();
        let mut made: Option<&Line> = None;
        let mut written = false;
        for line in lines.iter().filter(|line| line.is_of(amendment)) {
            let index = wanted.binary_search_by(|data| data_cmp(*rtype, data, &line.data));
            match (index, line.generated) {
                (Ok(index), false) => {
                    there[index] = true;
                    written = true;
                    self.op(line.spot).ttl = Some(*ttl);
                }
                (Ok(index), true) => {
                    there[index] = true;
                    if line.ttl < *ttl {
                        self.fix(line.spot, "the TTL of a record this $GENERATE makes is to change");
                    } else if line.ttl > *ttl {
                        made = made.or(Some(line));
                    }
                }
                (Err(_), true) => *unmade.entry(line.spot).or_default() += 1,
                (Err(_), false) => match gone_at.get(&*line.data) {
                    Some(&index) => gone[index].push(line.spot),
                    None => {
                        gone_at.insert(&line.data, gone.len());
                        gone.push(vec![line.spot]);
                    }
                },
            }
        }
        let mut added = wanted.iter().zip(there).filter(|(_, there)| !there).map(|(data, _)| data.clone());
        for spots in gone {
            let mut change = added.next();
            for spot in spots {
                let op = self.op(spot);
                match change.take() {
                    Some(data) => (op.ttl, op.data) = (Some(*ttl), Some(data)),
                    None => op.delete = true,
                }
                written |= !op.delete;
            }
        }
        let added: Vec<_> = added.collect();
        // If TTLs differ, the smallest applies.
        if let Some(line) = made
            && !written
            && added.is_empty()
        {
            self.fix(line.spot, "the TTL of a record this $GENERATE makes is to change");
        }
        added
    }

    /// Finds the place for the records to be added to an RRset.
    fn place(&mut self, survey: &mut Survey, amendment: &Amendment, data: Vec<Box<[u8]>>) {
        let lines = lines_of(survey, amendment);
        let rank = |line: &&Line| {
            let stays = self.ops.get(&line.spot).is_none_or(|op| !op.delete);
            (!line.generated, stays, line.is_of(amendment), line.rtype == amendment.rtype, line.spot.start)
        };
        let neighbour = lines.iter().filter(|line| line.spot.file == 0).max_by_key(rank).map(|line| line.spot);
        let mut habits = Habits::default();
        lines.iter().filter(|line| !line.generated && line.spot.file == 0).for_each(|line| habits.count(line.head));
        let leans = habits.leave_out().or(survey.habits.leave_out()).unwrap_or(false);
        let owner = amendment.owner.as_wire();
        let spot = neighbour.or_else(|| survey.places.of(owner));
        let owner = owner.to_vec();
        let new = data.into_iter().map(|data| New {
            owner: owner.clone(),
            rtype: amendment.rtype,
            ttl: amendment.ttl,
            data,
            leans,
        });
        match spot {
            Some(spot) => self.op(spot).behind.extend(new),
            None => self.at_end.extend(new),
        }
    }
}

fn lines_of<'s>(survey: &'s Survey, amendment: &Amendment) -> &'s [Line] {
    survey.owners.get(&amendment.owner.as_wire().to_ascii_lowercase()).map_or(&[], Vec::as_slice)
}

/// Compares names by their parents, then by their first labels, comparing trailing numbers numerically.
fn natural_cmp(a: &[u8], b: &[u8]) -> Ordering {
    let parent = |name: &[u8]| name.get(usize::from(name[0]) + 1..).unwrap_or_default().to_vec();
    let first = |name: &[u8]| {
        let split = split_number(&name.to_ascii_lowercase());
        split.map_or_else(|| (name.to_ascii_lowercase(), 0), |(stem, number, _)| (stem[1..].to_vec(), number))
    };
    let parents = || name::canonical_cmp(&parent(a), &parent(b));
    parents().then_with(|| first(a).cmp(&first(b))).then_with(|| name::canonical_cmp(a, b))
}
