//! Devices: how they are found, how they are driven, and what the firmware says about them.

pub mod acpi;
pub mod bus;
pub mod button;
pub(crate) mod checksum;
pub mod discover;
pub mod entropy;
pub(crate) mod generation;
mod generator;
pub mod nic;
pub mod power;
pub mod virtio;
