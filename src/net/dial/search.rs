//! The lookup of one host's addresses: which resolver is queried when, and the combined result.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::DialError;
use super::lookup::{Family, Reply};

/// How long to wait for a resolver before the next one is queried, too.
const STAGGER: Duration = Duration::from_secs(2);

/// A search for addresses.
#[derive(Debug)]
pub(super) struct Search {
    servers: Vec<SocketAddr>,
    /// The number of resolvers queried so far.
    queried: usize,
    /// When the next one is due.
    due: Instant,
    v6: FamilyResult,
    v4: FamilyResult,
}

/// The result for one address family.
#[derive(Debug, Default)]
struct FamilyResult {
    verdict: Option<(SocketAddr, Reply)>,
    /// The resolvers that failed, with the reason.
    failures: Vec<(SocketAddr, String)>,
}

impl Search {
    /// Starts a search with `servers`, in that order.
    pub(super) fn new(servers: Vec<SocketAddr>, now: Instant) -> Self {
        Search { servers, queried: 0, due: now, v6: FamilyResult::default(), v4: FamilyResult::default() }
    }

    /// Returns a search that is already over.
    pub(super) fn none(now: Instant) -> Self {
        Search::new(Vec::new(), now)
    }

    /// Returns the resolver to query now, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        if self.is_over() || now < self.due {
            return None;
        }
        let server = *self.servers.get(self.queried)?;
        self.queried += 1;
        self.due = now + STAGGER;
        Some(server)
    }

    /// Returns when the next resolver is due, if there is one.
    pub(super) fn wake(&self) -> Option<Instant> {
        (!self.is_over() && self.queried < self.servers.len()).then_some(self.due)
    }

    /// Records a reply of `server`; returns its addresses if there was no result for the family yet.
    pub(super) fn handle_reply(
        &mut self,
        server: SocketAddr,
        family: Family,
        reply: Reply,
        now: Instant,
    ) -> Vec<IpAddr> {
        let queried = self.queried;
        let result_of = self.result_of_mut(family);
        if result_of.verdict.is_some() {
            return Vec::new();
        }
        match reply {
            Reply::Failed(what) => {
                result_of.failures.push((server, what));
                if result_of.failures.len() >= queried {
                    self.due = now;
                }
                Vec::new()
            }
            // The querying thread handles truncation.
            Reply::Truncated => Vec::new(),
            reply => {
                let addresses = match &reply {
                    Reply::Addresses(addresses, _) => addresses.clone(),
                    _ => Vec::new(),
                };
                result_of.verdict = Some((server, reply));
                addresses
            }
        }
    }

    /// Returns the families without a result.
    pub(super) fn open(&self) -> Vec<Family> {
        Family::BOTH.into_iter().filter(|family| !self.is_settled(*family)).collect()
    }

    /// Returns whether the search for `family` is over.
    pub(super) fn is_settled(&self, family: Family) -> bool {
        let result_of = self.result_of(family);
        result_of.verdict.is_some() || result_of.failures.len() >= self.servers.len()
    }

    /// Returns whether the search is over.
    pub(super) fn is_over(&self) -> bool {
        Family::BOTH.into_iter().all(|family| self.is_settled(family))
    }

    /// Returns whether a resolver answered that the host has no addresses or does not exist.
    pub(super) fn is_denied(&self) -> bool {
        let said = |result_of: &FamilyResult| result_of.verdict.is_some();
        said(&self.v6) && said(&self.v4) || self.denied_by().is_some()
    }

    /// Returns the error if no addresses were found; `after` is the time waited.
    pub(super) fn error(&self, host: &str, after: Duration) -> DialError {
        let host = host.to_string();
        if let Some(by) = self.denied_by() {
            return DialError::NoSuchName { host, by };
        }
        if let (Some((by, _)), Some(_)) = (&self.v6.verdict, &self.v4.verdict) {
            return DialError::NoAddresses { host, by: Some(*by) };
        }
        let queried = &self.servers[..self.queried];
        let failure = |server: &SocketAddr| {
            let failures = self.v4.failures.iter().chain(&self.v6.failures);
            failures.into_iter().find(|(by, _)| by == server).map(|(_, what)| what.clone())
        };
        if queried.iter().all(|server| failure(server).is_none()) {
            return DialError::Silent { host, servers: queried.to_vec(), after };
        }
        let silent = || "did not answer".to_string();
        let servers = queried.iter().map(|server| (*server, failure(server).unwrap_or_else(silent))).collect();
        DialError::Failed { host, servers }
    }

    /// Returns the resolver that denied the name, unless the other family has addresses.
    fn denied_by(&self) -> Option<SocketAddr> {
        let (mut by, mut found) = (None, false);
        for result_of in [&self.v6, &self.v4] {
            match &result_of.verdict {
                Some((server, Reply::NoSuchName(_))) => by = Some(*server),
                Some((_, Reply::Addresses(..))) => found = true,
                _ => {}
            }
        }
        by.filter(|_| !found)
    }

    fn result_of(&self, family: Family) -> &FamilyResult {
        match family {
            Family::V6 => &self.v6,
            Family::V4 => &self.v4,
        }
    }

    fn result_of_mut(&mut self, family: Family) -> &mut FamilyResult {
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
    fn silent_resolvers_are_queried_in_turn() {
        let (now, all) = (Instant::now(), servers(2));
        let mut search = Search::new(all.clone(), now);
        assert_eq!((search.next(now), search.next(now)), (Some(all[0]), None));
        assert_eq!(search.wake(), Some(now + STAGGER));
        assert_eq!((search.next(now + STAGGER), search.wake()), (Some(all[1]), None));
        assert_eq!(
            error(&search),
            "cannot look up git.example.org: resolvers 192.0.2.1, 192.0.2.2 did not answer within 5 s"
        );
        // The slow one's answer is used, too.
        let address = IpAddr::from([192, 0, 2, 80]);
        let late = now + Duration::from_secs(4);
        let reply = Reply::Addresses(vec![address], TTL);
        assert_eq!(search.handle_reply(all[0], Family::V4, reply.clone(), late), [address]);
        assert_eq!(search.handle_reply(all[1], Family::V4, reply, late), [] as [IpAddr; 0]);
        assert_eq!((search.is_over(), search.open()), (false, vec![Family::V6]));
    }

    #[test]
    fn a_failure_triggers_the_next_resolver() {
        let (now, all) = (Instant::now(), servers(2));
        let mut search = Search::new(all.clone(), now);
        search.next(now);
        search.handle_reply(all[0], Family::V6, failed("answered SERVFAIL"), now);
        assert_eq!(search.next(now), Some(all[1]));
        search.handle_reply(all[0], Family::V4, failed("answered SERVFAIL"), now);
        assert!(!search.is_over());
        assert_eq!(
            error(&search),
            "cannot look up git.example.org: resolver 192.0.2.1 answered SERVFAIL; resolver 192.0.2.2 did not answer"
        );
        search.handle_reply(all[1], Family::V6, failed("answered REFUSED"), now);
        search.handle_reply(all[1], Family::V4, failed("answered REFUSED"), now);
        assert!(search.is_over() && !search.is_denied());
        assert!(error(&search).ends_with("192.0.2.1 answered SERVFAIL; resolver 192.0.2.2 answered REFUSED"));
    }

    #[test]
    fn negative_results_name_the_resolver() {
        let (now, all) = (Instant::now(), servers(1));
        let search = |v6: Reply, v4: Reply| {
            let mut search = Search::new(all.clone(), now);
            search.next(now);
            search.handle_reply(all[0], Family::V6, v6, now);
            search.handle_reply(all[0], Family::V4, v4, now);
            assert!(search.is_over() && search.is_denied());
            error(&search)
        };
        let nothing = Reply::NoSuchName(TTL);
        assert_eq!(
            search(nothing.clone(), nothing.clone()),
            "git.example.org does not exist according to resolver 192.0.2.1 (NXDOMAIN)"
        );
        let empty = Reply::Empty(TTL);
        assert_eq!(search(empty.clone(), empty), "git.example.org has no addresses according to resolver 192.0.2.1");
        // Some resolvers deny a name that has only addresses of the other family.
        let found = Reply::Addresses(vec![[192, 0, 2, 80].into()], TTL);
        let mut search = Search::new(all.clone(), now);
        search.next(now);
        search.handle_reply(all[0], Family::V6, nothing, now);
        assert_eq!(search.handle_reply(all[0], Family::V4, found, now).len(), 1);
    }
}
