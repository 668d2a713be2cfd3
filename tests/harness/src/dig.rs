//! `dig` and what it prints.

use std::net::SocketAddr;
use std::process::Command;

use crate::{Result, run};

/// A reply, from the output of `dig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The response code's name, for example `NXDOMAIN`.
    pub status: String,
    /// The header's flags in lower case, for example `aa`.
    pub flags: Vec<String>,
    /// The extended DNS error (RFC 8914) as `dig` prints it, for example `14 (Not Ready)`.
    pub extended_error: Option<String>,
    /// The records of the answer section, one line each, fields separated by one space.
    pub answer: Vec<String>,
    /// The records of the authority section.
    pub authority: Vec<String>,
    /// The records of the additional section, without the OPT record.
    pub additional: Vec<String>,
}

impl Reply {
    /// Whether `flag` is set.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set == flag)
    }

    /// The data of the answer's records, without owner, TTL, class and type.
    pub fn answer_data(&self) -> Vec<&str> {
        self.answer.iter().filter_map(|record| record.splitn(5, ' ').nth(4)).collect()
    }

    fn parse(text: &str) -> Reply {
        #[derive(Clone, Copy)]
        enum Section {
            Other,
            Answer,
            Authority,
            Additional,
        }
        let mut reply = Reply::default();
        let mut section = Section::Other;
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("status: ") {
                reply.status = rest.split(',').next().unwrap_or_default().to_owned();
            } else if let Some(rest) = line.strip_prefix(";; flags: ") {
                let flags = rest.split(';').next().unwrap_or_default();
                reply.flags = flags.split_whitespace().map(str::to_owned).collect();
            } else if let Some(rest) = line.strip_prefix("; EDE: ") {
                reply.extended_error = Some(rest.to_owned());
            } else if line.starts_with(";;") || line.is_empty() {
                section = match line {
                    ";; ANSWER SECTION:" => Section::Answer,
                    ";; AUTHORITY SECTION:" => Section::Authority,
                    ";; ADDITIONAL SECTION:" => Section::Additional,
                    _ => Section::Other,
                };
            } else if !line.starts_with(';') {
                let record = line.split_whitespace().collect::<Vec<_>>().join(" ");
                match section {
                    Section::Answer => reply.answer.push(record),
                    Section::Authority => reply.authority.push(record),
                    Section::Additional => reply.additional.push(record),
                    Section::Other => {}
                }
            }
        }
        reply
    }
}

/// Queries `server`; `arguments` are `dig`'s own, for example `["www.example.org", "A", "+tcp"]`.
///
/// Fails if there is no answer.
pub fn dig(server: SocketAddr, arguments: &[&str]) -> Result<Reply> {
    let mut command = Command::new("dig");
    // `-r`: ignore the user's ~/.digrc.
    command.args(["-r", &format!("@{}", server.ip()), "-p", &server.port().to_string()]);
    command.args(["+norecurse", "+tries=2", "+timeout=5"]).args(arguments);
    run(&mut command).map(|text| Reply::parse(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_dig_prints() {
        let reply = Reply::parse(concat!(
            "\n; <<>> DiG 9.18 <<>> @127.0.0.1 www.example.org\n;; Got answer:\n",
            ";; ->>HEADER<<- opcode: QUERY, status: SERVFAIL, id: 4711\n",
            ";; flags: qr aa rd; QUERY: 1, ANSWER: 1, AUTHORITY: 1, ADDITIONAL: 2\n\n",
            ";; OPT PSEUDOSECTION:\n; EDNS: version: 0, flags:; udp: 1232\n; EDE: 14 (Not Ready)\n",
            ";; QUESTION SECTION:\n;www.example.org.\t\tIN\tA\n\n",
            ";; ANSWER SECTION:\nwww.example.org.\t300\tIN\tTXT\t\"a  b\" \"c\"\n\n",
            ";; AUTHORITY SECTION:\nexample.org.\t300\tIN\tNS\tns1.example.org.\n\n",
            ";; ADDITIONAL SECTION:\nns1.example.org.\t300\tIN\tA\t192.0.2.53\n\n",
            ";; Query time: 0 msec\n",
        ));
        assert_eq!(reply.status, "SERVFAIL");
        assert!(reply.has_flag("aa") && !reply.has_flag("tc"));
        assert_eq!(reply.extended_error.as_deref(), Some("14 (Not Ready)"));
        assert_eq!(reply.answer_data(), ["\"a b\" \"c\""]);
        assert_eq!(reply.authority, ["example.org. 300 IN NS ns1.example.org."]);
        assert_eq!(reply.additional, ["ns1.example.org. 300 IN A 192.0.2.53"]);
    }
}
