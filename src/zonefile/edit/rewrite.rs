//! The second pass over the text: turns the plan into replacements of spans.
//!
//! The pass tracks the state of both the old text and the new one. Where an entry would inherit a different owner or TTL
//! than before, it is given an explicit one.

use std::collections::HashSet;
use std::ops::Range;

use super::data::{self, Written};
use super::layout::{Layout, is_relative, rehead, seconds_like, spell};
use super::plan::{New, Op, Plan};
use super::survey::{Spot, Stack, Survey};
use crate::dns::{Type, name};
use crate::zonefile::entries::{Content, Directive, Entry, Spans};

/// A replacement of a span.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) span: Range<usize>,
    pub(super) text: Vec<u8>,
    /// Whether the text is a whole line, which needs a line ending before and after it.
    pub(super) is_line: bool,
}

/// A record waiting for its place, and its layout.
struct Waiting {
    new: New,
    look: Look,
}

/// The layout of a new record's line.
#[derive(Clone, Default)]
struct Look {
    layout: Layout,
    /// Whether the owner is relative to the origin where possible.
    owner_relative: bool,
    data: Option<data::Style>,
    rtype: Option<Type>,
    /// Whether it omits its owner where possible, if the neighbour indicates so.
    leans: Option<bool>,
}

/// A file that is open.
struct Frame {
    file: usize,
    /// The owner in force in the new text, if it differs from that in the old one; empty for none.
    owner: Option<Vec<u8>>,
    /// The last owner written in the old text, provided the origin is still the same.
    owner_at: Option<Range<usize>>,
    /// The last record in the old text and its type.
    last: Option<(Spans, Type)>,
    /// The previous record with more than one blank between fields.
    padded: Option<Spans>,
    /// The offset after the line of the last entry.
    behind: usize,
    waiting: Vec<Waiting>,
    /// The `$GENERATE` entry being processed.
    making: Option<usize>,
}

/// The second pass.
pub(super) struct Rewrite<'p> {
    plan: &'p Plan,
    /// How often each file is read.
    times: Vec<usize>,
    leant_over: &'p HashSet<Spot>,
    stack: Stack,
    frames: Vec<Frame>,
    /// The last explicit TTL in the new text.
    last_ttl: Option<u32>,
    /// The replacements in each file.
    pub(super) changes: Vec<Vec<Change>>,
    /// The first place that cannot be edited, and why.
    pub(super) fixed: Option<(Spot, String)>,
}

impl<'p> Rewrite<'p> {
    /// Begins the pass that follows a survey.
    pub(super) fn new(plan: &'p Plan, survey: &'p Survey) -> Self {
        Self {
            plan,
            times: survey.stack.files.iter().map(|&(_, times)| times).collect(),
            leant_over: &survey.leant_over,
            stack: Stack::default(),
            frames: Vec::new(),
            last_ttl: None,
            changes: survey.stack.files.iter().map(|_| Vec::new()).collect(),
            fixed: None,
        }
    }

    /// Processes the next entry.
    pub(super) fn visit(&mut self, entry: &Entry<'_>) {
        let (file, opened) = self.stack.enter(entry);
        if opened {
            let owner = self.frames.last().and_then(|outer| outer.owner.clone());
            let (last, waiting) = (None, Vec::new());
            self.frames.push(Frame {
                file,
                owner,
                owner_at: None,
                last,
                padded: None,
                behind: 0,
                waiting,
                making: None,
            });
        }
        let Some(mut frame) = self.frames.pop() else { return };
        match &entry.content {
            Content::Record { spans, generated: true, .. } => self.generated(&mut frame, entry, spans),
            Content::Record { spans, rtype, .. } => self.record(&mut frame, entry, spans, *rtype),
            Content::Directive { directive, span } => self.directive(&mut frame, entry, directive, span),
            Content::End => {
                self.flush(&mut frame, entry);
                self.stack.leave();
                if self.stack.is_empty() {
                    self.end(&mut frame, entry);
                }
                return;
            }
        }
        self.frames.push(frame);
    }

    fn directive(&mut self, frame: &mut Frame, entry: &Entry<'_>, directive: &Directive, span: &Range<usize>) {
        let spot = Spot { file: frame.file, start: span.start };
        if *directive != Directive::Generate && !self.leant_over.contains(&spot) {
            self.flush(frame, entry);
        }
        frame.behind = line_end(entry.text, span.end);
        frame.making = None;
        if *directive == Directive::Origin {
            frame.owner_at = None;
        }
        let Some(op) = self.plan.ops.get(&spot) else { return };
        if op.delete {
            self.change(frame, span.start..frame.behind, Vec::new());
        }
        self.behind(frame, entry, op);
    }

    /// Keeps the TTL of a `$GENERATE` entry the same, once for all its records.
    fn generated(&mut self, frame: &mut Frame, entry: &Entry<'_>, spans: &Spans) {
        let Content::Record { ttl, .. } = entry.content else { return };
        let start = spans.entry.start;
        if frame.making.replace(start) == Some(start) {
            return;
        }
        if self.plan.ops.get(&Spot { file: frame.file, start }).is_some_and(|op| op.delete) {
            return;
        }
        if spans.ttl.is_some() {
            self.last_ttl = Some(ttl);
        } else if !entry.before.has_default_ttl() && self.last_ttl != Some(ttl) {
            self.replace(frame, rehead(entry.text, spans, None, Some(ttl)));
            self.last_ttl = Some(ttl);
        }
    }

    fn record(&mut self, frame: &mut Frame, entry: &Entry<'_>, spans: &Spans, rtype: Type) {
        let Content::Record { owner, ttl, data, .. } = entry.content else { return };
        if spans.owner.is_some() {
            self.flush(frame, entry);
        }
        let line = spans.entry.start..line_end(entry.text, spans.entry.end);
        let op = self.plan.ops.get(&Spot { file: frame.file, start: line.start });
        let before = entry.before.owner().unwrap_or_default();
        if op.is_some_and(|op| op.delete) {
            if spans.owner.is_some() {
                let stays = frame.owner.take().unwrap_or_else(|| before.to_vec());
                frame.owner = (!name::eq(&stays, owner)).then_some(stays);
            }
            self.change(frame, line.clone(), Vec::new());
        } else {
            let mut name = None;
            if spans.owner.is_some() {
                frame.owner = None;
            } else if frame.owner.take().is_some() {
                name = Some(match &frame.owner_at {
                    Some(span) => entry.text[span.clone()].to_vec(),
                    None => spell(owner, entry.before.origin(), true).into_bytes(),
                });
            }
            let written = Written { text: entry.text, spans, origin: entry.before.origin(), rtype, data };
            self.keep(frame, entry, &written, name, ttl, op);
        }
        let leans = match &spans.owner {
            None => Some(true),
            Some(_) => name::eq(before, owner).then_some(false),
        };
        if let Some(span) = &spans.owner {
            // Quoted text may have another meaning without the quotes.
            frame.owner_at = Some(span.clone()).filter(|span| !entry.text[..span.start].ends_with(b"\""));
        }
        let padded = |spans: &Spans| {
            let gap = |span: &Range<usize>| entry.text[..span.start].ends_with(b"  ");
            gap(&spans.data) || gap(&spans.rtype)
        };
        if let Some((spans, _)) = frame.last.replace((spans.clone(), rtype)).filter(|(spans, _)| padded(spans)) {
            frame.padded = Some(spans);
        }
        frame.behind = line.end;
        if let Some(op) = op
            && !op.behind.is_empty()
        {
            let default = self.default_behind(entry);
            let look = self.look(frame, entry);
            let beside = Look { leans, ..look.clone() };
            for new in &op.behind {
                if name::eq(&new.owner, owner) {
                    self.insert(frame, entry, owner, default, new, &beside);
                } else {
                    frame.waiting.push(Waiting { new: new.clone(), look: look.clone() });
                }
            }
        }
    }

    /// Keeps a record, possibly with a new TTL or data, and writes out what it can no longer inherit.
    fn keep(
        &mut self,
        frame: &Frame,
        entry: &Entry<'_>,
        written: &Written<'_>,
        name: Option<Vec<u8>>,
        ttl: u32,
        op: Option<&Op>,
    ) {
        let spans = written.spans;
        let wanted = op.and_then(|op| op.ttl).unwrap_or(ttl);
        let new_data = op.and_then(|op| op.data.as_deref());
        let mut write_ttl = None;
        match &spans.ttl {
            Some(span) => {
                if wanted != ttl {
                    let text = seconds_like(&entry.text[span.clone()], wanted);
                    self.change(frame, span.clone(), text);
                }
                self.last_ttl = Some(wanted);
            }
            None => {
                let default = match entry.before.ttl() {
                    // The SOA record's minimum is the TTL of all records that follow; it may change, but theirs must not.
                    None => {
                        let minimum = |data: &[u8]| data.last_chunk::<4>().copied();
                        let same = new_data.is_none_or(|new| minimum(new) == minimum(written.data));
                        if !same || wanted != ttl || self.last_ttl.is_some() {
                            let start = spans.entry.start;
                            let line = format!("$TTL {ttl}").into_bytes();
                            self.push(frame, Change { span: start..start, text: line, is_line: true });
                        }
                        Some(ttl)
                    }
                    Some(default) => entry.before.has_default_ttl().then_some(default),
                };
                if default.or(self.last_ttl) != Some(wanted) {
                    write_ttl = Some(wanted);
                    self.last_ttl = Some(wanted);
                }
            }
        }
        if name.is_some() || write_ttl.is_some() {
            self.replace(frame, rehead(entry.text, spans, name.as_deref(), write_ttl));
        }
        if let Some(data) = new_data {
            let relative = self.owner_relative(frame, entry);
            self.replace(frame, written.replace(data, relative));
        }
    }

    /// Returns the TTL in force after a record that was not set by a record, if there is one.
    fn default_behind(&self, entry: &Entry<'_>) -> Option<u32> {
        match (&entry.content, entry.before.ttl()) {
            (Content::Record { ttl, spans, .. }, None) => spans.ttl.is_none().then_some(*ttl),
            (_, default) => default.filter(|_| entry.before.has_default_ttl()),
        }
    }

    /// Queues the records to insert after a `$GENERATE` entry.
    fn behind(&mut self, frame: &mut Frame, entry: &Entry<'_>, op: &Op) {
        if op.behind.is_empty() {
            return;
        }
        let look = self.look(frame, entry);
        frame.waiting.extend(op.behind.iter().map(|new| Waiting { new: new.clone(), look: look.clone() }));
    }

    /// Inserts the waiting records where the next record does not inherit its owner.
    fn flush(&mut self, frame: &mut Frame, entry: &Entry<'_>) {
        let owner = entry.before.owner().unwrap_or_default();
        let default = entry.before.ttl().filter(|_| entry.before.has_default_ttl());
        for Waiting { new, look } in std::mem::take(&mut frame.waiting) {
            self.insert(frame, entry, owner, default, &new, &look);
        }
    }

    /// Inserts the records at the end of the zone's own file.
    fn end(&mut self, frame: &mut Frame, entry: &Entry<'_>) {
        if self.plan.at_end.is_empty() {
            return;
        }
        let look = self.look(frame, entry);
        // After the last comment, but before trailing blank lines.
        frame.behind = line_end(entry.text, entry.text.trim_ascii_end().len());
        let owner = entry.before.owner().unwrap_or_default();
        let default = entry.before.ttl().filter(|_| entry.before.has_default_ttl());
        let plan = self.plan;
        for new in &plan.at_end {
            self.insert(frame, entry, owner, default, new, &look);
        }
    }

    /// Returns the layout of a line that matches the last record.
    fn look(&self, frame: &Frame, entry: &Entry<'_>) -> Look {
        let owner_relative = self.owner_relative(frame, entry);
        let Some((spans, rtype)) = &frame.last else { return Look { owner_relative, ..Look::default() } };
        let style = match &entry.content {
            Content::Record { data, generated: false, .. } => {
                let written = Written { text: entry.text, spans, origin: entry.before.origin(), rtype: *rtype, data };
                Some(written.style(owner_relative))
            }
            _ => None,
        };
        let padded = frame.padded.as_ref();
        let layout = Layout::of(entry.text, spans, padded);
        let layout = layout.or_else(|| Layout::of(entry.text, padded?, None)).unwrap_or_default();
        Look { layout, owner_relative, data: style, rtype: Some(*rtype), leans: None }
    }

    /// Returns whether names are relative to the origin, judging by the last explicit owner.
    fn owner_relative(&self, frame: &Frame, entry: &Entry<'_>) -> bool {
        let owner = match &entry.content {
            Content::Record { owner, generated: false, .. } => Some(*owner),
            _ => entry.before.owner(),
        };
        let told = frame.owner_at.clone().zip(owner);
        told.and_then(|(span, owner)| is_relative(&entry.text[span], owner, entry.before.origin())).unwrap_or(true)
    }

    /// Inserts a record after the last entry; `owner` is the one in force there in the old text.
    fn insert(
        &mut self,
        frame: &mut Frame,
        entry: &Entry<'_>,
        owner: &[u8],
        default: Option<u32>,
        new: &New,
        look: &Look,
    ) {
        let origin = entry.before.origin();
        let same = name::eq(&new.owner, frame.owner.as_deref().unwrap_or(owner));
        let leaves_out = same && look.leans.unwrap_or(new.leans);
        let name = match &frame.owner_at {
            _ if leaves_out => None,
            Some(span) if name::eq(&new.owner, owner) => Some(entry.text[span.clone()].to_vec()),
            _ => Some(spell(&new.owner, origin, look.owner_relative).into_bytes()),
        };
        let known = default.or(self.last_ttl);
        let ttl = (known != Some(new.ttl) || default.is_none() && look.layout.has_ttl()).then_some(new.ttl);
        if ttl.is_some() {
            self.last_ttl = ttl;
        }
        let style = look.data.unwrap_or(data::Style { relative: look.owner_relative, small: false });
        let small = style.small && look.rtype == Some(new.rtype);
        let text = data::text(new.rtype, &new.data, origin, data::Style { small, ..style });
        let line = look.layout.line(name.as_deref(), ttl, &new.rtype.to_string(), text.as_bytes());
        let at = frame.behind;
        self.push(frame, Change { span: at..at, text: line, is_line: true });
        frame.owner = (!name::eq(&new.owner, owner)).then(|| new.owner.clone());
    }

    fn replace(&mut self, frame: &Frame, edits: Vec<(Range<usize>, Vec<u8>)>) {
        for (span, text) in edits {
            self.change(frame, span, text);
        }
    }

    fn change(&mut self, frame: &Frame, span: Range<usize>, text: Vec<u8>) {
        self.push(frame, Change { span, text, is_line: false });
    }

    fn push(&mut self, frame: &Frame, change: Change) {
        if self.times[frame.file] > 1 && self.fixed.is_none() {
            let spot = Spot { file: frame.file, start: change.span.start };
            let reason = "this file is included more than once, so a change here would change other records too";
            self.fixed = Some((spot, reason.to_string()));
        }
        self.changes[frame.file].push(change);
    }
}

/// Returns the start of the line after the one that contains `end`.
fn line_end(text: &[u8], end: usize) -> usize {
    let rest = &text[end..];
    end + rest.iter().position(|&octet| octet == b'\n').map_or(rest.len(), |at| at + 1)
}

/// Returns a text with changes applied; a new line gets the line ending of the one before it.
pub(super) fn apply(text: &[u8], mut changes: Vec<Change>) -> Vec<u8> {
    changes.sort_by_key(|change| change.span.start);
    let line_end = |new: &[u8]| -> &'static [u8] {
        let before = new.iter().rposition(|&octet| octet == b'\n').map(|at| &new[..at]);
        let after = || text.iter().position(|&octet| octet == b'\n').map(|at| &text[..at]);
        if before.or_else(after).is_some_and(|line| line.ends_with(b"\r")) { b"\r\n" } else { b"\n" }
    };
    let mut new = Vec::with_capacity(text.len() + 64);
    let mut at = 0;
    for Change { span, text: replacement, is_line } in changes {
        new.extend_from_slice(&text[at..span.start.max(at)]);
        if is_line && !matches!(new.as_slice(), [] | [.., b'\n'] | b"\xef\xbb\xbf") {
            let end = line_end(&new);
            new.extend_from_slice(end);
        }
        new.extend_from_slice(&replacement);
        if is_line {
            let end = line_end(&new);
            new.extend_from_slice(end);
        }
        at = span.end.max(at);
    }
    new.extend_from_slice(&text[at..]);
    new
}
