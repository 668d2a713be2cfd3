//! Which resolver is asked when, and what their answers come to: one search for one host's addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::DialError;
use super::lookup::{Family, Reply};

/// How long a resolver is waited for before the next is asked too.
const TURN: Duration = Duration::from_secs(2);

/// A search for addresses.
#[derive(Debug)]
pub(super) struct Search {
    servers: Vec<SocketAddr>,
    /// How many of them are asked.
    asked: usize,
    /// When the next is.
    turn: Instant,
    v6: Side,
    v4: Side,
}

/// What came of one of the two questions.
#[derive(Debug, Default)]
struct Side {
    verdict: Option<(SocketAddr, Reply)>,
    /// The resolvers that did something else than answer, and what.
    failures: Vec<(SocketAddr, String)>,
}

impl Search {
    /// Begins a search by `servers`, in that order.
    pub(super) fn new(servers: Vec<SocketAddr>, now: Instant) -> Self {
        Search { servers, asked: 0, turn: now, v6: Side::default(), v4: Side::default() }
    }

    /// A search that is over.
    pub(super) fn none(now: Instant) -> Self {
        Search::new(Vec::new(), now)
    }

    /// Returns the resolver that is to be asked now, if it is time for one.
    pub(super) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.is_over() || now < self.turn {
            return None;
        }
        let server = *self.servers.get(self.asked)?;
        self.asked += 1;
        self.turn = now + TURN;
        Some(server)
    }

    /// Returns when the next resolver is to be asked, if there is one.
    pub(super) fn wake(&self) -> Option<Instant> {
        (!self.is_over() && self.asked < self.servers.len()).then_some(self.turn)
    }

    /// Takes note of what `server` says; returns the addresses if that is what was missing.
    pub(super) fn heard(&mut self, server: SocketAddr, family: Family, reply: Reply, now: Instant) -> Vec<IpAddr> {
        let asked = self.asked;
        let side = self.side_mut(family);
        if side.verdict.is_some() {
            return Vec::new();
        }
        match reply {
            Reply::Failed(what) => {
                side.failures.push((server, what));
                if side.failures.len() >= asked {
                    self.turn = now;
                }
                Vec::new()
            }
            // That is for who asks to deal with.
            Reply::Truncated => Vec::new(),
            reply => {
                let addresses = match &reply {
                    Reply::Addresses(addresses, _) => addresses.clone(),
                    _ => Vec::new(),
                };
                side.verdict = Some((server, reply));
                addresses
            }
        }
    }

    /// Returns the families whose addresses are still to be found.
    pub(super) fn open(&self) -> Vec<Family> {
        Family::BOTH.into_iter().filter(|family| !self.is_settled(*family)).collect()
    }

    /// Returns whether there is nothing more to hear of `family`.
    pub(super) fn is_settled(&self, family: Family) -> bool {
        let side = self.side(family);
        side.verdict.is_some() || side.failures.len() >= self.servers.len()
    }

    /// Returns whether there is nothing more to hear.
    pub(super) fn is_over(&self) -> bool {
        Family::BOTH.into_iter().all(|family| self.is_settled(family))
    }

    /// Returns whether a resolver said that there is nothing.
    pub(super) fn is_denied(&self) -> bool {
        let said = |side: &Side| side.verdict.is_some();
        said(&self.v6) && said(&self.v4) || self.denial().is_some()
    }

    /// Returns why no addresses were found, `after` having been waited.
    pub(super) fn error(&self, host: &str, after: Duration) -> DialError {
        let host = host.to_string();
        if let Some(by) = self.denial() {
            return DialError::NoSuchName { host, by };
        }
        if let (Some((by, _)), Some(_)) = (&self.v6.verdict, &self.v4.verdict) {
            return DialError::NoAddresses { host, by: Some(*by) };
        }
        let asked = &self.servers[..self.asked];
        let failure = |server: &SocketAddr| {
            let failures = self.v4.failures.iter().chain(&self.v6.failures);
            failures.into_iter().find(|(by, _)| by == server).map(|(_, what)| what.clone())
        };
        if asked.iter().all(|server| failure(server).is_none()) {
            return DialError::Silent { host, servers: asked.to_vec(), after };
        }
        let silent = || "did not answer".to_string();
        let servers = asked.iter().map(|server| (*server, failure(server).unwrap_or_else(silent))).collect();
        DialError::Failed { host, servers }
    }

    /// Returns who says that there is no such name, if the other question did not find it.
    fn denial(&self) -> Option<SocketAddr> {
        let (mut by, mut found) = (None, false);
        for side in [&self.v6, &self.v4] {
            match &side.verdict {
                Some((server, Reply::NoSuchName(_))) => by = Some(*server),
                Some((_, Reply::Addresses(..))) => found = true,
                _ => {}
            }
        }
        by.filter(|_| !found)
    }

    fn side(&self, family: Family) -> &Side {
        match family {
            Family::V6 => &self.v6,
            Family::V4 => &self.v4,
        }
    }

    fn side_mut(&mut self, family: Family) -> &mut Side {
        match family {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn servers(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|last| SocketAddr::from(([192, 0, 2, last], 53))).collect()
    }

    fn failed(text: &str) -> Reply {
        Reply::Failed(text.to_string())
    }

    fn error(search: &Search) -> String {
        search.error("git.example.org", Duration::from_secs(5)).to_string()
    }

    #[test]
    fn one_after_the_other_is_asked_as_they_stay_silent() {
        let (now, all) = (Instant::now(), servers(2));
        let mut search = Search::new(all.clone(), now);
        assert_eq!((search.next(now), search.next(now)), (Some(all[0]), None));
        assert_eq!(search.wake(), Some(now + TURN));
        assert_eq!((search.next(now + TURN), search.wake()), (Some(all[1]), None));
        assert_eq!(
            error(&search),
            "cannot look up git.example.org: resolvers 192.0.2.1, 192.0.2.2 did not answer within 5 s"
        );
        // The slow one is believed, too.
        let address = IpAddr::from([192, 0, 2, 80]);
        let late = now + Duration::from_secs(4);
        let reply = Reply::Addresses(vec![address], TTL);
        assert_eq!(search.heard(all[0], Family::V4, reply.clone(), late), [address]);
        assert_eq!(search.heard(all[1], Family::V4, reply, late), [] as [IpAddr; 0]);
        assert_eq!((search.is_over(), search.open()), (false, vec![Family::V6]));
    }

    #[test]
    fn who_fails_gives_the_turn_to_the_next_at_once() {
        let (now, all) = (Instant::now(), servers(2));
        let mut search = Search::new(all.clone(), now);
        search.next(now);
        search.heard(all[0], Family::V6, failed("says SERVFAIL"), now);
        assert_eq!(search.next(now), Some(all[1]));
        search.heard(all[0], Family::V4, failed("says SERVFAIL"), now);
        assert!(!search.is_over());
        assert_eq!(
            error(&search),
            "cannot look up git.example.org: resolver 192.0.2.1 says SERVFAIL; resolver 192.0.2.2 did not answer"
        );
        search.heard(all[1], Family::V6, failed("says REFUSED"), now);
        search.heard(all[1], Family::V4, failed("says REFUSED"), now);
        assert!(search.is_over() && !search.is_denied());
        assert!(error(&search).ends_with("192.0.2.1 says SERVFAIL; resolver 192.0.2.2 says REFUSED"));
    }

    #[test]
    fn what_is_not_there_is_told_with_who_says_so() {
        let (now, all) = (Instant::now(), servers(1));
        let search = |v6: Reply, v4: Reply| {
            let mut search = Search::new(all.clone(), now);
            search.next(now);
            search.heard(all[0], Family::V6, v6, now);
            search.heard(all[0], Family::V4, v4, now);
            assert!(search.is_over() && search.is_denied());
            error(&search)
        };
        let nothing = Reply::NoSuchName(TTL);
        assert_eq!(
            search(nothing.clone(), nothing.clone()),
            "git.example.org does not exist, says 192.0.2.1 (NXDOMAIN)"
        );
        let empty = Reply::Empty(TTL);
        assert_eq!(search(empty.clone(), empty), "git.example.org has no addresses, says 192.0.2.1");
        // Some deny a name that they only have the other kind of addresses for.
        let found = Reply::Addresses(vec![[192, 0, 2, 80].into()], TTL);
        let mut search = Search::new(all.clone(), now);
        search.next(now);
        search.heard(all[0], Family::V6, nothing, now);
        assert_eq!(search.heard(all[0], Family::V4, found, now).len(), 1);
    }
}
