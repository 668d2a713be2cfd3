//! What a person types: `cargo xtask run|test|image|bench`.
#![forbid(unsafe_code)]

fn main() {}
