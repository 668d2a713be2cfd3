//! What is served no longer, on its way to be freed by a thread that nobody waits for.
//!
//! Freeing a large version takes long and goes deep, so it is the work of neither the writer nor a thread that answers:
//! the writer hands the old version in and goes on, and it is freed when the last reader has let go of it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Served;
use crate::transfer::Outgoing;

/// How often versions that are still read are looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What waits to be freed: at most one version for each that readers still hold, and the one replaced last.
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
    /// Hands in a version that was replaced.
    pub(super) fn put(&self, version: Arc<Served>) {
        self.lock().versions.push(version);
        self.added.notify_one();
    }

    /// Hands in a transfer that has ended: it may be the last that holds a version of its zone.
    pub(super) fn put_transfer(&self, transfer: Outgoing) {
        self.lock().transfers.push(transfer);
        self.added.notify_one();
    }

    /// Frees what is handed in, for ever.
    pub(super) fn run(&self) -> ! {
        // Those whose readers have not finished.
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
            // Nobody can begin to read a version that is not served: one that is ours alone stays so.
            held.retain(|version| Arc::strong_count(version) > 1);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
