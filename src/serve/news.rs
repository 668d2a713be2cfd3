//! Notifies secondaries of changes: the thread around the [`Notifier`].

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::exchange::Exchange;
use super::mailbox::{Item, Mailbox};
use super::{SERVICE_STACK, Server};
use crate::config::Config;
use crate::dns::Name;
use crate::dns::message::PORT;
use crate::notify::{Configured, Effect, Event, Limits, Notifier, Target, peer, targets};
use crate::zone::Zone;

/// The changes that the thread has to handle, by zone: the served version if its serial number has changed, or `None`
/// if the zone is no longer served. Only the last change of a zone counts.
pub(super) type News = Mailbox<Name, Option<Arc<Zone>>>;

/// Starts the thread that handles the server's changes.
pub(super) fn start(server: Arc<Server>, config: &Config) -> io::Result<()> {
    let news = Arc::clone(&server.news);
    let exchange = Exchange::open("notify", move |source, message| news.put_datagram(source, message))?;
    let (configured, listen) = (config.notify.clone(), config.listen.clone());
    let thread = thread::Builder::new().name("notify".to_string()).stack_size(SERVICE_STACK);
    thread.spawn(move || run(&server, &exchange, &configured, &listen)).map(drop)
}

/// Returns whether this server itself answers at `address`, given that it listens at the addresses of `listen`.
///
/// The addresses of a machine change with leases and routers, so the system is asked: it lets nobody bind a socket to
/// an address of another machine.
fn is_ours(listen: &[SocketAddr], address: SocketAddr) -> bool {
    let address = peer(address);
    let at_all = |own: &&SocketAddr| own.ip().is_unspecified() && own.is_ipv4() == address.is_ipv4();
    listen.iter().any(|own| peer(*own) == address)
        || (listen.iter().filter(at_all).any(|own| own.port() == address.port())
            && UdpSocket::bind((address.ip(), 0)).is_ok())
}

fn run(server: &Server, exchange: &Exchange, configured: &[Configured], listen: &[SocketAddr]) {
    // A primary need not be notified of its own changes.
    let primaries: Vec<_> =
        server.polling.primaries.iter().map(|primary| peer(SocketAddr::new(*primary, PORT))).collect();
    let mut notifier = Notifier::new(Limits::default());
    let mut missing: BTreeSet<String> = BTreeSet::new();
    loop {
        let wait = notifier.wake().map(|wake| wake.saturating_sub(server.clock.now().0));
        let item = server.news.take(wait.unwrap_or(Duration::from_secs(3600)));
        let event = match &item {
            Some(Item::Message(_, Some(zone))) => {
                let served = server.served.load();
                let Some(zones) = &served.zones else { continue };
                // Use the current keys: a commit may have changed them.
                let resolved: Vec<_> = configured.iter().map(|configured| configured.resolve(&served.keys)).collect();
                let absent: BTreeSet<String> = resolved.iter().filter_map(|found| found.clone().err()).collect();
                absent.difference(&missing).for_each(|reason| log::warn!("{reason}"));
                missing = absent;
                let configured: Vec<Target> = resolved.into_iter().filter_map(Result::ok).collect();
                let is_spared = |address| primaries.contains(&peer(address)) || is_ours(listen, address);
                Event::Changed { zone, targets: targets(zone, zones, &served.keys, &configured, is_spared) }
            }
            Some(Item::Message(apex, None)) => Event::Removed { apex },
            Some(Item::Datagram(source, message)) => Event::Reply { source: *source, message },
            None => Event::Tick,
        };
        for effect in notifier.handle(server.now(), event, &mut || server.random.next()) {
            match effect {
                Effect::Send { to, message } => exchange.send(to, &message),
                Effect::Log(level, text) => log::log!(level, "{text}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_are_where_the_system_lets_us_be() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let all = [at("0.0.0.0:53")];
        assert!(is_ours(&all, at("127.0.0.1:53")) && is_ours(&all, at("[::ffff:127.0.0.1]:53")));
        assert!(!is_ours(&all, at("127.0.0.1:54")), "somebody else may be there");
        assert!(!is_ours(&all, at("192.0.2.1:53")) && !is_ours(&all, at("[2001:db8::1]:53")));
        let one = [at("192.0.2.1:53")];
        assert!(is_ours(&one, at("192.0.2.1:53")) && !is_ours(&one, at("127.0.0.1:53")));
    }
}
