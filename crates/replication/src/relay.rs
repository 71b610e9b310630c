//! The primary side: real nodes attach here with `REPLICAOF`, and the user name they log in with says to which shard.

mod listener;
mod secret;
mod session;
mod socket;

pub use listener::{Login, Relay, RelaySettings, ShardAccess};
pub use secret::{NoRandomness, generate_secret};
