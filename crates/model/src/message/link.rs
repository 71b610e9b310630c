//! Links.

use std::fmt;

use crate::link::{HoldReason, LinkState};

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServeOnly => f.write_str("no primary is followed; the log is served"),
            Self::Connecting => f.write_str("connects to the primary"),
            Self::Retrying { error } => write!(f, "the last attempt failed, another follows: {error}"),
            Self::Streaming => f.write_str("the stream flows"),
            Self::Holding(reason) => reason.fmt(f),
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnrelatedHistory {
                held,
                held_offset,
                offered,
                offered_offset,
            } => write!(
                f,
                "the primary's history {offered} (at offset {offered_offset}) does not continue the history {held} that \
                 the replica nodes hold up to offset {held_offset}: it came back empty, or another server answers behind \
                 its name. The replica nodes are left as they are"
            ),
            Self::WentBack { common, lost_bytes } => write!(
                f,
                "the primary restarted from an older snapshot: it agrees with the replica nodes up to offset {common} \
                 only and lost the {lost_bytes} bytes of writes after it, which the replica nodes still hold. They \
                 are left as they are"
            ),
        }
    }
}
