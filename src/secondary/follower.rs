//! The state of one followed zone: its current version and its timers.

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

/// The maximum REFRESH and RETRY that are honoured: a typo must not make a zone stale for years.
const MAX_INTERVAL: Duration = Duration::from_secs(28 * 86_400);

/// The maximum wait after a failure if there is nothing current to serve and the primaries cannot be reached.
const MAX_UNREACHABLE_WAIT: Duration = Duration::from_secs(60);

/// The maximum wait after a failure if a primary can be reached but its transfers are invalid.
const MAX_INVALID_WAIT: Duration = Duration::from_secs(900);

/// A followed zone.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) primaries: Vec<Primary>,
    /// The last valid version. It is kept after expiry, so that differences are enough afterwards.
    pub(super) held: Option<Arc<Zone>>,
    pub(super) expired: bool,
    /// When the current version expires, unless a primary answers before.
    pub(super) expires: Option<Duration>,
    pub(super) phase: Phase,
    /// The primaries that this round has not tried yet.
    pub(super) remaining: VecDeque<Primary>,
    /// The number of consecutive failed rounds.
    pub(super) failures: u32,
    /// The repeated failures of its primaries, except that they cannot be reached.
    pub(super) trouble: Trouble,
    /// The number of transfers of differences that were lost since a primary last answered.
    pub(super) lost_differences: u32,
    /// Whether a primary is known to have a newer version.
    pub(super) behind: bool,
    /// Whether a notification arrived during a round, with its serial number if it had one.
    pending: Option<Option<Serial>>,
    /// The sender of the last notification.
    notifier: Option<IpAddr>,
    /// When the last round began, or its query was retransmitted.
    pub(super) started: Option<Duration>,
    /// When the timer expires.
    pub(super) timer: Option<Duration>,
}

/// The current activity for a zone.
#[derive(Debug)]
pub(super) enum Phase {
    /// Idle until `due`.
    Idle { due: Duration },
    /// Waiting for the reply to an SOA query.
    Asking(Box<Asking>),
    /// Waiting for a free transfer slot; `whole` to transfer the whole zone.
    Queued { primary: Primary, whole: bool },
    /// Transferring; fails if there is no progress until `idle`, and at `end` in any case.
    Transferring { primary: Primary, order: u64, whole: bool, idle: Duration, end: Duration },
}

/// An outstanding SOA query.
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
    /// Returns when the next action is due.
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
            remaining: VecDeque::new(),
            failures: 0,
            trouble: Trouble::default(),
            lost_differences: 0,
            behind: false,
            pending: None,
            notifier: None,
            started: None,
            timer: None,
        }
    }

    /// Returns when the next action is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let expires = self.expires.filter(|_| !self.expired);
        self.phase.due().into_iter().chain(expires).min()
    }

    /// Returns whether a version with this serial number should replace the current one.
    pub(super) fn is_outdated_by(&self, serial: Serial) -> bool {
        self.held.as_ref().is_none_or(|held| serial.is_newer_than(held.serial()))
    }

    /// Starts a round, with the primary that sent a notification first.
    pub(super) fn begin_round(&mut self, now: Duration) {
        self.started = Some(now);
        self.pending = None;
        self.remaining = self.primaries.iter().cloned().collect();
        if let Some(notifier) = self.notifier.take()
            && let Some(at) = self.remaining.iter().position(|primary| primary.address.ip().to_canonical() == notifier)
            && let Some(primary) = self.remaining.remove(at)
        {
            self.remaining.push_front(primary);
        }
    }

    /// Handles a notification (RFC 1996 §4.3–§4.5): schedules a check of the zone as soon as the limits allow.
    pub(super) fn notified(&mut self, source: IpAddr, serial: Option<Serial>, now: Duration, limits: &Limits) {
        if !self.expired && serial.is_some_and(|serial| !self.is_outdated_by(serial)) {
            return;
        }
        self.notifier = Some(source);
        self.behind |= serial.is_some();
        if !self.schedule(now, limits) {
            self.pending = Some(match (self.pending, serial) {
                (None, serial) => serial,
                (Some(Some(a)), Some(b)) => Some(if b.is_newer_than(a) { b } else { a }),
                _ => None,
            });
        }
    }

    /// Schedules a check at this time, or as soon as the limits allow, if the zone is idle; returns whether it is.
    pub(super) fn schedule(&mut self, at: Duration, limits: &Limits) -> bool {
        let earliest = self.earliest(at, limits);
        match &mut self.phase {
            Phase::Idle { due } => *due = earliest.min(*due),
            _ => return false,
        }
        true
    }

    /// Returns the earliest time for an unscheduled round.
    fn earliest(&self, now: Duration, limits: &Limits) -> Duration {
        self.started.map_or(now, |started| now.max(started + limits.interval))
    }

    /// Records that a primary answered. Returns how long to wait for the next check, and the time of an earlier check
    /// if a notification for a newer version arrived in the meantime.
    pub(super) fn succeeded(&mut self, now: Duration, limits: &Limits) -> (Duration, Option<Duration>) {
        let [refresh, retry, expire] = self.timers();
        let refresh = refresh.clamp(limits.min_refresh, MAX_INTERVAL);
        let retry = retry.clamp(limits.min_retry, MAX_INTERVAL);
        (self.failures, self.lost_differences) = (0, 0);
        (self.behind, self.expired) = (false, false);
        self.expires = self.held.as_ref().map(|_| now + expire.max(refresh + retry));
        let uncovered =
            self.pending.take().is_some_and(|serial| serial.is_none_or(|serial| self.is_outdated_by(serial)));
        (refresh, uncovered.then(|| self.earliest(now, limits)))
    }

    /// Records that a round failed, because connections failed if `lost`; returns how long to wait for the next one.
    ///
    /// The wait is the zone's RETRY, or less if a newer version is known or there is no usable version.
    pub(super) fn failed(&mut self, lost: bool, limits: &Limits) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.pending = None;
        let urgent = Duration::from_secs(1 << (self.failures - 1).min(12));
        let urgent = urgent.min(if lost { MAX_UNREACHABLE_WAIT } else { MAX_INVALID_WAIT });
        let [_, retry, _] = self.timers();
        let retry = retry.clamp(limits.min_retry, MAX_INTERVAL);
        match &self.held {
            Some(_) if self.expired => retry.min(urgent),
            Some(_) if self.behind => retry.min(urgent),
            Some(_) => retry,
            None => urgent,
        }
    }

    /// Marks the current version as expired if it is time; returns whether it just expired.
    pub(super) fn expire(&mut self, now: Duration) -> bool {
        let expires = !self.expired && self.held.is_some() && self.expires.is_some_and(|expires| expires <= now);
        self.expired |= expires;
        expires
    }

    /// Returns REFRESH, RETRY and EXPIRE of the current version (RFC 1035 §3.3.13).
    fn timers(&self) -> [Duration; 3] {
        let node = self.held.as_ref().and_then(|held| held.node(held.apex()));
        let soa = node.and_then(|node| node.rrset(Type::SOA)?.rdata().next()).unwrap_or_default();
        let Some([_, _, _, _, rest @ ..]) = soa.last_chunk::<20>() else { return [Duration::ZERO; 3] };
        let (timers, _) = rest.as_chunks::<4>();
        [0, 1, 2].map(|at| Duration::from_secs(u32::from_be_bytes(timers[at]).into()))
    }
}
