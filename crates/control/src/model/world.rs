//! The state of everything: the servers, the gateway's process and its store, the network, and what is true whether or
//! not anybody knows it.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use sterna_model::{Fencing, Group, GroupSettings, Operation, Rescue, ServiceName, ShardId, ShardRecord};
use sterna_node::NodeAddress;

use super::gateway::Gateway;
use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream, Writes};
use super::truth::{Budget, Truth};
use crate::observe::NodeKey;
use crate::plan::record::Change;

/// The gateway's log: durable but for what came in since it was last synced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// Its end.
    pub(super) stream: Stream,
    /// What of it is on disk for sure.
    pub(super) synced: Stream,
    /// The histories that it went through before, each with its last offset.
    pub(super) ended: Vec<(u8, u8)>,
}

impl Log {
    /// Whether this is a point of the log's past, or one that it is about to reach.
    pub(super) fn covers(&self, history: u8, offset: u8) -> bool {
        history == self.stream.history
            || self
                .ended
                .iter()
                .any(|&(id, last)| id == history && offset <= last)
    }
}

/// The coordination store: every change to it is atomic and durable.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) record: Group,
    /// The operation that is not over.
    pub(super) operation: Option<Operation>,
    pub(super) rescues: Vec<Rescue>,
    /// A mutant's decision that was said to be stored and is not.
    pub(super) unsynced: Option<Box<Change>>,
    /// What was last given a number.
    pub(super) last_number: u64,
}

impl Store {
    /// The node that takes the writes, as last decided.
    pub(super) fn primary(&self) -> Id {
        id_of(&self.record.primary)
    }

    /// The decision of the operation under way.
    pub(super) fn decided(&self) -> Option<(Id, u64)> {
        let operation = self.operation.as_ref().filter(|operation| operation.committed)?;
        let report = operation.report.as_ref()?;
        Some((id_of(&report.to), report.divergence_offset.get()))
    }

    /// The primary when the operation under way began.
    pub(super) fn old(&self) -> Option<Id> {
        let operation = self.operation.as_ref()?;
        let report = operation.report.as_ref().map(|report| id_of(&report.from));
        Some(report.unwrap_or_else(|| self.primary()))
    }

    /// What is kept of the one shard.
    pub(super) fn shard(&self) -> &ShardRecord {
        self.record.shard(ShardId::STANDALONE)
    }

    /// Whether a node was primary and has not come back.
    pub(super) fn is_former(&self, id: Id) -> bool {
        let mut former = self.record.former_primaries();
        former.any(|former| id_of(&former.service) == id)
    }
}

/// What is on its way between the gateway and the nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Wire {
    /// Nothing passes between the gateway and this node; clients reach it all the same.
    pub(super) cut_off: Option<Id>,
    /// An acknowledgement to the node that is followed, and its age in ticks.
    pub(super) ack: Option<u8>,
    /// A command that arrives late, perhaps twice.
    pub(super) late: Option<(Id, Command)>,
}

/// A command to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Command {
    /// Block its writes.
    BlockWrites,
    /// `REPLICAOF` the relay.
    FollowRelay,
    /// `REPLICAOF NO ONE`, if it has this.
    Promote {
        /// The last offset that it must have.
        least: u8,
    },
    /// Put the fence in place.
    PlaceFence,
    /// `FAILOVER TO` the relay.
    HandOver,
    /// `FAILOVER ABORT`.
    TakeBack,
}

/// Everything.
#[derive(Debug, Clone)]
pub(super) struct World {
    /// The servers; the first is the primary in the beginning.
    pub(super) nodes: Vec<Node>,
    /// The gateway's process.
    pub(super) gateway: Option<Gateway>,
    /// What it keeps.
    pub(super) store: Store,
    /// Its log.
    pub(super) log: Log,
    /// The network.
    pub(super) wire: Wire,
    /// What is true.
    pub(super) truth: Truth,
    /// What may still happen.
    pub(super) budget: Budget,
    /// What is wrong with the gateway.
    pub(super) mutant: Option<Mutant>,
}

impl World {
    /// A healthy group with that many nodes.
    pub(super) fn new(nodes: usize, budget: Budget, mutant: Option<Mutant>) -> Self {
        let stream = Stream {
            history: 0,
            offset: 0,
            before: None,
            writes: Writes::default(),
        };
        let node = |id| Node::new(if id == 0 { Role::Primary } else { Role::Replica }, stream);
        let mut world = Self {
            nodes: (0..nodes).map(node).collect(),
            gateway: None,
            store: Store {
                record: record(nodes),
                operation: None,
                rescues: Vec::new(),
                unsynced: None,
                last_number: 0,
            },
            log: Log {
                stream,
                synced: stream,
                ended: Vec::new(),
            },
            wire: Wire {
                cut_off: None,
                ack: None,
                late: None,
            },
            truth: Truth::new(),
            budget,
            mutant,
        };
        Gateway::begin_whole(&mut world);
        world
    }

    /// Whether the gateway and this node can talk right now.
    pub(super) fn reaches(&self, id: Id) -> bool {
        self.gateway.is_some() && self.wire.cut_off != Some(id) && self.nodes[id].runs()
    }

    /// Whether this is wrong with the gateway.
    pub(super) fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// A history that never was.
    pub(super) fn new_history(&mut self) -> u8 {
        self.truth.histories += 1;
        self.truth.histories - 1
    }
}

impl Hash for World {
    /// Without what is only there for people.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.nodes, &self.log, &self.wire, &self.truth, &self.budget).hash(hasher);
        let store = &self.store;
        let fence_in_place = store.shard().fence_in_place;
        (store.record.epoch, store.primary(), fence_in_place).hash(hasher);
        for former in store.record.former_primaries() {
            (&former.service, former.history, former.divergence_offset).hash(hasher);
        }
        for rescue in &store.rescues {
            (&rescue.service, rescue.history, rescue.to).hash(hasher);
        }
        store.unsynced.is_some().hash(hasher);
        if let Some(operation) = &store.operation {
            (operation.kind as u8, operation.committed, operation.force).hash(hasher);
            (&operation.service, &operation.requested_by, store.decided()).hash(hasher);
        }
        self.gateway.hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        fingerprint(self) == fingerprint(other)
    }
}

impl Eq for World {}

/// Tells states apart.
pub(super) fn fingerprint(state: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

/// The service of a node, and the node.
pub(super) fn key(id: Id) -> NodeKey {
    KEYS[id].0.clone()
}

/// The address of a node, as the shard names it.
pub(super) fn address(id: Id) -> String {
    KEYS[id].1.clone()
}

/// The most nodes that a group has here.
const NODES_MAX: usize = 4;

static KEYS: LazyLock<Vec<(NodeKey, String)>> = LazyLock::new(|| {
    (0..NODES_MAX)
        .map(|id| {
            let port = u16::try_from(id).expect("a few nodes") + 1;
            let key = NodeKey {
                service: format!("s{id}").parse().expect("a name"),
                address: NodeAddress::new("node".to_owned(), port),
            };
            let address = key.address.to_string();
            (key, address)
        })
        .collect()
});

/// The node of a service.
pub(super) fn id_of(service: &ServiceName) -> Id {
    let place = KEYS.iter().position(|(key, _)| key.service == *service);
    place.expect("the model names its services")
}

fn service(id: Id) -> ServiceName {
    key(id).service
}

fn record(nodes: usize) -> Group {
    let wall = super::now().wall;
    let shard = ShardRecord {
        primary_node: Some(key(0).address),
        fence_in_place: true,
        former_primaries: Vec::new(),
    };
    Group {
        name: "orders".parse().expect("a name"),
        primary: service(0),
        replicas: (1..nodes).map(service).collect(),
        settings: GroupSettings {
            fencing: Fencing::Lease,
            lease_seconds: 3,
            down_after_ms: 2000,
            failover_pause_seconds: 0,
            switchover_timeout_ms: 4000,
            ..GroupSettings::default()
        },
        shards: [(ShardId::STANDALONE, shard)].into(),
        epoch: sterna_model::Epoch(1),
        paused: false,
        failed_over_at: None,
        primary_since: wall,
        created_at: wall,
        revision: sterna_model::Revision(1),
    }
}
