//! virtio devices: the transports, the split virtqueue and the drivers on top.

mod header;
pub mod net;
mod ports;
pub mod queue;
pub mod rng;
pub mod transport;

/// Feature bits that are not specific to a device (virtio 1.2 §6).
pub mod features {
    /// Descriptors may be laid out freely by legacy drivers (VIRTIO_F_ANY_LAYOUT).
    pub const ANY_LAYOUT: u64 = 1 << 27;
    /// Notifications are suppressed by ring index (VIRTIO_F_EVENT_IDX).
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// The device follows version 1 of the specification (VIRTIO_F_VERSION_1).
    pub const VERSION_1: u64 = 1 << 32;
}

/// The virtio type of a network device (virtio 1.2 §5).
pub const TYPE_NETWORK: u32 = 1;
/// The virtio type of an entropy device.
pub const TYPE_ENTROPY: u32 = 4;

/// Why a virtio device could not be brought up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VirtioError {
    /// The device did not accept the features the driver needs.
    Features,
    /// The device offers no queue of this number, or a useless size.
    NoQueue(u16),
    /// The device fixes the size of its queues, and this one is no power of two or too large.
    QueueSize(u16),
    /// No contiguous memory for rings and buffers.
    NoMemory,
    /// The device's registers lie outside the window it announced.
    Registers,
    /// The device reports an address that no network interface can have.
    Address,
    /// The device did not answer in time.
    Timeout,
}

impl core::fmt::Display for VirtioError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Features => f.write_str("it refused the features the driver needs"),
            Self::NoQueue(queue) => write!(f, "it has no usable queue {queue}"),
            Self::QueueSize(size) => write!(
                f,
                "its queues have {size} entries, and it has the legacy interface, by which that cannot be changed; give it \
                 {} (QEMU: rx_queue_size) or the modern interface (QEMU: disable-modern=off)",
                queue::LIMIT
            ),
            Self::NoMemory => f.write_str("no contiguous memory for its rings; give the machine more memory"),
            Self::Registers => f.write_str("its registers are not where it says, or nowhere"),
            Self::Address => f.write_str("its hardware address is not a unicast address"),
            Self::Timeout => f.write_str("it did not answer in time"),
        }
    }
}
