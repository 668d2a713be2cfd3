//! The state of updates: the queue of the writer, recent updates, and the last error of the remote.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::queue::{Outcome, Queue, Ticket};
use super::seconds;
use crate::config::{Config, Networks};
use crate::dns::message::Rcode;
use crate::tsig::{self, Replays};

/// The state of updates.
pub(super) struct Updates {
    /// The updates that wait for the writer.
    pub(super) queue: Queue,
    /// Recent updates, so that none is made twice.
    replays: Mutex<Replays<Arc<Ticket>>>,
    /// The networks from which updates are accepted; `None` for all.
    pub(super) allowed: Option<Networks>,
    /// How long an update may take.
    pub(super) patience: Duration,
    /// The error of the last request to the remote, if it failed.
    obstacle: Mutex<Option<String>>,
}

impl Updates {
    /// Returns them as configured; nothing waits.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            queue: Queue::default(),
            // Updates signed before the start may have been accepted by a previous run. The two seconds allow for clock
            // ticks.
            replays: Mutex::new(Replays::new(tsig::Limits::default(), seconds().saturating_sub(2))),
            allowed: config.allow_update.clone(),
            patience: config.update_patience,
            obstacle: Mutex::default(),
        }
    }

    /// Returns the recent updates.
    pub(super) fn replays(&self) -> MutexGuard<'_, Replays<Arc<Ticket>>> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles a clock adjustment of `jump` seconds: the clock was wrong before.
    ///
    /// Updates signed before the start are refused because a previous run may have accepted them. Only a correct clock
    /// can tell when the start was: if the clock was ahead, all updates would be refused until that time is reached.
    pub(super) fn clock_jumped(&self, jump: i32) {
        let now = seconds();
        let mut replays = self.replays();
        let floor = if jump > 0 { replays.floor().max(now) } else { replays.floor().min(now) };
        replays.set_floor(floor);
        log::warn!("the clock was set by {jump:+} s: no update is taken that was signed until now");
    }

    /// Records the error of the last request to the remote, or `None` if it succeeded.
    pub(super) fn set_obstacle(&self, error: Option<&str>) {
        *self.obstacle.lock().unwrap_or_else(PoisonError::into_inner) = error.map(str::to_owned);
    }

    /// Returns the error of the last request to the remote, if it failed.
    pub(super) fn obstacle(&self) -> Option<String> {
        self.obstacle.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the outcome of an update that the remote has not accepted in time.
    pub(super) fn overdue(&self) -> Outcome {
        let reason = match self.obstacle() {
            Some(error) => format!("the git remote did not take the update in time: {error}"),
            None => "the git remote did not answer in time".to_string(),
        };
        Outcome::because(Rcode::SERVER_FAILURE, &reason)
    }
}
