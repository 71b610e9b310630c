//! What has to be done with one node before it may follow again.
//!
//! Its writes are blocked on sight. What it has beyond the divergence offset is saved before anything overwrites it
//! (I3); where nobody can tell which writes those are, its whole data is.

mod observe;
#[cfg(test)]
mod tests;

use sterna_protocol::{Offset, ReplicationId};

use super::RescueScope;

pub(crate) use observe::{is_there, nodes, observe, open_node};

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct ReturningNode {
    /// It takes writes, or would without the fence.
    pub(crate) is_primary: bool,
    /// We blocked the writes of this process of it.
    pub(crate) writes_blocked: bool,
    /// It follows our relay, or the group's primary within its own service.
    pub(crate) follows_us: bool,
    /// It is a replica in the history that is followed, by whatever way: all that it has, the group's primary wrote.
    pub(crate) holds_ours: bool,
    /// Its history.
    pub(crate) history: ReplicationId,
    /// How far it is.
    pub(crate) offset: Offset,
    /// The history that it was in before, and how far that is its own.
    pub(crate) previous: Option<(ReplicationId, Offset)>,
    /// It holds no key.
    pub(crate) empty: bool,
}

/// Where the old primary was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Divergence {
    /// The history that ended.
    pub(crate) history: ReplicationId,
    /// The last offset that the new primary has of it.
    pub(crate) offset: Offset,
    /// What was beyond was saved, or there is no way to.
    pub(crate) saved: bool,
}

/// What comes next for the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum NodeStep {
    /// Block its writes.
    BlockWrites,
    /// Save what it has beyond the divergence offset.
    Rescue(RescueScope),
    /// Let it follow.
    Attach(Holds),
    /// It follows.
    Done,
}

/// What it holds when it is let follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holds {
    /// Exactly what was copied, or less: it continues with a partial resync if the log reaches back.
    APrefix,
    /// Writes that were saved: it needs a full copy.
    SavedWrites,
    /// Nothing.
    Nothing,
}

/// The next step.
pub(crate) fn next(node: &ReturningNode, divergence: &Divergence) -> NodeStep {
    if node.follows_us {
        return NodeStep::Done;
    }
    if node.is_primary && !node.writes_blocked {
        return NodeStep::BlockWrites;
    }
    if node.holds_ours {
        return NodeStep::Attach(Holds::APrefix);
    }
    if node.history == divergence.history {
        return if node.offset <= divergence.offset {
            NodeStep::Attach(Holds::APrefix)
        } else if divergence.saved {
            NodeStep::Attach(Holds::SavedWrites)
        } else {
            NodeStep::Rescue(RescueScope::Commands {
                after: divergence.offset,
                to: node.offset,
            })
        };
    }
    if node.empty {
        return NodeStep::Attach(Holds::Nothing);
    }
    let prefix = node
        .previous
        .filter(|(history, last)| *history == divergence.history && *last <= divergence.offset);
    match prefix {
        // Loaded from a file that was written before the divergence, and nothing happened since.
        Some((_, last)) if node.offset == last => NodeStep::Attach(Holds::APrefix),
        _ if divergence.saved => NodeStep::Attach(Holds::SavedWrites),
        // What it took since it was started or promoted is in its own history.
        Some((_, last)) => NodeStep::Rescue(RescueScope::Commands {
            after: last,
            to: node.offset,
        }),
        None => NodeStep::Rescue(RescueScope::Snapshot),
    }
}
