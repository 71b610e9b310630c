//! The link to the primary, as the shard tells of it and as it was told to stand.

use std::collections::BTreeSet;

use sterna_model::LinkState;
use sterna_node::NodeAddress;
use sterna_protocol::Offset;
use sterna_replication::{Handover, Status};

use crate::time::Moment;

/// Connections of ours that are remembered.
const CONNECTIONS_MAX: usize = 64;

/// The shard's link to the primary.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// What the shard said last.
    pub(crate) status: Status,
    pub(crate) signs: Signs,
    /// The shard was told to follow the group's primary, and not to hold still for a change.
    pub(crate) following: bool,
    /// What the shard was last told about a primary that hands over.
    pub(crate) handover: Handover,
    /// The primary came back without its data; known until a stream stands again.
    pub(crate) lost_data: bool,
    pub(crate) connections: OwnConnections,
}

/// Under which numbers the primary lists connections of ours, or did: one that has ended may still be listed. A process gives
/// no number twice.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnConnections {
    process: String,
    ids: BTreeSet<u64>,
}

impl OwnConnections {
    /// The process that is the primary has given these numbers.
    pub(crate) fn observed(&mut self, process: &str, ids: &[u64]) {
        if self.process != process {
            process.clone_into(&mut self.process);
            self.ids.clear();
        }
        self.ids.extend(ids);
        while self.ids.len() > CONNECTIONS_MAX {
            self.ids.pop_first();
        }
    }

    pub(crate) fn contain(&self, id: u64) -> bool {
        self.ids.contains(&id)
    }
}

impl Default for Link {
    fn default() -> Self {
        Self {
            status: Status::default(),
            signs: Signs::default(),
            following: false,
            handover: Handover::Refuse,
            lost_data: false,
            connections: OwnConnections::default(),
        }
    }
}

/// How far it is with following a new primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Followed {
    NotYet,
    /// Its stream flows.
    Streams,
    /// It does not continue what is held: it came back without its data.
    DoesNotContinue,
}

/// What the shard says, with its moments on the clock of the group.
#[derive(Debug, Clone)]
pub(crate) struct LinkObservation {
    pub(crate) status: Status,
    pub(crate) signs: Signs,
}

/// When the primary was last heard from, and heard from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Signs {
    /// When it last showed a sign of life on the link.
    pub(crate) alive: Option<Moment>,
    /// When it last heard from here, or may have: its lease runs from then.
    pub(crate) renewed: Option<Moment>,
    /// When it was last asked for its own offset, of what it answered.
    pub(crate) asked: Option<Moment>,
}

impl Link {
    /// Takes in what the shard says.
    pub(crate) fn observed(&mut self, seen: LinkObservation) {
        match seen.status.link {
            LinkState::Holding(_) => self.lost_data = true,
            LinkState::Streaming => self.lost_data = false,
            _ => {}
        }
        self.status = seen.status;
        self.signs = seen.signs;
    }

    /// Whether it is with this node, or was last.
    pub(crate) fn is_with(&self, node: &NodeAddress) -> bool {
        self.status.primary.as_deref() == Some(node.to_string().as_str())
    }

    /// How far it is with following this node as the group's primary.
    pub(crate) fn followed(&self, node: &NodeAddress) -> Followed {
        if !self.following || !self.is_with(node) {
            return Followed::NotYet;
        }
        match self.status.link {
            LinkState::Streaming => Followed::Streams,
            LinkState::Holding(_) => Followed::DoesNotContinue,
            _ => Followed::NotYet,
        }
    }

    /// The stream flows.
    pub(crate) fn is_streaming(&self) -> bool {
        self.status.link == LinkState::Streaming
    }

    /// The stream of the group's own primary flows: what is put right now is put right against the right history.
    pub(crate) fn is_whole(&self) -> bool {
        self.following && self.is_streaming()
    }

    /// Whoever has less than this can't be given the rest from here.
    pub(crate) fn gives_from(&self) -> Offset {
        if self.status.has_snapshot {
            Offset::ZERO
        } else {
            self.status.log_start
        }
    }
}
