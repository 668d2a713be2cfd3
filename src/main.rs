//! The Linux binary.
#![forbid(unsafe_code)]

fn main() {}
