//! The operation that is under way: its record, and what this process knows of it besides.

mod journal;
mod report;

use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) use sterna_model::SwitchoverObstacle as Abort;
use sterna_model::{Group, Operation, OperationKind, ServiceName, StepName, StepState};
use sterna_replication::Handover;

use crate::known::Known;
use crate::observe::{NodeKey, ProbeResult};
use crate::time::{Moment, Now};
use journal::Span;

/// An operation under way.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    /// As it is stored, or will be with the next commit.
    pub(crate) operation: Operation,
    /// When it began.
    pub(crate) began: Moment,
    /// A person wants it to end...
    pub(crate) cancelled: bool,
    /// ...and the group with it, for which another operation follows.
    pub(crate) makes_way_for_deletion: bool,
    /// How far it is, by its kind.
    pub(crate) course: Course,
    /// Since when the decided node is known to be unfit.
    pub(crate) unfit_since: Option<Moment>,
    /// It answered its promotion with an error. One whose answer was lost may have been promoted, or may be yet.
    pub(crate) promotion_refused: bool,
    /// Replica nodes that took a full copy, and that continued with a partial resync, since it began.
    pub(crate) resyncs: Resyncs,
    /// When the steps of the record began and ended, in their order.
    spans: Vec<Span>,
}

/// How replica nodes went on after a change of primary.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Resyncs {
    pub(crate) full: u64,
    pub(crate) partial: u64,
}

/// What an operation knows of itself, by its kind. What must survive a restart is in the record; the rest is seen again
/// in the world, or begins anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Course {
    Failover,
    Switchover {
        /// When the old primary was told to keep writes waiting.
        paused_at: Option<Moment>,
        /// The target was looked at since the old primary was seen as a replica: it is there still.
        target_seen: bool,
        /// Everything was taken back, for this reason.
        taken_back: Option<Abort>,
    },
    Rejoin {
        service: ServiceName,
    },
    Join {
        services: Vec<ServiceName>,
        /// The nodes that were let follow.
        attached: BTreeSet<NodeKey>,
        /// Taken back: the nodes were let go.
        released: bool,
        /// Taken back: the group that was to be made is gone.
        deleted: bool,
    },
    Remove {
        service: ServiceName,
        /// As a primary of its own.
        promote: bool,
        released: bool,
    },
    Delete {
        released: bool,
        deleted: bool,
    },
    /// It lacks what its kind needs.
    Unreadable,
}

impl Course {
    /// From the record, which an earlier process may have left behind.
    fn of(operation: &Operation, group: &Group) -> Self {
        let done = |name| {
            let steps = &operation.steps;
            steps
                .iter()
                .any(|step| step.name == name && step.state == StepState::Done)
        };
        let join = |services| Self::Join {
            services,
            attached: BTreeSet::new(),
            released: false,
            deleted: false,
        };
        match (operation.kind, operation.service.clone()) {
            (OperationKind::Create, _) => join(group.replicas.clone()),
            (OperationKind::AddReplica, Some(service)) => join(vec![service]),
            (OperationKind::Failover, _) => Self::Failover,
            (OperationKind::Switchover, _) => Self::Switchover {
                paused_at: None,
                target_seen: false,
                taken_back: None,
            },
            (OperationKind::Rejoin, Some(service)) => Self::Rejoin { service },
            (kind @ (OperationKind::RemoveReplica | OperationKind::Detach), Some(service)) => Self::Remove {
                service,
                promote: kind == OperationKind::Detach,
                released: done(StepName::Release),
            },
            (OperationKind::Delete, _) => Self::Delete {
                released: done(StepName::Release),
                deleted: operation.state.is_final(),
            },
            (
                OperationKind::AddReplica
                | OperationKind::Rejoin
                | OperationKind::RemoveReplica
                | OperationKind::Detach,
                None,
            ) => Self::Unreadable,
        }
    }
}

impl Run {
    /// Goes on with an operation that is stored.
    pub(crate) fn new(operation: Operation, group: &Group, now: Now) -> Self {
        let spans = operation.steps.iter().map(|step| Span::of(step, now)).collect();
        Self {
            course: Course::of(&operation, group),
            began: now.moment_of(operation.created_at),
            cancelled: false,
            makes_way_for_deletion: false,
            unfit_since: None,
            promotion_refused: false,
            resyncs: Resyncs::default(),
            spans,
            operation,
        }
    }

    /// For how long the decided node has been known to be unfit; for ever, where a person wants another.
    pub(crate) fn unfit_for(&self, now: Moment) -> Duration {
        if self.cancelled && self.has_decided() {
            return Duration::MAX;
        }
        self.unfit_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// A node of this service was looked at.
    pub(crate) fn looked_at(&mut self, service: &ServiceName, known: &Known) {
        let old = known.primary().map(|old| known.node(old).result());
        if let Course::Switchover { target_seen, .. } = &mut self.course
            && old == Some(ProbeResult::Replica)
        {
            *target_seen |= self.operation.service.as_ref() == Some(service);
        }
    }

    /// Whether it is over, and only that has to be stored.
    pub(crate) fn is_over(&self) -> bool {
        self.operation.state.is_final()
    }

    /// Whether it changes the primary.
    pub(crate) fn changes_primary(&self) -> bool {
        let kind = self.operation.kind;
        matches!(kind, OperationKind::Failover | OperationKind::Switchover)
    }

    /// Whether it has decided on the group's primary.
    pub(crate) fn has_decided(&self) -> bool {
        self.changes_primary() && self.operation.committed
    }

    /// What the shard is to do about a primary that hands over, before any node may attach to it. What was decided is
    /// completed: an old primary that hands over waits for the new one.
    pub(crate) fn handover_at_start(&self) -> Handover {
        let switchover = self.operation.kind == OperationKind::Switchover;
        if switchover && self.operation.committed {
            Handover::Accept
        } else {
            Handover::Refuse
        }
    }

    /// Takes over what was stored; the steps are ours.
    pub(crate) fn stored(&mut self, stored: Operation) {
        let steps = std::mem::take(&mut self.operation.steps);
        let now = std::mem::take(&mut self.operation.now);
        self.operation = Operation { steps, now, ..stored };
    }
}
