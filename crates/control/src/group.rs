//! One replication group: the owner of everything that is known about it, and what drives it.
//!
//! The owner is one task. It takes looks at nodes, the shard's status, requests and the ends of steps, one at a time;
//! after each it asks the planner what is next. Steps run beside it, one at a time, and come back as events.

mod alerts;
mod begin;
mod change;
mod drive;
mod fence;
mod leaving;
mod member;
mod node;
mod owner;
mod rejoin;
mod report;
mod requests;
mod retention;
mod routing;
mod status;
mod steps;
mod world;

use std::sync::Arc;

use sterna_log::{LogSettings, RealFs};
use sterna_model::{Acknowledge, Group, GroupName, GroupStatus, Operation};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::{Announce, Command, Handover, ShardHandle, ShardSettings, Status};
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::ControlError;
use crate::gateway::Common;
use crate::handle::{GroupRequest, GroupView};
use crate::route::Route;
use owner::Owner;

/// Requests on their way to an owner.
const REQUESTS_MAX: usize = 64;
/// A running group.
#[derive(Debug)]
pub(crate) struct GroupHandle {
    requests: mpsc::Sender<GroupRequest>,
    status: watch::Receiver<GroupStatus>,
    operation: watch::Receiver<Option<Operation>>,
    route: watch::Receiver<Option<Route>>,
    shard: watch::Receiver<Status>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl GroupHandle {
    /// What others may see of it.
    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            status: self.status.clone(),
            operation: self.operation.clone(),
            shard: self.shard.clone(),
        }
    }

    /// Where its nodes are, once that is known.
    pub(crate) fn route(&self) -> Option<Route> {
        self.route.borrow().clone()
    }

    /// Waits until the route changes, or the owner has ended.
    pub(crate) async fn route_changed(&mut self) {
        drop(self.route.changed().await);
    }

    /// Whether the group was deleted.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished() || self.requests.is_closed()
    }

    /// Asks its owner something.
    pub(crate) fn ask(&self, ask: GroupRequest) {
        if let Err(refused) = self.requests.try_send(ask) {
            refused.into_inner().refuse(|| ControlError::Stopping);
        }
    }

    /// Ends it; its nodes go on as they are.
    pub(crate) async fn stop(self) {
        // It has ended already if this fails.
        let _ = self.stop.send(());
        if self.task.await.is_err() {
            tracing::error!("the owner of a group ended by a panic");
        }
    }
}

/// Takes a group up: opens its log, begins to look at its nodes, goes on with its operation.
pub(crate) async fn start(
    common: Arc<Common>,
    group: Group,
    operation: Option<Operation>,
) -> Result<GroupHandle, ControlError> {
    let secrets = common.catalogue.relay_secrets(&group.name).await?;
    let settings = shard_settings(&common, &group);
    let (shard, notices, recovered) =
        sterna_replication::start(settings, Arc::new(RealFs), None).map_err(|error| {
            ControlError::Server(format!(
                "the replication log of {} can't be opened: {error}",
                group.name
            ))
        })?;
    for note in &recovered.notes {
        tracing::info!(group = %group.name, note, "log recovery");
    }
    let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
    let (route, route_out) = watch::channel(None);
    let (stop, stopped) = oneshot::channel();
    let shard_status = shard.status();
    let name = group.name.clone();
    let owner = Owner::new(Arc::clone(&common), group, operation, shard, secrets, route).await?;
    let (status, operation_out) = (owner.status_receiver(), owner.operation_receiver());
    owner.settle_shard().await;
    owner.open_relay();
    tracing::info!(group = %name, "group taken up");
    let task = tokio::spawn(owner.run(requests_in, notices, stopped));
    Ok(GroupHandle {
        requests,
        status,
        operation: operation_out,
        route: route_out,
        shard: shard_status,
        stop,
        task,
    })
}

/// The directory of a group's log.
pub(crate) fn log_dir(common: &Common, group: &GroupName) -> std::path::PathBuf {
    common
        .settings
        .data_dir
        .join("groups")
        .join(group.as_str())
        .join("log")
}

fn shard_settings(common: &Common, group: &Group) -> ShardSettings {
    ShardSettings {
        name: group.name.to_string(),
        log_dir: log_dir(common, &group.name),
        log: LogSettings::with_max_bytes(group.settings.log_max_bytes),
        tail_bytes: group.settings.tail_bytes,
        acknowledge: match group.settings.acknowledge {
            Acknowledge::Gateway => sterna_replication::Acknowledge::Gateway,
            Acknowledge::Replica => sterna_replication::Acknowledge::Replica,
        },
        accept_new_history: false,
        announce: Some(announced(common)),
        lease: true,
        announced_version: None,
    }
}

/// What is announced to primaries, so that the relay can be the target of `FAILOVER TO`.
fn announced(common: &Common) -> Announce {
    let settings = &common.settings;
    let listen = common.relay.address();
    match &settings.relay_announce {
        Some(announce) => Announce {
            host: Some(announce.host.clone()),
            port: announce.port,
        },
        None => Announce {
            host: (!listen.ip().is_unspecified()).then(|| listen.ip().to_string()),
            port: listen.port(),
        },
    }
}

/// Asks a shard to follow somebody, or nobody. `false` where it has heard of a later term.
pub(crate) async fn follow(shard: &ShardHandle, epoch: u64, upstream: Option<sterna_node::Upstream>) -> bool {
    let (done, answer) = oneshot::channel();
    shard
        .command(Command::Follow {
            epoch,
            upstream: upstream.map(Box::new),
            done,
        })
        .await
        && answer.await.unwrap_or(false)
}

/// Tells a shard what to do about a primary that hands over.
pub(crate) async fn set_handover(shard: &ShardHandle, epoch: u64, handover: Handover) -> bool {
    let (done, answer) = oneshot::channel();
    shard
        .command(Command::Handover {
            epoch,
            handover,
            done,
        })
        .await
        && answer.await.unwrap_or(false)
}

/// Tells a shard that whoever holds up to this offset of this history holds a prefix of its own.
pub(crate) async fn vouch(shard: &ShardHandle, id: ReplicationId, offset: Offset) {
    let (done, answer) = oneshot::channel();
    if shard.command(Command::Vouch { id, offset, done }).await {
        drop(answer.await);
    }
}
