//! Assembly of a zone from records that arrive one by one, as in a transfer.
//!
//! The rules for zone files apply here too: a zone with an error is refused as a whole.

use crate::dns::diagnostic::{Fault, Report};
use crate::dns::source::Files;
use crate::dns::{Diagnostic, Name, Type};
use crate::zone::Zone;
use crate::zone::records::{Added, Owners, Records};

/// The maximum length of a record's data in octets.
const MAX_DATA: usize = 65_535;

/// Collected records that will become a zone.
pub struct Assembly {
    apex: Name,
    owners: Owners,
    records: Records,
    count: u32,
    left_out: u32,
    /// The first owner that was left out.
    outside: Option<Name>,
}

impl Assembly {
    /// Starts a zone.
    pub fn new(apex: &Name) -> Self {
        let (apex, owners) = (apex.clone(), Owners::new(apex));
        Self { apex, owners, records: Records::default(), count: 0, left_out: 0, outside: None }
    }

    /// Adds a record of class IN, its data in wire form and valid for its type.
    ///
    /// A record whose owner is not in the zone is left out, and [`Self::finish`] reports it.
    ///
    /// # Errors
    ///
    /// Fails if the data, or all records together, exceed the size limits.
    pub fn push(&mut self, owner: &Name, rtype: Type, ttl: u32, data: &[u8]) -> Result<(), &'static str> {
        if data.len() > MAX_DATA {
            return Err("a record has more than 65,535 octets of data");
        }
        match self.records.add(&mut self.owners, owner.as_wire(), rtype, ttl, data, self.count) {
            Added::Yes => self.count += 1,
            Added::OutOfZone => {
                self.left_out = self.left_out.saturating_add(1);
                self.outside.get_or_insert_with(|| owner.clone());
            }
            Added::Full => return Err("the zone's data is larger than 4 GiB"),
        }
        Ok(())
    }

    /// Returns the memory the records take until the zone is built, in octets.
    pub fn size(&self) -> usize {
        self.records.size()
    }

    /// Builds the zone and returns it with warnings.
    ///
    /// `source` is named in the findings instead of a file.
    ///
    /// # Errors
    ///
    /// Returns its errors, limited in number as for [`read`](crate::zonefile::read()).
    pub fn finish(self, source: &str) -> Result<(Zone, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut report = Report::default();
        let zone = self.records.assemble(&self.apex, &mut report);
        if let Some(outside) = self.outside {
            let reason =
                format!("records left out because they are not in the zone: {}, one of {outside}", self.left_out);
            report.warning(Fault::file(reason));
        }
        let mut found = report.finish(&Files::new(source, b""));
        for finding in &mut found {
            // A record of a transfer has no place in a file.
            (finding.line, finding.column) = (0, 0);
        }
        match zone {
            Some(zone) => Ok((zone, found)),
            None => Err(found),
        }
    }
}

impl std::fmt::Debug for Assembly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Assembly({}, {} records)", self.apex, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zone::difference;
    use crate::zonefile::read;

    const TEXT: &str = "$TTL 60\n@ SOA ns host 7 1 1 1 1\n@ NS ns\nns A 192.0.2.1\nNS AAAA ::1\n*.w MX 1 ns\nsub NS a.sub\na.sub A 192.0.2.3\n";

    fn records(zone: &Zone) -> Vec<(Name, Type, u32, Vec<u8>)> {
        let mut records = Vec::new();
        for node in zone.iter() {
            for rrset in node.rrsets() {
                let owner = Name::from_wire(node.owner()).unwrap();
                records.extend(rrset.rdata().map(|data| (owner.clone(), rrset.rtype(), rrset.ttl(), data.to_vec())));
            }
        }
        records
    }

    fn assembled(records: &[(Name, Type, u32, Vec<u8>)]) -> Result<(Zone, Vec<Diagnostic>), Vec<Diagnostic>> {
        let mut assembly = Assembly::new(&Name::from_text("example.org").unwrap());
        for (owner, rtype, ttl, data) in records {
            assembly.push(owner, *rtype, *ttl, data).unwrap();
        }
        assembly.finish("transfer")
    }

    #[test]
    fn the_same_as_a_file_in_any_order() {
        let zone = read(&Name::from_text("example.org").unwrap(), "z", TEXT.as_bytes()).zone.unwrap();
        let mut records = records(&zone);
        for _ in 0..records.len() {
            records.rotate_left(1);
            let (again, found) = assembled(&records).unwrap();
            assert_eq!((found.len(), again.record_count()), (0, zone.record_count()));
            assert!(difference(&zone, &again).is_empty());
        }
    }

    #[test]
    fn what_is_wrong() {
        let zone = read(&Name::from_text("example.org").unwrap(), "z", TEXT.as_bytes()).zone.unwrap();
        let all = records(&zone);
        let mut outside = all.clone();
        outside.push((Name::from_text("example.net").unwrap(), Type::TXT, 1, b"\x01x".to_vec()));
        let (_, found) = assembled(&outside).unwrap();
        assert!(
            found[0]
                .to_string()
                .starts_with("transfer: warning: records left out because they are not in the zone: 1, "),
            "{found:?}"
        );
        for (rtype, reason) in [(Type::SOA, "no SOA record"), (Type::NS, "no NS record")] {
            let without: Vec<_> = all.iter().filter(|record| record.1 != rtype).cloned().collect();
            let found = assembled(&without).unwrap_err();
            assert!(found[0].to_string().contains(reason), "{found:?}");
        }
        let mut beside = all.clone();
        beside.push((Name::from_text("ns.example.org").unwrap(), Type::CNAME, 1, vec![0]));
        assert!(assembled(&beside).is_err());
        assert!(assembled(&[]).is_err());
    }
}
