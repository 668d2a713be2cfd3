//! Why a transfer from a primary failed.

use std::fmt;

use crate::dns::message::{Malformed, Rcode};
use crate::tsig::ReplyError;

/// Why a transfer brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferError {
    /// A message cannot be read.
    Malformed(Malformed),
    /// A message is not signed as it has to be, or the primary refuses our signature.
    Signature(ReplyError),
    /// The primary says no, with this response code.
    Refused(Rcode),
    /// A message or record is not what must come at its place.
    Unexpected(&'static str),
    /// The transfer is larger than allowed.
    TooLarge(&'static str),
    /// The differences do not fit the version held.
    Mismatch(String),
    /// The zone may not be served; the first reason follows.
    Unsound(String),
}

impl TransferError {
    /// Returns whether a transfer of the whole zone may do better where one of differences failed so.
    pub fn is_of_differences(&self) -> bool {
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
            Self::Mismatch(what) => write!(f, "the differences do not fit what we have: {what}"),
            Self::Unsound(reason) => write!(f, "the zone is not sound: {reason}"),
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
