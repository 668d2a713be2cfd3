//! The remote as a store: fetch a branch into memory, read its files, commit changes, push them.
//!
//! A [`Repository`] holds one commit of one branch with its trees and files, and nothing of its history: the first
//! [`fetch`](Repository::fetch) clones at depth 1, later ones transfer what changed. Everything is in memory, each
//! object compressed on its own. When the branch moves, what the new commit does not reach is dropped, so memory does
//! not grow. A fetch that fails leaves the old commit as it was.
//!
//! A [`Draft`] collects commits on top of the one held. [`push`](Repository::push) sends them all at once. Either it
//! succeeds, and the last of them becomes the commit held, or it reports which case applies ([`PushError`]): nothing
//! was sent, the branch or its record had moved, the remote refused, or the outcome is unknown. The branch is never
//! force-pushed. An unknown outcome is resolved later ([`fate`](Repository::fate)).
//!
//! The remote is trusted for the content of its files only. The resources that it can consume are bounded by [`Limits`]
//! and [`Timeouts`]; every object is verified by its hash.
//!
//! The files do not depend on each other in circles. From the bottom up:
//!
//! * [`store`], `cache` and `archive` hold objects, `zlib` and `delta` compress them, and [`pack`] unpacks what a
//!   remote sends.
//! * `tree` reads commits and directories, `links` follows symbolic links.
//! * [`Remote`] is the address of the repository, [`Access`] the credentials. `wire` is a connection, `http` and
//!   [`ssh`] open one,
//!   and `open` starts a `transport`, a conversation in packet lines.
//! * `greeting` reads the remote's capabilities and references, and `protocol` fetches.
//! * [`Repository`] holds a commit; [`Draft`] adds commits to it; `push` sends them with the entries of a `record`.
//!   [`Beside`] and
//!   [`History`] fetch earlier commits.
//!
//! Programs other than the server read repositories on the local machine through [`local`].

mod access;
mod archive;
mod beside;
mod cache;
mod delta;
mod draft;
mod draining;
mod error;
mod greeting;
mod history;
mod http;
mod limits;
mod links;
pub mod local;
mod open;
pub mod pack;
mod protocol;
mod push;
mod record;
mod remote;
mod repository;
mod rest;
mod secret;
mod signature;
pub mod ssh;
pub mod store;
mod tls;
mod transport;
mod tree;
mod wire;
mod zlib;

pub use access::{Access, Upstream};
pub use beside::Beside;
pub use draft::Draft;
pub use error::Error;
pub use gix_hash::ObjectId;
pub use history::{History, PastCommit};
pub use http::{HttpError, HttpProblem};
pub use limits::Limits;
pub use links::{Listing, Way};
pub use protocol::Fate;
pub use push::PushError;
pub use record::{Entry, Recorded, record_of};
pub use remote::{Kind, Remote, RemoteError};
pub use repository::{Fetched, Repository};
pub use rest::Rest;
pub use secret::Secret;
pub use signature::Signature;
pub use store::blob_id;
pub use tree::{CommitInfo, File};
pub use wire::Protocol;

pub use crate::net::tls::{Fingerprint, TlsError, Trust};
pub use crate::net::{Deadline, Timeouts};
