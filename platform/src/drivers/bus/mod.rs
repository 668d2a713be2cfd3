//! Where devices are found: PCI functions and virtio-mmio windows.

pub mod assign;
pub mod mmio;
pub mod pci;
pub mod registers;
