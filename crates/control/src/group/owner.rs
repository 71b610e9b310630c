//! The owner of a group's state: takes one event, applies it, asks what is next.

use std::collections::BTreeMap;
use std::sync::Arc;

use sterna_model::{Group, GroupStatus, Operation, OperationKind, ServiceName};
use sterna_node::adopt::RelayAccess;
use sterna_node::{NodeAddress, Secret};
use sterna_replication::{Handover, LinkState, Notice, ShardAccess, ShardHandle, Status};
use sterna_store::RelaySecrets;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::node::NodeState;
use super::steps::{Action, Done};
use super::{follow, set_handover};
use crate::access::Access;
use crate::error::ControlError;
use crate::gateway::Common;
use crate::handle::GroupRequest;
use crate::observe::{Look, NodeKey, Probe};
use crate::plan::NodeId;
use crate::plan::health::Verdict;
use crate::route::Route;

/// Looks on their way to the owner.
const LOOKS_MAX: usize = 256;

/// Everything that is known of a group.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Owner {
    pub(super) common: Arc<Common>,
    pub(super) group: Group,
    pub(super) access: BTreeMap<ServiceName, Access>,
    pub(super) nodes: Vec<NodeState>,
    pub(super) shard: ShardHandle,
    pub(super) shard_status: watch::Receiver<Status>,
    pub(super) secrets: RelaySecrets,
    pub(super) operation: Option<Operation>,
    /// Somebody wants the operation to end.
    pub(super) cancelled: bool,
    /// The step under way.
    pub(super) step: Option<Action>,
    /// When the step under way, or the wait, began.
    pub(super) since: Instant,
    /// After a step failed, nothing is done before this.
    pub(super) retry_at: Option<Instant>,
    /// Why something could not be put right at a node.
    pub(super) repair_failures: BTreeMap<NodeKey, String>,
    /// The primary came back without its data; known until another link stands.
    pub(super) lost_data: bool,
    /// The shard was told to follow the group's primary, and not to hold still for a change.
    pub(super) following: bool,
    /// What the shard was last told about a primary that hands over.
    pub(super) handover: Handover,
    /// When the primary was told to keep writes waiting.
    pub(super) paused_at: Option<Instant>,
    /// The switchover is being taken back: how it ends then.
    pub(super) aborted: Option<(sterna_model::OperationState, String)>,
    /// Replica nodes that asked for a full or partial resync since the operation began.
    pub(super) resyncs: (u64, u64),
    /// Writes of this group that were saved.
    pub(super) rescued: Vec<sterna_model::Rescue>,
    /// Since when the decided node is known to be unfit.
    pub(super) unfit_since: Option<Instant>,
    /// When it is looked next whether a rescue file is too old.
    pub(super) retention_at: Instant,
    pub(super) verdict: Verdict,
    pub(super) ended: bool,
    pub(super) status: watch::Sender<GroupStatus>,
    pub(super) operation_out: watch::Sender<Option<Operation>>,
    pub(super) route: watch::Sender<Option<Route>>,
    pub(super) published: Instant,
    pub(super) alerts: BTreeMap<(String, String), jiff::Timestamp>,
    looks: mpsc::Sender<Look>,
    looks_in: Option<mpsc::Receiver<Look>>,
    pub(super) steps: mpsc::Sender<Done>,
    steps_in: Option<mpsc::Receiver<Done>>,
}

impl Owner {
    pub(super) async fn new(
        common: Arc<Common>,
        group: Group,
        operation: Option<Operation>,
        shard: ShardHandle,
        secrets: RelaySecrets,
        route: watch::Sender<Option<Route>>,
    ) -> Result<Self, ControlError> {
        let (looks, looks_in) = mpsc::channel(LOOKS_MAX);
        let (steps, steps_in) = mpsc::channel(1);
        let now = Instant::now();
        let rescued = common.catalogue.rescues(Some(&group.name)).await?;
        let shard_status = shard.status();
        let (status, _) = watch::channel(super::status::starting(&group));
        let (operation_out, _) = watch::channel(operation.clone());
        let mut owner = Self {
            common,
            group,
            access: BTreeMap::new(),
            nodes: Vec::new(),
            shard,
            shard_status,
            secrets,
            operation,
            cancelled: false,
            step: None,
            since: now,
            retry_at: None,
            repair_failures: BTreeMap::new(),
            lost_data: false,
            following: false,
            handover: Handover::Refuse,
            paused_at: None,
            aborted: None,
            resyncs: (0, 0),
            rescued,
            unfit_since: None,
            retention_at: now,
            verdict: Verdict::Impaired(crate::plan::health::Impairment::NotLookedAt),
            ended: false,
            status,
            operation_out,
            route,
            published: now,
            alerts: BTreeMap::new(),
            looks,
            looks_in: Some(looks_in),
            steps,
            steps_in: Some(steps_in),
        };
        owner.reach_services().await?;
        Ok(owner)
    }

    pub(super) fn status_receiver(&self) -> watch::Receiver<GroupStatus> {
        self.status.subscribe()
    }

    pub(super) fn operation_receiver(&self) -> watch::Receiver<Option<Operation>> {
        self.operation_out.subscribe()
    }

    /// Reads how the group's services are reached, and begins to look at their nodes.
    pub(super) async fn reach_services(&mut self) -> Result<(), ControlError> {
        let mut names: Vec<_> = self.group.services().cloned().collect();
        names.extend(
            self.operation
                .iter()
                .filter_map(|operation| operation.service.clone()),
        );
        self.access.retain(|name, _| names.contains(name));
        for name in &names {
            let access = self.common.access(name).await?;
            self.access.insert(name.clone(), access);
        }
        let keys = |access: &Access| {
            let service = access.service.spec.name.clone();
            let nodes = access.service.spec.nodes.clone();
            nodes.into_iter().map(move |address| NodeKey {
                service: service.clone(),
                address,
            })
        };
        let wanted: Vec<_> = self.access.values().flat_map(keys).collect();
        self.nodes.retain(|node| wanted.contains(&node.key));
        for key in wanted {
            if self.nodes.iter().any(|node| node.key == key) {
                continue;
            }
            let dialer = self.access[&key.service].node(&key.address);
            let probe = Probe::start(key.clone(), dialer, self.looks.clone());
            self.nodes.push(NodeState::new(key, probe));
        }
        Ok(())
    }

    /// Lets the nodes of the group's services attach, and nobody else's: one that was away when its service left does not
    /// follow again.
    pub(super) fn open_relay(&self) {
        let services = self.group.services();
        self.common.relay.open(ShardAccess {
            shard: self.shard.clone(),
            secrets: services
                .map(|service| Secret::new(self.secrets.of(service)))
                .collect(),
        });
    }

    /// Brings the shard to where the group stands, before any node may attach to it.
    pub(super) async fn settle_shard(&self) {
        let epoch = self.group.epoch.0;
        // What was decided is completed: an old primary that hands over waits for the new one.
        let change = self
            .operation
            .as_ref()
            .filter(|operation| operation.kind == OperationKind::Switchover);
        let handover = match change {
            Some(change) if change.committed => Handover::Accept,
            _ => Handover::Refuse,
        };
        set_handover(&self.shard, epoch, handover).await;
        // Nobody is followed before the nodes were looked at: to follow an old primary would renew its lease.
        follow(&self.shard, epoch, None).await;
    }

    /// Runs until the group is deleted or the gateway stops.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<GroupRequest>,
        mut notices: mpsc::Receiver<Notice>,
        mut stop: oneshot::Receiver<()>,
    ) {
        let (Some(mut looks), Some(mut steps)) = (self.looks_in.take(), self.steps_in.take()) else {
            return;
        };
        while !self.ended {
            let tick = self.tick();
            tokio::select! {
                biased;
                _ = &mut stop => break,
                Some(done) = steps.recv() => self.on_step_done(done).await,
                Some(look) = looks.recv() => self.on_look(look),
                Some(notice) = notices.recv() => self.on_notice(&notice),
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => break,
                },
                Ok(()) = self.shard_status.changed() => self.on_shard_status(),
                () = tokio::time::sleep(tick) => {}
            }
            self.cycle().await;
        }
        requests.close();
        while let Ok(request) = requests.try_recv() {
            request.refuse(|| ControlError::Stopping);
        }
        self.leave().await;
    }

    fn on_look(&mut self, look: Look) {
        if let Some(node) = self.nodes.iter_mut().find(|node| node.key == look.node) {
            node.looked(look);
        }
    }

    fn on_shard_status(&mut self) {
        let status = self.shard_status.borrow_and_update();
        match status.link {
            LinkState::Holding(_) => self.lost_data = true,
            LinkState::Streaming => self.lost_data = false,
            _ => {}
        }
    }

    fn on_notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Lost { .. } => {
                if let Some(primary) = self.primary() {
                    self.nodes[primary.0].probe.look_now();
                }
            }
            Notice::FollowerFullSync { .. } => self.resyncs.0 += 1,
            Notice::FollowerResumed { .. } => self.resyncs.1 += 1,
            _ => {}
        }
    }

    /// The node that takes the writes, as last decided.
    pub(super) fn primary(&self) -> Option<NodeId> {
        let address = self.group.primary_node.as_ref()?;
        self.find(&self.group.primary, address)
    }

    /// A node by name.
    pub(super) fn find(&self, service: &ServiceName, address: &NodeAddress) -> Option<NodeId> {
        let at = |node: &NodeState| node.key.service == *service && node.key.address == *address;
        self.nodes.iter().position(at).map(NodeId)
    }

    /// The nodes of one service.
    pub(super) fn nodes_of<'a>(
        &'a self,
        service: &'a ServiceName,
    ) -> impl Iterator<Item = (NodeId, &'a NodeState)> {
        let nodes = self.nodes.iter().enumerate();
        nodes
            .filter(move |(_, node)| node.key.service == *service)
            .map(|(id, node)| (NodeId(id), node))
    }

    /// How a node finds the relay and logs in there.
    pub(super) fn relay_for(&self, node: NodeId) -> RelayAccess {
        let listen = self.common.relay.address();
        let settings = &self.common.settings;
        let address = settings.relay_announce.clone().unwrap_or_else(|| {
            let ip = match self.nodes[node.0].local {
                Some(local) if listen.ip().is_unspecified() => local,
                _ => listen.ip(),
            };
            NodeAddress::new(ip.to_string(), listen.port())
        });
        RelayAccess {
            address,
            user: self.group.name.to_string(),
            secret: self.secrets.of(&self.nodes[node.0].key.service),
            tls: settings.relay.tls.is_some(),
        }
    }
}
