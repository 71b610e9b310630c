//! What the state sees of the made-up world: what a node answers, how the shard says that it is.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use sterna_model::{CopyProgress, FENCE_LINKS_MAX, HoldReason, LinkState};
use sterna_node::{Engine, EngineKind, NodeAddress, Version, info::AttachedReplica};
use sterna_protocol::{Offset, ReplicationId, RunId};
use sterna_replication::{Handover, Status};

use super::gateway::{Link, Shard, link};
use super::mutants::Mutant;
use super::node::{Id, LocalReplica, Node, Process, Role};
use super::now;
use super::world::{World, address, key};
use crate::known::{LinkObservation, Signs};
use crate::observe::{Lease, NodeInfo, NodeKey, Observation, ProbeError};
use crate::state::Event;

/// The port of the relay.
pub(super) const RELAY_PORT: u16 = 7801;
/// `min-replicas-to-write` where writes are blocked.
const BLOCKED: u32 = 1_000_000;

/// What a look shows of a node that answers.
pub(super) fn observation(world: &World, id: Id) -> Observation {
    Observation {
        node: key(id),
        asked: now().at,
        at: now().at,
        result: Ok(info(world, id)),
        local: Some(Ipv4Addr::LOCALHOST.into()),
        round_trip: None,
    }
}

pub(super) fn observed(id: Id, result: Result<NodeInfo, ProbeError>) -> Event {
    Event::Node(Box::new(Observation {
        node: key(id),
        asked: now().at,
        at: now().at,
        result,
        local: Some(Ipv4Addr::LOCALHOST.into()),
        round_trip: None,
    }))
}

pub(super) fn info(world: &World, id: Id) -> NodeInfo {
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
        read_only: true,
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
        good_replicas: None,
        priority: 100,
        clock_micros: None,
        followers: Some(followers(world, id)),
    }
}

/// The numbers under which a node lists who follows it.
fn followers(world: &World, id: Id) -> Vec<u64> {
    let node = &world.nodes[id];
    let ours = match link(world) {
        Link::Up(up) if up == id => node.links,
        _ => 0,
    };
    let local = node.local != LocalReplica::Away && !world.has(Mutant::CountsNobodyElse);
    let others = [(local, 100), (node.foreign_follower, 101)];
    (0..u64::from(ours))
        .chain(
            others
                .into_iter()
                .filter(|(is_there, _)| *is_there)
                .map(|(_, id)| id),
        )
        .collect()
}

/// The replica that the first service has of its own can't be reached from the gateway.
pub(super) fn of_local_replica() -> Event {
    Event::Node(Box::new(Observation {
        node: local_key(),
        asked: now().at,
        at: now().at,
        result: Err(ProbeError::Refused(String::new())),
        local: None,
        round_trip: None,
    }))
}

/// The replica that the first service has of its own.
pub(super) fn local_key() -> NodeKey {
    NodeKey {
        service: key(0).service,
        address: host("local", 1),
    }
}

fn host(name: &str, port: u16) -> NodeAddress {
    NodeAddress::new(name.to_owned(), port)
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
        Link::Up(up) if up == id => {
            replicas.push(attached(relay(), "online", 0));
            let beside = 1..node.links;
            replicas.extend(beside.map(|_| attached(host("gateway", 0), "online", 0)));
        }
        _ => {}
    }
    let local = match node.local {
        LocalReplica::Away => None,
        LocalReplica::Good => Some(0),
        LocalReplica::Hung { ack_age } => Some(ack_age),
    };
    if let Some(ack_age) = local.filter(|_| !world.has(Mutant::CountsNobodyElse)) {
        replicas.push(attached(local_key().address, "online", ack_age));
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
        && !world.log.lost
        && at.history == world.log.stream.history
        && world.log.continues(at.history, at.offset)
}

/// How the shard says that it is.
pub(super) fn observe_link(world: &World, shard: &Shard) -> LinkObservation {
    let log = &world.log.stream;
    let handing = world.nodes.iter().find(|node| {
        node.role == Role::SteppedDown && node.process != Process::Dead && shard.handover != Handover::Refuse
    });
    LinkObservation {
        status: Status {
            link: match shard.link {
                Link::None => LinkState::ServeOnly,
                Link::Wanted(_) => LinkState::Connecting,
                Link::Up(_) => LinkState::Streaming,
                Link::Holding(id) => LinkState::Holding(HoldReason::UnrelatedHistory {
                    held: history(log.history),
                    held_offset: offset(log.offset),
                    offered: history(world.nodes[id].stream.history),
                    offered_offset: offset(world.nodes[id].stream.offset),
                }),
            },
            primary: shard.link.whom().map(address),
            history: (!world.log.lost).then(|| history(log.history)),
            log_start: offset(world.log.start),
            copy: world.log.copies_from.map(|_| CopyProgress::default()),
            has_snapshot: world.log.has_snapshot,
            log_end: offset(log.offset),
            primary_offset: None,
            lease_links: usize::from(shard.links) - 1,
            clients: (0..u64::from(FENCE_LINKS_MAX)).collect(),
            closed_by_primary: shard.closed,
            handovers_wait_at: handing
                .map(|node| node.stream.offset)
                .into_iter()
                .chain(shard.forged)
                .map(offset)
                .collect(),
            ..Status::default()
        },
        signs: Signs {
            alive: shard.alive_at,
            renewed: shard.renewed_at,
            asked: None,
        },
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

/// The process of a node, by how often that was started.
pub(super) fn run_id((id, run): (Id, u8)) -> RunId {
    let name = history(u8::try_from(id).expect("a few nodes") * 32 + run);
    name.as_str().parse().expect("forty hexadecimal digits")
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
