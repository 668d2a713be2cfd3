//! What a person types: `cargo xtask run|test|image|bench`.
#![forbid(unsafe_code)]

mod image;
mod nettest;
mod selftest;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["image"] => image::build(image::Program::Zonule).map(|path| println!("{}", path.display())),
        ["image", "--selftest"] => image::build(image::Program::Selftest).map(|path| println!("{}", path.display())),
        ["nettest"] => image::build(image::Program::Selftest).and_then(|elf| nettest::run(&elf)),
        ["nettest-inside", elf] => nettest::run_inside(elf.as_ref()),
        ["clippy"] => image::clippy(),
        ["selftest"] => selftest::run(),
        _ => Err("usage: cargo xtask image [--selftest] | selftest | nettest | clippy".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
