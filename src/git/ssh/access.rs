//! What is needed to be let in by an ssh server, and to know it.

use super::{HostKeys, Identity};

/// What is needed to be let in by an ssh server, and to know it.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The key by which we log in; `None` if the operator has given none, which is an error once it is needed.
    pub key: Option<Identity>,
    /// The host keys by which the server is known.
    pub host_keys: HostKeys,
}
