//! End to end: every scenario against the Linux binary and against the booted image.
//!
//! The far sides are real: `git`, `git daemon`, `dig`, QEMU. [`scenario!`] runs the same body for both targets,
//! so that what holds for one holds for the other; what only a machine can do is in [`machines`].
#![forbid(unsafe_code)]

/// Defines a test of the given name for each target.
///
/// `scenario!(name, |target| { … })` makes `name::hosted` and `name::image`.
macro_rules! scenario {
    ($(#[$attribute:meta])* $name:ident, |$target:ident| $body:block) => {
        $(#[$attribute])*
        mod $name {
            #[allow(unused_imports, reason = "one scenario needs more of its module than another")]
            use super::*;

            fn scenario($target: &zonule_harness::Target) $body

            #[test]
            fn hosted() {
                scenario(&crate::scene::hosted());
            }

            #[test]
            fn image() {
                scenario(&crate::scene::image());
            }
        }
    };
}

mod changes;
mod clients;
mod clock;
mod compliance;
mod dnssec;
mod edns;
mod hooks;
mod hooks_guide;
mod hostile;
mod ipv6;
mod links;
mod loading;
mod machines;
mod networks;
mod remote_away;
mod remotes_https;
mod remotes_limits;
mod remotes_ssh;
mod resolver;
mod scale;
mod scene;
mod secondaries;
mod signed;
mod snapshots;
mod stalls;
mod stalls_network;
mod streams;
mod updates;
mod webhook;
mod zone_files;
