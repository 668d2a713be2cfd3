//! DNSSEC: keys, signatures, chains of denial and zone digests, as pure functions of records and time.
//!
//! ```text
//! zone ─► validate ─► findings                     what a validator would reject, before it does
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
pub use key::{Algorithm, DigestType, PublicKey, delegation_signer, key_tag};
pub use sign::{Denial, Policy, SignError, sign};
pub use signature::{Signature, SignatureError};
pub use signer::{Role, Secret, SigningKey};
pub use validate::{Finding, Validation, validate};
