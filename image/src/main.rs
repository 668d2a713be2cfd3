//! The bootable image's `main`.
#![forbid(unsafe_code)]

fn main() {}
