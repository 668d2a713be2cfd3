//! What resolvers said, as long as it is right; and longer, should they fall silent (RFC 8767).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::lookup::{Family, Reply};
use crate::dns::Name;

/// The most hosts remembered; a server has one git remote, which may redirect.
const MOST: usize = 32;

/// How long addresses may be used after their TTL is over.
const STALE: Duration = Duration::from_secs(86_400);

/// How long it is remembered which address took a connection.
const WINNER: Duration = Duration::from_secs(600);

/// What is known of hosts.
#[derive(Debug, Default)]
pub(super) struct Cache {
    hosts: HashMap<Name, Host>,
    /// Which address of a host took a connection, and until when that counts.
    winners: HashMap<String, (IpAddr, Instant)>,
}

#[derive(Debug, Default)]
struct Host {
    v6: Option<Known>,
    v4: Option<Known>,
}

#[derive(Debug)]
struct Known {
    /// Who said so.
    by: SocketAddr,
    /// [`Reply::Addresses`], [`Reply::Empty`] or [`Reply::NoSuchName`].
    reply: Reply,
    until: Instant,
}

impl Host {
    fn of(&mut self, family: Family) -> &mut Option<Known> {
        match family {
            Family::V6 => &mut self.v6,
            Family::V4 => &mut self.v4,
        }
    }

    fn until(&self) -> Option<Instant> {
        self.v6.iter().chain(&self.v4).map(|known| known.until).max()
    }
}

impl Cache {
    /// Returns what was said of a host, if that is still right.
    pub(super) fn get(&mut self, name: &Name, family: Family, now: Instant) -> Option<(SocketAddr, Reply)> {
        let known = self.hosts.get_mut(name)?.of(family).as_ref()?;
        (known.until > now).then(|| (known.by, known.reply.clone()))
    }

    /// Returns the addresses last heard of that are not right any more, but may still do.
    pub(super) fn stale(&mut self, name: &Name, family: Family, now: Instant) -> Option<Vec<IpAddr>> {
        let known = self.hosts.get_mut(name)?.of(family).as_ref()?;
        match &known.reply {
            Reply::Addresses(addresses, _) if known.until + STALE > now => Some(addresses.clone()),
            _ => None,
        }
    }

    /// Returns the address of `host` to try first (RFC 8305 §4): the one that took a connection lately.
    pub(super) fn winner(&self, host: &str, now: Instant) -> Option<IpAddr> {
        self.winners.get(host).filter(|(_, until)| *until > now).map(|(address, _)| *address)
    }

    /// Remembers which address took a connection, for `host`.
    pub(super) fn won(&mut self, host: &str, address: IpAddr, now: Instant) {
        if self.winner(host, now) == Some(address) {
            // The others get their chance when the time is over.
            return;
        }
        if self.winners.len() >= MOST {
            self.winners.retain(|_, (_, until)| *until > now);
        }
        if self.winners.len() < MOST || self.winners.contains_key(host) {
            self.winners.insert(host.to_string(), (address, now + WINNER));
        }
    }

    /// Remembers what was said, unless it was nothing.
    pub(super) fn put(&mut self, name: &Name, family: Family, by: SocketAddr, reply: &Reply, now: Instant) {
        let (Reply::Addresses(_, ttl) | Reply::Empty(ttl) | Reply::NoSuchName(ttl)) = reply else { return };
        if !self.hosts.contains_key(name) && self.hosts.len() >= MOST {
            let first = self.hosts.iter().min_by_key(|(_, host)| host.until()).map(|(name, _)| name.clone());
            first.map(|first| self.hosts.remove(&first));
        }
        let known = Known { by, reply: reply.clone(), until: now + *ttl };
        *self.hosts.entry(name.clone()).or_default().of(family) = Some(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const BY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 53)), 53);

    #[test]
    fn answers_are_right_for_their_ttl_and_addresses_do_for_longer() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let name = Name::from_text("git.example.org").unwrap();
        let addresses = vec![IpAddr::from([192, 0, 2, 1])];
        let reply = Reply::Addresses(addresses.clone(), Duration::from_secs(60));
        cache.put(&name, Family::V4, BY, &reply, now);
        cache.put(&name, Family::V6, BY, &Reply::Empty(Duration::from_secs(5)), now);
        let at = |seconds| now + Duration::from_secs(seconds);
        let upper = Name::from_text("GIT.example.org").unwrap();
        assert_eq!(cache.get(&upper, Family::V4, at(59)), Some((BY, reply)));
        assert_eq!(cache.get(&name, Family::V6, at(4)), Some((BY, Reply::Empty(Duration::from_secs(5)))));
        assert_eq!(cache.get(&name, Family::V6, at(5)), None);
        assert_eq!(cache.stale(&name, Family::V6, at(5)), None);
        assert_eq!(cache.get(&name, Family::V4, at(60)), None);
        assert_eq!(cache.stale(&name, Family::V4, at(60)), Some(addresses));
        assert_eq!(cache.stale(&name, Family::V4, at(60 + 86_400)), None);
    }

    #[test]
    fn who_took_a_connection_is_first_for_a_while() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let at = |seconds| now + Duration::from_secs(seconds);
        cache.won("git.example.org", one, now);
        cache.won("git.example.org", one, at(300));
        assert_eq!(cache.winner("git.example.org", at(599)), Some(one));
        assert_eq!(cache.winner("git.example.org", at(600)), None);
        cache.won("git.example.org", other, at(400));
        assert_eq!(cache.winner("git.example.org", at(999)), Some(other));
        (0..100).for_each(|number| cache.won(&format!("h{number}"), one, at(400)));
        assert_eq!(cache.winners.len(), MOST);
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let (mut cache, now) = (Cache::default(), Instant::now());
        let name = |number: u64| Name::from_text(&format!("h{number}.example")).unwrap();
        for number in 0..100 {
            cache.put(&name(number), Family::V4, BY, &Reply::Empty(Duration::from_secs(number)), now);
        }
        assert_eq!(cache.hosts.len(), MOST);
        assert!(cache.hosts.contains_key(&name(99)) && !cache.hosts.contains_key(&name(0)));
        cache.put(&name(200), Family::V4, BY, &Reply::Truncated, now);
        cache.put(&name(200), Family::V4, BY, &Reply::Failed(String::new()), now);
        assert!(!cache.hosts.contains_key(&name(200)));
    }
}
