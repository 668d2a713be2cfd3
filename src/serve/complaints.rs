//! Log lines that strangers or misbehaving peers can cause: a few of each kind per minute, the rest is counted.

use std::time::Duration;

use log::Level;

use crate::telemetry::Throttle;

/// Kinds of lines, each with its own limit so that a flood of one kind hides no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A signed message with a rejected signature.
    Signature,
    /// A refused transfer.
    TransferRefused,
    /// A transfer to a client without a key.
    TransferUnsigned,
    /// An accepted notification.
    Notification,
    /// A refused notification.
    NotificationRefused,
    /// An update that is not made.
    Update,
    /// A search for differences in git's history.
    Differences,
    /// A denied hook.
    Hook,
    /// A connection without a thread.
    Thread,
}

impl Kind {
    const ALL: [Kind; 9] = [
        Kind::Signature,
        Kind::TransferRefused,
        Kind::TransferUnsigned,
        Kind::Notification,
        Kind::NotificationRefused,
        Kind::Update,
        Kind::Differences,
        Kind::Hook,
        Kind::Thread,
    ];

    /// Returns the name of the lines in the summary.
    fn title(self) -> &'static str {
        match self {
            Kind::Signature => "messages with a bad signature",
            Kind::TransferRefused => "refused transfers",
            Kind::TransferUnsigned => "unsigned transfers",
            Kind::Notification => "notifications",
            Kind::NotificationRefused => "refused notifications",
            Kind::Update => "failed updates",
            Kind::Differences => "searches for differences in git's history",
            Kind::Hook => "denied hooks",
            Kind::Thread => "connections without a thread",
        }
    }

    fn level(self) -> Level {
        match self {
            Kind::Signature | Kind::Update | Kind::Hook | Kind::Thread => Level::Warn,
            Kind::TransferRefused
            | Kind::TransferUnsigned
            | Kind::Notification
            | Kind::NotificationRefused
            | Kind::Differences => Level::Info,
        }
    }
}

/// Counts lines by kind.
#[derive(Debug, Default)]
pub(super) struct Complaints([Throttle; Kind::ALL.len()]);

impl Complaints {
    /// Returns the level of the next line of a kind: its usual one, or debug if there were too many. `now` is the time
    /// since the start.
    pub(super) fn level(&self, kind: Kind, now: Duration) -> Level {
        if self.0[kind as usize].allows(now) { kind.level() } else { Level::Debug }
    }

    /// Logs the number of omitted lines, once a minute for each kind. One thread should call this about every second.
    pub(super) fn summarise(&self, now: Duration) {
        for kind in Kind::ALL {
            if let Some((count, seconds)) = self.0[kind as usize].summary(now) {
                log::log!(
                    kind.level(),
                    "{}: {count} more in the last {seconds} s, not logged one by one",
                    kind.title()
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_kind_hides_no_other() {
        let (complaints, now) = (Complaints::default(), Duration::from_secs(5));
        let levels: Vec<Level> = (0..1000).map(|_| complaints.level(Kind::TransferRefused, now)).collect();
        assert_eq!(levels.iter().filter(|level| **level == Level::Info).count(), 20);
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::TransferRefused) {
            assert_eq!(complaints.level(kind, now), kind.level(), "{kind:?}");
        }
    }

    /// Code that handles messages of strangers has no log line without a limit.
    #[test]
    fn no_line_that_strangers_cause_is_unbounded() {
        let sources = [
            ("aside.rs", include_str!("aside.rs")),
            ("exchange.rs", include_str!("exchange.rs")),
            ("past.rs", include_str!("past.rs")),
            ("tcp.rs", include_str!("tcp.rs")),
            ("transfers.rs", include_str!("transfers.rs")),
            ("udp.rs", include_str!("udp.rs")),
            ("connections.rs", include_str!("../net/connections.rs")),
            ("http.rs", include_str!("http.rs")),
        ];
        for (file, text) in sources {
            // Lines logged at the start are logged once.
            let (before, start) = text.split_once("\npub(super) fn start(").unwrap_or((text, ""));
            let after = start.split_once("\n}\n").map_or("", |(_, after)| after);
            for macro_name in ["log::info!", "log::warn!", "log::error!"] {
                let found = [before, after].iter().any(|part| part.contains(macro_name));
                assert!(!found, "{file}: {macro_name} where strangers can cause it; use Complaints::level");
            }
        }
    }
}
