//! The coordination store: what must survive the gateway, and what several gateways will agree on.
//!
//! - [`Store`] is what a backend must do: keys, values, revisions, and commits that hold together. [`SqliteStore`] stands behind it
//!   here; etcd can, without a change above it.
//! - [`Catalogue`] puts the model's types on top, and seals what is secret with a [`Sealer`].

mod backend;
mod catalogue;
mod error;
mod seal;
mod sqlite;

pub use backend::{Commit, Entry, Room, Store, StoreFuture, Write};
pub use catalogue::{
    AUDIT_RECORDS_MAX, Audit, Catalogue, Groups, History, IDEMPOTENCY_KEYS_MAX, Idempotency, IdempotencyKeys,
    Nodes, OPERATIONS_MAX, Operations, RelaySecrets, Rescues, Services, Tokens,
};
pub use error::StoreError;
pub use seal::Sealer;
pub use sqlite::SqliteStore;
