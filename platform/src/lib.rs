//! What Rust's std calls, supplied on bare metal.
#![no_std]
