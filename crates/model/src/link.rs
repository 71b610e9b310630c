//! The link of a shard to its primary, and why one holds.

use serde::{Deserialize, Serialize};
use sterna_protocol::{Offset, ReplicationId};
use utoipa::ToSchema;

/// Where the link to the primary stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum LinkState {
    /// No primary is followed: the log is only served.
    #[serde(rename = "serving")]
    ServeOnly,
    /// Looking for the primary, or shaking hands with it.
    #[default]
    Connecting,
    /// The last attempt failed; another follows.
    Retrying {
        /// What failed, as the primary or the network said it.
        error: String,
    },
    /// The stream flows.
    Streaming,
    /// The primary's history does not continue ours (invariant I4).
    Holding(HoldReason),
}

impl LinkState {
    /// The words of all states.
    pub const WORDS: [&str; 5] = ["serving", "connecting", "retrying", "streaming", "holding"];

    /// One lower-case word for tables and metrics; the code in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ServeOnly => "serving",
            Self::Connecting => "connecting",
            Self::Retrying { .. } => "retrying",
            Self::Streaming => "streaming",
            Self::Holding(_) => "holding",
        }
    }
}

/// How far a full copy from the primary has come: it arrives on a connection of its own, beside the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct CopyProgress {
    /// Bytes of the snapshot received.
    pub received_bytes: u64,
    /// Its size, where the primary says it.
    pub total_bytes: Option<u64>,
}

impl CopyProgress {
    /// How much of it has arrived, 0 to 1, where its size is known.
    pub fn share(self) -> Option<f64> {
        let total = self.total_bytes.filter(|total| *total > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = self.received_bytes as f64 / total as f64;
        Some(share.min(1.0))
    }
}

/// Why replication holds (invariant I4): what the primary offers does not continue what the replica nodes hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "hold", rename_all = "kebab-case")]
pub enum HoldReason {
    /// The primary's history is unknown here: another server behind the name, or one that came back empty.
    UnrelatedHistory {
        /// The history that the replica nodes hold.
        #[schema(value_type = String)]
        held: ReplicationId,
        /// How far they hold it.
        #[schema(value_type = u64)]
        held_offset: Offset,
        /// The history that the primary is in.
        #[schema(value_type = String)]
        offered: ReplicationId,
        /// How far it is.
        #[schema(value_type = u64)]
        offered_offset: Offset,
    },
    /// The primary is in our history but behind us: it restarted from an older snapshot.
    WentBack {
        /// The last offset that the primary still shares with the replica nodes.
        #[schema(value_type = u64)]
        common: Offset,
        /// Bytes of stream that they hold and the primary lost.
        lost_bytes: u64,
    },
}
