//! Transfer requests and notifications, from a client that verifies each signature.

use std::net::SocketAddr;
use std::process::Command;

use crate::update::{PYTHON, Transport};
use crate::{Error, Key, Result, run};

/// The client script; its options describe the request.
const ASK: &str = concat!(include_str!("exchange.py"), include_str!("ask.py"));

/// A request of a kind that servers send each other.
#[derive(Clone, Debug)]
pub struct Ask {
    kind: String,
    zone: String,
    options: Vec<String>,
    /// The process whose network namespace the client uses.
    neighbour: Option<u32>,
}

impl Ask {
    /// Requests all of `zone` (RFC 5936), over TCP.
    pub fn axfr(zone: &str) -> Ask {
        Ask::new("AXFR".to_owned(), zone).by(Transport::Tcp)
    }

    /// Requests the changes since `serial` (RFC 1995); over UDP by default.
    pub fn ixfr(zone: &str, serial: u32) -> Ask {
        Ask::new(format!("IXFR={serial}"), zone)
    }

    /// Notifies of a change of `zone` (RFC 1996), over UDP.
    pub fn notify(zone: &str) -> Ask {
        Ask::new("NOTIFY".to_owned(), zone)
    }

    fn new(kind: String, zone: &str) -> Ask {
        Ask { kind, zone: zone.to_owned(), options: Vec::new(), neighbour: None }
    }

    /// Signs it, and requires a signed answer.
    pub fn key(self, key: &Key) -> Ask {
        self.option(format!("--key={}", key.option()))
    }

    /// Sets the transport.
    pub fn by(self, transport: Transport) -> Ask {
        if transport == Transport::Tcp { self.option("--tcp".to_owned()) } else { self }
    }

    /// Signs it with a clock that is `seconds` ahead.
    pub fn skew(self, seconds: i64) -> Ask {
        self.option(format!("--skew={seconds}"))
    }

    /// Announces this payload size in octets by EDNS.
    pub fn size(self, octets: u16) -> Ask {
        self.option(format!("--size={octets}"))
    }

    /// Sets the timeout for each message in seconds, instead of 60.
    pub fn patience(self, seconds: u32) -> Ask {
        self.option(format!("--patience={seconds}"))
    }

    /// Sends it from the network namespace of this process.
    pub fn from_namespace_of(mut self, process: u32) -> Ask {
        self.neighbour = Some(process);
        self
    }

    /// Sends it and returns the outcome.
    pub fn send(&self, server: SocketAddr) -> Result<Answer> {
        let mut command = match self.neighbour {
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.args([&format!("--target={process}"), "--net", PYTHON]);
                command
            }
            None => Command::new(PYTHON),
        };
        command.args(["-c", ASK]).args(&self.options);
        command.args([&server.ip().to_string(), &server.port().to_string(), &self.kind, &self.zone]);
        run(&mut command).map(|text| Answer::parse(&text))
    }

    fn option(mut self, option: String) -> Ask {
        self.options.push(option);
        self
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The response code's name in the last message; `TIMEOUT` if there was none.
    pub status: String,
    /// The TSIG error in the answer, for example `BadTime`.
    pub tsig_error: Option<String>,
    /// Whether it is complete and, with a key, fully signed.
    pub is_complete: bool,
    /// The flags of the last message.
    pub flags: Vec<String>,
    /// The octets of each message.
    pub messages: Vec<usize>,
    /// The records of the answer sections, in their order: owner, TTL, class, type and data.
    pub records: Vec<String>,
    /// The extended error (RFC 8914), its code and its text.
    pub extended_error: Option<String>,
    /// The client's output.
    pub text: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let mut answer = Answer { status: "TIMEOUT".to_owned(), text: text.to_owned(), ..Answer::default() };
        for line in text.lines() {
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "message" => {
                    let mut fields = rest.split(' ');
                    answer.status = fields.next().unwrap_or_default().to_owned();
                    answer.flags = fields.next().unwrap_or_default().split('+').map(str::to_owned).collect();
                    answer.messages.extend(fields.nth(1).and_then(|octets| octets.parse::<usize>().ok()));
                }
                "error" => answer.tsig_error = Some(rest.to_owned()),
                "extended" => answer.extended_error = Some(rest.to_owned()),
                "record" => answer.records.push(rest.to_owned()),
                "complete" => answer.is_complete = true,
                _ => {}
            }
        }
        answer
    }

    /// Whether `flag` is set in the last message.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|set| set.eq_ignore_ascii_case(flag))
    }

    /// Applies it to `zone`, the records of a version in any order: the result of a transfer (RFC 1995 §4), sorted.
    ///
    /// # Errors
    ///
    /// It is incomplete, deletes a missing record or adds an existing one.
    pub fn applied_to(&self, zone: &[String]) -> Result<Vec<String>> {
        let failed =
            |what: &str| Error::Failed { command: format!("applying a transfer: {what}"), output: self.text.clone() };
        let is_soa = |record: &String| record.split(' ').nth(3) == Some("SOA");
        let (Some(first), true) = (self.records.first(), self.is_complete) else { return Err(failed("incomplete")) };
        let mut result: Vec<String> = zone.to_vec();
        match self.records.as_slice() {
            [_] => {}
            [_, second, ..] if !is_soa(second) => result = self.records[..self.records.len() - 1].to_vec(),
            [_, changes @ .., last] => {
                if last != first {
                    return Err(failed("it does not end as it begins"));
                }
                let mut adds = true;
                for record in changes {
                    adds ^= is_soa(record);
                    let place = result.iter().position(|have| have == record);
                    match (adds, place) {
                        (true, None) => result.push(record.clone()),
                        (false, Some(place)) => drop(result.swap_remove(place)),
                        _ => return Err(failed(record)),
                    }
                }
            }
            [] => return Err(failed("empty")),
        }
        if !result.contains(first) {
            return Err(failed("it does not lead to the version it names"));
        }
        result.sort_unstable();
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(records: &[&str]) -> Answer {
        let records = records.iter().map(ToString::to_string).collect();
        Answer { records, is_complete: true, ..Answer::default() }
    }

    #[test]
    fn applies_differences() {
        let [one, two, three] = ["x. 9 IN SOA a b 1", "x. 9 IN SOA a b 2", "x. 9 IN SOA a b 3"];
        let [a, b] = ["a.x. 9 IN A 192.0.2.1", "b.x. 9 IN A 192.0.2.2"];
        let zone = [a.to_owned(), one.to_owned()];
        let applied = |records: &[&str]| answer(records).applied_to(&zone).ok();
        assert_eq!(applied(&[one]).unwrap(), [a, one]);
        assert_eq!(applied(&[three, a, b, three]).unwrap(), [a, b, three]);
        assert_eq!(applied(&[three, one, a, two, b, two, three, three]).unwrap(), [b, three]);
        // A record twice, one that is not there, and one version too few.
        assert_eq!(applied(&[two, one, two, a, two]), None);
        assert_eq!(applied(&[two, one, b, two, two]), None);
        assert_eq!(applied(&[three, one, two, b, three]), None);
    }
}
