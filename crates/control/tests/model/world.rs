//! The state of everything: the servers, the gateway's memory and its store, the network, and what is true whether or not
//! anybody knows it.

use super::mutants::Mutant;
use super::node::{Id, Node, Role, Stream, Writes};

/// The gateway's log: durable but for what came in since it was last synced.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Log {
    /// Its end.
    pub stream: Stream,
    /// What of it is on disk for sure.
    pub synced: Stream,
    /// The histories that it went through before, each with its last offset.
    pub ended: Vec<(u8, u8)>,
}

impl Log {
    /// Whether this is a point of the log's past, or one that it is about to reach.
    pub fn covers(&self, history: u8, offset: u8) -> bool {
        history == self.stream.history
            || self
                .ended
                .iter()
                .any(|&(id, last)| id == history && offset <= last)
    }
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
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
pub struct Operation {
    /// What is under way.
    pub kind: Kind,
    /// The decision.
    pub decided: Option<(Id, u8)>,
    /// The primary when it began.
    pub old: Id,
}

/// A primary that a change left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Departed {
    /// Which.
    pub node: Id,
    /// The history that ended.
    pub history: u8,
    /// The last offset that the new primary has of it.
    pub cut: u8,
}

/// The coordination store: every change to it is atomic and durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Store {
    /// The term.
    pub epoch: u8,
    /// The primary.
    pub primary: Id,
    /// The fence was seen in place at the primary in this term.
    pub armed: bool,
    /// Old primaries that have not come back.
    pub departed: Vec<Departed>,
    /// What was saved: of which node, in which history, up to where.
    pub rescues: Vec<(Id, u8, u8)>,
    /// What is under way.
    pub operation: Option<Operation>,
}

/// How a node answered when the gateway last looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
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
    pub fn said(&self) -> Option<&Node> {
        match self {
            Self::Said(node) => Some(node),
            Self::Unknown | Self::Refused | Self::Silent => None,
        }
    }
}

/// The link to the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
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
    pub fn whom(self) -> Option<Id> {
        match self {
            Self::None => None,
            Self::Wanted(id) | Self::Up(id) | Self::Holding(id) => Some(id),
        }
    }
}

/// What the relay does about a primary that hands over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Handover {
    /// It is refused and takes writes again.
    Refuse,
    /// It is let wait.
    Hold,
    /// It is let follow.
    Accept,
}

/// The gateway's process and its memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Gateway {
    /// It runs.
    pub runs: bool,
    /// The last look at every node.
    pub seen: Vec<Answer>,
    /// Which nodes were shut to writes by this process, in which life of theirs.
    pub shut: Vec<Option<u8>>,
    /// The link to the primary.
    pub link: Link,
    /// The link was told to follow the group's primary.
    pub following: bool,
    /// The primary came back without its data; known until another link stands.
    pub lost_data: bool,
    /// Ticks since the primary last showed life.
    pub quiet: u8,
    /// Ticks since the primary may last have been told that we are there; after a start, since then.
    pub renewed: u8,
    /// What the relay does about a primary that hands over.
    pub handover: Handover,
    /// The primary was told to keep writes waiting.
    pub paused: bool,
    /// Ticks for which the operation has been under way in this process, or writes have been waiting.
    pub waiting: u8,
    /// A person wants the operation to end.
    pub cancelled: bool,
    /// A mutant's promise that is not in the store.
    pub promised: Option<(Id, u8)>,
}

/// A command to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
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
pub struct Wire {
    /// Nothing passes between the gateway and this node; clients reach it all the same.
    pub cut_off: Option<Id>,
    /// An acknowledgement to the node that is followed, and its age in ticks.
    pub ack: Option<u8>,
    /// A command that arrives late, perhaps twice.
    pub late: Option<(Id, Command)>,
}

/// What is true, whether or not anybody knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Truth {
    /// How many writes there were.
    pub numbers: u8,
    /// How many histories.
    pub histories: u8,
    /// Writes that were acknowledged to a client.
    pub acknowledged: Writes,
    /// Writes that a server lost by itself, with its disk.
    pub destroyed: Writes,
    /// Writes in rescue files.
    pub rescued: Writes,
    /// Writes that a process took when it went on after it was frozen.
    pub woken: Writes,
    /// What the decided node had when it was decided on.
    pub promised: Writes,
    /// Who took writes in the term, and which term.
    pub writer: Option<(u8, Id)>,
    /// Two nodes took writes in one term.
    pub two_writers: bool,
    /// Somebody was promoted who lacked something of the decided cut.
    pub promoted_short: bool,
    /// Somebody was promoted who was not decided on.
    pub promoted_undecided: bool,
    /// A decision was taken back or changed.
    pub decision_changed: bool,
    /// A term was not above the one before.
    pub epoch_fell: bool,
    /// A replica that had everything was overwritten by less than it had.
    pub wiped: Writes,
}

/// What may still go wrong, and what clients and people may still do: each at most so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Budget {
    /// Writes by clients.
    pub writes: u8,
    /// Ends of the gateway's process.
    pub gateway_crashes: u8,
    /// Ends of the gateway's process on purpose.
    pub gateway_stops: u8,
    /// Whether the gateway's host may end with it, so that what was not synced is gone.
    pub gateway_hosts: u8,
    /// Ends of the first node's process.
    pub crashes: u8,
    /// Ends of another node's process.
    pub other_crashes: u8,
    /// Whether a node may start again without its history, or with nothing at all.
    pub strangers: u8,
    /// Whether the first node may start again without its last write.
    pub older_primary: u8,
    /// Whether another node may.
    pub older_copies: u8,
    /// Freezes of the first node.
    pub freezes: u8,
    /// Cuts between the gateway and the first node.
    pub cuts: u8,
    /// Commands that arrive late, and answers that get lost.
    pub late: u8,
    /// Switchovers asked for.
    pub switchovers: u8,
    /// Failovers asked for.
    pub failovers: u8,
    /// Cancellations.
    pub cancels: u8,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The servers; the first is the primary in the beginning.
    pub nodes: Vec<Node>,
    /// The gateway's process.
    pub gateway: Gateway,
    /// What it keeps.
    pub store: Store,
    /// Its log.
    pub log: Log,
    /// The network.
    pub wire: Wire,
    /// What is true.
    pub truth: Truth,
    /// What may still happen.
    pub budget: Budget,
    /// What is wrong with the gateway.
    pub mutant: Option<Mutant>,
}

impl World {
    /// A healthy group with that many nodes.
    pub fn new(nodes: usize, budget: Budget, mutant: Option<Mutant>) -> Self {
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
                two_writers: false,
                promoted_short: false,
                promoted_undecided: false,
                decision_changed: false,
                epoch_fell: false,
                wiped: Writes::default(),
            },
            nodes,
            budget,
            mutant,
        }
    }

    /// Whether the gateway and this node can talk right now.
    pub fn reaches(&self, id: Id) -> bool {
        self.gateway.runs && self.wire.cut_off != Some(id) && self.nodes[id].runs()
    }

    /// Whether this is wrong with the gateway.
    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// A history that never was.
    pub fn new_history(&mut self) -> u8 {
        self.truth.histories += 1;
        self.truth.histories - 1
    }
}
