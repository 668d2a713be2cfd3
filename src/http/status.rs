//! The status page: JSON that describes what is served.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::Reply;
use crate::dns::Name;
use crate::text::json_string;
use crate::zone::{Entry, Zones};

/// Maximum number of zones per page.
const PAGE: usize = 1000;

/// A description of what is served.
#[derive(Clone, Copy)]
pub struct Status<'s> {
    /// The zones, if they are loaded.
    pub catalog: Option<&'s Zones>,
    /// The git remote that they come from, without secrets, if there is one.
    pub remote: Option<&'s str>,
    /// The commit that they come from.
    pub commit: Option<&'s str>,
    /// Last time at which this was known to be the remote's commit, in seconds since 1970.
    pub fetched: Option<u64>,
    /// The error of the last request to the remote, if it failed: one printable line, without secrets.
    pub error: Option<&'s str>,
}

impl Status<'_> {
    /// Returns whether anything is served, and how much.
    pub fn health(&self) -> Reply {
        let mut text = self.front();
        text.push_str("}\n");
        Reply::json(self.code(), text)
    }

    /// Returns the same and a page of zones with their serial numbers, starting after the name `after`.
    ///
    /// A zone that cannot be served has no serial number. If there are more zones, `next` is the link to them.
    pub fn page(&self, after: Option<&str>) -> Reply {
        let after = match after.map(|text| Name::from_text(&decoded(text))) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(error)) => return Reply::text(400, &format!("`after` is not a domain name: {error}")),
        };
        let mut text = self.front();
        text.push_str(",\n  \"zones\": [");
        let entries = self.catalog.into_iter().flat_map(Zones::iter);
        let mut entries = entries.filter(|entry| after.as_ref().is_none_or(|after| entry.apex() > after));
        let mut last = None;
        for entry in entries.by_ref().take(PAGE) {
            text.push_str(if last.is_some() { ",\n    " } else { "\n    " });
            let serial = entry.zone().map_or("null".to_string(), |zone| zone.serial().0.to_string());
            let _ = write!(text, "{{\"name\": {}, \"serial\": {serial}}}", json_string(&name(entry)));
            last = Some(entry);
        }
        text.push_str(if last.is_some() { "\n  ]" } else { "]" });
        if let (Some(last), Some(_)) = (last, entries.next()) {
            let _ = write!(text, ",\n  \"next\": {}", json_string(&format!("/?after={}", encoded(&name(last)))));
        }
        text.push_str("\n}\n");
        Reply::json(self.code(), text)
    }

    fn code(&self) -> u16 {
        if self.catalog.is_some() { 200 } else { 503 }
    }

    /// Writes the beginning of every page.
    fn front(&self) -> String {
        let status = if self.catalog.is_some() { "serving" } else { "loading" };
        let mut text =
            format!("{{\n  \"status\": \"{status}\",\n  \"version\": {}", json_string(env!("CARGO_PKG_VERSION")));
        let fetched = self.fetched.and_then(|seconds| Timestamp::from_second(i64::try_from(seconds).ok()?).ok());
        let fetched = fetched.map(|time| time.to_string());
        let fields =
            [("remote", self.remote), ("commit", self.commit), ("fetched", fetched.as_deref()), ("error", self.error)];
        for (name, value) in fields {
            if let Some(value) = value {
                // Writing to a string cannot fail.
                let _ = write!(text, ",\n  \"{name}\": {}", json_string(value));
            }
        }
        let count = self.catalog.map_or(0, Zones::len);
        let _ = write!(text, ",\n  \"zone_count\": {count}");
        text
    }
}

/// Returns the name of a zone without its final dot, unless it is the root.
fn name(entry: &Entry) -> String {
    let name = entry.apex().to_string();
    match name.strip_suffix('.') {
        Some(short) if !short.is_empty() => short.to_string(),
        _ => name,
    }
}

/// Returns a text with percent-encoding for a query (RFC 3986 §2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for octet in text.bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(octet)),
            octet => drop(write!(encoded, "%{octet:02X}")),
        }
    }
    encoded
}

/// Decodes a part of a query; invalid percent-encodings are kept unchanged.
fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.first_chunk::<2>().filter(|_| *first == b'%');
        let octet = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        octets.push(octet.unwrap_or(*first));
        rest = if octet.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&octets).into_owned()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::zone;

    fn catalog(names: impl Iterator<Item = String>) -> Zones {
        let mut catalog = Zones::default();
        for (number, name) in names.enumerate() {
            let apex = Name::from_text(&name).unwrap();
            let text = format!("$TTL 60\n@ SOA ns h {} 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n", number + 1);
            catalog.insert(Arc::new(crate::zonefile::read(&apex, &name, text.as_bytes()).zone.unwrap()));
        }
        catalog
    }

    const NOTHING: Status<'_> = Status { catalog: None, remote: None, commit: None, fetched: None, error: None };

    #[test]
    fn a_page_lists_what_is_served() {
        let mut zones = catalog(["example.net", r#"a\"b.example"#].map(String::from).into_iter());
        zones.insert_broken(Name::from_text("broken.example").unwrap(), zone::Fault::Errors);
        let status = Status {
            catalog: Some(&zones),
            remote: Some("git://192.0.2.1/zones"),
            commit: Some("0123"),
            fetched: Some(1_790_000_000),
            error: Some("the remote asks to wait 60 s (HTTP 429 \"Slow\")"),
        };
        let page = status.page(None);
        assert_eq!(page.status(), 200);
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            page.body(),
            format!(
                r#"{{
  "status": "serving",
  "version": "{version}",
  "remote": "git://192.0.2.1/zones",
  "commit": "0123",
  "fetched": "2026-09-21T14:13:20Z",
  "error": "the remote asks to wait 60 s (HTTP 429 \"Slow\")",
  "zone_count": 3,
  "zones": [
    {{"name": "a\\\"b.example", "serial": 2}},
    {{"name": "broken.example", "serial": null}},
    {{"name": "example.net", "serial": 1}}
  ]
}}
"#
            )
        );
        let health = status.health();
        assert!(health.body().ends_with("\"zone_count\": 3}\n") && health.status() == 200, "{}", health.body());
    }

    #[test]
    fn status_is_503_before_the_first_zones() {
        let page = NOTHING.page(None);
        assert_eq!((page.status(), NOTHING.health().status()), (503, 503));
        assert!(page.body().contains("\"status\": \"loading\"") && page.body().contains("\"zones\": []"));
        assert_eq!(NOTHING.page(Some("a..b")).status(), 400);
    }

    #[test]
    fn many_zones_are_split_into_linked_pages() {
        let zones = catalog((0..2500).map(|number| format!("z{number}.*\\032x.example")));
        let status = Status { catalog: Some(&zones), ..NOTHING };
        let mut after = None;
        let mut names = Vec::new();
        for _ in 0..3 {
            let page = status.page(after.as_deref());
            let found =
                page.body().split("{\"name\": \"").skip(1).map(|part| part.split('"').next().unwrap().to_string());
            names.extend(found);
            let next = page.body().split("\"next\": \"/?after=").nth(1).map(|part| part.split('"').next().unwrap());
            after = next.map(String::from);
            assert!(page.body().len() < 100_000);
        }
        assert_eq!((names.len(), after), (2500, None));
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 2500);
    }
}
