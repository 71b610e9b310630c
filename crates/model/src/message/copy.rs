//! Full copies that don't come to be.

use std::fmt;

use crate::copy::{CopyBreak, CopyObstacle};

impl fmt::Display for CopyObstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherEngine { primary, node } => write!(
                f,
                "it is {node}, the primary {primary}: data formats and commands have grown apart. It is given no full copy \
                 and keeps the data that it has. Replicate to a node of the primary's engine"
            ),
            Self::RdbVersion {
                primary,
                node,
                written,
                loaded,
            } => write!(
                f,
                "{primary} writes RDB {}, {node} loads up to RDB {}: it could not load a full copy, so it is given none and \
                 keeps the data that it has. Upgrade the node to {primary} or later",
                Shown(*written),
                Shown(*loaded)
            ),
            Self::FieldTtls { primary, node } => write!(
                f,
                "{primary} holds hash fields that expire, which have no place in what {node} loads: no full copy can be made \
                 for it, and it keeps the data that it has. Upgrade the node to Valkey 9.0 or later"
            ),
            Self::Databases { needed, has } => write!(
                f,
                "it has {has} databases, and the primary holds keys in db{}: it would exit while it loads a full copy, so it \
                 is given none and keeps the data that it has. Set `databases {needed}` or more in its configuration file \
                 and restart it",
                needed.saturating_sub(1)
            ),
            Self::Modules { missing } => write!(
                f,
                "the primary has modules that it lacks ({}): it could not load a full copy, so it is given none and keeps \
                 the data that it has. Load them at the node",
                missing.join(", ")
            ),
            Self::NotAsked { error } => write!(
                f,
                "what it can load can't be found out ({error}), so it is given no full copy and keeps the data that it has. \
                 It is asked again"
            ),
        }
    }
}

/// A version that may not be known.
struct Shown(Option<u32>);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => version.fmt(f),
            None => f.write_str("of an unknown version"),
        }
    }
}

impl fmt::Display for CopyBreak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FieldTtls { announced } => {
                return write!(
                    f,
                    "it holds hash fields that expire, and can't write them for Valkey {announced}, the lowest version among \
                     the nodes that need the copy. Upgrade those nodes to Valkey 9.0 or later"
                );
            }
            Self::BufferLimit => {
                "more piled up for the connection than its client-output-buffer-limit allows. Raise the limit for replicas \
                 there (client-output-buffer-limit replica), or give the way to the gateway more room"
            }
            Self::SaveFailed => {
                "its background save failed. Its own log says why: as a rule memory for the fork, or its disk"
            }
            Self::Unknown => {
                "why, its own log says: as a rule its background save failed, or something between closes connections"
            }
        })
    }
}
