//! Leaving the remote alone while it asks for that.

use super::{Error, HttpError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Until when the remote asked not to be asked, shared by all who ask it.
///
/// Whoever opens a conversation meanwhile gets the error that the remote gave, and nothing is sent.
#[derive(Clone, Debug, Default)]
pub struct Rest(Arc<Mutex<Option<(Instant, HttpError)>>>);

impl Rest {
    /// Returns how much longer the remote is to be left alone; `None` if it may be asked.
    pub fn left(&self) -> Option<Duration> {
        let until = self.lock().as_ref()?.0;
        Some(until.saturating_duration_since(Instant::now())).filter(|left| !left.is_zero())
    }

    /// Notes that the remote asks to be left alone for so long, by this error.
    pub(super) fn begin(&self, wait: Duration, error: &HttpError) {
        if let Some(until) = Instant::now().checked_add(wait) {
            *self.lock() = Some((until, error.clone()));
        }
    }

    /// Fails, as the remote did, while it is to be left alone.
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
