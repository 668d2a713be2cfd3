//! The key for an ssh server, and the host keys that authenticate it.

use super::{HostKeys, Identity};

/// The key for an ssh server, and the host keys that authenticate it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The key for logging in; `None` if the operator configured none, which is an error once it is needed.
    pub key: Option<Identity>,
    /// The accepted host keys of the server.
    pub host_keys: HostKeys,
}
