//! EDNS: the OPT records of queries and replies (RFC 6891).

use super::cookie::{COOKIES, Cookies};
use super::{ExtendedError, Verdict, ZoneVersion};

/// The length of an OPT record without options, in octets.
const OPT: usize = 11;

/// The length of an option's header, in octets.
const OPTION: usize = 4;

/// Option codes.
mod code {
    /// RFC 5001.
    pub(super) const NSID: u16 = 3;
    /// RFC 7873.
    pub(super) const COOKIE: u16 = 10;
    /// RFC 7828.
    pub(super) const TCP_KEEPALIVE: u16 = 11;
    /// RFC 8914.
    pub(super) const EXTENDED_ERROR: u16 = 15;
    /// RFC 9567.
    pub(super) const REPORT_CHANNEL: u16 = 18;
    /// RFC 9660.
    pub(super) const ZONE_VERSION: u16 = 19;
}

/// The length of the data of a zone version option, in octets (RFC 9660 §2).
const ZONE_VERSION: usize = 6;

/// The OPT record of a query (RFC 6891 §6.1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Edns<'q> {
    /// The maximum UDP payload that the client accepts, in octets.
    pub(super) payload: u16,
    pub(super) version: u8,
    /// Whether the client requests DNSSEC records (RFC 3225).
    pub(super) dnssec_ok: bool,
    /// Whether the client requests the server's identity (RFC 5001).
    pub(super) nsid: bool,
    /// Whether the client requests the idle timeout (RFC 7828).
    pub(super) keepalive: bool,
    /// Whether the client requests the serial number of the zone (RFC 9660).
    pub(super) zone_version: bool,
    /// The data of the client's COOKIE option, well-formed.
    pub(super) cookies: Option<&'q [u8]>,
}

impl<'q> Edns<'q> {
    /// Reads the options in `data`; returns `None` if they are truncated or one is malformed.
    ///
    /// Unknown options are ignored (RFC 6891 §6.1.2). Padding (RFC 7830) is ignored, too: no supported transport is
    /// encrypted, so replies are not padded.
    pub(super) fn read_options(&mut self, mut data: &'q [u8]) -> Option<()> {
        while !data.is_empty() {
            let (&[c0, c1, l0, l1], tail) = data.split_first_chunk::<OPTION>()?;
            let (option, after) = tail.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
            data = after;
            match u16::from_be_bytes([c0, c1]) {
                code::NSID => self.nsid = true,
                code::TCP_KEEPALIVE => self.keepalive = true,
                // RFC 9660: only replies have data.
                code::ZONE_VERSION if !option.is_empty() => return None,
                code::ZONE_VERSION => self.zone_version = true,
                // RFC 7873 §5.2: only the first one counts.
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

/// The OPT record of a reply, without the parts that depend on the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt<'s> {
    /// The maximum UDP payload that this server accepts, and sends, in octets.
    pub(super) payload: u16,
    /// The DO flag of the query (RFC 3225 §3).
    pub(super) dnssec_ok: bool,
    pub(super) nsid: Option<&'s [u8]>,
    pub(super) cookies: Option<[u8; COOKIES]>,
    /// The idle timeout, in tenths of a second.
    pub(super) keepalive: Option<u16>,
    /// Whether there is room for the version of a zone.
    pub(super) zone_version: bool,
    /// The agent domain for error reports, in wire form; omitted if there is no room for it (RFC 9567).
    pub(super) report_channel: Option<&'s [u8]>,
}

impl Opt<'_> {
    /// Returns the length of the record without an extended error and an agent domain, in octets.
    #[inline]
    pub(super) fn len(&self) -> usize {
        let nsid = self.nsid.map_or(0, |nsid| OPTION + nsid.len());
        let cookies = if self.cookies.is_some() { OPTION + COOKIES } else { 0 };
        let keepalive = if self.keepalive.is_some() { OPTION + 2 } else { 0 };
        let version = if self.zone_version { OPTION + ZONE_VERSION } else { 0 };
        OPT + nsid + cookies + keepalive + version
    }

    /// Writes the record into `room`, which must have at least [`Self::len`] octets, and returns its length. The
    /// extended error, or only its text, and the agent domain are omitted if there is no room for them.
    #[inline]
    pub(super) fn write(&self, verdict: &Verdict<'_>, room: &mut [u8]) -> Option<usize> {
        let Verdict { rcode, extended, zone_version, .. } = *verdict;
        let record = room.first_chunk_mut::<OPT>()?;
        *record = [0, 0, 41, 0, 0, rcode.upper(), 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0];
        record[3..5].copy_from_slice(&self.payload.to_be_bytes());
        let plain = self.nsid.is_none() && self.cookies.is_none() && self.keepalive.is_none();
        let plain = plain && self.report_channel.is_none() && !self.zone_version;
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
        if let (true, Some(ZoneVersion { labels, serial })) = (self.zone_version, zone_version) {
            // RFC 9660 §2: type 0 is the serial number of the SOA record.
            at = option(room, at, code::ZONE_VERSION, &[&[labels, 0], &serial.0.to_be_bytes()])?;
        }
        if let Some(ExtendedError { code, text }) = extended {
            let code = code.to_be_bytes();
            let with_text = option(room, at, code::EXTENDED_ERROR, &[&code, text.as_bytes()]);
            at = with_text.or_else(|| option(room, at, code::EXTENDED_ERROR, &[&code])).unwrap_or(at);
        }
        if let Some(agent) = self.report_channel {
            at = option(room, at, code::REPORT_CHANNEL, &[agent]).unwrap_or(at);
        }
        room[OPT - 2..OPT].copy_from_slice(&((at - OPT) as u16).to_be_bytes());
        Some(at)
    }
}

/// Writes an option at `at` and returns the offset after it, or `None` if there is no room.
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
