//! What the layers above have asked of the shard about its primary.

use super::event::Handover;
use crate::lineage::{HistoryEnd, NodePosition};

/// The orders in force.
#[derive(Debug)]
pub(super) struct Orders {
    /// The latest term that was heard of.
    epoch: u64,
    handover: Handover,
    /// Where the history before that of the primary ended, as it was decided.
    decided: Option<HistoryEnd>,
    /// What the replica nodes hold, where the log was lost.
    held_by_nodes: Vec<NodePosition>,
    /// A person's word that a history which does not continue ours may overwrite it; it counts once.
    accept_new_history: bool,
}

impl Orders {
    pub(super) fn new(accept_new_history: bool) -> Self {
        Self {
            epoch: 0,
            handover: Handover::Refuse,
            decided: None,
            held_by_nodes: Vec::new(),
            accept_new_history,
        }
    }

    /// Whether a command of this term is to be obeyed.
    pub(super) fn admits(&mut self, epoch: u64) -> bool {
        self.epoch = self.epoch.max(epoch);
        epoch == self.epoch
    }

    /// What to do about a primary that hands over.
    pub(super) fn handover(&self) -> Handover {
        self.handover
    }

    /// Returns what held before.
    pub(super) fn set_handover(&mut self, handover: Handover) -> Handover {
        std::mem::replace(&mut self.handover, handover)
    }

    /// Another primary is followed from now on.
    pub(super) fn follows_another(&mut self, decided: Option<HistoryEnd>, held_by_nodes: Vec<NodePosition>) {
        (self.decided, self.held_by_nodes) = (decided, held_by_nodes);
    }

    /// What the replica nodes held, where the log was lost, when it was said whom to follow.
    pub(super) fn held_by_nodes(&self) -> &[NodePosition] {
        &self.held_by_nodes
    }

    /// Where the history before that of the primary ended, as it was decided.
    pub(super) fn decided(&self) -> Option<HistoryEnd> {
        self.decided
    }

    pub(super) fn accept_new_history(&mut self) {
        self.accept_new_history = true;
    }

    pub(super) fn accepts_new_history(&self) -> bool {
        self.accept_new_history
    }

    /// The person's word was used.
    pub(super) fn new_history_taken(&mut self) {
        self.accept_new_history = false;
    }
}
