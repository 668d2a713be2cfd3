//! Telling secondaries of changes: the thread around the [`Notifier`].

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use super::exchange::Exchange;
use super::{SERVICE_STACK, Server};
use crate::config::Config;
use crate::notify::{Effect, Event, Limits, Notifier, Target, targets};
use crate::zone::{Name, Zone};

/// What the thread is told.
pub(super) enum News {
    /// A zone is served with another serial number than before, or for the first time.
    Changed(Arc<Zone>),
    /// A zone is served no more.
    Removed(Name),
    /// A datagram has come in.
    Reply(SocketAddr, Vec<u8>),
}

/// Starts the thread that takes `news`, which `sender` sends to.
pub(super) fn start(
    server: Arc<Server>,
    config: &Config,
    news: Receiver<News>,
    sender: Sender<News>,
) -> io::Result<()> {
    let exchange = Exchange::open("notify", move |source, message| sender.send(News::Reply(source, message)).is_ok())?;
    let configured = config.notify.clone();
    let mut own = own_addresses(config);
    // What a primary tells us it need not be told.
    own.extend(server.primaries.iter().map(|primary| SocketAddr::new(*primary, 53)));
    let thread = thread::Builder::new().name("notify".to_string()).stack_size(SERVICE_STACK);
    thread.spawn(move || run(&server, &news, &exchange, &configured, &own)).map(drop)
}

/// Returns where we answer ourselves.
fn own_addresses(config: &Config) -> Vec<SocketAddr> {
    let machine = config.network.iter().flat_map(|network| &network.addresses);
    let machine = machine.map(|cidr| SocketAddr::new(cidr.address, 53));
    let bound = config.listen.iter().copied().filter(|address| !address.ip().is_unspecified());
    bound.chain(machine).collect::<BTreeSet<_>>().into_iter().collect()
}

fn run(server: &Server, news: &Receiver<News>, exchange: &Exchange, configured: &[Target], own: &[SocketAddr]) {
    let mut notifier = Notifier::new(Limits::default());
    loop {
        let wait = notifier.wake().map(|wake| wake.saturating_sub(server.clock.now().0));
        let event = match news.recv_timeout(wait.unwrap_or(Duration::from_secs(3600))) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let event = match &event {
            Some(News::Changed(zone)) => {
                let served = server.served.load();
                let Some(catalog) = &served.catalog else { continue };
                Event::Changed { zone, targets: targets(zone, catalog, &served.keys, configured, own) }
            }
            Some(News::Removed(apex)) => Event::Removed { apex },
            Some(News::Reply(source, message)) => Event::Reply { source: *source, message },
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
