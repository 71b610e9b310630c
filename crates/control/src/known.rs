//! What is known of a group: its record in the store, its nodes, its link to the primary. Nothing here decides.

mod link;
mod node;
mod primary_stream;
mod sentinels;
mod server_clock;

use std::time::Duration;

use sterna_model::{FormerPrimary, Group, Rescue, ServiceName, ShardId, ShardRecord};
use sterna_node::{NodeAddress, RelayEndpoint};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::NodePosition;
use sterna_store::Room;

pub(crate) use link::{Followed, Link, LinkObservation, Signs};
pub(crate) use node::NodeState;
pub(crate) use primary_stream::{Missing, PrimaryStream};
pub(crate) use sentinels::{SentinelView, Sentinels};

use crate::observe::{LOOK_TIMEOUT, NodeInfo, NodeKey, Observation, ProbeResult};
use crate::time::{Moment, Now};

/// For how long it counts that a node was taken away. A Sentinel tries again after twice its `failover-timeout`, of three minutes
/// where nobody set it.
const TAKEN_AWAY_REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// A node of the group, by its place in the list of what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) usize);

/// A service as far as decisions need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KnownService {
    pub(crate) name: ServiceName,
    pub(crate) nodes: Vec<NodeAddress>,
    /// The name under which Sentinels of its own watch it, which may promote one of its nodes.
    pub(crate) watched_as: Option<String>,
}

/// Everything that is known of a group.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// The group as it is stored.
    pub(crate) record: Group,
    /// The shard that is decided on.
    pub(crate) shard: ShardId,
    /// When the primary last changed.
    pub(crate) primary_since: Moment,
    /// When a failover last happened.
    pub(crate) failed_over_at: Option<Moment>,
    /// When this gateway process began: what an earlier one did lies before.
    pub(crate) gateway_started: Moment,
    pub(crate) relay: RelayEndpoint,
    pub(crate) nodes: Vec<NodeState>,
    pub(crate) link: Link,
    pub(crate) primary_stream: PrimaryStream,
    /// Writes of this group that were saved.
    pub(crate) rescues: Vec<Rescue>,
    /// When somebody was last fit to take over.
    pub(crate) fit_at: Option<Moment>,
    /// When the primary was last seen over a link that stood, others followed it who could keep it open without us.
    pub(crate) kept_open_by_others: bool,
    pub(crate) sentinels: Sentinels,
    /// What the gateway's store has room for.
    pub(crate) store_room: Room,
}

impl Known {
    /// What is known before anything was looked at.
    pub(crate) fn new(
        record: Group,
        shard: ShardId,
        rescues: Vec<Rescue>,
        relay: RelayEndpoint,
        gateway_started: Moment,
        now: Now,
    ) -> Self {
        Self {
            primary_since: now.moment_of(record.primary_since),
            failed_over_at: record.failed_over_at.map(|at| now.moment_of(at)),
            record,
            shard,
            gateway_started,
            relay,
            nodes: Vec::new(),
            link: Link::default(),
            primary_stream: PrimaryStream::default(),
            rescues,
            fit_at: None,
            kept_open_by_others: false,
            sentinels: Sentinels::default(),
            store_room: Room::default(),
        }
    }

    /// Takes over a record that was stored.
    pub(crate) fn stored(&mut self, record: Group, now: Now) {
        if record.primary_since != self.record.primary_since {
            self.primary_since = now.moment_of(record.primary_since);
        }
        if record.failed_over_at != self.record.failed_over_at {
            self.failed_over_at = record.failed_over_at.map(|at| now.moment_of(at));
        }
        let primary = self.shard().primary_node.clone();
        if record.primary != self.record.primary {
            self.sentinels.forget();
        }
        self.record = record;
        if self.shard().primary_node != primary {
            self.primary_stream = PrimaryStream::default();
            self.kept_open_by_others = false;
        }
    }

    /// These are the services now, with these nodes; what is known of nodes that stay, stays.
    pub(crate) fn reached(&mut self, services: &[KnownService]) {
        let watched = |service: &KnownService| Some((service.name.clone(), service.watched_as.clone()?));
        self.sentinels
            .watch(services.iter().filter_map(watched).collect());
        let wanted: Vec<_> = services
            .iter()
            .flat_map(|service| {
                service.nodes.iter().map(|address| NodeKey {
                    service: service.name.clone(),
                    address: address.clone(),
                })
            })
            .collect();
        self.nodes.retain(|node| wanted.contains(&node.key));
        for key in wanted {
            if self.nodes.iter().all(|node| node.key != key) {
                self.nodes.push(NodeState::new(key));
            }
        }
    }

    /// Takes in what the shard says of its link.
    pub(crate) fn linked(&mut self, seen: LinkObservation) {
        self.link.observed(seen);
        let status = &self.link.status;
        let answered = status
            .history
            .zip(status.primary_offset)
            .zip(self.link.signs.asked);
        if let Some(((history, offset), asked)) = answered
            && self.primary().is_some_and(|primary| self.streams_from(primary))
        {
            self.primary_stream.answered(history, offset, asked);
        }
    }

    /// Takes in what a look at a node showed.
    pub(crate) fn observed(&mut self, observation: Observation) {
        let of_primary = self
            .primary()
            .is_some_and(|primary| self.node(primary).key == observation.node);
        // Where the log is in no history yet, or in another one, its offset says nothing about what is missing there.
        if let Ok(info) = &observation.result
            && of_primary
            && info.is_primary()
            && self.history() == Some(info.history)
        {
            let (history, offset) = (info.history, info.offset);
            self.primary_stream.answered(history, offset, observation.asked);
        }
        let taken = self.is_taken_away(&observation);
        if let Some(node) = self.node_mut(&observation.node) {
            node.taken_away
                .retain(|at| observation.at.since(*at) < TAKEN_AWAY_REMEMBERED);
            if taken {
                node.taken_away.push(observation.at);
            }
            node.observed(observation);
        }
    }

    /// Whether a replica node that followed the relay was made a primary or told to follow somebody else since the last look, and
    /// not by us. One that was restarted is what its configuration file says.
    fn is_taken_away(&self, seen: &Observation) -> bool {
        let (Some(id), Ok(now)) = (self.find(&seen.node.service, &seen.node.address), &seen.result) else {
            return false;
        };
        let relay = Some(self.relay_for(id));
        let follows = |info: &NodeInfo| !info.is_primary() && info.primary == relay;
        let is_replica = self.record.replicas.contains(&seen.node.service);
        let before = self.node(id).info.as_ref().filter(|before| follows(before));
        is_replica && before.is_some_and(|before| before.run_id == now.run_id && !follows(now))
    }

    /// How often nodes of a replica service were taken away from the group of late.
    pub(crate) fn taken_away(&self, service: &ServiceName) -> usize {
        self.nodes_of(service)
            .map(|(_, node)| node.taken_away.len())
            .sum()
    }

    /// What is stored of the shard that is decided on.
    pub(crate) fn shard(&self) -> &ShardRecord {
        self.record.shard(self.shard)
    }

    /// A node by its key.
    pub(crate) fn node_mut(&mut self, key: &NodeKey) -> Option<&mut NodeState> {
        self.nodes.iter_mut().find(|node| node.key == *key)
    }

    /// A node of the group.
    pub(crate) fn node(&self, id: NodeId) -> &NodeState {
        &self.nodes[id.0]
    }

    /// A node by its service and address.
    pub(crate) fn find(&self, service: &ServiceName, address: &NodeAddress) -> Option<NodeId> {
        let at = |node: &NodeState| node.key.service == *service && node.key.address == *address;
        self.nodes.iter().position(at).map(NodeId)
    }

    /// The node that takes the writes, as last decided.
    pub(crate) fn primary(&self) -> Option<NodeId> {
        let address = self.shard().primary_node.as_ref()?;
        self.find(&self.record.primary, address)
    }

    /// The nodes of one service.
    pub(crate) fn nodes_of<'a>(
        &'a self,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = (NodeId, &'a NodeState)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(_, node)| node.key.service == *service)
            .map(|(id, node)| (NodeId(id), node))
    }

    /// The history that the replica services hold.
    pub(crate) fn history(&self) -> Option<ReplicationId> {
        self.link.status.history
    }

    /// Whether the log holds nothing: before the first copy, or where its files could not be used.
    pub(crate) fn log_is_empty(&self) -> bool {
        self.history().is_none()
    }

    /// Whether what a node holds is of the group's history. Where the log that would tell is lost, it is so of whoever follows the
    /// relay: what such a node has came from here.
    pub(crate) fn is_in_history(&self, node: NodeId, info: &NodeInfo) -> bool {
        match self.history() {
            Some(history) => info.history == history,
            None => !info.is_primary() && info.primary == Some(self.relay_for(node)),
        }
    }

    /// What the nodes of the replica services hold, whomever they follow, where the log is lost. Who has no keys, or is not ready
    /// to say, holds nothing that could be overwritten by mistake.
    pub(crate) fn held_by_nodes(&self) -> Vec<NodePosition> {
        if !self.log_is_empty() {
            return Vec::new();
        }
        let position = |info: &NodeInfo| {
            // One that somebody promoted took another name for what it had.
            let renamed = info.previous.filter(|_| info.is_primary());
            let (id, offset) = renamed.unwrap_or((info.history, info.offset));
            NodePosition { id, offset }
        };
        let infos = self.replica_nodes().filter_map(|node| node.info.as_ref());
        let holders = infos.filter(|info| says_what_it_holds(info) && info.keys > 0);
        holders.map(position).collect()
    }

    /// Whether it is not known what stands for a log that is lost: no node that holds anything has said so, and one has not said
    /// anything. Until it is known, whom to follow can't be told: a primary may have come back empty.
    pub(crate) fn must_learn_what_is_held(&self) -> bool {
        let says = |node: &NodeState| node.info.as_ref().is_some_and(says_what_it_holds);
        self.log_is_empty() && self.held_by_nodes().is_empty() && !self.replica_nodes().all(says)
    }

    /// Whether a node was not looked at yet, though what it holds matters, as the log is lost.
    pub(crate) fn must_look_first(&self) -> bool {
        let seen = |node: &NodeState| node.result() != ProbeResult::NotProbed;
        self.log_is_empty() && !self.nodes.iter().all(seen)
    }

    /// The nodes of the replica services, but for former primaries: what one of those has is saved before it is overwritten.
    fn replica_nodes(&self) -> impl Iterator<Item = &NodeState> {
        let services = self.record.replicas.iter();
        let nodes = services.flat_map(|service| self.nodes_of(service));
        nodes
            .map(|(_, node)| node)
            .filter(|node| self.former_node(&node.key).is_none())
    }

    /// Where the relay is for a node.
    pub(crate) fn relay_for(&self, node: NodeId) -> NodeAddress {
        self.relay.seen_from(self.node(node).local)
    }

    /// The nodes of a service that took the writes before and have not come back.
    pub(crate) fn former_nodes<'a>(
        &'a self,
        service: &ServiceName,
    ) -> impl Iterator<Item = &'a FormerPrimary> {
        let former = self.shard().former_primaries.iter();
        former.filter(move |former| former.service == *service)
    }

    /// What is kept of a service that was the primary service before and has not come back: as of the last time.
    pub(crate) fn former_service(&self, service: &ServiceName) -> Option<&FormerPrimary> {
        self.former_nodes(service)
            .filter(|former| former.service != self.record.primary)
            .max_by_key(|former| former.epoch)
    }

    /// What is kept of a node that took the writes before, or whose service did, and that has not come back. In the primary
    /// service it is of that node alone: the others follow the primary.
    pub(crate) fn former_node(&self, node: &NodeKey) -> Option<&FormerPrimary> {
        self.former_nodes(&node.service)
            .find(|former| former.node == node.address)
            .or_else(|| self.former_service(&node.service))
    }

    /// Whether the stream comes from this node.
    pub(crate) fn streams_from(&self, node: NodeId) -> bool {
        self.link.is_streaming() && self.link.is_with(&self.node(node).key.address)
    }

    /// How far it is with following this node as the group's primary.
    pub(crate) fn followed(&self, node: NodeId) -> Followed {
        self.link.followed(&self.node(node).key.address)
    }

    /// When the primary last showed that it works as one, by any signal: an answer, or bytes of its stream. Before this
    /// process began, nothing is known.
    pub(crate) fn primary_showed_at(&self, primary: NodeId) -> Moment {
        let stream = self.link.signs.alive.filter(|_| self.link.following);
        let signs = [self.node(primary).served_at, stream];
        let last = signs.into_iter().flatten().max();
        last.map_or(self.gateway_started, |last| last.max(self.gateway_started))
    }

    /// For how long the primary has been looked at in vain while any other node answered. Where nobody answers it is us who
    /// are cut off; and when that ends, somebody is the first to be heard again.
    pub(crate) fn quiet_beside_others(&self, primary: NodeId, now: Moment) -> Duration {
        let others = || {
            let others = self.nodes.iter().enumerate();
            others.filter_map(|(place, node)| {
                let other = NodeId(place) != primary;
                other.then(|| node.answers_during(now)).flatten()
            })
        };
        let from = others().map(|(from, _)| from).min();
        let until = others().map(|(_, until)| until).max();
        match (from, until, self.node(primary).fails_during(now)) {
            (Some(from), Some(until), Some((fails_from, fails_until))) => {
                until.min(fails_until).since(from.max(fails_from))
            }
            _ => Duration::ZERO,
        }
    }

    /// For how long a silent primary must have been looked at in vain while others answered: at least as long as one look
    /// may take, so that one was begun in that time.
    pub(crate) fn silence_needed(&self) -> Duration {
        Duration::from_millis(self.record.settings.down_after_ms).max(LOOK_TIMEOUT)
    }

    /// What the primary has of our history beyond the log's end, as it said last, in bytes.
    pub(crate) fn unreceived_bytes(&self) -> u64 {
        let info = self
            .primary()
            .and_then(|primary| self.node(primary).info.as_ref());
        info.filter(|info| self.history() == Some(info.history))
            .map_or(0, |info| info.offset.bytes_since(self.link.status.log_end))
    }

    /// The end of the log.
    pub(crate) fn log_end(&self) -> Offset {
        self.link.status.log_end
    }
}

/// Whether what a node says of its data is what it holds: one that loads, or receives a copy, says something else.
fn says_what_it_holds(info: &NodeInfo) -> bool {
    !info.loading && !info.syncing
}
