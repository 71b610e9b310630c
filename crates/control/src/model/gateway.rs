//! The gateway's process: the product's state of the group, what it is told, and what it asks for.

use std::hash::{Hash, Hasher};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use sterna_model::{Operation, OperationId, Revision, ShardId};
use sterna_node::RelayEndpoint;
use sterna_replication::{Handover, HistoryEnd, NodePosition};

use super::mutants::Mutant;
use super::node::{Id, Process};
use super::seen::{RELAY_PORT, info, local_key, observe_link, observed, of_local_replica, short};
use super::truth::Broken;
use super::world::{World, key};
use super::{TICK, now};
use crate::job::Job;
use crate::known::{KnownService, NodeState};
use crate::observe::{NodeInfo, ProbeError};
use crate::plan::fence;
use crate::plan::record::Change;
use crate::state::explored::Ageing;
use crate::state::{CommitKind, Effect, Event, GroupState, Kept, Stored};
use crate::time::Moment;

/// What a gateway that is wrong takes for the end of any node's stream.
const FAR: u64 = 200;

/// The link to the primary, as the data plane has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Link {
    /// Nobody is followed.
    None,
    /// This node shall be followed.
    Wanted(Id),
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
            Self::Wanted(id) | Self::Up(id) | Self::Holding(id) => Some(id),
        }
    }
}

/// The data plane of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shard {
    pub(super) link: Link,
    pub(super) handover: Handover,
    /// Where somebody who is no primary waits to follow as one that hands over.
    pub(super) forged: Option<u8>,
    /// Where the history before that of the primary ended, as the shard was told.
    pub(super) decided: Option<HistoryEnd>,
    /// What the nodes held, where the log was lost, as the shard was told.
    pub(super) held_by_nodes: Vec<NodePosition>,
    /// The primary showed a sign of life in this tick.
    pub(super) heard: bool,
    /// When it last did.
    pub(super) alive_at: Option<Moment>,
    /// When the primary may last have been told that we are there.
    pub(super) renewed_at: Option<Moment>,
    /// How many connections to the primary are kept.
    pub(super) links: u8,
    /// The stream ended from the primary's side, and none has come since.
    pub(super) closed: bool,
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
            shard.forged,
            shard.heard,
            shard.alive_at,
            shard.renewed_at,
            shard.closed,
        )
            .hash(hasher);
        let decided = shard.decided.map(|end| (end.id, end.offset));
        (decided, self.job.is_some()).hash(hasher);
        for node in &shard.held_by_nodes {
            (node.id, node.offset).hash(hasher);
        }
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
        if let Some(gateway) = &world.gateway {
            let links = gateway.shard.links;
            world.nodes[0].acknowledged(links);
        }
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
        record: (*world.store.record).clone(),
        shard: ShardId::STANDALONE,
        operation: world.store.operation.as_deref().cloned(),
        rescues: world.store.rescues.clone(),
    };
    let relay = RelayEndpoint {
        announced: None,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, RELAY_PORT)),
    };
    let (mut state, effects) = GroupState::resume(kept, relay, now().at, world.now());
    state.tamper().fit_at = Some(now().at);
    if world.has(Mutant::RejoinsUnfollowed) {
        state.tamper().link.following = true;
    }
    let shard = Shard {
        link: Link::None,
        handover: state.known().link.handover,
        forged: None,
        decided: None,
        held_by_nodes: Vec::new(),
        heard: false,
        alive_at: None,
        renewed_at: None,
        links: 1,
        closed: false,
    };
    world.gateway = Some(Gateway {
        state,
        shard,
        job: None,
    });
    carry_out(world, effects);
    if world.has_local() {
        // It is never seen by the gateway, and never was.
        tell(world, of_local_replica());
        let known = world.gateway.as_mut().map(|gateway| gateway.state.tamper());
        let local = known.and_then(|known| known.node_mut(&local_key()));
        for moment in local.into_iter().flat_map(NodeState::moments) {
            *moment = moment.map(|at| at.minus(std::time::Duration::from_secs(60)));
        }
    }
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
    let keeps_one = world.has(Mutant::KeepsOneLink);
    if let Some(gateway) = world.gateway.as_mut().filter(|_| !keeps_one) {
        let links = fence::links(gateway.state.known());
        gateway.shard.links = u8::try_from(links).expect("a few links");
    }
}

/// Time passes for the process.
pub(super) fn pass(world: &mut World) {
    let ageing = Ageing {
        now: now().at,
        by: TICK,
        of_fitness: world.lifts_fence,
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
        look_at(world, id);
    }
}

/// The gateway looks at a node.
pub(super) fn look_at(world: &mut World, id: Id) {
    let result = match world.nodes[id].process {
        _ if !world.wire.passes(id) => Err(ProbeError::Silent(String::new())),
        Process::Frozen => Err(ProbeError::Silent(String::new())),
        Process::Dead => Err(ProbeError::Refused(String::new())),
        Process::Running => Ok(info(world, id)),
    };
    let lives = result.as_ref().is_ok_and(NodeInfo::is_primary);
    if lives && link(world) == Link::Up(id) {
        super::data_plane::lives(world);
    }
    tell(world, observed(id, result));
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
        Mutant::TrustsItsOwnNetwork => {
            // As if the others had been answering all the time.
            let since = now().at.minus(TICK);
            for node in &mut known.nodes {
                let [_, result_since, _, failing_since] = node.moments();
                *result_since = result_since.map(|at| at.min(since));
                *failing_since = failing_since.map(|at| at.min(since));
            }
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
                    .map(|name| {
                        let id = super::world::id_of(&name);
                        let of_its_own = (id == 0 && world.has_local()).then(|| local_key().address);
                        KnownService {
                            nodes: [key(id).address].into_iter().chain(of_its_own).collect(),
                            name,
                            watched_as: None,
                        }
                    })
                    .collect();
                tell(world, Event::Reached(services));
            }
            Effect::StopJob
            | Effect::OpenRelay(_)
            | Effect::AskSentinels(_)
            | Effect::AcceptHistory
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
            kept.operation = Some(Arc::new(operation.clone()));
            stored.operation = Some(operation);
        }
        CommitKind::Operation(operation) => {
            let unsynced = kept.unsynced.is_some();
            kept.operation = (!operation.state.is_final()).then(|| {
                Arc::new(Operation {
                    // What was never stored is not stored with the next step either.
                    committed: operation.committed && !unsynced,
                    ..(*operation).clone()
                })
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
                let chosen = world.nodes[super::world::id_of(&change.group.primary)].stream;
                // What the old primary said last that it has, beyond what arrived here.
                let arrived = world.log.stream.offset.max(chosen.offset);
                let told = world.gateway.as_ref().and_then(told_by_primary);
                let beyond = told.map_or(0, |told| told.saturating_sub(arrived));
                let chosen = chosen.writes;
                world.truth.promised = chosen;
                if world.mutant == Some(Mutant::ReportsOnlyTheUnreceived) {
                    report.rpo.bytes = 0;
                }
                let by_itself = chosen.and(world.truth.destroyed);
                let missing = world.log.stream.writes.without(by_itself).count();
                let understated = report.rpo.bytes < u64::from(missing + beyond);
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

/// What the primary last said that it has of the log's history.
fn told_by_primary(gateway: &Gateway) -> Option<u8> {
    let known = gateway.state.known();
    let info = known.node(known.primary()?).info.as_ref()?;
    (info.is_primary() && Some(info.history) == known.history()).then(|| short(info.offset))
}

fn write(store: &mut super::world::Store, change: Change) {
    store.record = Arc::new(change.group);
    if let Some(operation) = change.operation {
        store.operation = Some(Arc::new(operation));
    }
}

/// What was said to be stored is.
pub(super) fn sync_store(world: &mut World) {
    if let Some(change) = world.store.unsynced.take() {
        write(&mut world.store, *change);
    }
}
