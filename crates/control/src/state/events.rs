//! Everything that can happen to a group, and everything that it can ask to be done.

use sterna_model::{
    EventKind, Group, GroupPatch, Operation, OperationId, OperationKind, Revision, ServiceName, StepName,
};
use sterna_protocol::ReplicationId;
use sterna_store::{Room, StoreError};

use crate::handle::Change;
use crate::job::{Job, JobError, JobReport};
use crate::known::{KnownService, LinkObservation, SentinelView};
use crate::observe::{NodeKey, Observation};
use crate::plan::admission::{MissingUser, Refusal};
use crate::plan::record;
use crate::run::Run;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Time passed.
    Tick,
    /// A node was looked at.
    Node(Box<Observation>),
    /// The shard says how it is.
    Link(Box<LinkObservation>),
    /// The connection to the primary was lost.
    PrimaryLost,
    /// A replica node continued: with a full copy, or with a partial resync.
    Resynced { full: bool },
    /// The store has more room, or less.
    Room(Room),
    /// A person wants something.
    Asked { ask: AskId, what: Ask },
    /// A service of the group is reached in another way from now on.
    ServiceChanged(ServiceName),
    /// What the Sentinels that [`Effect::AskSentinels`] named say.
    Sentinels(SentinelView),
    /// The services that [`Effect::Reach`] named, as far as they can be reached.
    Reached(Vec<KnownService>),
    /// The commit under way came to an end.
    Committed(Result<Box<Stored>, StoreError>),
    /// The job under way came to an end.
    JobDone(Result<Box<JobReport>, JobError>),
}

/// Names something that was asked, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AskId(pub(crate) u64);

/// What a person may want of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Begin an operation.
    Begin {
        change: Change,
        by: String,
        missing_users: Vec<MissingUser>,
    },
    /// Change settings or order.
    Update {
        patch: GroupPatch,
        expected: Option<Revision>,
    },
    /// Change nothing by oneself, or go on with that.
    SetPaused(bool),
    /// Follow the primary on which replication holds; it must still be in this history, where one is named.
    AcceptHistory(Option<ReplicationId>),
    /// End an operation.
    Cancel(OperationId),
}

impl Ask {
    /// Whether the group is to be deleted.
    pub(super) fn is_deletion(&self) -> bool {
        matches!(
            self,
            Self::Begin {
                change: Change::Delete,
                ..
            }
        )
    }
}

/// The answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Operation(Box<Operation>),
    Group(Box<Group>),
    /// Another operation is under way.
    Busy(OperationId),
    Refused(Refusal),
    /// The settings make no sense.
    Invalid(String),
    /// The record was changed since it was read.
    Conflict {
        now: Revision,
    },
    /// It could not be stored.
    Store(StoreError),
}

/// What the driver shall do. One commit and one job are under way at most.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Store this; answered by [`Event::Committed`].
    Commit(Box<Commit>),
    /// Do this; answered by [`Event::JobDone`].
    Job { job: Box<Job>, point: Option<Point> },
    /// The job under way is to end undone, if it has not ended.
    StopJob,
    /// Find out how these services are reached and look at their nodes from now on, at no others; answered by
    /// [`Event::Reached`].
    Reach(Vec<ServiceName>),
    /// Ask this service's own Sentinels whom they hold for its primary; answered by [`Event::Sentinels`], if they answer.
    AskSentinels(ServiceName),
    /// Let the nodes of these services attach to the relay, and nobody else's.
    OpenRelay(Vec<ServiceName>),
    /// Look at this node at once.
    Look(NodeKey),
    /// Let the shard follow the primary whatever it offers, once.
    AcceptHistory,
    /// Answer a person.
    Answer { ask: AskId, answer: Answer },
    /// Tell those who listen.
    Publish(EventKind),
    /// Note in the audit what was done without a person.
    Audit {
        action: String,
        outcome: &'static str,
        detail: String,
    },
}

impl Effect {
    /// Tells those who listen how the operation under way stands.
    pub(super) fn operation(run: &Run) -> Self {
        let operation = Box::new(run.operation.clone());
        Self::Publish(EventKind::Operation { operation })
    }
}

/// What is stored together.
#[derive(Debug)]
pub(crate) struct Commit {
    pub(crate) what: CommitKind,
    /// Where a test may let the gateway die before it and after it.
    pub(crate) before: Option<Point>,
    pub(crate) after: Option<Point>,
}

/// See [`Commit`].
#[derive(Debug)]
pub(crate) enum CommitKind {
    /// A new operation, which gets its number.
    Begin(Box<Operation>),
    /// The operation as it is now.
    Operation(Box<Operation>),
    /// A change of the group, with its operation and its history.
    Change(Box<record::Change>),
    /// The operation as it is over, then the group away with everything that is kept for it.
    Delete {
        operation: Box<Operation>,
        group: Box<Group>,
    },
}

/// What was stored, with its new revisions.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) group: Option<Group>,
    pub(crate) operation: Option<Operation>,
}

/// A place in an operation at which tests let the gateway die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Point {
    pub(crate) kind: OperationKind,
    pub(crate) step: PointStep,
    pub(crate) place: &'static str,
}

impl Point {
    /// A place in a step of the operation under way.
    pub(super) fn of(run: Option<&Run>, place: &'static str, step: Option<StepName>) -> Option<Self> {
        Some(Self {
            kind: run?.operation.kind,
            step: PointStep::Step(step?),
            place,
        })
    }
}

/// See [`Point`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PointStep {
    /// It is asked for.
    Ask,
    Step(StepName),
    /// It ends.
    Finish,
}
