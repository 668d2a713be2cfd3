//! The text of a new zone's file.

use std::collections::HashMap;

use super::data::{self, Style};
use super::layout::spell;
use crate::dns::Type;
use crate::zone::Zone;
use crate::zone::node::Node;

/// The maximum width of an owner that the columns make room for.
const MAX_OWNER: usize = 31;

/// Returns the text of a new zone's file: `$TTL`, the SOA record in parentheses, then all records in canonical order.
///
/// Names are relative to the apex, which is the default origin of the file.
#[must_use]
pub fn new_file(zone: &Zone) -> String {
    let origin = zone.apex().as_wire();
    let mut counts: HashMap<u32, usize> = HashMap::new();
    let mut width = 0;
    for node in zone.iter() {
        width = width.max(spell(node.owner(), origin, true).len().min(MAX_OWNER));
        for rrset in node.rrsets() {
            *counts.entry(rrset.ttl()).or_default() += usize::from(rrset.len());
        }
    }
    let commonest = counts.into_iter().max_by_key(|&(ttl, count)| (count, std::cmp::Reverse(ttl)));
    let default = commonest.map_or(0, |(ttl, _)| ttl);
    // Columns begin at multiples of eight, the tab stops.
    let mut file = File { text: format!("$TTL {default}\n"), origin, default, column: (width / 8 + 1) * 8 };
    for node in zone.iter() {
        file.node(node);
    }
    file.text
}

struct File<'z> {
    text: String,
    origin: &'z [u8],
    default: u32,
    /// The column of the TTLs.
    column: usize,
}

impl File<'_> {
    fn node(&mut self, node: &Node) {
        let is_apex = node.owner().len() == self.origin.len();
        let mut owner = spell(node.owner(), self.origin, true);
        // At the apex, SOA and NS come first.
        let rank = |rtype: Type| match rtype {
            Type::SOA => (0, rtype),
            Type::NS => (1, rtype),
            _ => (2, rtype),
        };
        let mut rrsets: Vec<_> = node.rrsets().collect();
        if is_apex {
            rrsets.sort_by_key(|rrset| rank(rrset.rtype()));
        }
        for rrset in rrsets {
            for data in rrset.rdata() {
                let ttl = if rrset.ttl() == self.default { String::new() } else { rrset.ttl().to_string() };
                let style = Style { relative: true, small: false };
                let mut text = data::text(rrset.rtype(), data, self.origin, style);
                if is_apex && rrset.rtype() == Type::SOA {
                    text = soa(&text);
                }
                let tabs = |from: usize, to: usize| "\t".repeat((to - from / 8 * 8).div_ceil(8).max(1));
                let gap = if owner.len() >= self.column { "\t".to_string() } else { tabs(owner.len(), self.column) };
                let behind_ttl = if ttl.len() < 8 { "\t" } else { " " };
                let line = format!("{owner}{gap}{ttl}{behind_ttl}{}\t{text}\n", rrset.rtype());
                self.text.push_str(&line);
                owner.clear();
            }
        }
    }
}

/// Returns the data of an SOA record with each number on its own line and a comment that names it.
fn soa(text: &str) -> String {
    const MEANINGS: [&str; 5] = ["serial", "refresh", "retry", "expire", "minimum"];
    let words: Vec<&str> = text.split(' ').collect();
    let [mname, rname, numbers @ ..] = words.as_slice() else { return text.to_string() };
    if numbers.len() != MEANINGS.len() {
        return text.to_string();
    }
    let mut lines = format!("{mname} {rname} (");
    for (number, meaning) in numbers.iter().zip(MEANINGS) {
        lines.push_str(&format!("\n\t\t\t{number:<11}; {meaning}"));
    }
    lines.push_str(" )");
    // The closing parenthesis must come before the last line's comment.
    lines.replace("; minimum )", ") ; minimum")
}
