//! The gateway's process: the product's state of the group, what it is told, and what it asks for.

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::LazyLock;

use sterna_model::{HoldReason, LinkState, Operation, OperationId, Revision, ShardId};
use sterna_node::{Engine, EngineKind, NodeAddress, RelayEndpoint, Version, info::AttachedReplica};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::{Handover, HistoryEnd, Status};

use super::mutants::Mutant;
use super::node::{Id, LocalReplica, Node, Process, Role};
use super::truth::Broken;
use super::world::{World, address, key};
use super::{TICK, now};
use crate::job::Job;
use crate::known::{KnownService, LinkObservation, Signs};
use crate::observe::{Lease, NodeInfo, Observation, ProbeError};
use crate::plan::record::Change;
use crate::state::explored::Ageing;
use crate::state::{CommitKind, Effect, Event, GroupState, Kept, Stored};
use crate::time::Moment;

/// The port of the relay.
const RELAY_PORT: u16 = 7801;
/// `min-replicas-to-write` where writes are blocked.
const BLOCKED: u32 = 1_000_000;
/// What a gateway that is wrong takes for the end of any node's stream.
const FAR: u64 = 200;

/// The link to the primary, as the data plane has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// Nobody is followed.
    None,
    /// This node shall be followed.
    Wanted(Id),
    /// A full copy of it arrives.
    Copying(Id),
    /// Its stream arrives.
    Up(Id),
    /// Its history does not continue ours (I4).
    Holding(Id),
}

impl Link {
    /// Who is followed, or shall be.
    pub(super) fn whom(self) -> Option<Id> {
        match self {
            Self::None => None,
            Self::Wanted(id) | Self::Copying(id) | Self::Up(id) | Self::Holding(id) => Some(id),
        }
    }
}

/// The data plane of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) link: Link,
    pub(super) handover: Handover,
    /// Where the history before that of the primary ended, as the shard was told.
    pub(super) decided: Option<HistoryEnd>,
    /// The primary showed a sign of life in this tick.
    pub(super) heard: bool,
    /// When it last did.
    pub(super) alive_at: Option<Moment>,
    /// When the primary may last have been told that we are there.
    pub(super) renewed_at: Option<Moment>,
}

/// A running process.
#[derive(Debug, Clone)]
pub(super) struct Gateway {
    pub(super) state: GroupState,
    pub(super) shard: Shard,
    /// The work that was asked for and is not done yet.
    pub(super) job: Option<Job>,
}

impl Hash for Gateway {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.state.fingerprint(hasher);
        let shard = &self.shard;
        (
            shard.link,
            shard.handover as u8,
            shard.heard,
            shard.alive_at,
            shard.renewed_at,
        )
            .hash(hasher);
        let decided = shard.decided.map(|end| (end.id, end.offset));
        (decided, self.job.is_some()).hash(hasher);
    }
}

impl Gateway {
    /// The process of a healthy group, as it has been for long.
    pub(super) fn begin_whole(world: &mut World) {
        start(world);
        if let Some(gateway) = &mut world.gateway {
            gateway.shard.link = Link::Up(0);
            gateway.shard.alive_at = Some(now().at);
            gateway.shard.renewed_at = Some(now().at);
            gateway.state.tamper().link.following = true;
        }
        look(world);
        pass(world);
        look(world);
        if let Some(gateway) = &mut world.gateway {
            (gateway.shard.alive_at, gateway.shard.renewed_at) = (Some(now().at), Some(now().at));
        }
        settle(world);
    }

    /// The data plane.
    pub(super) fn shard_mut(world: &mut World) -> Option<&mut Shard> {
        world.gateway.as_mut().map(|gateway| &mut gateway.shard)
    }
}

/// The link of the gateway that runs, or none.
pub(super) fn link(world: &World) -> Link {
    world
        .gateway
        .as_ref()
        .map_or(Link::None, |gateway| gateway.shard.link)
}

/// The gateway's process begins, with what the store has.
pub(super) fn start(world: &mut World) {
    let kept = Kept {
        record: world.store.record.clone(),
        shard: ShardId::STANDALONE,
        operation: world.store.operation.clone(),
        rescues: world.store.rescues.clone(),
    };
    let relay = RelayEndpoint {
        announced: None,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, RELAY_PORT)),
    };
    let (mut state, effects) = GroupState::resume(kept, relay, now().at, world.now());
    if world.has(Mutant::RejoinsUnfollowed) {
        state.tamper().link.following = true;
    }
    let shard = Shard {
        link: Link::None,
        handover: state.known().link.handover,
        decided: None,
        heard: false,
        alive_at: None,
        renewed_at: None,
    };
    world.gateway = Some(Gateway {
        state,
        shard,
        job: None,
    });
    carry_out(world, effects);
    settle(world);
}

/// Tells the state that something happened, and does at once what it wants stored.
pub(super) fn tell(world: &mut World, event: Event) {
    tamper(world);
    let now = world.now();
    let Some(gateway) = &mut world.gateway else { return };
    let effects = gateway.state.apply(event, now);
    carry_out(world, effects);
}

/// Tells the state how the link stands.
pub(super) fn settle(world: &mut World) {
    let Some(gateway) = &world.gateway else { return };
    let seen = observe_link(world, &gateway.shard);
    tell(world, Event::Link(Box::new(seen)));
}

/// Time passes for the process.
pub(super) fn pass(world: &mut World) {
    let ageing = Ageing {
        now: now().at,
        by: TICK,
    };
    let Some(gateway) = &mut world.gateway else { return };
    gateway.state.age(ageing);
    let back = |moment: Option<Moment>, ticks: u32| {
        moment.map(|moment| moment.minus(TICK).max(now().at.minus(TICK * ticks)))
    };
    gateway.shard.alive_at = back(gateway.shard.alive_at, 1);
    gateway.shard.renewed_at = back(gateway.shard.renewed_at, 3);
}

/// The gateway looks at every node.
pub(super) fn look(world: &mut World) {
    for id in 0..world.nodes.len() {
        let result = match world.nodes[id].process {
            _ if world.wire.cut_off == Some(id) => Err(ProbeError::Silent(String::new())),
            Process::Frozen => Err(ProbeError::Silent(String::new())),
            Process::Dead => Err(ProbeError::Refused(String::new())),
            Process::Running => Ok(info(world, id)),
        };
        let lives = result.as_ref().is_ok_and(NodeInfo::is_primary);
        if lives && matches!(link(world), Link::Up(up) | Link::Copying(up) if up == id) {
            super::data_plane::lives(world);
        }
        tell(world, observed(id, result));
    }
}

/// What a look shows of a node that answers.
pub(super) fn observation(world: &World, id: Id) -> Observation {
    Observation {
        node: key(id),
        at: now().at,
        result: Ok(info(world, id)),
        local: Some(Ipv4Addr::LOCALHOST.into()),
    }
}

fn observed(id: Id, result: Result<NodeInfo, ProbeError>) -> Event {
    Event::Node(Box::new(Observation {
        node: key(id),
        at: now().at,
        result,
        local: Some(Ipv4Addr::LOCALHOST.into()),
    }))
}

fn info(world: &World, id: Id) -> NodeInfo {
    let node = &world.nodes[id];
    let stream = &node.stream;
    let is_primary = matches!(node.role, Role::Primary | Role::Pausing);
    let handing_over = world.store.old() == Some(id) && world.has(Mutant::DecideEarly);
    let early = world.has(Mutant::DecideEarly) && !is_primary && !handing_over;
    let end = if early {
        world.log.stream.offset
    } else {
        stream.offset
    };
    NodeInfo {
        engine: Engine {
            kind: EngineKind::Redis,
            version: Version {
                major: 8,
                minor: 0,
                patch: 0,
            },
        },
        run_id: node.run.to_string(),
        uptime: std::time::Duration::ZERO,
        loading: false,
        role: if is_primary {
            sterna_node::Role::Primary
        } else {
            sterna_node::Role::Replica
        },
        history: history(stream.history),
        offset: offset(end),
        previous: stream.before.map(|(id, last)| (history(id), offset(last))),
        primary: (!is_primary).then(relay),
        link_up: link_is_up(world, node),
        syncing: node.copies,
        replicas: replicas(world, id),
        failover_state: None,
        has_config_file: true,
        keys: u64::from(!stream.writes.is_empty()),
        lease: Some(Lease {
            min_replicas: if node.blocked {
                BLOCKED
            } else {
                node.min_replicas.into()
            },
            max_lag_seconds: 3,
        }),
    }
}

fn replicas(world: &World, id: Id) -> Vec<AttachedReplica> {
    let node = &world.nodes[id];
    let attached = |address: NodeAddress, state: &str, lag_seconds: u8| AttachedReplica {
        address,
        state: state.to_owned(),
        offset: Offset::ZERO,
        lag_s: Some(lag_seconds.into()),
    };
    let mut replicas = Vec::new();
    match link(world) {
        Link::Up(up) if up == id => replicas.push(attached(relay(), "online", 0)),
        Link::Copying(from) if from == id => replicas.push(attached(relay(), "wait_bgsave", 0)),
        _ => {}
    }
    let host = |name: &str, port| NodeAddress::new(name.to_owned(), port);
    let local = match node.local {
        LocalReplica::Away => None,
        LocalReplica::Good => Some(0),
        LocalReplica::Hung { ack_age } => Some(ack_age),
    };
    if let Some(ack_age) = local.filter(|_| !world.has(Mutant::CountsNobodyElse)) {
        replicas.push(attached(host("local", 1), "online", ack_age));
    }
    if node.foreign_follower {
        replicas.push(attached(host("foreign", 0), "online", 0));
    }
    replicas
}

/// Whether a replica's link to the relay stands: it has what it was given.
pub(super) fn link_is_up(world: &World, node: &Node) -> bool {
    let at = &node.stream;
    node.role == Role::Replica
        && !node.copies
        && at.history == world.log.stream.history
        && world.log.continues(at.history, at.offset)
}

fn observe_link(world: &World, shard: &Shard) -> LinkObservation {
    let log = &world.log.stream;
    let handing = world.nodes.iter().find(|node| {
        node.role == Role::SteppedDown && node.process != Process::Dead && shard.handover != Handover::Refuse
    });
    LinkObservation {
        status: Status {
            link: match shard.link {
                Link::None => LinkState::ServeOnly,
                Link::Wanted(_) => LinkState::Connecting,
                Link::Copying(_) => LinkState::FullSync {
                    received_bytes: 0,
                    total_bytes: None,
                },
                Link::Up(_) => LinkState::Streaming,
                Link::Holding(id) => LinkState::Holding(HoldReason::UnrelatedHistory {
                    held: history(log.history),
                    held_offset: offset(log.offset),
                    offered: history(world.nodes[id].stream.history),
                    offered_offset: offset(world.nodes[id].stream.offset),
                }),
            },
            primary: shard.link.whom().map(address),
            history: Some(history(log.history)),
            log_start: offset(world.log.start),
            has_snapshot: world.log.has_snapshot,
            log_end: offset(log.offset),
            primary_offset: None,
            handover_waits_at: handing.map(|node| offset(node.stream.offset)),
            ..Status::default()
        },
        signs: Signs {
            alive: shard.alive_at,
            renewed: shard.renewed_at,
            heard: None,
        },
    }
}

/// What is wrong with the gateway takes effect.
fn tamper(world: &mut World) {
    let Some(mutant) = world.mutant else { return };
    let nodes = world.nodes.len();
    let Some(gateway) = &mut world.gateway else { return };
    let known = gateway.state.tamper();
    match mutant {
        Mutant::NoLeaseWait => {
            known.gateway_started = Moment::at(std::time::Duration::ZERO);
            gateway.shard.renewed_at = gateway
                .shard
                .renewed_at
                .map(|_| Moment::at(std::time::Duration::ZERO));
        }
        Mutant::RemembersBlocked => {
            for node in &mut known.nodes {
                node.blocked_run = Some("0".to_owned());
            }
        }
        Mutant::TrustsTheWallClock if known.failed_over_at.is_some() && world.wall < now().wall => {
            // What seems to lie a day ahead.
            known.failed_over_at = Some(now().at.plus(std::time::Duration::from_secs(24 * 3600)));
        }
        Mutant::AttachBeforeRescue if known.rescues.is_empty() => {
            let histories = 0..world.truth.histories;
            for id in 0..nodes {
                let rescues = histories
                    .clone()
                    .map(|number| super::work::rescue(id, number, FAR));
                known.rescues.extend(rescues);
            }
        }
        _ => {}
    }
}

/// What the state asks for: what is to be stored is stored at once, work waits for its turn.
fn carry_out(world: &mut World, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Commit(commit) => {
                let stored = store(world, commit.what);
                tell(world, Event::Committed(Ok(Box::new(stored))));
            }
            Effect::Job { job, .. } => {
                if let Some(gateway) = &mut world.gateway {
                    assert!(gateway.job.is_none(), "one job at a time");
                    gateway.job = Some(*job);
                }
            }
            Effect::Reach(names) => {
                let services: Vec<_> = names
                    .into_iter()
                    .map(|name| KnownService {
                        nodes: vec![key(super::world::id_of(&name)).address],
                        name,
                        has_sentinels: false,
                    })
                    .collect();
                tell(world, Event::Reached(services));
            }
            Effect::OpenRelay(_)
            | Effect::Look(_)
            | Effect::Answer { .. }
            | Effect::Publish(_)
            | Effect::Audit { .. } => {}
        }
    }
}

fn store(world: &mut World, what: CommitKind) -> Stored {
    let kept = &mut world.store;
    kept.last_number += 1;
    let revision = Revision(kept.last_number);
    let mut stored = Stored::default();
    match what {
        CommitKind::Begin(operation) => {
            let operation = Operation {
                id: OperationId(kept.last_number),
                revision,
                ..*operation
            };
            kept.operation = Some(operation.clone());
            stored.operation = Some(operation);
        }
        CommitKind::Operation(operation) => {
            let unsynced = kept.unsynced.is_some();
            kept.operation = (!operation.state.is_final()).then(|| Operation {
                // What was never stored is not stored with the next step either.
                committed: operation.committed && !unsynced,
                ..(*operation).clone()
            });
            stored.operation = Some(*operation);
        }
        CommitKind::Change(mut change) => {
            let decides = change.group.epoch > kept.record.epoch;
            let report = change
                .operation
                .as_mut()
                .and_then(|operation| operation.report.as_mut());
            if let Some(report) = report.filter(|_| decides) {
                let chosen = world.nodes[super::world::id_of(&change.group.primary)]
                    .stream
                    .writes;
                world.truth.promised = chosen;
                if world.mutant == Some(Mutant::ReportsOnlyTheUnreceived) {
                    report.rpo.bytes = 0;
                }
                let by_itself = chosen.and(world.truth.destroyed);
                let missing = world.log.stream.writes.without(by_itself).count();
                let understated = report.rpo.bytes < missing.into();
                world.truth.break_if(understated, Broken::LossUnderstated);
            }
            stored.group = Some(change.group.clone());
            stored.operation.clone_from(&change.operation);
            if decides && world.mutant == Some(Mutant::PromoteBeforeDecision) {
                kept.unsynced = Some(change);
            } else {
                write(kept, *change);
            }
        }
        CommitKind::Delete { .. } => unreachable!("no group is deleted here"),
    }
    stored
}

fn write(store: &mut super::world::Store, change: Change) {
    store.record = change.group;
    if let Some(operation) = change.operation {
        store.operation = Some(operation);
    }
}

/// What was said to be stored is.
pub(super) fn sync_store(world: &mut World) {
    if let Some(change) = world.store.unsynced.take() {
        write(&mut world.store, *change);
    }
}

fn relay() -> NodeAddress {
    NodeAddress::new(Ipv4Addr::LOCALHOST.to_string(), RELAY_PORT)
}

/// An offset of the product.
pub(super) fn offset(offset: u8) -> Offset {
    Offset::new(u64::from(offset))
}

/// An offset of the model.
pub(super) fn short(offset: Offset) -> u8 {
    u8::try_from(offset.get()).expect("the model counts a few writes")
}

/// A replication id of the product.
pub(super) fn history(number: u8) -> ReplicationId {
    static IDS: LazyLock<Vec<ReplicationId>> = LazyLock::new(|| {
        let id = |number: u8| format!("{number:040x}").parse();
        (0..=u8::MAX)
            .map(|number| id(number).expect("forty hexadecimal digits"))
            .collect()
    });
    IDS[usize::from(number)]
}
