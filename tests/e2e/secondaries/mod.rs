//! Transfers and notifications: every secondary ends up with the version that is served, whatever happens meanwhile.

mod access;
mod catalog;
mod faults;
mod history;
mod makes;
mod mode;
pub(crate) mod notify;
mod own;
pub(crate) mod scene;
