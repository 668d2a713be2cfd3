//! Zones, questions and `dnsperf`.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use zonule_harness::{Error as HarnessError, run};

use crate::cargo::{Error, Result};

/// The zone that is queried.
pub(super) const ZONE: &str = "bench.example";
/// Number of its hosts.
const HOSTS: u32 = 10_000;

/// The text of [`ZONE`]: hosts with an address, aliases, a wildcard.
pub(super) fn zone(serial: u32) -> String {
    let mut text = format!(
        "$TTL 300\n@ SOA ns1 hostmaster {serial} 2h 15m 2w 5m\n@ NS ns1\n@ NS ns2\n@ MX 10 mail\nns1 A 192.0.2.53\n\
         ns2 A 198.51.100.53\nmail A 192.0.2.25\n*.wild A 192.0.2.81\n"
    );
    for number in 0..HOSTS {
        let [_, _, high, low] = number.to_be_bytes();
        writeln!(text, "h{number} A 10.0.{high}.{low}\na{number} CNAME h{number}").expect("a String accepts all");
    }
    text
}

/// Writes the queries that `dnsperf` sends in turn: mostly for existing names, some for others.
pub(super) fn write_questions(path: &Path) -> Result<()> {
    let mut text = String::new();
    for number in 0..HOSTS {
        // A stride coprime to the number of hosts visits all of them in a scattered order.
        let host = number.wrapping_mul(7919) % HOSTS;
        match number % 10 {
            0 => writeln!(text, "a{host}.{ZONE} A"),
            1 => writeln!(text, "{ZONE} MX"),
            2 => writeln!(text, "w{host}.wild.{ZONE} A"),
            3 => writeln!(text, "no{host}.{ZONE} A"),
            4 => writeln!(text, "h{host}.{ZONE} AAAA"),
            _ => writeln!(text, "h{host}.{ZONE} A"),
        }
        .expect("a String accepts all");
    }
    Ok(fs::write(path, text).map_err(HarnessError::io(format!("cannot write {}", path.display())))?)
}

/// The results of `dnsperf`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Outcome {
    /// Replies per second.
    pub(super) rate: f64,
    /// The share of queries that got no reply, in percent.
    pub(super) lost: f64,
}

/// Sends the queries in `path` to `server` for some seconds, as fast as it answers, with 100 queries outstanding.
pub(super) fn dnsperf(server: SocketAddr, path: &Path, seconds: u64, mode: &str) -> Result<Outcome> {
    let mut command = Command::new("dnsperf");
    command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()]).arg("-d").arg(path);
    command.args(["-l", &seconds.to_string(), "-m", mode, "-c", "4", "-q", "100"]);
    let text = run(&mut command)?;
    Outcome::parse(&text).ok_or_else(|| Error::Unexpected(format!("dnsperf printed no result:\n{text}")))
}

impl Outcome {
    fn parse(text: &str) -> Option<Outcome> {
        let value = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let rate = value("Queries per second:")?.parse().ok()?;
        // "Queries lost:  12 (0.34%)"
        let lost = value("Queries lost:")?.split_once('(')?.1.trim_end_matches([')', '%']).parse().ok()?;
        Some(Outcome { rate, lost })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dnsperf_prints() {
        let text = "  Queries sent:         3500\n  Queries completed:    3488 (99.66%)\n  Queries lost:         12 \
                    (0.34%)\n\n  Run time (s):         2.0\n  Queries per second:   1744.123456\n";
        assert_eq!(Outcome::parse(text), Some(Outcome { rate: 1744.123456, lost: 0.34 }));
    }
}
