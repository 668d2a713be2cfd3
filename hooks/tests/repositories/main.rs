//! The hooks in real repositories, run by real git: at a commit, at a push over git:// and over ssh.
#![forbid(unsafe_code)]

mod commit;
mod install;
mod many;
mod push;
mod shapes;
mod ssh;
mod world;
