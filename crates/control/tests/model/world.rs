//! The state of everything: the servers, the gateway's memory and its store, the network, and what is true whether or not
//! anybody knows it.

use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream, Writes};
use super::truth::{Budget, Truth};

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

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// An unplanned change of primary.
    Failover {
        /// A person asked for it.
        by_person: bool,
        /// A person accepts what the fence can't promise.
        forced: bool,
    },
    /// A planned change of primary, to this node.
    Switchover(Id),
    /// This node comes back.
    Rejoin(Id),
}

/// What the gateway keeps durably of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Operation {
    /// What is under way.
    pub(super) kind: Kind,
    /// The decision.
    pub(super) decided: Option<(Id, u8)>,
    /// The primary when it began.
    pub(super) old: Id,
}

/// A primary that a change left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Departed {
    /// Which.
    pub(super) node: Id,
    /// The history that ended.
    pub(super) history: u8,
    /// The last offset that the new primary has of it.
    pub(super) cut: u8,
}

/// The coordination store: every change to it is atomic and durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Store {
    /// The term.
    pub(super) epoch: u8,
    /// The primary.
    pub(super) primary: Id,
    /// The fence was seen in place at the primary in this term.
    pub(super) armed: bool,
    /// Old primaries that have not come back.
    pub(super) departed: Vec<Departed>,
    /// What was saved: of which node, in which history, up to where.
    pub(super) rescues: Vec<(Id, u8, u8)>,
    /// What is under way.
    pub(super) operation: Option<Operation>,
}

/// How a node answered when the gateway last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    /// Not looked at yet.
    Unknown,
    /// It answered.
    Said(Node),
    /// No process listens.
    Refused,
    /// Nothing came back.
    Silent,
}

impl Answer {
    /// What it said of itself.
    pub(super) fn said(&self) -> Option<&Node> {
        match self {
            Self::Said(node) => Some(node),
            Self::Unknown | Self::Refused | Self::Silent => None,
        }
    }
}

/// The link to the primary.
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

/// What the relay does about a primary that hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Handover {
    /// It is refused and takes writes again.
    Refuse,
    /// It is let wait.
    Hold,
    /// It is let follow.
    Accept,
}

/// The gateway's process and its memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, as in the owner of a group"
)]
pub(super) struct Gateway {
    /// It runs.
    pub(super) runs: bool,
    /// The last look at every node.
    pub(super) seen: Vec<Answer>,
    /// Which nodes were shut to writes by this process, in which life of theirs.
    pub(super) shut: Vec<Option<u8>>,
    /// The link to the primary.
    pub(super) link: Link,
    /// The link was told to follow the group's primary.
    pub(super) following: bool,
    /// The primary came back without its data; known until another link stands.
    pub(super) lost_data: bool,
    /// Ticks since the primary last showed life.
    pub(super) quiet: u8,
    /// Ticks since the primary may last have been told that we are there; after a start, since then.
    pub(super) renewed: u8,
    /// What the relay does about a primary that hands over.
    pub(super) handover: Handover,
    /// The primary was told to keep writes waiting.
    pub(super) paused: bool,
    /// Ticks for which the operation has been under way in this process, or writes have been waiting.
    pub(super) waiting: u8,
    /// A person wants the operation to end.
    pub(super) cancelled: bool,
    /// A mutant's promise that is not in the store.
    pub(super) promised: Option<(Id, u8)>,
}

/// A command to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Command {
    /// Shut it to writes.
    Shut,
    /// `REPLICAOF` the relay.
    FollowRelay,
    /// `REPLICAOF NO ONE`.
    Promote,
    /// Put the fence in place.
    Arm,
    /// `FAILOVER TO` the relay.
    HandOver,
    /// `FAILOVER ABORT`.
    TakeBack,
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

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The servers; the first is the primary in the beginning.
    pub(super) nodes: Vec<Node>,
    /// The gateway's process.
    pub(super) gateway: Gateway,
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
        let nodes: Vec<_> = (0..nodes).map(node).collect();
        Self {
            gateway: Gateway {
                runs: true,
                seen: nodes.iter().map(|node| Answer::Said(node.as_seen())).collect(),
                // It was shut in a rejoin before, and has become the primary since.
                shut: nodes
                    .iter()
                    .map(|_| (mutant == Some(Mutant::RemembersShut)).then_some(0))
                    .collect(),
                link: Link::Up(0),
                following: true,
                lost_data: false,
                quiet: 0,
                renewed: 0,
                handover: Handover::Refuse,
                paused: false,
                waiting: 0,
                cancelled: false,
                promised: None,
            },
            store: Store {
                epoch: 1,
                primary: 0,
                armed: true,
                departed: Vec::new(),
                rescues: Vec::new(),
                operation: None,
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
            truth: Truth {
                numbers: 0,
                histories: 1,
                acknowledged: Writes::default(),
                destroyed: Writes::default(),
                rescued: Writes::default(),
                woken: Writes::default(),
                promised: Writes::default(),
                writer: None,
                broken: Vec::new(),
                wiped: Writes::default(),
            },
            nodes,
            budget,
            mutant,
        }
    }

    /// Whether the gateway and this node can talk right now.
    pub(super) fn reaches(&self, id: Id) -> bool {
        self.gateway.runs && self.wire.cut_off != Some(id) && self.nodes[id].runs()
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
