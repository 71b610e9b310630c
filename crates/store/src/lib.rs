//! The coordination store: what must survive the gateway, and what several gateways will agree on.
//!
//! - [`Store`] is the seam: keys, values, revisions, and commits that hold together. SQLite stands behind it here; etcd
//!   can, without a change above it.
//! - [`Catalogue`] puts the model's types on top, and seals what is secret.

mod catalogue;
mod error;
mod seam;

pub use catalogue::Catalogue;
pub use error::StoreError;
pub use seam::{Commit, Entry, Store, Write};
