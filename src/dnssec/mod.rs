//! DNSSEC: keys, signatures, chains of denial and zone digests, as pure functions of records and time.
//!
//! ```text
//! zone ─► validate ─► findings                     errors that validators would report
//! zone, keys, day ─► sign ─► signed zone           the same octets for the same input, on every machine
//! ```
//!
//! Nothing here has a clock or a source of randomness: times are parameters in seconds since 1970, keys are derived from
//! a secret, and all signatures are deterministic (RFC 6979, RFC 8032).

mod chain;
mod digest;
mod key;
mod sign;
mod signature;
mod signer;
mod validate;

pub use digest::{DigestError, check_digest, zone_digest};
pub use key::{DigestType, KeyAlgorithm, PublicKey, delegation_signer, key_tag};
pub use sign::{DenialMethod, SignError, SigningPolicy, sign};
pub use signature::{Rrsig, SignatureError};
pub use signer::{MasterSecret, Role, SigningKey};
pub use validate::{Flaw, Validation, validate};
