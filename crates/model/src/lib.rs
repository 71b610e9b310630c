//! The words of Sterna as data: what a person names, sets, asks for and is told.
//!
//! Plain values with serde and OpenAPI schemas: no I/O, no clocks. The store keeps them, control changes them, the API
//! shows them, and the command line reads them back. Secrets are never part of a value here; [`Secrets`] holds them
//! apart.

mod activity;
mod alert;
mod audit;
mod change;
mod check;
mod copy;
mod event;
mod group;
mod history;
mod link;
mod message;
mod names;
mod operation;
mod primary;
mod problem;
mod reason;
mod report;
mod requests;
mod rescue;
mod result;
mod route;
mod service;
mod settings;
mod status;
mod step;
mod strict;
mod token;
mod told;
pub mod units;

pub use activity::{Activity, OperationWait};
pub use alert::{Alert, AlertCode, AlertReason, AlertSubject, Severity};
pub use audit::AuditRecord;
pub use change::{NodeProgress, ShardProgress, StatusChange};
pub use check::{Check, DoctorReport, Subject, Verdict, verdict};
pub use copy::{CopyBreak, CopyObstacle};
pub use event::{CatalogueItem, Event, EventKind};
pub use group::{FormerPrimary, Group, GroupSpec, ShardRecord};
pub use history::{HistoryCause, HistoryEntry, ShardTerm};
pub use link::{CopyProgress, HoldReason, LinkState};
pub use message::seconds;
pub use names::{
    Epoch, GroupName, InvalidName, NodeKey, OperationId, RescueId, Revision, ServiceName, ShardId, SiteName,
    TokenId,
};
pub use operation::{Operation, OperationKind, OperationState, Requester};
pub use primary::{
    FailoverCause, FailoverObstacle, FailoverReadiness, FailoverWait, PrimaryImpairment, PrimaryVerdict,
};
pub use problem::Problem;
pub use reason::OperationReason;
pub use report::{Certainty, Phase, Report, Rpo};
pub use requests::{
    AcceptHistoryRequest, AddReplicaRequest, DetachRequest, DoctorRole, FailoverRequest, GroupPatch,
    MadeToken, Nothing, RescuePatch, ServiceRequest, SettingsPatch, SwitchoverRequest, TokenRequest,
};
pub use rescue::{Rescue, RescueKind, RescueSummary};
pub use result::{OperationResult, SwitchoverObstacle};
pub use route::{LiveOffset, Route, RouteReplica, Routes};
pub use service::{ConfigRewrite, Secrets, SentinelSpec, Service, ServiceSpec, TlsSpec};
pub use settings::{Acknowledge, FENCE_LINKS_MAX, FenceLinks, Fencing, GroupSettings, RescueSettings};
pub use status::{
    FenceState, GroupReason, GroupState, GroupStatus, NodeCondition, NodeFigures, NodeRole, NodeStatus,
    ServiceCondition, ServiceRole, ServiceStatus, ShardFigures, ShardStatus, StatusSummary,
};
pub use step::{
    AttachReason, ClientsLetGo, ReleasedAs, ReleasedNode, Step, StepDetail, StepName, StepOutcome,
    StepPurpose, StepState,
};
pub use strict::strictly;
pub use token::{Role, Token};
pub use told::Told;
