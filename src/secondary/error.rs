//! Why a transfer from a primary failed.

use std::fmt;

use crate::dns::message::{Malformed, Rcode};
use crate::tsig::ReplyError;

/// The reason why a transfer failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// A message is malformed.
    Malformed(Malformed),
    /// A message is not correctly signed, or the primary rejects our signature.
    Signature(ReplyError),
    /// The primary answers with this error code.
    Refused(Rcode),
    /// A message or record is not allowed at its position.
    Unexpected(&'static str),
    /// The transfer is larger than allowed.
    TooLarge(&'static str),
    /// The differences do not match the current version.
    Mismatch(String),
    /// The zone is invalid; contains the first reason.
    Invalid(String),
}

impl TransferError {
    /// Returns whether a transfer of the whole zone may succeed after a transfer of differences failed with this error.
    pub fn allows_full_transfer(&self) -> bool {
        match self {
            Self::Signature(_) | Self::TooLarge(_) => false,
            Self::Refused(code) => *code != Rcode::NOT_AUTHORITATIVE,
            _ => true,
        }
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "a message is malformed: {error}"),
            Self::Signature(error) => error.fmt(f),
            Self::Refused(code) => write!(f, "the primary answers {}", code),
            Self::Unexpected(what) => f.write_str(what),
            Self::TooLarge(what) => write!(f, "the transfer is too large: {what}"),
            Self::Mismatch(what) => write!(f, "the differences do not match our version: {what}"),
            Self::Invalid(reason) => write!(f, "the zone is invalid: {reason}"),
        }
    }
}

impl std::error::Error for TransferError {}

impl From<Malformed> for TransferError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}

impl From<ReplyError> for TransferError {
    fn from(error: ReplyError) -> Self {
        Self::Signature(error)
    }
}
