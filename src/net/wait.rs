//! What the thread of a connection waits for while other threads work, and a way to end that wait.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The wait of a connection's thread for a reply or for the completion of some work.
///
/// It ends with the reply, when it is certain that there will be none, or when the connection's place is needed for
/// another.
#[derive(Debug, Default)]
pub struct Wait {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Pending,
    Replied(Vec<u8>),
    Over,
}

impl Wait {
    /// Waits for at most `patience`; returns the reply, if there is one.
    pub fn reply(&self, patience: Duration) -> Option<Vec<u8>> {
        let is_pending = |state: &mut State| matches!(state, State::Pending);
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_pending);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        match std::mem::replace(&mut *state, State::Over) {
            State::Replied(reply) => Some(reply),
            State::Pending | State::Over => None,
        }
    }

    /// Ends the wait without a reply, unless there is one already.
    pub fn end(&self) {
        self.resolve(State::Over);
    }

    fn resolve(&self, with: State) {
        let mut state = self.lock();
        if let State::Pending = *state {
            *state = with;
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The other side of a [`Wait`], which ends when this is dropped.
#[derive(Debug)]
pub struct Promise(Arc<Wait>);

impl Promise {
    /// Returns a promise to end `wait`.
    pub fn new(wait: &Arc<Wait>) -> Self {
        Promise(Arc::clone(wait))
    }

    /// Returns the wait that this ends.
    pub fn wait(&self) -> &Arc<Wait> {
        &self.0
    }

    /// Delivers the reply. Never blocks, even if nobody waits for the reply any more.
    pub fn keep(self, reply: Vec<u8>) {
        self.0.resolve(State::Replied(reply));
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn a_wait_ends_with_the_reply_without_one_or_when_it_is_ended() {
        let wait = Arc::new(Wait::default());
        let promise = Promise::new(&wait);
        let keeping = thread::spawn(move || promise.keep(vec![1]));
        assert_eq!(wait.reply(LONG), Some(vec![1]));
        keeping.join().unwrap();

        let wait = Arc::new(Wait::default());
        let promise = Promise::new(&wait);
        let dropping = thread::spawn(move || drop(promise));
        assert_eq!(wait.reply(LONG), None);
        dropping.join().unwrap();

        let wait = Arc::new(Wait::default());
        let promise = Promise::new(&wait);
        wait.end();
        assert_eq!(wait.reply(LONG), None);
        promise.keep(vec![1]);
        assert_eq!(wait.reply(Duration::ZERO), None, "a late reply is discarded");
    }
}
