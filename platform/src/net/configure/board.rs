//! What the network thread tells applications: events, name servers, and whether there are addresses.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::IpAddr;
use core::time::Duration;

use super::events::NetEvent;
use crate::base::lock::Lock;
use crate::kernel::thread::WaitQueue;
use crate::kernel::time;

/// The most events kept until an application takes them; beyond, the oldest go.
const EVENTS: usize = 128;

static BOARD: Lock<Board> =
    Lock::new(Board { events: VecDeque::new(), nameservers: Vec::new(), readiness: Readiness::None });
static CHANGED: WaitQueue = WaitQueue::new();

struct Board {
    events: VecDeque<NetEvent>,
    nameservers: Vec<IpAddr>,
    readiness: Readiness,
}

/// How many of the ways by which this machine is given addresses have given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Readiness {
    /// None: nothing can be reached.
    None,
    /// Some, but another is waited for.
    Some,
    /// All.
    All,
}

/// What is to be told.
#[derive(Debug)]
pub(in crate::net) struct News {
    pub(super) events: Vec<NetEvent>,
    pub(super) nameservers: Vec<IpAddr>,
    pub(super) readiness: Readiness,
}

/// Puts news where applications find them.
pub(in crate::net) fn post(news: News) {
    let mut board = BOARD.lock();
    board.events.extend(news.events);
    let surplus = board.events.len().saturating_sub(EVENTS);
    board.events.drain(..surplus);
    board.nameservers = news.nameservers;
    board.readiness = news.readiness;
    drop(board);
    CHANGED.wake_all();
}

/// Waits until something happens to how this machine is reached, and returns it. Each event is returned once.
pub fn next_event() -> NetEvent {
    let mut board = BOARD.lock();
    loop {
        match board.events.pop_front() {
            Some(event) => return event,
            None => (board, _) = CHANGED.wait(board, None),
        }
    }
}

/// Waits for addresses, at most for `patience`, and returns what there is.
pub fn wait_for_addresses(wanted: Readiness, patience: Duration) -> Readiness {
    let deadline = time::monotonic().saturating_add(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
    let mut board = BOARD.lock();
    let mut late = false;
    while board.readiness < wanted && !late {
        (board, late) = CHANGED.wait(board, Some(deadline));
    }
    board.readiness
}

/// Returns what `/etc/resolv.conf` holds: the name servers that DHCP and router advertisements told.
pub(crate) fn resolv_conf() -> String {
    let mut text = String::new();
    for server in &BOARD.lock().nameservers {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "nameserver {server}");
    }
    text
}
