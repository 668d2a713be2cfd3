//! The arguments of ssh: our key, and those of the server.

use super::{ArgumentError, error};
pub(super) use crate::git::ssh::{Access, HostKeys, Identity};
use crate::git::{Kind, Remote};

const KEY: &str = "--git-ssh-key";
const HOST_KEY: &str = "--git-ssh-host-key";

/// Checks that there is a key where one is needed, and none where it would be of no use.
pub(super) fn check(remote: Option<&Remote>, access: &Access) -> Result<(), ArgumentError> {
    match remote {
        Some(remote) if remote.kind() == Kind::Ssh => match access.key {
            Some(_) => Ok(()),
            None => {
                Err(error(KEY, format!("is required to log in at {}: make one with `zonule keygen`", remote.host())))
            }
        },
        _ if access.key.is_some() => Err(error(KEY, "is for remotes like ssh://git@host/path; --git-remote is none")),
        _ if !access.host_keys.is_empty() => {
            Err(error(HOST_KEY, "is for remotes like ssh://git@host/path; --git-remote is none"))
        }
        _ => Ok(()),
    }
}
