//! Full copies that don't come to be: why a node is not given one, and why a primary broke one off.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a replica node is not given a full copy. A node empties itself before it loads one, so it must be able to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum CopyObstacle {
    /// It runs another engine.
    OtherEngine {
        /// Engine and version of the primary.
        primary: String,
        /// Engine and version of the node.
        node: String,
    },
    /// The format is newer than what it loads: as a rule the primary was upgraded first.
    RdbVersion {
        /// Engine and version of whoever writes it.
        primary: String,
        /// Engine and version of the node.
        node: String,
        /// The RDB version that is written, where it is known.
        written: Option<u32>,
        /// The highest that the node loads, where it is known.
        loaded: Option<u32>,
    },
    /// Hash fields that expire have no place in the format that it loads: the primary can't write it.
    FieldTtls {
        /// Engine and version of the primary.
        primary: String,
        /// Engine and version of the node.
        node: String,
    },
    /// It has too few databases.
    Databases {
        /// How many are in use at the primary, counted from db0.
        needed: u32,
        /// How many the node has.
        has: u32,
    },
    /// It lacks modules.
    Modules {
        /// Their names.
        missing: Vec<String>,
    },
    /// What it can load could not be found out.
    NotAsked {
        /// What was in the way.
        error: String,
    },
}

/// Why a primary closed the connection on which a snapshot was to come, as far as it can be told from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyBreak {
    /// It can't write hash fields that expire for so old a server.
    FieldTtls {
        /// The version that was announced to it.
        announced: String,
    },
    /// More piled up for the connection than its limit allows.
    BufferLimit,
    /// Its background save failed.
    SaveFailed,
    /// It does not say.
    Unknown,
}
