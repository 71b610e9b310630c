//! Sans-IO protocols of Redis and Valkey replication: no sockets, no clocks, no tokio.
//!
//! Bytes go in, typed events come out, and any split of the input gives the same events.

mod ids;

pub use ids::{InvalidReplicationId, Offset, REPLICATION_ID_LEN, ReplicationId};
