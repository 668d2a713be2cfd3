//! Catalog zones: zones that list member zones (RFC 9432).
//!
//! ```text
//! names ─ produce ─► Zone ─ transfers ─► Zone ─ consume ─► Members ─► Subscription ─► Steps: follow, forget
//! ```

mod consume;
mod produce;
mod subscription;

pub use consume::{Broken, Member, Members, consume};
pub use produce::{CatalogNameTooLong, produce};
pub use subscription::{Step, Subscription};

#[cfg(test)]
mod tests;
