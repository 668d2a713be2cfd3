//! The entries of a zone's files with their spans, for who edits the text.
//!
//! An editor changes spans and leaves every other octet alone: comments, blank lines, order and directives
//! stay as the operator wrote them. What it must know is that entries lean on those before them:
//!
//! * **Owner.** A record whose `owner` span is `None` has the owner of the record before it *in its file*, or, at the
//!   head of an included file, of the including one. Before a record with an owner of its own is deleted or replaced,
//!   the next record that leans on it must be given the name: written into the blank its line begins with.
//! * **TTL.** A record whose `ttl` span is `None` has [`State::ttl`]. With [`State::has_default_ttl`] that is `$TTL`'s
//!   and no other record matters. Without, it is the TTL of the record last read that had one, across `$INCLUDE` in
//!   both directions: when that record is deleted, or one with a TTL inserted behind it, the next record that leans
//!   on it must be given its TTL; so must a `$GENERATE` that leans on it.
//! * **Insertion.** Put a record behind the last one of its owner in the file; then it may begin with a blank. In any
//!   other place its owner is written out, and it stands in front of a record with an owner of its own. Its TTL is
//!   written unless [`State::ttl`] there is the same. A file may lack the end of its last line.
//! * **Deletion.** An entry's lines go as a whole, comments on them too: from the start of its span to the end of line
//!   behind it. Two entries never share a line.
//! * **`$GENERATE`.** All records made by one entry have its span: to change one, the others have to be written out.
//! * **`$INCLUDE`.** A file included more than once yields its records each time; to change them is to change all.
//!
//! Whatever an editor does, reading the result must give the records that were meant; that is cheap to verify.

use std::ops::Range;

use super::files::IncludeError;
use super::reader::{MAX_TEXT, Reader, Step};
use crate::dns::diagnostic::{Fault, Report};
use crate::dns::source::Files;
use crate::dns::{Diagnostic, Name, Type};

pub use super::reader::{Directive, Spans, State};

/// An entry of a zone's files: a record or a directive; and a file's end.
#[derive(Debug)]
pub struct Entry<'a> {
    /// The path of the file it stands in.
    pub path: &'a str,
    /// All of that file's text; spans are offsets in it.
    pub text: &'a [u8],
    /// What it takes over from the entries before it.
    pub before: &'a State,
    /// What it is.
    pub content: Content<'a>,
}

/// What an entry is.
#[derive(Debug)]
pub enum Content<'a> {
    /// A record, perhaps one of many that one `$GENERATE` makes.
    Record {
        /// The owner's name in wire form.
        owner: &'a [u8],
        /// The time to live, written or not, in seconds.
        ttl: u32,
        /// The type.
        rtype: Type,
        /// The data in wire form.
        data: &'a [u8],
        /// Where it is written.
        spans: &'a Spans,
        /// It is made by a `$GENERATE` entry.
        generated: bool,
    },
    /// A directive.
    Directive {
        /// What it does.
        directive: Directive,
        /// The whole entry, as [`Spans::entry`].
        span: Range<usize>,
    },
    /// The end of the file, where one more entry could stand.
    End,
}

/// Visits all entries of the zone `apex` in the order they are read, out-of-zone records too, and the files' ends.
///
/// Parameters are those of [`read_including`](super::read_including). Returns what cannot be read; without an error the
/// visit was complete.
pub fn entries(
    apex: &Name,
    path: &str,
    text: &[u8],
    mut open: impl FnMut(&str) -> Result<Vec<u8>, IncludeError>,
    mut visit: impl FnMut(Entry<'_>),
) -> Vec<Diagnostic> {
    let files = Files::new(path, text);
    let mut report = Report::default();
    if text.len() > MAX_TEXT {
        report.error(Fault::file("the file is larger than 1 GiB"));
        return report.finish(&files);
    }
    let mut reader = Reader::new(apex, &files, &mut open);
    let mut before = State::default();
    loop {
        before.clone_from(reader.state());
        let file = reader.file();
        let step = reader.step(&mut report);
        let content = match &step {
            Some(Step::Record(record)) => Content::Record {
                owner: reader.owner(),
                ttl: record.ttl,
                rtype: record.rtype,
                data: reader.rdata(),
                spans: reader.spans(),
                generated: record.generated,
            },
            Some(Step::Directive(directive, span)) => {
                Content::Directive { directive: directive.clone(), span: span.clone() }
            }
            Some(Step::Returned) | None => Content::End,
            Some(Step::Faulty) => continue,
        };
        visit(Entry { path: file.path(), text: file.text(), before: &before, content });
        if step.is_none() {
            return report.finish(&files);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::dns::{Severity, print};
    use crate::zonefile::entries::*;

    /// Lines of many kinds; each stands for itself in any order.
    const LINES: &[&str] = &[
        "a 60 IN A 192.0.2.1 ; c\n",
        "b IN 60 TXT \"x ; y\" z\n",
        "\t60 A 192.0.2.3\r\n",
        "  A 192.0.2.4\n",
        "@ MX ( 10 ; first\n\n mail ) ; last\n",
        "c.example.net. CNAME @\n",
        "\n",
        "; a comment\n",
        "   \t\n",
        "$ORIGIN sub\n",
        "$ORIGIN example.org.\n",
        "$TTL 5m\n",
        "$TTL 1h ; c\n",
        "$GENERATE 1-3 h$ A 192.0.2.$\n",
        "$INCLUDE other\n",
        "( d ) A \\# 4 00000000\n",
        "e TYPE65280 \\# 0\n",
        "f APL\n",
        "   ( TXT \"\" )\n",
    ];

    type Found = (String, Vec<u8>);

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        /// Entries tile the files, and each one's text read in the state before it is the same record.
        #[test]
        fn spans_tile_the_text(
            lines in proptest::collection::vec(prop::sample::select(LINES), 0..25),
            other in proptest::collection::vec(prop::sample::select(LINES), 0..6),
        ) {
            let apex = Name::from_text("example.org").unwrap();
            let text = format!("x 7 TXT first\n{}", lines.concat());
            let other = other.concat();
            let mut ends: Vec<(String, usize)> = Vec::new();
            let mut before: Vec<State> = Vec::new();
            let mut wrong = Vec::new();
            let mut records: Vec<Found> = Vec::new();
            let open = |path: &str| if path == "other" { Ok(other.clone().into_bytes()) } else { Err(IncludeError::Missing) };
            let told = entries(&apex, "example.org", text.as_bytes(), open, |entry| {
                before.push(entry.before.clone());
                let (span, generated) = match &entry.content {
                    Content::Record { spans, generated, .. } => (spans.entry.clone(), *generated),
                    Content::Directive { span, .. } => (span.clone(), false),
                    Content::End => return,
                };
                if let Content::Record { owner, ttl, rtype, data, spans, .. } = &entry.content {
                    records.push((print::record(owner, *ttl, *rtype, data), Vec::new()));
                    if !generated {
                        let files = Files::new("again", &entry.text[span.clone()]);
                        let mut report = Report::default();
                        let mut none = |_: &str| Err(IncludeError::Missing);
                        let mut again = Reader::resume(entry.before.clone(), &files, &mut none);
                        let back = again.next(&mut report);
                        let same = back.is_some_and(|back| {
                            (back.rtype, back.ttl) == (*rtype, *ttl) && again.owner() == *owner && again.rdata() == *data
                        });
                        if !same || again.next(&mut report).is_some() || report.has_errors() {
                            wrong.push(format!("{span:?} is another record"));
                        }
                        // The parts follow each other within the entry and hold what they are called.
                        let parts = [spans.owner.clone(), Some(spans.rtype.clone()), Some(spans.data.clone())];
                        let ordered = parts.iter().flatten().flat_map(|part| [part.start, part.end]);
                        if !ordered.chain([span.end]).is_sorted() || spans.rtype.start < span.start {
                            wrong.push(format!("{spans:?} are out of order"));
                        }
                        let of = |span: &Range<usize>| &entry.text[span.clone()];
                        if Type::from_text(of(&spans.rtype)) != Some(*rtype)
                            || spans.class.as_ref().is_some_and(|class| of(class) != b"IN")
                            || spans.ttl.as_ref().is_some_and(|ttl| !of(ttl).iter().all(u8::is_ascii_digit))
                        {
                            wrong.push(format!("{spans:?} hold something else"));
                        }
                    }
                }
                // Between this entry and the one before there are only blanks and comments.
                let end = match ends.iter_mut().find(|(path, _)| path == entry.path) {
                    Some(end) => end,
                    None => {
                        ends.push((entry.path.to_string(), 0));
                        ends.last_mut().unwrap()
                    }
                };
                // A file that is included again begins anew.
                if entry.path == "other" && span.start < end.1 && !generated {
                    end.1 = 0;
                }
                if !generated && !other.contains("$INCLUDE") {
                    let between = &entry.text[end.1.min(span.start)..span.start];
                    let nothing = between.split(|octet| *octet == b'\n').all(|line| {
                        line.trim_ascii().is_empty() || line.trim_ascii().starts_with(b";")
                    });
                    if end.1 > span.start || !nothing || !(span.start == 0 || entry.text[span.start - 1] == b'\n') {
                        wrong.push(format!("{span:?} after {end:?}"));
                    }
                    end.1 = span.end;
                }
            });
            prop_assert!(wrong.is_empty(), "{wrong:?}\n{text}\n---\n{other}");
            // A file of nothing may include itself through `other`; all else here can be read.
            let errors: Vec<_> = told.iter().filter(|d| d.severity == Severity::Error).collect();
            prop_assert!(errors.iter().all(|d| d.reason.contains("includes itself")), "{errors:?}");
        }
    }

    #[test]
    fn what_is_not_written_has_no_span() {
        let text = b"a 60 IN A 192.0.2.1\n TXT \"b\" ; c\n$GENERATE 1-2 h$ A 192.0.2.$\n";
        let apex = Name::from_text("example.org").unwrap();
        let mut seen = Vec::new();
        let shown =
            |span: &Option<Range<usize>>| span.clone().map(|span| String::from_utf8_lossy(&text[span]).into_owned());
        let told = entries(
            &apex,
            "f",
            text,
            |_| Err(IncludeError::Missing),
            |entry| match entry.content {
                Content::Record { spans, generated, .. } => seen.push(format!(
                    "{:?} {:?} {:?} {:?} {generated}",
                    shown(&spans.owner),
                    shown(&spans.ttl),
                    shown(&spans.class),
                    shown(&Some(spans.data.clone())),
                )),
                Content::Directive { directive, span } => seen.push(format!("{directive:?} {}", span.start)),
                Content::End => seen.push(format!("end {:?}", entry.before.ttl())),
            },
        );
        assert_eq!(told.len(), 1, "the TTL is the last one: {told:?}");
        assert_eq!(
            seen,
            [
                r#"Some("a") Some("60") Some("IN") Some("192.0.2.1") false"#,
                r#"None None None Some("\"b\"") false"#,
                "Generate 33",
                r#"None None None Some("") true"#,
                r#"None None None Some("") true"#,
                "end Some(60)",
            ]
        );
    }
}
