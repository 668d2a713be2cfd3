//! One zone followed: what is held of it, and when to look again.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::events::Limits;
use super::sources::Primary;
use crate::dns::{Serial, Type};
use crate::telemetry::Trouble;
use crate::tsig::Sent;
use crate::zone::Zone;

/// The longest REFRESH and RETRY that are honoured: a typing error must not make a zone stale for years.
const LONGEST: Duration = Duration::from_secs(28 * 86_400);

/// How long to wait at most after a failure while there is nothing good to serve, or a primary cannot be reached.
const LONGEST_URGENT: Duration = Duration::from_secs(60);

/// How long to wait at most if a primary can be reached but its transfers are no good.
const LONGEST_WRONG: Duration = Duration::from_secs(900);

/// A zone followed.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) primaries: Vec<Primary>,
    /// The last good version; it is kept when it has expired, so that differences suffice afterwards.
    pub(super) held: Option<Arc<Zone>>,
    pub(super) expired: bool,
    /// When the version held expires, if no primary is heard before.
    pub(super) expires: Option<Duration>,
    pub(super) phase: Phase,
    /// The primaries the round has not come to yet.
    pub(super) left: VecDeque<Primary>,
    /// How many rounds have failed in a row.
    pub(super) failures: u32,
    /// What is wrong with its primaries, other than that they cannot be reached.
    pub(super) trouble: Trouble,
    /// How many transfers of differences got lost since a primary last answered.
    pub(super) lost_differences: u32,
    /// A primary is known to have a newer version.
    pub(super) behind: bool,
    /// A notification came while a round was under way, telling this serial number if any.
    again: Option<Option<Serial>>,
    /// Who sent the last notification.
    notifier: Option<IpAddr>,
    /// When the last round began, or its query was sent again.
    pub(super) begun: Option<Duration>,
    /// When the timer is set to.
    pub(super) timer: Option<Duration>,
}

/// What is being done for a zone.
#[derive(Debug)]
pub(super) enum Phase {
    /// Nothing, until then.
    Idle { due: Duration },
    /// A reply to an SOA query is awaited.
    Asking(Box<Asking>),
    /// A transfer is to begin when there may be one more; `whole` if it is to be of the whole zone.
    Queued { primary: Primary, whole: bool },
    /// A transfer is under way; it fails if there is no progress until `idle`, and at `end` in any case.
    Transferring { primary: Primary, order: u64, whole: bool, idle: Duration, end: Duration },
}

/// An SOA query whose reply is awaited.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) primary: Primary,
    pub(super) to: SocketAddr,
    pub(super) id: u16,
    pub(super) message: Vec<u8>,
    pub(super) sent: Option<Sent>,
    pub(super) tries: u32,
    pub(super) due: Duration,
}

impl Phase {
    /// Returns when something is to be done.
    pub(super) fn due(&self) -> Option<Duration> {
        match self {
            Self::Idle { due } => Some(*due),
            Self::Asking(asking) => Some(asking.due),
            Self::Queued { .. } => None,
            Self::Transferring { idle, end, .. } => Some(*idle.min(end)),
        }
    }
}

impl Follower {
    pub(super) fn new(primaries: Vec<Primary>) -> Self {
        Self {
            primaries,
            held: None,
            expired: false,
            expires: None,
            phase: Phase::Idle { due: Duration::ZERO },
            left: VecDeque::new(),
            failures: 0,
            trouble: Trouble::default(),
            lost_differences: 0,
            behind: false,
            again: None,
            notifier: None,
            begun: None,
            timer: None,
        }
    }

    /// Returns when something is to be done.
    pub(super) fn due(&self) -> Option<Duration> {
        let expires = self.expires.filter(|_| !self.expired);
        self.phase.due().into_iter().chain(expires).min()
    }

    /// Returns whether a version of this serial number is to replace what is held.
    pub(super) fn wants(&self, serial: Serial) -> bool {
        self.held.as_ref().is_none_or(|held| serial.is_newer_than(held.serial()))
    }

    /// Begins to look for changes, first with the primary that has notified us.
    pub(super) fn begin_round(&mut self, now: Duration) {
        self.begun = Some(now);
        self.again = None;
        self.left = self.primaries.iter().cloned().collect();
        if let Some(notifier) = self.notifier.take()
            && let Some(at) = self.left.iter().position(|primary| primary.address.ip().to_canonical() == notifier)
            && let Some(primary) = self.left.remove(at)
        {
            self.left.push_front(primary);
        }
    }

    /// Takes a notification over (RFC 1996 §4.3–§4.5): the zone is looked after as soon as it may.
    pub(super) fn notified(&mut self, source: IpAddr, serial: Option<Serial>, now: Duration, limits: &Limits) {
        if !self.expired && serial.is_some_and(|serial| !self.wants(serial)) {
            return;
        }
        self.notifier = Some(source);
        self.behind |= serial.is_some();
        if !self.look(now, limits) {
            self.again = Some(match (self.again, serial) {
                (None, serial) => serial,
                (Some(Some(a)), Some(b)) => Some(if b.is_newer_than(a) { b } else { a }),
                _ => None,
            });
        }
    }

    /// Sees to it that a zone that is idle is looked after at this time, or as soon as it may; returns whether it is.
    pub(super) fn look(&mut self, at: Duration, limits: &Limits) -> bool {
        let soonest = self.soonest(at, limits);
        match &mut self.phase {
            Phase::Idle { due } => *due = soonest.min(*due),
            _ => return false,
        }
        true
    }

    /// Returns when the next round may begin that was not planned.
    fn soonest(&self, now: Duration, limits: &Limits) -> Duration {
        self.begun.map_or(now, |begun| now.max(begun + limits.interval))
    }

    /// Notes that a primary has answered; returns how long to wait for the next look, and when it is to be if a
    /// notification has come meanwhile that is not covered by what is held.
    pub(super) fn succeeded(&mut self, now: Duration, limits: &Limits) -> (Duration, Option<Duration>) {
        let [refresh, retry, expire] = self.timers();
        let refresh = refresh.clamp(limits.least_refresh, LONGEST);
        let retry = retry.clamp(limits.least_retry, LONGEST);
        (self.failures, self.lost_differences) = (0, 0);
        (self.behind, self.expired) = (false, false);
        self.expires = self.held.as_ref().map(|_| now + expire.max(refresh + retry));
        let uncovered = self.again.take().is_some_and(|serial| serial.is_none_or(|serial| self.wants(serial)));
        (refresh, uncovered.then(|| self.soonest(now, limits)))
    }

    /// Notes that a round has failed, because connections did if `lost`; returns how long to wait for the next.
    ///
    /// That is the zone's RETRY, but less if there is something to be had: a newer version, or any.
    pub(super) fn failed(&mut self, lost: bool, limits: &Limits) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.again = None;
        let urgent = Duration::from_secs(1 << (self.failures - 1).min(12));
        let urgent = urgent.min(if lost { LONGEST_URGENT } else { LONGEST_WRONG });
        let [_, retry, _] = self.timers();
        let retry = retry.clamp(limits.least_retry, LONGEST);
        match &self.held {
            Some(_) if self.expired => retry.min(urgent),
            Some(_) if self.behind => retry.min(urgent),
            Some(_) => retry,
            None => urgent,
        }
    }

    /// Lets the version held expire if it is time; returns whether it just has.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let expires = !self.expired && self.held.is_some() && self.expires.is_some_and(|expires| expires <= now);
        self.expired |= expires;
        expires
    }

    /// Returns REFRESH, RETRY and EXPIRE of the version held (RFC 1035 §3.3.13).
    fn timers(&self) -> [Duration; 3] {
        let node = self.held.as_ref().and_then(|held| held.node(held.apex()));
        let soa = node.and_then(|node| node.rrset(Type::SOA)?.rdata().next()).unwrap_or_default();
        let Some([_, _, _, _, rest @ ..]) = soa.last_chunk::<20>() else { return [Duration::ZERO; 3] };
        let (timers, _) = rest.as_chunks::<4>();
        [0, 1, 2].map(|at| Duration::from_secs(u32::from_be_bytes(timers[at]).into()))
    }
}
