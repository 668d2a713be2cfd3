//! The given arguments with defaults filled in, and the configuration that results from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{ArgumentError, Author, Config, Host, Network, Networks, Origin, Webhook, error};
use super::{git, network, resolver, values};
use crate::answer::{RateLimit, Secret};
use crate::config::BogusPolicy;
use crate::dns::Name;
use crate::dns::message::PORT;
use crate::git::Remote;
use crate::keys::Keyring;
use crate::notify::Configured;
use crate::primary::SerialPolicy;
use crate::secondary::{self, Primary};
use crate::telemetry::LogFilter;
use crate::tsig::Key;

/// The values of all arguments. Arguments with a default value in the table have it from the start.
#[derive(Default)]
pub(super) struct Given {
    pub(super) network: network::Given,
    pub(super) listen: Vec<SocketAddr>,
    pub(super) resolvers: Option<Vec<SocketAddr>>,
    pub(super) ntp: Vec<SocketAddr>,
    pub(super) git_remote: Option<Remote>,
    pub(super) git: git::Given,
    pub(super) git_poll: Duration,
    pub(super) git_author: Author,
    pub(super) git_history: u32,
    pub(super) webhook: Option<Webhook>,
    pub(super) serial: SerialPolicy,
    pub(super) bogus: BogusPolicy,
    tsig_keys: Vec<Arc<Key>>,
    pub(super) allow_update: Option<Networks>,
    pub(super) update_patience: Duration,
    /// The primaries, each with the word that gave it, for errors.
    pub(super) primaries: Vec<(String, values::Peer)>,
    pub(super) zones: Option<Vec<Name>>,
    pub(super) catalog: Option<Name>,
    pub(super) notify: Vec<(String, values::Peer)>,
    pub(super) allow_transfer: Networks,
    pub(super) allow_notify: Networks,
    pub(super) edns_payload: u16,
    pub(super) tcp_connections: Option<usize>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) cookie_secrets: Vec<Secret>,
    pub(super) nsid: Option<String>,
    pub(super) report_channel: Option<Name>,
    pub(super) version_text: Option<String>,
    pub(super) log: LogFilter,
}

impl Given {
    pub(super) fn add_key(&mut self, key: Key) -> Result<(), String> {
        if self.tsig_keys.iter().any(|other| other.name() == key.name()) {
            return Err(format!("gives the key {} twice; give it only once", key.name()));
        }
        self.tsig_keys.push(Arc::new(key));
        Ok(())
    }

    /// Returns the configuration; the error is an argument that is missing or contradicts another.
    pub(super) fn finish(self, host: Host) -> Result<Config, ArgumentError> {
        let network = match host {
            Host::Machine => Some(self.network.finish()?),
            Host::Process => None,
        };
        let mut listen = self.listen;
        match &network {
            Some(network) => listen.extend(network.listen()),
            None if listen.is_empty() => listen
                .extend([SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)), SocketAddr::from((Ipv6Addr::LOCALHOST, PORT))]),
            None => {}
        }
        let tsig_keys = self.tsig_keys;
        // Keys may follow the arguments that name them.
        let resolve = |peers: Vec<(String, values::Peer)>| -> Result<Vec<values::Resolved>, ArgumentError> {
            let keyed =
                |(word, peer): (String, values::Peer)| peer.with_key(&tsig_keys).map_err(|reason| error(&word, reason));
            peers.into_iter().map(keyed).collect()
        };
        if self.git_remote.is_none() {
            // Without a repository, only the keys of the arguments exist.
            resolve(self.notify.clone())?;
        }
        let notify =
            self.notify.into_iter().map(|(_, peer)| Configured { address: peer.address, key: peer.key }).collect();
        let primaries = resolve(self.primaries)?.into_iter().map(|(address, key)| Primary { address, key }).collect();
        let git_access = self.git.access(self.git_remote.as_ref())?;
        let own = network.as_ref().map(Network::own).unwrap_or_default();
        let origin = origin(self.git_remote, primaries, self.zones, self.catalog.as_ref(), &tsig_keys, &own)?;
        Ok(Config {
            network,
            origin,
            git_access,
            dialer: resolver::dialer(host, self.resolvers),
            ntp: self.ntp,
            webhook: self.webhook,
            git_poll: self.git_poll,
            git_history: self.git_history,
            git_author: self.git_author,
            tsig_keys,
            allow_update: self.allow_update,
            allow_transfer: self.allow_transfer,
            allow_notify: self.allow_notify,
            notify,
            catalog: self.catalog,
            update_patience: self.update_patience,
            serial: self.serial,
            bogus: self.bogus,
            log: self.log,
            listen,
            edns_payload: self.edns_payload,
            nsid: self.nsid,
            report_channel: self.report_channel,
            version_text: self.version_text,
            cookie_secrets: self.cookie_secrets,
            rate_limit: self.rate_limit,
            tcp_connections: self.tcp_connections,
        })
    }
}

/// Returns the source of the zones.
fn origin(
    git_remote: Option<Remote>,
    primaries: Vec<Primary>,
    zones: Option<Vec<Name>>,
    catalog: Option<&Name>,
    keys: &[Arc<Key>],
    own: &[IpAddr],
) -> Result<Origin, ArgumentError> {
    let has_zones = zones.is_some();
    match git_remote {
        Some(_) if !primaries.is_empty() => {
            return Err(error(
                "--primary",
                "and --git-remote exclude each other, because a server is either primary or secondary; give only one of them",
            ));
        }
        Some(_) if has_zones => {
            return Err(error(
                "--zones",
                "is only valid on a secondary; with --git-remote, the files in the repository determine the zones",
            ));
        }
        Some(remote) => return Ok(Origin::Git(remote)),
        None => {}
    }
    // As in the MirageOS DNS servers, the name of a transfer key may contain the primary and the zone.
    let (keyring, _) = Keyring::load(keys, []);
    let mut by_name = secondary::named_by_keys(&keyring, own);
    for zone in zones.unwrap_or_default() {
        if primaries.is_empty() && !by_name.contains_key(&zone) {
            return Err(error(
                "--zones",
                format!("has {zone}, but there is no primary to transfer it from; add --primary=ADDR"),
            ));
        }
        by_name.entry(zone).or_default().extend(primaries.iter().cloned());
    }
    if primaries.is_empty() && by_name.is_empty() {
        return Err(error(
            "--git-remote",
            "is required: the repository with the zones, such as --git-remote=git://192.0.2.1/zones; or give --primary to run a secondary",
        ));
    }
    if !has_zones && catalog.is_none() && by_name.is_empty() {
        return Err(error(
            "--zones",
            "is required with --primary: the zones to transfer; or give --catalog=NAME to take them from a catalog",
        ));
    }
    Ok(Origin::Primaries { zones: by_name, primaries })
}
