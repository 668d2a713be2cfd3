//! EDNS: what a query's OPT record asks for and what the reply's says (RFC 6891).

use super::ExtendedError;
use super::cookie::{COOKIES, Cookies};
use crate::dns::message::Rcode;

/// Octets of an OPT record without options.
const OPT: usize = 11;

/// Octets in front of an option's data.
const OPTION: usize = 4;

/// Options by number.
mod code {
    /// RFC 5001.
    pub(super) const NSID: u16 = 3;
    /// RFC 7873.
    pub(super) const COOKIE: u16 = 10;
    /// RFC 7828.
    pub(super) const TCP_KEEPALIVE: u16 = 11;
    /// RFC 8914.
    pub(super) const EXTENDED_ERROR: u16 = 15;
}

/// What the query's OPT record says (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns<'q> {
    /// The most octets of a UDP reply the client takes.
    pub(super) payload: u16,
    pub(super) version: u8,
    /// The client wants DNSSEC records (RFC 3225).
    pub(super) dnssec_ok: bool,
    /// The client wants to know which server it is that answers.
    pub(super) nsid: bool,
    /// The client wants to know how long an idle connection lasts.
    pub(super) keepalive: bool,
    /// The client's cookies, well-formed.
    pub(super) cookies: Option<&'q [u8]>,
}

impl<'q> Edns<'q> {
    /// Takes note of the options in `data`; `None` if they are not whole or one is not what it must be.
    ///
    /// Options that are not known do not matter (RFC 6891 §6.1.2). Nor does padding (RFC 7830): there is no
    /// encrypted channel yet, so replies have nothing to hide by it.
    pub(super) fn read_options(&mut self, mut data: &'q [u8]) -> Option<()> {
        while !data.is_empty() {
            let (&[c0, c1, l0, l1], tail) = data.split_first_chunk::<OPTION>()?;
            let (option, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            data = after;
            match u16::from_be_bytes([c0, c1]) {
                code::NSID => self.nsid = true,
                code::TCP_KEEPALIVE => self.keepalive = true,
                // RFC 7873 §5.2: the first counts.
                code::COOKIE if self.cookies.is_none() => {
                    if !Cookies::is_well_formed(option) {
                        return None;
                    }
                    self.cookies = Some(option);
                }
                _ => {}
            }
        }
        Some(())
    }
}

/// What the reply's OPT record says, apart from what the answer comes to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt<'s> {
    /// The most octets of a query over UDP we take, which is what we send at most, too.
    pub(super) payload: u16,
    /// DO as asked (RFC 3225 §3).
    pub(super) dnssec_ok: bool,
    pub(super) nsid: Option<&'s [u8]>,
    pub(super) cookies: Option<[u8; COOKIES]>,
    /// How long an idle connection lasts, in tenths of a second.
    pub(super) keepalive: Option<u16>,
}

impl Opt<'_> {
    /// Returns how many octets the record has without an extended error.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let nsid = self.nsid.map_or(0, |nsid| OPTION + nsid.len());
        let cookies = if self.cookies.is_some() { OPTION + COOKIES } else { 0 };
        let keepalive = if self.keepalive.is_some() { OPTION + 2 } else { 0 };
        OPT + nsid + cookies + keepalive
    }

    /// Writes the record into `room`, which has [`Self::len`] octets at least, and returns its length; the extended
    /// error is left out, or its text, if there is no room for it.
    #[inline]
    pub(super) fn write(&self, rcode: Rcode, extended: Option<ExtendedError<'_>>, room: &mut [u8]) -> Option<usize> {
        let record = room.first_chunk_mut::<OPT>()?;
        *record = [0, 0, 41, 0, 0, rcode.upper(), 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0];
        record[3..5].copy_from_slice(&self.payload.to_be_bytes());
        let plain = self.nsid.is_none() && self.cookies.is_none() && self.keepalive.is_none();
        if plain && extended.is_none() {
            return Some(OPT);
        }
        let mut at = OPT;
        if let Some(nsid) = self.nsid {
            at = option(room, at, code::NSID, &[nsid])?;
        }
        if let Some(cookies) = &self.cookies {
            at = option(room, at, code::COOKIE, &[cookies])?;
        }
        if let Some(keepalive) = self.keepalive {
            at = option(room, at, code::TCP_KEEPALIVE, &[&keepalive.to_be_bytes()])?;
        }
        if let Some(ExtendedError { code, text }) = extended {
            let code = code.to_be_bytes();
            let whole = option(room, at, code::EXTENDED_ERROR, &[&code, text.as_bytes()]);
            at = whole.or_else(|| option(room, at, code::EXTENDED_ERROR, &[&code])).unwrap_or(at);
        }
        room[OPT - 2..OPT].copy_from_slice(&((at - OPT) as u16).to_be_bytes());
        Some(at)
    }
}

/// Writes an option at `at` and returns where it ends, or `None` if there is no room for it.
fn option(room: &mut [u8], at: usize, code: u16, data: &[&[u8]]) -> Option<usize> {
    let len: usize = data.iter().map(|part| part.len()).sum();
    let (head, mut rest) = room.get_mut(at..at + OPTION + len)?.split_at_mut(OPTION);
    head[..2].copy_from_slice(&code.to_be_bytes());
    head[2..].copy_from_slice(&(len as u16).to_be_bytes());
    for part in data {
        let (space, after) = rest.split_at_mut(part.len());
        space.copy_from_slice(part);
        rest = after;
    }
    Some(at + OPTION + len)
}
