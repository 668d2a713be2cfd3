//! The bootable image's `main`.
#![forbid(unsafe_code)]

use zonule_platform as _;

fn main() {
    println!("zonule: {:?}", std::env::args().collect::<Vec<_>>());
}
