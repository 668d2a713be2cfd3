//! A bounded mailbox: messages to one thread from many others, some of which act for strangers. Senders never wait.
//!
//! Messages about the same subject are merged, so there are never more messages than subjects (zones, transfers in
//! progress). Datagrams may come from anybody: when there are too many, new ones are dropped, like on a full socket
//! buffer, and the peer retransmits.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Maximum number of waiting datagrams, and their maximum total size in octets.
const DATAGRAMS: usize = 1024;
const OCTETS: usize = 256 * 1024;

/// Items that wait for a thread: messages of type `V` about subjects of type `K`, and datagrams.
pub(super) struct Mailbox<K, V> {
    inner: Mutex<Inner<K, V>>,
    filled: Condvar,
}

struct Inner<K, V> {
    /// The subjects in order of arrival, each once.
    order: VecDeque<K>,
    messages: HashMap<K, V>,
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    /// Total size of all datagrams, in octets.
    octets: usize,
    /// Whether the last item taken was a message: a datagram is next, if there is one.
    is_datagrams_turn: bool,
}

/// An item taken out of a [`Mailbox`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<K, V> {
    /// A subject and its messages, merged into one.
    Message(K, V),
    /// A datagram and its source.
    Datagram(SocketAddr, Vec<u8>),
}

impl<K, V> Default for Mailbox<K, V> {
    fn default() -> Self {
        let inner = Inner {
            order: VecDeque::new(),
            messages: HashMap::new(),
            datagrams: VecDeque::new(),
            octets: 0,
            is_datagrams_turn: false,
        };
        Mailbox { inner: Mutex::new(inner), filled: Condvar::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Mailbox<K, V> {
    /// Adds a message. If one about the same subject is waiting, `merge` combines the old and the new one.
    pub(super) fn put(&self, subject: K, message: V, merge: impl FnOnce(V, V) -> V) {
        let mut inner = self.lock();
        let message = match inner.messages.remove(&subject) {
            Some(before) => merge(before, message),
            None => {
                inner.order.push_back(subject.clone());
                message
            }
        };
        inner.messages.insert(subject, message);
        self.filled.notify_one();
    }

    /// Adds a datagram, unless too many are waiting.
    pub(super) fn put_datagram(&self, source: SocketAddr, message: Vec<u8>) {
        let mut inner = self.lock();
        if inner.datagrams.len() >= DATAGRAMS || inner.octets + message.len() > OCTETS {
            log::debug!("a datagram from {source} is dropped: too many wait");
            return;
        }
        inner.octets += message.len();
        inner.datagrams.push_back((source, message));
        self.filled.notify_one();
    }

    /// Waits for an item for at most `patience` and takes it out: messages and datagrams alternate, each in order.
    pub(super) fn take(&self, patience: Duration) -> Option<Item<K, V>> {
        let is_empty = |inner: &mut Inner<K, V>| inner.order.is_empty() && inner.datagrams.is_empty();
        let waited = self.filled.wait_timeout_while(self.lock(), patience, is_empty);
        let mut inner = waited.unwrap_or_else(PoisonError::into_inner).0;
        if inner.is_datagrams_turn || inner.order.is_empty() {
            inner.is_datagrams_turn = false;
            if let Some((source, message)) = inner.datagrams.pop_front() {
                inner.octets -= message.len();
                return Some(Item::Datagram(source, message));
            }
        }
        inner.is_datagrams_turn = true;
        let subject = inner.order.pop_front()?;
        let message = inner.messages.remove(&subject)?;
        Some(Item::Message(subject, message))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    fn source() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 53))
    }

    #[test]
    fn messages_about_a_subject_are_merged_and_none_is_lost() {
        let mailbox = Mailbox::default();
        for number in 0..100_000_u32 {
            mailbox.put(number % 7, 1_u32, |a, b| a + b);
        }
        assert_eq!(mailbox.lock().messages.len(), 7);
        let taken: Vec<_> = std::iter::from_fn(|| mailbox.take(NOW)).collect();
        assert_eq!(taken.len(), 7);
        let sum = |item: &Item<u32, u32>| if let Item::Message(_, count) = item { *count } else { 0 };
        assert_eq!(taken.iter().map(sum).sum::<u32>(), 100_000);
    }

    #[test]
    fn datagrams_are_bounded_in_number_and_size() {
        let mailbox: Mailbox<u8, u8> = Mailbox::default();
        for size in [1, 4096] {
            for _ in 0..100_000 {
                mailbox.put_datagram(source(), vec![0; size]);
            }
            let inner = mailbox.lock();
            assert!(inner.datagrams.len() <= DATAGRAMS && inner.octets <= OCTETS, "{size}");
            drop(inner);
            while mailbox.take(NOW).is_some() {}
            assert_eq!(mailbox.lock().octets, 0);
        }
    }

    #[test]
    fn neither_messages_nor_datagrams_keep_the_other_waiting() {
        let mailbox = Mailbox::default();
        for number in 0..4 {
            mailbox.put(number, (), |(), ()| ());
            mailbox.put_datagram(source(), vec![number]);
        }
        for number in 0..4 {
            // A subject that is added repeatedly waits behind the others.
            mailbox.put(0, (), |(), ()| ());
            assert_eq!(mailbox.take(NOW), Some(Item::Message(number, ())));
            assert_eq!(mailbox.take(NOW), Some(Item::Datagram(source(), vec![number])));
        }
    }
}
