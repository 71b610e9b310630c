//! Whether what a person asks for may begin.

use std::fmt;
use std::time::Duration;

use sterna_model::{Group, HoldReason, LinkState, OperationId, OperationKind, ServiceName, units};
use sterna_node::NodeAddress;
use sterna_protocol::ReplicationId;

use super::failover;
use super::health::Verdict;
use super::loss;
use crate::known::Known;
use crate::run::Run;
use crate::time::Moment;

/// No group has more replica services.
pub(crate) const REPLICAS_MAX: usize = 5;

/// An ACL user of the primary that a node lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingUser {
    pub(crate) user: String,
    /// How many connections of clients are logged in as it at the primary.
    pub(crate) connections: usize,
    /// The node.
    pub(crate) node: NodeAddress,
}

impl fmt::Display for MissingUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            user,
            connections,
            node,
        } = self;
        let connections = units::counted(*connections as u64, "connection");
        write!(f, "{user} with {connections}, missing at {node}")
    }
}

/// Why it may not. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{service} is the primary of group {} already", group.name)]
    IsPrimary { service: ServiceName, group: Box<Group> },
    #[error("{service} is not in group {}", group.name)]
    NotInGroup { service: ServiceName, group: Box<Group> },
    #[error("{service} is in group {} already", group.name)]
    InGroup { service: ServiceName, group: Box<Group> },
    #[error("group {} has {REPLICAS_MAX} replica services already, which is the most", group.name)]
    TooMany { group: Box<Group> },
    #[error("{service} is the last replica service of group {}", group.name)]
    LastReplica { service: ServiceName, group: Box<Group> },
    #[error("{0} was left behind by a failover and has not come back yet: it can't take over")]
    SwitchToFormerPrimary(ServiceName),
    #[error("{0} was left behind by an earlier failover and has not come back yet")]
    FailOverToFormerPrimary(ServiceName),
    #[error("no node of {0} follows at the moment: a switchover would lose writes")]
    NotFollowing(ServiceName),
    #[error(
        "{to} lacks ACL users as which clients are logged in at the primary ({}): after a switchover they would be refused",
        listed(users)
    )]
    UsersMissing {
        to: ServiceName,
        users: Vec<MissingUser>,
    },
    #[error("a switchover needs the primary, which hands over: {0}")]
    PrimaryNotHealthy(Verdict),
    #[error(
        "no replica node answers that holds a whole copy, so nobody could take over. Nothing was changed"
    )]
    NoCandidate,
    #[error(
        "{bytes} bytes of writes, {:.0} s of them, would be lost, and max_lag_on_failover_seconds allows {allowed_seconds} s",
        time.as_secs_f64()
    )]
    Loss {
        bytes: u64,
        time: Duration,
        allowed_seconds: u32,
    },
    #[error(
        "{bytes} bytes of writes would be lost, and since when they have been missing lies before the gateway began; \
         max_lag_on_failover_seconds allows {allowed_seconds} s"
    )]
    LossUnknown { bytes: u64, allowed_seconds: u32 },
    #[error(
        "replication does not hold: the primary continues what the replica services hold. Nothing was changed"
    )]
    NotHolding,
    #[error(
        "history {seen} was to be accepted, and that is not what the primary offers by now: {now}. Nothing was changed"
    )]
    OffersAnother {
        seen: ReplicationId,
        now: Box<HoldReason>,
    },
    #[error("another operation of the group is about to begin")]
    AnotherBegins,
    #[error("operation {0} is not under way")]
    NotUnderWay(OperationId),
    #[error("operation {0} is committed: what was decided is completed")]
    Committed(OperationId),
    #[error(
        "replicas only takes the same services in another order; add and remove have requests of their own"
    )]
    OtherReplicas,
}

impl Refusal {
    /// What to do.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::IsPrimary { group, .. } | Self::NotInGroup { group, .. } => {
                let names: Vec<_> = group.replicas.iter().map(ToString::to_string).collect();
                format!("its replica services are {}", names.join(", "))
            }
            Self::InGroup { .. } | Self::NotHolding => "see `sterna status`".to_owned(),
            Self::TooMany { .. } => "remove one first".to_owned(),
            Self::LastReplica { .. } => "delete the group instead: `sterna group delete`".to_owned(),
            Self::SwitchToFormerPrimary(_) => {
                "bring its old primary node back, and wait until `sterna status` shows \
                                               that it follows"
                    .to_owned()
            }
            Self::FailOverToFormerPrimary(_) => "choose another service, or bring it back first".to_owned(),
            Self::NotFollowing(_) => {
                "see `sterna status`; where the primary is lost, `sterna failover` is what you want"
                    .to_owned()
            }
            Self::UsersMissing { .. } => {
                "make them there with the rules that they have at the primary (ACL SETUSER, then ACL SAVE or the configuration \
                 file), or go ahead without them: --allow-missing-users"
                    .to_owned()
            }
            Self::PrimaryNotHealthy(_) => {
                "where the primary is lost, `sterna failover` is what you want".to_owned()
            }
            Self::NoCandidate => "see `sterna status`; bring a replica service back first".to_owned(),
            Self::Loss { .. } | Self::LossUnknown { .. } => {
                "wait until the replica service has caught up, or accept the loss with --force".to_owned()
            }
            Self::OffersAnother { .. } => {
                "look at the primary and at `sterna status`, then ask again".to_owned()
            }
            Self::AnotherBegins => "see `sterna operation list`, and ask again when it is over".to_owned(),
            Self::NotUnderWay(_) => "see `sterna operation show`".to_owned(),
            Self::Committed(_) => "wait for its end; a switchover brings the old primary back".to_owned(),
            Self::OtherReplicas => "name every replica service of the group once".to_owned(),
        }
    }
}

/// Whether a switchover to this service may begin.
pub(crate) fn switchover(
    known: &Known,
    verdict: &Verdict,
    to: &ServiceName,
    now: Moment,
) -> Result<(), Refusal> {
    must_be_replica(known, to)?;
    if known.former_service(to).is_some() {
        return Err(Refusal::SwitchToFormerPrimary(to.clone()));
    }
    let follows = known
        .nodes_of(to)
        .any(|(_, node)| node.fresh(now).is_some_and(|info| info.link_up));
    if !follows {
        return Err(Refusal::NotFollowing(to.clone()));
    }
    if *verdict != Verdict::Healthy {
        return Err(Refusal::PrimaryNotHealthy(*verdict));
    }
    Ok(())
}

/// Whether clients of the primary would find their users at this service. Only connections count: a user that nobody is logged in as
/// locks nobody out.
pub(crate) fn users(to: &ServiceName, missing: &[MissingUser], allowed: bool) -> Result<(), Refusal> {
    let users: Vec<_> = missing
        .iter()
        .filter(|user| user.connections > 0)
        .cloned()
        .collect();
    if allowed || users.is_empty() {
        return Ok(());
    }
    let to = to.clone();
    Err(Refusal::UsersMissing { to, users })
}

/// Whether a failover may begin, to this service or to the best one.
pub(crate) fn failover(
    known: &Known,
    to: Option<&ServiceName>,
    force: bool,
    now: Moment,
) -> Result<(), Refusal> {
    if let Some(to) = to {
        must_be_replica(known, to)?;
    }
    let replicas = &known.record.replicas;
    let wanted = to.and_then(|to| replicas.iter().position(|name| name == to));
    let able: Vec<_> = failover::candidates(known, false, now)
        .into_iter()
        .filter(failover::Candidate::is_able)
        .filter(|candidate| wanted.is_none_or(|wanted| candidate.preference == wanted))
        .collect();
    if able.is_empty() {
        let former = to.filter(|to| known.former_service(to).is_some());
        return Err(former.map_or(Refusal::NoCandidate, |to| {
            Refusal::FailOverToFormerPrimary(to.clone())
        }));
    }
    let lost = loss::least(known, able.iter());
    let allowed_seconds = known.record.settings.max_lag_on_failover_seconds;
    let bytes = lost.bytes;
    match lost.time {
        _ if force || !lost.exceeds(Duration::from_secs(u64::from(allowed_seconds))) => Ok(()),
        Some(time) => Err(Refusal::Loss {
            bytes,
            time,
            allowed_seconds,
        }),
        None => Err(Refusal::LossUnknown {
            bytes,
            allowed_seconds,
        }),
    }
}

/// Whether a service may be added.
pub(crate) fn add(known: &Known, service: &ServiceName) -> Result<(), Refusal> {
    let record = &known.record;
    if record.services().any(|name| name == service) {
        return Err(Refusal::InGroup {
            service: service.clone(),
            group: Box::new(record.clone()),
        });
    }
    if record.replicas.len() >= REPLICAS_MAX {
        return Err(Refusal::TooMany {
            group: Box::new(record.clone()),
        });
    }
    Ok(())
}

/// Whether a service may leave.
pub(crate) fn remove(known: &Known, service: &ServiceName) -> Result<(), Refusal> {
    must_be_replica(known, service)?;
    if known.record.replicas.len() == 1 {
        return Err(Refusal::LastReplica {
            service: service.clone(),
            group: Box::new(known.record.clone()),
        });
    }
    Ok(())
}

/// Whether the replica services may be put in this order.
pub(crate) fn reorder(record: &Group, order: &[ServiceName]) -> Result<(), Refusal> {
    let sorted = |names: &[ServiceName]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    if sorted(order) == sorted(&record.replicas) {
        Ok(())
    } else {
        Err(Refusal::OtherReplicas)
    }
}

/// Whether what the primary offers may be accepted, though it does not continue what the replica services hold.
/// `seen` is the history that the person was shown.
pub(crate) fn accept_history(known: &Known, seen: Option<ReplicationId>) -> Result<(), Refusal> {
    let LinkState::Holding(now) = &known.link.status.link else {
        return Err(Refusal::NotHolding);
    };
    let is_it =
        |seen: &ReplicationId| matches!(now, HoldReason::UnrelatedHistory { offered, .. } if offered == seen);
    match seen.filter(|seen| !is_it(seen)) {
        Some(seen) => Err(Refusal::OffersAnother {
            seen,
            now: Box::new(now.clone()),
        }),
        None => Ok(()),
    }
}

/// Whether the operation of this number may be cancelled.
pub(crate) fn cancel(run: Option<&Run>, id: OperationId) -> Result<(), Refusal> {
    let operation = run
        .map(|run| &run.operation)
        .filter(|operation| operation.id == id);
    match operation {
        None => Err(Refusal::NotUnderWay(id)),
        Some(operation) if operation.state.is_final() => Err(Refusal::NotUnderWay(id)),
        // What joins is taken back; a removal comes to its end by itself, whatever its nodes do.
        Some(operation) if operation.committed && !joins(operation.kind) => Err(Refusal::Committed(id)),
        Some(_) => Ok(()),
    }
}

fn joins(kind: OperationKind) -> bool {
    matches!(kind, OperationKind::Create | OperationKind::AddReplica)
}

fn listed(users: &[MissingUser]) -> String {
    let users: Vec<_> = users.iter().map(ToString::to_string).collect();
    users.join(", ")
}

fn must_be_replica(known: &Known, service: &ServiceName) -> Result<(), Refusal> {
    let record = &known.record;
    if record.replicas.contains(service) {
        return Ok(());
    }
    let group = Box::new(record.clone());
    let service = service.clone();
    Err(if service == record.primary {
        Refusal::IsPrimary { service, group }
    } else {
        Refusal::NotInGroup { service, group }
    })
}
