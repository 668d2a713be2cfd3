//! Any octets as the files of a zone and as its new version: the edited files must read as that version.
#![no_main]

use std::sync::LazyLock;
use zonule::{zone, zonefile};

use libfuzzer_sys::fuzz_target;
use zonule::dns::Name;
use zonule::zonefile::IncludeError;
use zonule::zonefile::edit::{EditError, edit, new_file};

static APEX: LazyLock<Name> = LazyLock::new(|| Name::from_text("example.org").expect("a good name"));

/// The separator of files: the first is the zone's own, the last its new version, and those between can be
/// included as `1`, `2` and so on.
const SEPARATOR: &[u8] = b"\n====\n";

fuzz_target!(|octets: &[u8]| {
    let mut files = Vec::new();
    let mut rest = octets;
    while let Some(at) = rest.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
        files.push(&rest[..at]);
        rest = &rest[at + SEPARATOR.len()..];
    }
    let open = |path: &str| {
        let file = path.parse::<usize>().ok().and_then(|index| files.get(index));
        file.map(|file| file.to_vec()).ok_or(IncludeError::Missing)
    };
    let Some(&text) = files.first() else { return };
    let Some(before) = zonefile::read_including(&APEX, "example.org", text, open).zone else { return };
    let Some(after) = zonefile::read(&APEX, "after", rest).zone else { return };
    let amendments = zone::difference(&before, &after).amendments(&after);
    match edit(&APEX, "example.org", text, open, &before, &amendments) {
        Ok(edited) => assert!(zone::difference(&edited.zone, &after).is_empty()),
        Err(EditError::Fixed(diagnostic)) => assert!(diagnostic.line > 0),
        Err(error) => panic!("{error}"),
    }
    let fresh = new_file(&after);
    let reading = zonefile::read(&APEX, "fresh", fresh.as_bytes());
    let read = reading.zone.unwrap_or_else(|| panic!("{:?}\n{fresh}", reading.diagnostics));
    assert!(zone::difference(&after, &read).is_empty(), "{fresh}");
});
