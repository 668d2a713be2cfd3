//! The remote as a store: fetch a branch into memory, read its files, commit changes, push them.
//!
//! A [`Repository`] holds one commit of one branch with its trees and files, and nothing of its history: the first
//! [`fetch`](Repository::fetch) clones at depth 1, later ones bring what changed. Everything is in memory, each object
//! compressed on its own; after a move what the new commit does not reach is dropped, so memory does not grow with time. A
//! fetch that fails leaves the old commit as it was.
//!
//! A [`Draft`] collects commits on top of the one held. [`push`](Repository::push) sends them all at once and either
//! succeeds, and the last of them is the commit held, or says which of four things happened ([`PushError`]): nothing was
//! sent, the branch had moved, the remote refused, or nobody knows yet. The branch is never moved by force. What nobody
//! knows yet is asked later ([`fate`](Repository::fate)).
//!
//! The remote is not trusted with anything but the content of its files. All it can make us spend is bounded by [`Limits`]
//! and [`Timeouts`]; every object is verified by its hash.
//!
//! No file uses one that uses it. From the bottom up:
//!
//! * [`store`], `cache` and `archive` hold objects, `zlib` and `delta` compress them, [`pack`] unpacks what a remote sends.
//! * `tree` reads commits and directories, `links` follows symbolic links.
//! * [`Remote`] says where the repository is and [`Access`] who we are. `wire` is a connection, `http` and [`ssh`] make one,
//!   and `open` begins a `transport`, a conversation in packet lines.
//! * `greeting` reads what the remote has, and `protocol` fetches.
//! * [`Repository`] holds a commit; [`Draft`] adds to it; `push` sends that, with the entries of a `record`. [`Beside`] and
//!   [`History`] fetch what was before.
//!
//! Programs other than the server read repositories of their own machine through [`local`].

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
