//! The arguments for ssh: our key and the server's host keys.

use super::{ArgumentError, error};
pub(super) use crate::git::ssh::{Access, HostKeys, Identity};
use crate::git::{Kind, Remote};

const KEY: &str = "--git-ssh-key";
const HOST_KEY: &str = "--git-ssh-host-key";

/// Checks that there is a key if the remote needs one, and no ssh arguments otherwise.
pub(super) fn check(remote: Option<&Remote>, access: &Access) -> Result<(), ArgumentError> {
    match remote {
        Some(remote) if remote.kind() == Kind::Ssh => match access.key {
            Some(_) => Ok(()),
            None => Err(error(
                KEY,
                format!("is required to log in at {}; generate one with `zonule keygen`", remote.host()),
            )),
        },
        _ if access.key.is_some() => Err(error(KEY, "is only valid with a --git-remote such as ssh://git@host/path")),
        _ if !access.host_keys.is_empty() => {
            Err(error(HOST_KEY, "is only valid with a --git-remote such as ssh://git@host/path"))
        }
        _ => Ok(()),
    }
}
