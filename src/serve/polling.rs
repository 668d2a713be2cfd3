//! The state of polling: who may request polls by notifications and hooks, and when the source was last in agreement.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{follower, http, seconds};
use crate::config::{Config, Networks, Origin};
use crate::notify::Trigger;

/// The state of polling.
pub(super) struct Polling {
    /// The networks from which unsigned notifications are accepted.
    allowed: Networks,
    /// The primaries, which may send notifications, too.
    pub(super) primaries: Vec<IpAddr>,
    /// Mailbox of the thread that follows primaries; `None` if zones come from git.
    pub(super) follower: Option<Arc<follower::Calls>>,
    /// Last time at which the remote was known to have what is served, in seconds since 1970; 0 if it never was.
    agreed: AtomicU64,
    /// Polls of the remote requested by senders that prove nothing.
    unproven: Mutex<Trigger>,
}

impl Polling {
    /// Returns it as configured.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            allowed: config.allow_notify.clone(),
            primaries: primaries_of(&config.origin),
            follower: matches!(config.origin, Origin::Primaries { .. }).then(Arc::default),
            agreed: AtomicU64::new(0),
            unproven: Mutex::new(Trigger::new(http::UNPROVEN)),
        }
    }

    /// Returns whether unsigned notifications from an address are accepted.
    pub(super) fn allows(&self, source: IpAddr) -> bool {
        self.allowed.contain(source) || self.primaries.contains(&source)
    }

    /// Records that the remote has what is served at this time.
    pub(super) fn agree(&self) {
        self.agreed.store(seconds(), Ordering::Relaxed);
    }

    /// Returns the last time at which the remote was known to have what is served, in seconds since 1970.
    pub(super) fn agreed(&self) -> Option<u64> {
        Some(self.agreed.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0)
    }

    /// Returns the polls requested by senders that prove nothing.
    pub(super) fn unproven(&self) -> MutexGuard<'_, Trigger> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the addresses of all primaries.
fn primaries_of(origin: &Origin) -> Vec<IpAddr> {
    match origin {
        Origin::Git(_) => Vec::new(),
        Origin::Primaries { zones, primaries } => {
            let all = zones.values().flatten().chain(primaries);
            all.map(|primary| primary.address.ip().to_canonical()).collect()
        }
    }
}
