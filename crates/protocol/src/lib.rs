//! Sans-IO protocols of Redis and Valkey replication: no sockets, no clocks, no tokio.
//!
//! Bytes go in, typed events come out, and any split of the input gives the same events. Nothing here panics on
//! input: what can't be understood is an error that says what was expected and shows the bytes.
//!
//! - [`address`]: how a node is named;
//! - [`resp`]: replies a server sends us, commands a follower sends us;
//! - [`stream`]: the boundaries of commands and transactions in the online replication stream;
//! - [`rdb`]: the framing of a full transfer, and a look at the RDB while it passes;
//! - [`psync`]: the handshake, as the replica of a node and as the primary of followers;
//! - [`sentinel`]: the Sentinel protocol, as the Sentinel;
//! - [`secret`]: passwords that nothing prints, wiped when they are dropped.

pub mod address;
mod excerpt;
mod ids;
mod line;
pub mod psync;
pub mod rdb;
pub mod resp;
pub mod secret;
pub mod sentinel;
pub mod stream;
pub mod text;

pub use address::NodeAddress;
pub use excerpt::{EXCERPT_BYTES_MAX, Excerpt};
pub use ids::{InvalidReplicationId, Offset, REPLICATION_ID_LEN, ReplicationId, RunId};
pub use secret::{Credentials, Secret};
