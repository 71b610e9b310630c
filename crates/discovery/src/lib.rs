//! The discovery endpoint: tells Sentinel-aware clients where the primary of a group is.

mod directory;

pub use directory::{Directory, Endpoint, Entry, ReplicaEntry};
