//! The inputs of replies other than the zones: the operator's settings, the secret of cookies, and the rate limiter.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::run::Run;
use super::tcp;
use crate::answer::{Event, Limiter, Secret, Settings};
use crate::config::Config;

/// The inputs of replies other than the zones.
pub(super) struct Answers {
    pub(super) settings: Settings,
    pub(super) limiter: Option<Limiter>,
    /// The first answer from a zone.
    pub(super) first: Milestone,
    /// The run of the system in which the secret of cookies was drawn; `None` if the secret is configured, or if runs
    /// cannot be told apart.
    run: Mutex<Option<Run>>,
}

impl Answers {
    /// Returns them as configured. The secrets of cookies, unless they are configured, and of the limiter are derived from
    /// random octets.
    pub(super) fn new(config: &Config, cookie: [u8; 16], limiter: [u8; 16]) -> Self {
        let (secrets, run) = match config.cookie_secrets.as_slice() {
            [] => (&[Secret::new(cookie)][..], Run::current()),
            given => (given, None),
        };
        let settings = Settings::new(secrets)
            .payload(config.edns_payload)
            .nsid(config.nsid.clone())
            .report_channel(config.report_channel.clone())
            .version(config.version_text.clone())
            .idle(tcp::IDLE);
        Self {
            settings,
            limiter: config.rate_limit.map(|limit| Limiter::new(limit, limiter)),
            first: Milestone::default(),
            run: Mutex::new(run),
        }
    }

    /// Draws a new secret for cookies if the system is in another run: this machine is then a copy made from a
    /// snapshot, and other copies may have the same secret. A configured secret stays, because other servers are meant
    /// to share it.
    pub(super) fn renew_secret(&self, current: Option<Run>) {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        if run.is_none() || current.is_none() || *run == current {
            return;
        }
        let mut secret = [0; 16];
        match getrandom::fill(&mut secret) {
            Ok(()) => {
                self.settings.renew_secret(&Secret::new(secret));
                *run = current;
                log::info!("resumed, perhaps from a snapshot: DNS cookies are made with a new secret from now on");
            }
            Err(error) => log::error!("resumed, but there is no new secret for DNS cookies: {error}; retrying"),
        }
    }

    /// Logs which clients' replies are rate-limited, and which are no longer.
    pub(super) fn report_limits(&self, uptime: Duration) {
        let Some(limiter) = &self.limiter else { return };
        let (dropped, truncated) = limiter.held_back();
        for event in limiter.events(uptime) {
            match event {
                Event::Began(network, kind) => {
                    log::warn!("rate limit: too many {kind} to {network}; some are dropped or truncated from now on");
                }
                Event::Ended(network, kind) => log::info!(
                    "rate limit: no longer too many {kind} to {network}; since the start {dropped} replies were dropped \
                     and {truncated} truncated"
                ),
            }
        }
    }
}

/// A moment that is reached once.
///
/// Checking it costs an answering thread one load, so a thread that waits for it has to poll.
#[derive(Default)]
pub(super) struct Milestone {
    /// Milliseconds since the start plus one, or 0 until it is reached.
    reached: AtomicU64,
}

impl Milestone {
    pub(super) fn reach(&self, uptime: Duration) {
        if self.reached.load(Ordering::Relaxed) == 0 {
            let milliseconds = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX - 1);
            // A failed exchange means that another thread was first.
            let _ = self.reached.compare_exchange(0, milliseconds + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Returns when it was reached, in milliseconds since the start.
    pub(super) fn reached(&self) -> Option<u64> {
        self.reached.load(Ordering::Relaxed).checked_sub(1)
    }
}
