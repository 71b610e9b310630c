//! The coordination store: what must survive the gateway, and what several gateways will agree on.
//!
//! - [`Store`] is the seam: keys, values, revisions, and commits that hold together. [`SqliteStore`] stands behind it
//!   here; etcd can, without a change above it.
//! - [`Catalogue`] puts the model's types on top, and seals what is secret with a [`Sealer`].

mod catalogue;
mod error;
mod seal;
mod seam;
mod sqlite;
mod tolerant;

pub use catalogue::{
    AUDIT_RECORDS_MAX, Catalogue, IDEMPOTENCY_KEYS_MAX, Idempotency, OPERATIONS_MAX, RelaySecrets,
};
pub use error::StoreError;
pub use seal::Sealer;
pub use seam::{Answer, Commit, Entry, Store, Write};
pub use sqlite::SqliteStore;
