//! The Linux binary: the server as a process, and commands for zone authors.
#![forbid(unsafe_code)]

mod commands;

use std::process::ExitCode;
use std::time::Instant;

use zonule::config::{self, Command, Host};
use zonule::serve::Server;
use zonule::{telemetry, text};

/// The exit code for an invalid command line, following the convention of shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let started = Instant::now();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some(code) = commands::run(&words) {
        return code;
    }
    let config = match config::parse(Host::Process, words) {
        Ok(Command::Serve(config)) => config,
        Ok(Command::Help(text)) => {
            print!("{text}\n{}", commands::help());
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("zonule: {}", text::escaped(&error.to_string()));
            return ExitCode::from(USAGE);
        }
    };
    telemetry::init(config.log.clone());
    let mut random = [[0; 16]; 3];
    if let Err(error) = getrandom::fill(random.as_flattened_mut()) {
        eprintln!("zonule: the system has no random numbers: {error}");
        return ExitCode::FAILURE;
    }
    let Err(error) = Server::new(started, &config, random).run(*config, None);
    eprintln!("zonule: {error}");
    ExitCode::FAILURE
}
