//! The pause that a rate-limiting remote asks for.

use super::{Error, HttpError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time until which the remote asked for no more requests, shared by all its clients in this process.
///
/// Until then, opening a conversation fails with the error that the remote gave, and nothing is sent.
#[derive(Clone, Debug, Default)]
pub struct Rest(Arc<Mutex<Option<(Instant, HttpError)>>>);

impl Rest {
    /// Returns how long no requests may be sent yet; `None` if they may be sent now.
    pub fn left(&self) -> Option<Duration> {
        let until = self.lock().as_ref()?.0;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Records that the remote asked, with `error`, for no requests during `wait`.
    pub(super) fn begin(&self, wait: Duration, error: &HttpError) {
        if let Some(until) = Instant::now().checked_add(wait) {
            *self.lock() = Some((until, error.clone()));
        }
    }

    /// Fails with the remote's error while no requests may be sent.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut rest = self.lock();
        match &*rest {
            Some((until, error)) if *until > Instant::now() => Err(Error::Http(error.clone())),
            _ => {
                *rest = None;
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Instant, HttpError)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
