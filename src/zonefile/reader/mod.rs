//! Zone-file text turned into records with spans (RFC 1035 §5, RFC 2308 §4).
//!
//! The reader is a stream: it yields one record at a time, names and data in wire form in buffers it
//! uses again, with the spans of the text it came from. Who builds a zone drops the spans; who edits the
//! file reads it again and finds in them what to replace. An entry that cannot be read is reported and the
//! reader goes on behind it, so that one look shows all that is wrong.
//!
//! What an entry means depends on those before it: the [`State`]. As BIND has it, an included file begins
//! with the origin, owner and TTLs of the file that includes it; behind it, origin and owner are as before,
//! while TTLs stay as the included file left them.

mod generate;
mod include;

use std::collections::BTreeMap;
use std::ops::Range;

use self::generate::Generate;
use self::include::Suspended;
use super::files::IncludeError;
use crate::dns::diagnostic::{Fault, Report};
use crate::dns::lexer::{self, Lexer, Token};
use crate::dns::rdata::read::{Source, wrong_at};
use crate::dns::rdata::rules::owner as check_owner;
use crate::dns::source::{File, Files};
use crate::dns::words::{is_class, lossy, push_name, seconds, surplus};
use crate::dns::{Name, Type, name};

/// The largest TTL (RFC 2181 §8).
const MAX_TTL: u32 = 0x7fff_ffff;

/// The most octets of text the files of one zone may have.
pub(super) const MAX_TEXT: usize = 1 << 30;

/// The most octets of text that may come from little: made by `$GENERATE`, or from files included once more.
const MAX_REPEATED: usize = 1 << 26;

/// What an entry takes over from the entries before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    origin: Vec<u8>,
    owner: Vec<u8>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
    /// There was an `$ORIGIN` since the last owner.
    origin_changed: bool,
}

impl State {
    /// Returns the name relative names end in, in wire form.
    pub fn origin(&self) -> &[u8] {
        &self.origin
    }

    /// Returns the owner a record without one of its own has, in wire form.
    pub fn owner(&self) -> Option<&[u8]> {
        (!self.owner.is_empty()).then_some(&self.owner)
    }

    /// Returns the TTL a record without one of its own has, in seconds; there may be none yet.
    pub fn ttl(&self) -> Option<u32> {
        self.default_ttl.or(self.last_ttl)
    }

    /// Returns whether [`Self::ttl`] comes from `$TTL` (or the SOA's minimum) and not from the record before.
    pub fn has_default_ttl(&self) -> bool {
        self.default_ttl.is_some()
    }
}

/// Where in its file a record stands; what is not written has no span, nor have owner and data made by `$GENERATE`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// The whole entry from the start of its first line to the end of its last, comments included, the last line's end
    /// excluded.
    pub entry: Range<usize>,
    /// The owner's name.
    pub owner: Option<Range<usize>>,
    /// The TTL.
    pub ttl: Option<Range<usize>>,
    /// The class.
    pub class: Option<Range<usize>>,
    /// The type's mnemonic.
    pub rtype: Range<usize>,
    /// The data from its first to its last word, quotes included; empty if there is none.
    pub data: Range<usize>,
}

/// A record read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// The record's type.
    pub(crate) rtype: Type,
    /// The time to live, written or inherited, in seconds.
    pub(crate) ttl: u32,
    /// The place to name in a finding about the record: its owner, or its type where that is inherited.
    pub(crate) place: usize,
    /// It is one of those an `$GENERATE` entry makes.
    pub(crate) generated: bool,
}

/// What a directive does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directive {
    /// `$ORIGIN`: relative names end otherwise from here on.
    Origin,
    /// `$TTL`: records without a TTL have another from here on.
    Ttl,
    /// `$INCLUDE`: what follows comes from another file, up to its end.
    Include,
    /// `$GENERATE`: the records that follow are made from this entry.
    Generate,
}

/// What the next entry is.
pub(crate) enum Step {
    /// A record, or the next of several that one entry makes.
    Record(Record),
    /// A directive and the span of its entry.
    Directive(Directive, Range<usize>),
    /// An entry that cannot be read; it has been reported.
    Faulty,
    /// The end of an included file.
    Returned,
}

/// Gets an included file by its path from the root of the repository.
pub(crate) type Open<'r> = dyn FnMut(&str) -> Result<Vec<u8>, IncludeError> + 'r;

/// Reads a zone's files record by record.
pub(crate) struct Reader<'f, 't, 'r> {
    files: &'f Files<'t>,
    open: &'r mut Open<'r>,
    file: &'f File<'t>,
    lexer: Lexer<'f>,
    tokens: Vec<Token>,
    /// Where an owner is read into.
    spare: Vec<u8>,
    state: State,
    rdata: Vec<u8>,
    /// Those of the record last read; kept here, they need not be handed from function to function.
    spans: Spans,
    /// The files that include the current one, outermost first.
    stack: Vec<Suspended<'f, 't>>,
    /// All paths that were included; `None` for those that cannot be read.
    included: BTreeMap<String, Option<&'f File<'t>>>,
    includes: usize,
    octets: usize,
    generate: Option<Generate>,
    repeated: usize,
    warned_of_last_ttl: bool,
}

impl<'f, 't, 'r> Reader<'f, 't, 'r> {
    /// Begins to read the files of a zone, which have less than 4 GiB; `open` gets those that are included.
    pub(crate) fn new(apex: &Name, files: &'f Files<'t>, open: &'r mut Open<'r>) -> Self {
        let state = State { origin: apex.as_wire().to_vec(), ..State::default() };
        Self::resume(state, files, open)
    }

    /// Begins to read in some state.
    pub(crate) fn resume(state: State, files: &'f Files<'t>, open: &'r mut Open<'r>) -> Self {
        let file = files.first();
        Self {
            files,
            open,
            file,
            lexer: Lexer::new(file.text()),
            tokens: Vec::new(),
            spare: Vec::new(),
            state,
            rdata: Vec::new(),
            spans: Spans::default(),
            stack: Vec::new(),
            included: BTreeMap::new(),
            includes: 0,
            octets: file.text().len(),
            generate: None,
            repeated: 0,
            warned_of_last_ttl: false,
        }
    }

    /// Returns the owner of the record last read, in wire form.
    pub(crate) fn owner(&self) -> &[u8] {
        self.generate.as_ref().map_or(&self.state.owner, |generate| &generate.owner)
    }

    /// Returns the data of the record last read, in wire form.
    pub(crate) fn rdata(&self) -> &[u8] {
        &self.rdata
    }

    /// Returns where the record last read is written.
    pub(crate) fn spans(&self) -> &Spans {
        &self.spans
    }

    /// Returns the file that is being read.
    pub(crate) fn file(&self) -> &'f File<'t> {
        self.file
    }

    /// Returns what the next entry takes over.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns the paths of all files that were included, those that cannot be read too.
    pub(crate) fn into_included(self) -> Vec<String> {
        self.included.into_keys().collect()
    }

    /// Reads on to the next record; `None` at the end. What cannot be read goes to `report`.
    pub(crate) fn next(&mut self, report: &mut Report) -> Option<Record> {
        loop {
            if let Step::Record(record) = self.step(report)? {
                return Some(record);
            }
        }
    }

    /// Reads the next entry; `None` at the end. What cannot be read goes to `report`.
    pub(crate) fn step(&mut self, report: &mut Report) -> Option<Step> {
        let base = self.file.base();
        if self.generate.is_some() {
            match self.generate() {
                Ok(Some(record)) => return Some(Step::Record(record)),
                Ok(None) => self.generate = None,
                Err(fault) => {
                    self.generate = None;
                    report.error(fault.from(base));
                    return Some(Step::Faulty);
                }
            }
        }
        // The list of tokens is lent to the methods that read from it.
        let mut tokens = std::mem::take(&mut self.tokens);
        let result = match self.lexer.entry(&mut tokens) {
            None => {
                self.tokens = tokens;
                return self.resume_outer();
            }
            Some(Err(fault)) => Err(fault),
            Some(Ok(entry)) => {
                let first = tokens[0];
                if !entry.indented && !first.quoted && first.of(self.file.text()).starts_with(b"$") {
                    self.directive(&entry, &tokens, report).map(|directive| Step::Directive(directive, entry.span))
                } else {
                    self.record(&entry, &tokens, report).map(Step::Record)
                }
            }
        };
        self.tokens = tokens;
        Some(result.unwrap_or_else(|fault| {
            report.error(fault.from(base));
            Step::Faulty
        }))
    }

    fn directive(&mut self, entry: &lexer::Entry, tokens: &[Token], report: &mut Report) -> Result<Directive, Fault> {
        let text = self.file.text();
        let word = tokens[0].of(text);
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        let argument = || match tokens {
            [_, argument] => Ok(argument),
            [_, _, extra, ..] => Err(surplus(extra)),
            _ => Err(Fault::at(tokens[0].at(), format!("{} needs a value", lossy(word)))),
        };
        if is(b"$ORIGIN") {
            let mut origin = Vec::new();
            push_name(text, argument()?, &self.state.origin, &mut origin)?;
            self.state.origin = origin;
            self.state.origin_changed = true;
            Ok(Directive::Origin)
        } else if is(b"$TTL") {
            let ttl = self.ttl(argument()?, report)?;
            self.state.default_ttl = Some(ttl);
            Ok(Directive::Ttl)
        } else if is(b"$INCLUDE") {
            self.include(tokens)?;
            Ok(Directive::Include)
        } else if is(b"$GENERATE") {
            self.begin_generate(entry, tokens, report)?;
            Ok(Directive::Generate)
        } else {
            let fault = Fault::at(tokens[0].at(), format!("there is no directive {}", lossy(word)));
            Err(fault.hint(
                "the directives are $ORIGIN, $TTL, $INCLUDE and $GENERATE; a name that begins with `$` is written `\\$`",
            ))
        }
    }

    fn record(&mut self, entry: &lexer::Entry, tokens: &[Token], report: &mut Report) -> Result<Record, Fault> {
        let text = self.file.text();
        let mut rest = tokens;
        let owner = if !entry.indented {
            let (first, after) = (&tokens[0], &tokens[1..]);
            rest = after;
            // A faulty owner leaves the one before, so that the lines behind it are not found wrong for its sake.
            self.spare.clear();
            push_name(text, first, &self.state.origin, &mut self.spare)?;
            std::mem::swap(&mut self.state.owner, &mut self.spare);
            self.state.origin_changed = false;
            Some(first.span())
        } else if self.state.owner.is_empty() {
            let fault = Fault::at(tokens[0].at(), "there is no owner name before this line to inherit");
            return Err(fault.hint("begin the line with a name, or with `@` for the zone itself"));
        } else {
            None
        };
        let head = self.head(rest, report).map_err(|fault| self.hint_at_owner(fault, tokens, entry))?;
        let Some(token) = head.rtype else { return Err(self.no_type(tokens, entry)) };
        let rtype = self.rtype(token).map_err(|fault| match fault.hint {
            None => self.hint_at_owner(fault, tokens, entry),
            Some(_) => fault,
        })?;
        if self.state.origin_changed && entry.indented {
            self.state.origin_changed = false;
            let reason = format!(
                "behind an $ORIGIN this record still belongs to {}, the owner before it",
                name::Display(&self.state.owner)
            );
            let fault =
                Fault::at(token.at(), reason).hint("begin the line with a name, or with `@` for the new origin");
            report.warning(fault.from(self.file.base()));
        }
        self.rdata.clear();
        let end = |token: &Token| token.span().end + usize::from(token.quoted);
        let last = tokens.last().map_or(entry.span.end, end);
        let mut source = Source { text, origin: &self.state.origin, tokens: head.data, end: last };
        source.read(rtype, token.at(), &mut self.rdata)?;
        let ttl = self.effective_ttl(rtype, head.ttl, token, report)?;
        let place = owner.as_ref().map_or(token.at(), |owner| owner.start);
        check_owner(rtype, &self.state.owner).map_err(|wrong| wrong_at(place, wrong))?;
        let start = head.data.first().map_or(last, |first| first.at() - usize::from(first.quoted));
        self.spans = Spans {
            entry: entry.span.clone(),
            owner,
            ttl: head.ttl_at,
            class: head.class_at,
            rtype: token.span(),
            data: start..last,
        };
        Ok(Record { rtype, ttl, place: self.file.base() + place, generated: false })
    }

    /// Reads TTL and class, in either order and both optional, and finds the type behind them.
    fn head<'k>(&self, tokens: &'k [Token], report: &mut Report) -> Result<Head<'k>, Fault> {
        let mut head = Head { ttl: None, ttl_at: None, class_at: None, rtype: None, data: tokens };
        while let Some((token, after)) = head.data.split_first() {
            head.data = after;
            let word = token.of(self.file.text());
            if head.ttl.is_none() && word.first().is_some_and(u8::is_ascii_digit) {
                head.ttl = Some(self.ttl(token, report)?);
                head.ttl_at = Some(token.span());
            } else if head.class_at.is_none() && is_class(word) {
                if !word.eq_ignore_ascii_case(b"IN") && !word.eq_ignore_ascii_case(b"CLASS1") {
                    return Err(Fault::at(token.at(), format!("class {} is not served, only IN", lossy(word))));
                }
                head.class_at = Some(token.span());
            } else {
                head.rtype = Some(token);
                break;
            }
        }
        Ok(head)
    }

    fn rtype(&self, token: &Token) -> Result<Type, Fault> {
        let word = token.of(self.file.text());
        let Some(rtype) = Type::from_text(word) else {
            let fault = Fault::at(token.at(), format!("there is no record type {}", lossy(word)));
            return Err(match Type::nearest(word) {
                Some(nearest) => fault.hint(format!("did you mean {nearest}?")),
                None => fault,
            });
        };
        if rtype.is_meta() {
            return Err(Fault::at(token.at(), format!("{rtype} is a type for questions, no record can have it")));
        }
        Ok(rtype)
    }

    /// Settles the TTL of a record: its own, else that of `$TTL` (RFC 2308 §4), else the last one written
    /// (RFC 1035 §5.1), else for the SOA record, which comes first, its own minimum.
    fn effective_ttl(
        &mut self,
        rtype: Type,
        own: Option<u32>,
        token: &Token,
        report: &mut Report,
    ) -> Result<u32, Fault> {
        if let Some(ttl) = own {
            self.state.last_ttl = Some(ttl);
            return Ok(ttl);
        }
        if let Some(ttl) = self.state.default_ttl {
            return Ok(ttl);
        }
        let hint = "put `$TTL 3600` at the top of the file";
        if let Some(ttl) = self.state.last_ttl {
            if !self.warned_of_last_ttl {
                self.warned_of_last_ttl = true;
                let reason =
                    format!("there is no $TTL; records without a TTL take the last one before them, here {ttl}");
                report.warning(Fault::at(token.at(), reason).hint(hint).from(self.file.base()));
            }
            return Ok(ttl);
        }
        if let (Type::SOA, Some(minimum)) = (rtype, self.rdata.last_chunk::<4>()) {
            let ttl = Some(u32::from_be_bytes(*minimum)).filter(|&ttl| ttl <= MAX_TTL).unwrap_or(0);
            self.state.default_ttl = Some(ttl);
            let reason =
                format!("there is no TTL; the SOA record's minimum, {ttl}, is taken for it and for what follows");
            report.warning(Fault::at(token.at(), reason).hint(hint).from(self.file.base()));
            return Ok(ttl);
        }
        Err(Fault::at(token.at(), "the record has no TTL and there is none before to inherit").hint(hint))
    }

    fn ttl(&self, token: &Token, report: &mut Report) -> Result<u32, Fault> {
        match seconds(token.of(self.file.text())) {
            Some(ttl) if ttl <= MAX_TTL => Ok(ttl),
            Some(ttl) => {
                let reason = format!("the TTL {ttl} is larger than 2147483647 and therefore taken as 0 (RFC 2181 §8)");
                report.warning(Fault::at(token.at(), reason).from(self.file.base()));
                Ok(0)
            }
            None => {
                let reason = format!("`{}` is no TTL", lossy(token.of(self.file.text())));
                Err(Fault::at(token.at(), reason).hint("a TTL is a number of seconds, or like 1w2d3h4m5s"))
            }
        }
    }

    fn no_type(&self, tokens: &[Token], entry: &lexer::Entry) -> Fault {
        let fault = Fault::at(tokens[tokens.len() - 1].span().end, "the line ends without a record type");
        self.hint_at_owner(fault, tokens, entry)
    }

    /// Adds the hint that the line should have begun with a blank, when its first word looks like no owner.
    fn hint_at_owner(&self, fault: Fault, tokens: &[Token], entry: &lexer::Entry) -> Fault {
        let first = tokens[0].of(self.file.text());
        let capitals = !first.iter().any(u8::is_ascii_lowercase);
        if !entry.indented && capitals && (is_class(first) || Type::from_text(first).is_some()) {
            return fault.hint(format!(
                "`{}` in the first column is read as an owner name; begin the line with a blank to inherit the owner",
                lossy(first)
            ));
        }
        fault
    }
}

/// What stands between owner and data.
struct Head<'k> {
    ttl: Option<u32>,
    ttl_at: Option<Range<usize>>,
    class_at: Option<Range<usize>>,
    rtype: Option<&'k Token>,
    data: &'k [Token],
}
