//! Does the work that the group's state asks for, at nodes and at the shard. Nothing is decided here.

mod attach;
mod clients;
mod fence;
mod prepare;
mod promotion;
mod release;
mod rescue;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use sterna_model::{GroupName, Route, ServiceName, ShardId, StepOutcome};
use sterna_node::adopt::{self, ConfigPersistence, RelayAccess};
use sterna_node::{Client, Dialer, NodeAddress};
use sterna_replication::{Command, Handover, HistoryEnd, NodePosition, PrimaryLook, ShardHandle, Status};
use sterna_store::RelaySecrets;
use tokio::sync::{oneshot, watch};

use crate::access::{Access, COMMAND_TIMEOUT};
use crate::context::Context;
use crate::doctor;
use crate::job::{Job, JobError, JobReport, UnknownService};
use crate::observe::NodeKey;
use crate::time::Clock;

/// Work that makes a node a primary or a replica.
const CHANGES_ROLE: &str = "role";

/// What a job may use. Cheap to make: one for each job.
#[derive(Debug, Clone)]
pub(super) struct Executor {
    pub(super) context: Arc<Context>,
    pub(super) clock: Clock,
    pub(super) group: GroupName,
    /// The epoch of the group when the job was asked for.
    pub(super) epoch: u64,
    pub(super) access: Arc<BTreeMap<ServiceName, Access>>,
    pub(super) secrets: Arc<RelaySecrets>,
    pub(super) shard: Shard,
    /// What clients are told.
    pub(super) route: watch::Receiver<Option<Route>>,
}

/// The shard, as far as jobs command it.
#[derive(Debug, Clone)]
pub(super) struct Shard {
    pub(super) handle: ShardHandle,
    pub(super) status: watch::Receiver<Status>,
    pub(super) looks: watch::Receiver<Option<PrimaryLook>>,
}

impl Executor {
    /// Does it. Every job may be done again.
    pub(super) async fn run(self, job: Job) -> Result<JobReport, JobError> {
        match job {
            Job::StopFollowing => promotion::stop_following(&self).await,
            Job::Follow {
                node,
                decided,
                held_by_nodes,
            } => promotion::follow(&self, &node, decided, held_by_nodes).await,
            Job::BlockWrites(node) => fence::block_writes(&self, node).await,
            Job::PrepareHandover { node, relay } => promotion::prepare(&self, &node, relay).await,
            Job::PauseWrites {
                node,
                relay,
                timeout_ms,
            } => promotion::pause_writes(&self, &node, &relay, timeout_ms).await,
            Job::AcceptFormerPrimary(old) => promotion::accept(&self, old.as_ref()).await,
            Job::AbortHandover(old) => promotion::abort(&self, old.as_ref()).await,
            Job::Promote {
                node,
                decided,
                in_file,
            } => promotion::promote(&self, node, decided, in_file).await,
            Job::PlaceFence { node, lease } => fence::place(&self, node, lease).await,
            Job::LiftFence { node, run, lift } => {
                fence::lift(&self, &node, &run, lift).await?;
                Ok(JobReport::default())
            }
            Job::Attach(attach) => attach::attach(&self, attach).await,
            Job::FollowOwnPrimary {
                node,
                primary,
                former: Some(former),
            } => attach::follow_new(&self, node, primary, former).await,
            Job::FollowOwnPrimary { node, primary, .. } => attach::follow_own(&self, node, primary).await,
            Job::Rescue(job) => rescue::of_a_node(&self, job).await,
            Job::RescueFromLog(job) => rescue::of_the_log(&self, job).await,
            Job::Check {
                services,
                overwrite,
                group,
                shard,
            } => self.check(services, overwrite, (*group, shard)).await,
            Job::Release {
                nodes,
                promote,
                lift_at,
            } => release::release(&self, nodes, promote, lift_at).await,
            Job::Close => {
                self.shard.follow_nobody(self.epoch).await?;
                self.context.relay.close(self.shard.handle.name());
                Ok(JobReport::default())
            }
            Job::ExpireRescue(rescue) => rescue::expire(&self, *rescue).await,
        }
    }

    async fn check(
        &self,
        services: Vec<ServiceName>,
        overwrite: bool,
        (group, shard): (sterna_model::Group, ShardId),
    ) -> Result<JobReport, JobError> {
        let joining = doctor::Joining {
            primary: self.service(&group.primary)?.clone(),
            replicas: services
                .iter()
                .map(|service| self.service(service).cloned())
                .collect::<Result<_, _>>()?,
            overwrite,
            group,
            shard,
        };
        let found = doctor::fit(&self.context, joining).await;
        Ok(JobReport {
            checked: Some(found),
            ..JobReport::of(StepOutcome::Fit)
        })
    }

    fn service(&self, name: &ServiceName) -> Result<&Access, UnknownService> {
        self.access.get(name).ok_or_else(|| UnknownService(name.clone()))
    }

    fn dialer(&self, node: &NodeKey) -> Result<Dialer, UnknownService> {
        Ok(self.service(&node.service)?.node(&node.address))
    }

    /// Writes a node's settings to its configuration file, as its service lets them be written.
    async fn rewrite_config(
        &self,
        node: &NodeKey,
        client: &mut Client,
    ) -> Result<ConfigPersistence, UnknownService> {
        let rewrite = self.service(&node.service)?.config_rewrite();
        Ok(adopt::rewrite_config(client, rewrite).await)
    }

    /// Connects to a node to do such work there, of which only the latest counts: a command of an earlier attempt that has not
    /// arrived by now has no effect any more, where we may close connections there.
    async fn connect_for(&self, node: &NodeKey, work: &str) -> Result<Client, JobError> {
        let mut client = self.connect(node).await?;
        if let Err(error) = client.displace(work).await {
            if !error.leaves_usable() {
                return Err(error.into());
            }
            tracing::warn!(%node, %error, "an earlier command that is late can't be kept from arriving");
        }
        Ok(client)
    }

    /// Connects to a node to change something at it.
    async fn connect(&self, node: &NodeKey) -> Result<Client, JobError> {
        let dialer = self.dialer(node)?;
        Ok(Client::connect_with_timeout(&dialer, COMMAND_TIMEOUT).await?)
    }

    /// Ends the copy that a node is being given, before it is told to follow another or nobody: a Valkey 9 that waits for the
    /// rest of one would answer nobody for seconds.
    async fn end_copy(&self, client: &mut Client) -> Result<(), JobError> {
        let seen = client.info().await?.replication()?;
        let stream = client.stream();
        let local = stream.local_addr().ok().map(|local| local.ip());
        let relay = self.context.relay_endpoint().seen_from(local);
        let Ok(peer) = stream.peer_addr() else {
            return Ok(());
        };
        if !seen.sync_in_progress || seen.primary != Some(relay) {
            return Ok(());
        }
        let (done, ended) = oneshot::channel();
        let node = vec![SocketAddr::new(peer.ip(), client.address().port)];
        if self.shard.handle.command(Command::EndCopy { node, done }).await {
            // It has ended if this fails, and so have its connections.
            drop(ended.await);
        }
        Ok(())
    }

    /// How a node logs in to the relay, which is there for it.
    fn relay_access(&self, node: &NodeKey, address: NodeAddress) -> RelayAccess {
        RelayAccess {
            address,
            user: self.shard.handle.name().to_owned(),
            secret: self.secrets.of(&node.service),
            tls: self.context.settings.relay.tls.is_some(),
        }
    }
}

impl Shard {
    /// Lets it follow a primary.
    pub(super) async fn follow(
        &self,
        epoch: u64,
        upstream: sterna_node::Upstream,
        decided: Option<HistoryEnd>,
        held_by_nodes: Vec<NodePosition>,
    ) -> Result<(), JobError> {
        let (done, answer) = oneshot::channel();
        let command = Command::Follow {
            epoch,
            upstream: Some(Box::new(upstream)),
            decided,
            held_by_nodes,
            done,
        };
        self.obeys(command, answer).await
    }

    /// Lets it follow nobody.
    pub(super) async fn follow_nobody(&self, epoch: u64) -> Result<(), JobError> {
        let (done, answer) = oneshot::channel();
        let command = Command::Follow {
            epoch,
            upstream: None,
            decided: None,
            held_by_nodes: Vec::new(),
            done,
        };
        self.obeys(command, answer).await
    }

    /// Tells it what to do about a primary that hands over.
    pub(super) async fn set_handover(&self, epoch: u64, handover: Handover) -> Result<(), JobError> {
        let (done, answer) = oneshot::channel();
        let command = Command::Handover {
            epoch,
            handover,
            done,
        };
        self.obeys(command, answer).await
    }

    async fn obeys(&self, command: Command, answer: oneshot::Receiver<bool>) -> Result<(), JobError> {
        if self.handle.command(command).await && answer.await.unwrap_or(false) {
            Ok(())
        } else {
            Err(JobError::LaterEpoch)
        }
    }
}
