//! What moves with every write or look, apart from what changes.

use serde::{Deserialize, Serialize};
use sterna_protocol::Offset;
use utoipa::ToSchema;

/// How far a node is.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct NodeFigures {
    /// Its replication offset.
    #[schema(value_type = Option<u64>)]
    pub offset: Option<Offset>,
    /// How far it is behind the primary, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_bytes: Option<u64>,
    /// How far it is behind the primary, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// How long its last answer to a look took, in seconds. It is another with every look, so no event is sent for it
    /// alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_seconds: Option<f64>,
}

impl NodeFigures {
    /// Whether the node is as far as in `other`, however long its answers took.
    pub(crate) fn is_as_far(self, other: Self) -> bool {
        let round_trip_seconds = other.round_trip_seconds;
        let still = Self {
            round_trip_seconds,
            ..self
        };
        still == other
    }
}

/// How far a shard is, and how much its log holds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct ShardFigures {
    /// Writes that would be lost if the primary were lost now, in bytes.
    pub unreplicated_bytes: u64,
    /// The same in seconds.
    pub unreplicated_seconds: f64,
    /// The oldest offset from which a replica node can continue.
    #[schema(value_type = u64)]
    pub log_start: Offset,
    /// The last whole unit received.
    #[schema(value_type = u64)]
    pub log_end: Offset,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Bytes received since the gateway started.
    pub stream_bytes: u64,
}
