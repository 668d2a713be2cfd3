//! Versions that are no longer served, on their way to be freed by a thread of its own.
//!
//! Freeing a large version takes long and recurses deeply, so neither the writer nor a thread that answers does it: the
//! writer hands over the old version and goes on, and the version is freed once its last reader has released it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Served;
use crate::transfer::Outgoing;

/// Interval at which versions that are still being read are checked.
const LOOK: Duration = Duration::from_millis(5);

/// Versions waiting to be freed: at most those that readers still hold, and the one replaced last.
#[derive(Default)]
pub(super) struct Retired {
    inner: Mutex<Inner>,
    added: Condvar,
}

#[derive(Default)]
struct Inner {
    versions: Vec<Arc<Served>>,
    transfers: Vec<Outgoing>,
}

impl Retired {
    /// Hands over a version that was replaced.
    pub(super) fn put(&self, version: Arc<Served>) {
        self.lock().versions.push(version);
        self.added.notify_one();
    }

    /// Hands over a transfer that has ended: it may hold the last reference to a version of its zone.
    pub(super) fn put_transfer(&self, transfer: Outgoing) {
        self.lock().transfers.push(transfer);
        self.added.notify_one();
    }

    /// Frees what is handed over, indefinitely.
    pub(super) fn run(&self) -> ! {
        // Versions that are still being read.
        let mut held: Vec<Arc<Served>> = Vec::new();
        loop {
            let new = {
                let inner = self.lock();
                let is_empty = |inner: &mut Inner| inner.versions.is_empty() && inner.transfers.is_empty();
                let patience = if held.is_empty() { Duration::from_secs(3600) } else { LOOK };
                let waited = self.added.wait_timeout_while(inner, patience, is_empty);
                std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
            };
            drop(new.transfers);
            held.extend(new.versions);
            // Nobody can start reading a version that is no longer served, so once only we hold it, that stays so.
            held.retain(|version| Arc::strong_count(version) > 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
