//! Parsing of the arguments of a command into options and positional arguments.

use super::Command;

/// The arguments of a command, or a request for help.
pub(super) enum Arguments {
    /// Help.
    Help,
    /// The arguments to run the command with.
    Given(Parsed),
}

/// The parsed arguments of a command.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    options: Vec<(&'static str, String)>,
    /// The positional arguments.
    pub(super) words: Vec<String>,
}

impl Arguments {
    /// Parses the arguments of a command; an error says which is invalid.
    pub(super) fn parse(command: &Command, words: &[String]) -> Result<Self, String> {
        let mut parsed = Parsed::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (name, value) = match word.strip_prefix("--") {
                Some("") => {
                    parsed.words.extend(words.by_ref().cloned());
                    break;
                }
                Some("help") => return Ok(Self::Help),
                Some(body) => match body.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_string())),
                    None => (body, None),
                },
                None if word == "-h" => return Ok(Self::Help),
                // As in git.
                None if word == "-C" => ("directory", Some(words.next().cloned().unwrap_or_default())),
                None if word.starts_with('-') && word.len() > 1 => (word.as_str(), None),
                None => {
                    parsed.words.push(word.clone());
                    continue;
                }
            };
            let Some(flag) = command.options.iter().find(|flag| flag.name == name) else {
                return Err(format!("unknown option {word}"));
            };
            let value = match (flag.value.is_empty(), value) {
                (true, None) => String::new(),
                (true, Some(_)) => return Err(format!("--{name} takes no value")),
                (false, Some(value)) if !value.is_empty() => value,
                (false, _) => return Err(format!("--{name} needs a value: {}", flag.written())),
            };
            if parsed.get(flag.name).is_some() {
                return Err(format!("--{name} is given twice"));
            }
            parsed.options.push((flag.name, value));
        }
        Ok(Self::Given(parsed))
    }
}

impl Parsed {
    /// Returns the value of an option that was given; it is empty if the option has none.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(other, _)| *other == name).map(|(_, value)| value.as_str())
    }

    /// Returns the value of an option if it was given; fails if it is not one of `values`, which are separated by `|`.
    pub(super) fn choice(&self, name: &str, values: &str) -> Result<Option<&str>, String> {
        match self.get(name) {
            Some(value) if !values.split('|').any(|one| one == value) => {
                Err(format!("--{name} must be one of {values}, not {value}"))
            }
            value => Ok(value),
        }
    }
}
