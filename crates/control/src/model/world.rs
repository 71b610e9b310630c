//! The state of everything: the servers, the gateway's process and its store, the network, and what is true whether or
//! not anybody knows it.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use sterna_model::{Fencing, Group, GroupSettings, Operation, Rescue, ServiceName, ShardId, ShardRecord};
use sterna_node::NodeAddress;
use sterna_replication::Held;

use super::data_plane::begin_anew;
use super::environment::write;
use super::gateway::{Gateway, settle};
use super::mutants::Mutant;
use super::node::{Id, LocalReplica, Node, Role, Stream, Writes};
use super::seen::{history, offset, run_id};
use super::truth::{Budget, Truth};
use crate::observe::NodeKey;
use crate::plan::record::Change;
use crate::time::Now;

/// The gateway's log: durable but for what came in since it was last synced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Log {
    /// Its end.
    pub(super) stream: Stream,
    /// What of it is on disk for sure.
    pub(super) synced: Stream,
    /// The histories that it went through before, each with its last offset.
    pub(super) ended: Vec<(u8, u8)>,
    /// The process of the node that the newest of it came from.
    pub(super) process: (Id, u8),
    /// Whoever is further back can't continue from it.
    pub(super) start: u8,
    /// It has a snapshot that whoever is further back can begin with.
    pub(super) has_snapshot: bool,
    /// A snapshot of this node arrives, on a connection of its own.
    pub(super) copies_from: Option<Id>,
    /// Its files could not be used, and another began that holds nothing yet.
    pub(super) lost: bool,
}

impl Log {
    /// What a primary must continue; none where it holds nothing.
    pub(super) fn held(&self) -> Option<Held> {
        (!self.lost).then(|| Held {
            id: history(self.stream.history),
            end: offset(self.stream.offset),
            process: Some(run_id(self.process)),
        })
    }

    /// Whether a replica at this point can go on with what is here.
    pub(super) fn continues(&self, history: u8, offset: u8) -> bool {
        offset >= self.start && self.covers(history, offset)
    }

    /// Whether this is a point of the log's past, or one that it is about to reach.
    pub(super) fn covers(&self, history: u8, offset: u8) -> bool {
        let ended = |&(id, last): &(u8, u8)| id == history && offset <= last;
        !self.lost && (history == self.stream.history || self.ended.iter().any(ended))
    }

    /// Its files are found damaged when the gateway starts.
    pub(super) fn lose(&mut self) {
        *self = Self {
            lost: true,
            ..Self::begun(
                Stream {
                    offset: 0,
                    before: None,
                    writes: Writes::default(),
                    ..self.stream
                },
                self.process,
            )
        };
    }

    /// One that begins with a stream.
    pub(super) fn begun(stream: Stream, process: (Id, u8)) -> Self {
        Self {
            stream,
            synced: stream,
            ended: Vec::new(),
            process,
            start: stream.offset,
            has_snapshot: false,
            copies_from: None,
            lost: false,
        }
    }
}

/// The coordination store: every change to it is atomic and durable.
#[derive(Debug, Clone)]
pub(super) struct Store {
    pub(super) record: Arc<Group>,
    /// The operation that is not over.
    pub(super) operation: Option<Arc<Operation>>,
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
    /// Nothing passes between the gateway and any node, for so many ticks.
    pub(super) isolated_for: Option<u8>,
    /// An acknowledgement to the node that is followed, and its age in ticks.
    pub(super) ack: Option<u8>,
    /// A command that arrives late, perhaps twice.
    pub(super) late: Option<(Id, Command)>,
}

impl Wire {
    /// Whether the gateway and this node can talk.
    pub(super) fn passes(&self, id: Id) -> bool {
        self.isolated_for.is_none() && self.cut_off != Some(id)
    }
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
    PlaceFence {
        /// `min-replicas-to-write`.
        min_replicas: u8,
    },
    /// Put the fence back to what was there before the group, none, until it restarts.
    LiftFence {
        /// At this process of it.
        run: u8,
    },
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
    /// What the gateway's host shows as the time of day.
    pub(super) wall: Timestamp,
    /// What is true.
    pub(super) truth: Truth,
    /// What may still happen.
    pub(super) budget: Budget,
    /// The first service has a replica of its own, there or away.
    has_local: bool,
    /// The fence is lifted while nobody is fit.
    pub(super) lifts_fence: bool,
    /// What is wrong with the gateway.
    pub(super) mutant: Option<Mutant>,
    /// Tells it from others, as of the end of the last action.
    print: u64,
}

/// Who follows the primary, without a port, beside the gateway and its service's own replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForeignFollower {
    None,
    /// The fence reckons with it.
    Counted,
    /// It has just come: the fence does not yet.
    New,
}

/// A group before anything happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scene {
    /// How many nodes.
    pub(super) nodes: usize,
    /// A replica of the primary's own service.
    pub(super) local: LocalReplica,
    /// A full copy of the primary is under way, with a write that the replicas lack.
    pub(super) copying: bool,
    /// Somebody else follows the primary, without a port.
    pub(super) foreign_follower: ForeignFollower,
    /// The fence is lifted while nobody is fit. Where it is not, that is left out: it multiplies what can happen.
    pub(super) lifts_fence: bool,
    /// How long nothing is done by itself after a failover, in seconds; the last was just now.
    pub(super) failover_pause_seconds: u32,
}

impl Scene {
    /// So many nodes, and nobody else.
    pub(super) const fn of(nodes: usize) -> Self {
        Self {
            nodes,
            local: LocalReplica::Away,
            copying: false,
            foreign_follower: ForeignFollower::None,
            lifts_fence: false,
            failover_pause_seconds: 0,
        }
    }
}

impl World {
    /// A healthy group.
    pub(super) fn new(scene: Scene, budget: Budget, mutant: Option<Mutant>) -> Self {
        let stream = Stream {
            history: 0,
            offset: 0,
            before: None,
            writes: Writes::default(),
        };
        let node = |id| Node::new(if id == 0 { Role::Primary } else { Role::Replica }, stream);
        let mut nodes: Vec<_> = (0..scene.nodes).map(node).collect();
        nodes[0].local = scene.local;
        nodes[0].foreign_follower = scene.foreign_follower != ForeignFollower::None;
        let has_local = scene.local != LocalReplica::Away || budget.local_replica > 0;
        let others = [
            has_local && mutant != Some(Mutant::CountsNobodyElse),
            scene.foreign_follower == ForeignFollower::Counted,
        ];
        nodes[0].place_fence(1 + others.map(u8::from).iter().sum::<u8>());
        let mut world = Self {
            nodes,
            gateway: None,
            store: Store {
                record: Arc::new(record(scene)),
                operation: None,
                rescues: Vec::new(),
                unsynced: None,
                last_number: 0,
            },
            log: Log::begun(stream, (0, 0)),
            wire: Wire {
                cut_off: None,
                isolated_for: None,
                ack: None,
                late: None,
            },
            wall: super::now().wall,
            truth: Truth::new(),
            budget,
            has_local,
            lifts_fence: scene.lifts_fence,
            mutant,
            print: 0,
        };
        Gateway::begin_whole(&mut world);
        if scene.copying {
            write(&mut world, 0, false);
            begin_anew(&mut world, 0);
            world.log.copies_from = Some(0);
            settle(&mut world);
        }
        world.print();
        world
    }

    /// Whether the gateway knows of a replica that the first service has of its own.
    pub(super) fn has_local(&self) -> bool {
        self.has_local && !self.has(Mutant::CountsNobodyElse)
    }

    /// An action came to its end. Comparing worlds and finding them again is what most of the time would go into.
    pub(super) fn print(&mut self) -> u64 {
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        self.hash_parts(&mut hasher);
        self.print = hasher.finish();
        self.print
    }

    /// Whether the gateway and this node can talk right now.
    pub(super) fn reaches(&self, id: Id) -> bool {
        self.gateway.is_some() && self.wire.passes(id) && self.nodes[id].runs()
    }

    /// The clocks of the gateway's host.
    pub(super) fn now(&self) -> Now {
        Now {
            wall: self.wall,
            ..super::now()
        }
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

impl World {
    /// Without what is only there for people.
    fn hash_parts(&self, hasher: &mut impl Hasher) {
        (&self.nodes, &self.log, &self.wire, self.wall).hash(hasher);
        (&self.truth, &self.budget).hash(hasher);
        let store = &self.store;
        let fence_in_place = store.shard().fence_in_place;
        (store.record.epoch, store.primary(), fence_in_place).hash(hasher);
        for former in store.record.former_primaries() {
            (&former.service, former.history, former.divergence_offset).hash(hasher);
        }
        for rescue in &store.rescues {
            (&rescue.service, rescue.history, rescue.from, rescue.to).hash(hasher);
        }
        store.unsynced.is_some().hash(hasher);
        if let Some(operation) = &store.operation {
            (operation.kind as u8, operation.committed, operation.force).hash(hasher);
            (&operation.service, &operation.requested_by, store.decided()).hash(hasher);
        }
        self.gateway.hash(hasher);
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.print.hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.print == other.print
    }
}

impl Eq for World {}

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

fn record(scene: Scene) -> Group {
    let wall = super::now().wall;
    let shard = ShardRecord {
        primary_node: Some(key(0).address),
        fence_in_place: true,
        former_primaries: Vec::new(),
    };
    Group {
        name: "orders".parse().expect("a name"),
        primary: service(0),
        replicas: (1..scene.nodes).map(service).collect(),
        settings: GroupSettings {
            fencing: Fencing::Lease,
            lease_seconds: 3,
            down_after_ms: 2000,
            failover_pause_seconds: scene.failover_pause_seconds,
            switchover_timeout_ms: 4000,
            ..GroupSettings::default()
        },
        shards: [(ShardId::STANDALONE, shard)].into(),
        epoch: sterna_model::Epoch(1),
        paused: false,
        failed_over_at: (scene.failover_pause_seconds > 0).then_some(wall),
        primary_since: wall,
        created_at: wall,
        revision: sterna_model::Revision(1),
    }
}
