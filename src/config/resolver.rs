//! Whom names and the time are asked of: the arguments `--resolver` and `--ntp`.

use std::net::SocketAddr;

use super::{Host, values};
use crate::net::Dialer;

/// The most servers of a kind; more do not make it more certain.
const MOST: usize = 8;

/// Where a machine's network leaves the resolvers it learns of.
const LEARNT: &str = "/etc/resolv.conf";

/// Reads `ADDR[:PORT][,ADDR…]`.
pub(super) fn parse(value: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let mut servers: Vec<SocketAddr> = Vec::new();
    for word in value.split(',') {
        let server = values::parse_address(word, port)?;
        if server.ip().is_unspecified() || server.ip().is_multicast() || server.port() == 0 {
            return Err(format!("has {server}, where no server can be"));
        }
        if servers.contains(&server) {
            return Err(format!("has {server} twice; give it once"));
        }
        servers.push(server);
    }
    if servers.len() > MOST { Err(format!("has more than {MOST} servers")) } else { Ok(servers) }
}

/// Returns what finds hosts: the servers told, else whom the network or the operating system knows.
pub(super) fn dialer(host: Host, servers: Option<Vec<SocketAddr>>) -> Dialer {
    match (servers, host) {
        (Some(servers), _) => Dialer::with_servers(servers),
        (None, Host::Machine) => Dialer::from_file(LEARNT),
        (None, Host::Process) => Dialer::system(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_addresses_with_or_without_ports() {
        let expected = ["192.0.2.1:53", "192.0.2.1:5353", "[2001:db8::1]:53", "[2001:db8::1]:54"];
        let servers = parse("192.0.2.1,192.0.2.1:5353,2001:db8::1,[2001:db8::1]:54", 53).unwrap();
        assert_eq!(servers, expected.map(|server| server.parse().unwrap()));
        assert_eq!(parse("192.0.2.1", 123).unwrap(), ["192.0.2.1:123".parse().unwrap()]);
        for (bad, why) in [
            ("dns.example.org", "is not an address, such as 192.0.2.1"),
            ("192.0.2.1,", "is not an address"),
            ("192.0.2.1,192.0.2.1:53", "has 192.0.2.1:53 twice"),
            ("0.0.0.0", "where no server can be"),
            ("224.0.0.251", "where no server can be"),
            ("192.0.2.1:0", "where no server can be"),
        ] {
            let reason = parse(bad, 53).unwrap_err();
            assert!(reason.contains(why), "{bad}: {reason}");
        }
        let many: Vec<String> = (1..=9).map(|last| format!("192.0.2.{last}")).collect();
        assert_eq!(parse(&many.join(","), 53).unwrap_err(), "has more than 8 servers");
    }
}
