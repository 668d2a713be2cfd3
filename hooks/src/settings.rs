//! Settings: git's own configuration, section `zonule`.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

use zonule::dns::{Name, Severity};
use zonule::keys::{Grant, Keyring, Operation};
use zonule::tsig::Key;

use crate::error::{Error, Result};
use crate::git::Git;

/// How long to wait for acknowledgements by default.
const PATIENCE: Duration = Duration::from_secs(5);

/// The maximum in seconds: the user waits for the push to end.
const MAX_PATIENCE: u64 = 60;

/// The port of name servers.
const PORT: u16 = 53;

/// The configuration.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    /// `zonule.branch`: the branches that are served, by their short names; empty if HEAD determines it.
    pub(crate) branches: Vec<String>,
    /// `zonule.allowDeletion`: which zones may be deleted without confirmation.
    pub(crate) deletion: Deletion,
    /// `zonule.fix`: whether `pre-commit` raises serial numbers by itself.
    pub(crate) fix: bool,
    /// The values of `zonule.notify`; see [`Settings::servers`].
    notify: Vec<String>,
    /// The values of `zonule.key`.
    keys: Vec<String>,
    /// The value of `zonule.patience`.
    patience: Option<String>,
    /// The repository's own directory, to which the paths of key files are relative.
    git_directory: PathBuf,
}

/// Which zones may be deleted.
#[derive(Debug, Default)]
pub(crate) struct Deletion {
    /// All zones.
    pub(crate) all: bool,
    /// These zones.
    pub(crate) zones: Vec<Name>,
}

/// A server to be notified.
#[derive(Debug)]
pub(crate) struct Server {
    /// The name or address as configured.
    pub(crate) title: String,
    /// Its address.
    pub(crate) address: SocketAddr,
    /// The keys to choose from.
    keys: Vec<Arc<Key>>,
}

impl Settings {
    /// Reads the settings of a repository. Those that only notifications need are not parsed yet.
    pub(crate) fn read(git: &Git) -> Result<Self> {
        let directory = git.line(&["rev-parse", "--absolute-git-dir"])?;
        let mut settings = Self { git_directory: directory.into(), ..Self::default() };
        let listed = git.run(&["config", "--null", "--list"])?;
        for entry in listed.split(|octet| *octet == 0).filter(|entry| entry.starts_with(b"zonule.")) {
            let entry = String::from_utf8_lossy(entry);
            // A name without a value means true.
            let (name, value) = entry.split_once('\n').unwrap_or((&entry, "true"));
            settings.set(name, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<()> {
        match name {
            "zonule.branch" => {
                self.branches.push(value.strip_prefix("refs/heads/").unwrap_or(value).to_owned());
            }
            "zonule.allowdeletion" => self.deletion.allow(value).map_err(wrong("zonule.allowDeletion"))?,
            "zonule.fix" => {
                self.fix = boolean(value).ok_or_else(|| wrong("zonule.fix")("is neither true nor false".to_owned()))?;
            }
            "zonule.notify" => self.notify.push(value.to_owned()),
            "zonule.key" => self.keys.push(value.to_owned()),
            "zonule.patience" => self.patience = Some(value.to_owned()),
            _ => {
                let known = "branch, allowDeletion, fix, notify, key and patience";
                return Err(wrong(name)(format!("there is no such setting; there are {known}")));
            }
        }
        Ok(())
    }

    /// Returns how long to wait for acknowledgements.
    pub(crate) fn patience(&self) -> Result<Duration> {
        let Some(value) = &self.patience else { return Ok(PATIENCE) };
        match value.parse() {
            Ok(seconds @ 1..=MAX_PATIENCE) => Ok(Duration::from_secs(seconds)),
            _ => Err(wrong("zonule.patience")(format!("is not a number of seconds from 1 to {MAX_PATIENCE}"))),
        }
    }

    /// Returns the servers to be notified, or the error of each that is misconfigured.
    pub(crate) fn servers(&self) -> Result<Vec<Result<Server>>> {
        if self.notify.is_empty() {
            return Ok(Vec::new());
        }
        let mut keys = Vec::new();
        for value in &self.keys {
            keys.extend(read_keys(value, &self.git_directory).map_err(wrong("zonule.key"))?);
        }
        Ok(self.notify.iter().map(|value| server(value, &keys).map_err(wrong("zonule.notify"))).collect())
    }
}

impl Deletion {
    /// Allows what a value says: `true` for all zones, `false` for none, or a zone's name.
    pub(crate) fn allow(&mut self, value: &str) -> std::result::Result<(), String> {
        match boolean(value) {
            Some(true) => self.all = true,
            Some(false) => *self = Self::default(),
            None => {
                self.zones.push(Name::from_text(value).map_err(|error| {
                    format!("\"{}\" is neither true nor a zone's name: {error}", value.escape_debug())
                })?)
            }
        }
        Ok(())
    }

    /// Returns whether a zone may be deleted.
    pub(crate) fn covers(&self, zone: &Name) -> bool {
        self.all || self.zones.contains(zone)
    }
}

impl Server {
    /// Returns the key for notifications of a zone: the first whose name permits notifications of it, else the
    /// first; `None` if there is no key.
    pub(crate) fn key(&self, zone: &Name) -> Option<&Arc<Key>> {
        let may = |key: &&Arc<Key>| Grant::of(key.name()).is_some_and(|grant| grant.allows(Operation::Notify, zone));
        self.keys.iter().find(may).or(self.keys.first())
    }
}

/// Reads `HOST[:PORT][,KEY]`.
fn server(value: &str, keys: &[Arc<Key>]) -> std::result::Result<Server, String> {
    let (host, key) = match value.split_once(',') {
        Some((host, key)) => (host, Some(key)),
        None => (value, None),
    };
    let keys = match key {
        None => keys.to_vec(),
        Some(key) => {
            let name = Name::from_text(key).map_err(|error| format!("\"{key}\" is no key's name: {error}"))?;
            let found: Vec<_> = keys.iter().filter(|key| *key.name() == name).cloned().collect();
            if found.is_empty() {
                return Err(format!("{host} is to be told with the key {name}, which no zonule.key holds"));
            }
            found
        }
    };
    let address = resolve(host)?;
    let title = host.to_owned();
    let named = host.parse::<SocketAddr>().is_err() && bare(host).parse::<IpAddr>().is_err();
    let title = if named { format!("{title} ({address})") } else { title };
    Ok(Server { title, address, keys })
}

fn resolve(host: &str) -> std::result::Result<SocketAddr, String> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    if let Ok(address) = bare(host).parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, PORT));
    }
    let with_port = if host.contains(':') { host.to_owned() } else { format!("{host}:{PORT}") };
    let found: Vec<SocketAddr> = match with_port.to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => return Err(format!("{host} is no address, and as a name it is not found: {error}")),
    };
    // The image speaks IPv4 only.
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("{host} has no address"))
}

/// Returns an IPv6 address without the brackets around it.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Reads keys: one written `name:algorithm:base64`, or a file with one in that form or with the lines of a key file.
fn read_keys(value: &str, directory: &Path) -> std::result::Result<Vec<Arc<Key>>, String> {
    let written = match Key::parse_argument(value) {
        Ok(key) => return Ok(vec![Arc::new(key)]),
        Err(error) => error,
    };
    let path = match (value.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => directory.join(value),
    };
    // A malformed key is neither displayed nor taken for a path.
    if value.contains(':') && !path.exists() {
        return Err(written.to_string());
    }
    let text = fs::read(&path).map_err(|error| format!("cannot read the key's file {}: {error}", path.display()))?;
    let line = String::from_utf8_lossy(&text);
    if let Ok(key) = Key::parse_argument(line.trim()) {
        return Ok(vec![Arc::new(key)]);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (ring, findings) = Keyring::load(&[], [(&*name, text.as_slice())]);
    if let Some(finding) = findings.iter().find(|finding| finding.severity == Severity::Error) {
        return Err(finding.to_string());
    }
    let mut keys: Vec<_> = ring.iter().cloned().collect();
    keys.sort_by_cached_key(|key| key.name().to_string());
    if keys.is_empty() { Err(format!("{} holds no key", path.display())) } else { Ok(keys) }
}

/// Reads a boolean as git writes them.
fn boolean(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" | "" => Some(false),
        _ => None,
    }
}

fn wrong(name: &str) -> impl Fn(String) -> Error {
    move |what| Error::Setting { name: name.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "rpOTa8Rrp97QTxoUSaCXCHbMw5Sy9WAsqOSsBBFkJug=";

    fn settings(entries: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        for (name, value) in entries {
            settings.set(name, value).unwrap();
        }
        settings
    }

    #[test]
    fn servers() {
        let key = format!("a._notify.example.org:hmac-sha256:{SECRET}");
        let update = format!("b._update.example.net:hmac-sha256:{SECRET}");
        let notify = ["192.0.2.1", "[2001:db8::1]:5353", "192.0.2.2:54,b._update.example.net", "192.0.2.3,c"];
        let mut entries = vec![("zonule.key", key.as_str()), ("zonule.key", &update)];
        entries.extend(notify.iter().map(|value| ("zonule.notify", *value)));
        let servers = settings(&entries).servers().unwrap();
        let [first, second, third, fourth] = servers.as_slice() else { panic!("{servers:?}") };
        let signer = |server: &Result<Server>, zone| {
            server.as_ref().unwrap().key(&Name::from_text(zone).unwrap()).map(|key| key.name().to_string())
        };
        assert_eq!(first.as_ref().unwrap().address.to_string(), "192.0.2.1:53");
        assert_eq!(second.as_ref().unwrap().address.to_string(), "[2001:db8::1]:5353");
        assert_eq!(signer(first, "example.org").as_deref(), Some("a._notify.example.org."));
        assert_eq!(signer(first, "example.net").as_deref(), Some("b._update.example.net."));
        assert_eq!(
            signer(first, "example.com").as_deref(),
            Some("a._notify.example.org."),
            "the first, since none matches"
        );
        assert_eq!(signer(third, "example.org").as_deref(), Some("b._update.example.net."));
        assert!(fourth.as_ref().unwrap_err().to_string().contains("no zonule.key holds"));
    }

    #[test]
    fn no_secret_is_shown() {
        for value in [format!("name:hmac-sha25:{SECRET}"), format!("hmac-sha256:name:{SECRET}"), format!(":{SECRET}")] {
            let error = settings(&[("zonule.key", &value), ("zonule.notify", "192.0.2.1")]).servers().unwrap_err();
            assert!(!error.to_string().contains("rpOT"), "{error}");
        }
    }

    #[test]
    fn deletion() {
        let some = settings(&[("zonule.allowdeletion", "example.org")]).deletion;
        assert!(some.covers(&Name::from_text("EXAMPLE.org.").unwrap()) && !some.covers(&Name::root()));
        assert!(settings(&[("zonule.allowdeletion", "yes")]).deletion.covers(&Name::root()));
        let none = settings(&[("zonule.allowdeletion", "true"), ("zonule.allowdeletion", "false")]).deletion;
        assert!(!none.covers(&Name::root()));
    }

    #[test]
    fn what_is_no_setting() {
        let mut settings = Settings::default();
        for (name, value, what) in [
            ("zonule.notfy", "192.0.2.1", "no such setting"),
            ("zonule.fix", "perhaps", "neither true nor false"),
            ("zonule.allowdeletion", "a..b", "neither true nor a zone's name"),
        ] {
            let error = settings.set(name, value).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        settings.patience = Some("61".to_owned());
        assert!(settings.patience().is_err());
    }
}
