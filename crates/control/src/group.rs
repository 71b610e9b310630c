//! One replication group: the task that drives its state.
//!
//! [`driver`] takes looks at nodes, the shard's status, requests and the ends of work, hands them to the group's state
//! one at a time, and does what comes back: [`executor`] at nodes and the shard, [`commits`] in the store. [`status`],
//! [`alerts`] and [`routing`] say how the group is doing, for people and clients.

mod alerts;
mod aside;
mod commits;
mod driver;
mod executor;
mod pace;
mod publisher;
mod repeats;
mod replies;
mod routing;
mod services;
mod stalled;
mod status;

use std::sync::Arc;

use sterna_log::{LogSettings, RealFs};
use sterna_model::{Group, GroupName, GroupStatus, Operation, Route, ShardId};
use sterna_replication::{Announce, ShardSettings, Status, UnusableLog};
use tokio::sync::{mpsc, oneshot, watch};

use crate::context::Context;
use crate::error::ControlError;
use crate::handle::{GroupRequest, GroupView};
use crate::state::{GroupState, Kept};
use driver::Driver;
use executor::Shard;
pub(crate) use stalled::{TakenUp, start_or_stall};

/// Requests on their way to a group.
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
    /// What others may see of it, and how they ask it.
    pub(crate) fn view(&self) -> GroupView {
        GroupView {
            status: self.status.clone(),
            operation: self.operation.clone(),
            shard: self.shard.clone(),
            requests: self.requests.clone(),
        }
    }

    /// Where its nodes are, once that is known.
    pub(crate) fn route(&self) -> Option<Route> {
        self.route.borrow().clone()
    }

    /// Waits until the route changes, or the group has ended.
    pub(crate) async fn route_changed(&mut self) {
        drop(self.route.changed().await);
    }

    /// Whether the group was deleted.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished() || self.requests.is_closed()
    }

    /// Whether nothing of it is left to be done.
    pub(crate) fn is_gone(&self) -> bool {
        self.task.is_finished()
    }

    /// Asks it something.
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
            tracing::error!("the task of a group ended by a panic");
        }
    }
}

/// Takes a group up: opens its log, begins to look at its nodes, goes on with its operation.
async fn start(
    context: Arc<Context>,
    record: Group,
    operation: Option<Operation>,
) -> Result<GroupHandle, ControlError> {
    let name = record.name.clone();
    // Its services are standalone ones.
    let shard = ShardId::STANDALONE;
    let secrets = context.catalogue.nodes.relay_secrets(&name, shard).await?;
    let rescues = context.catalogue.rescues.list(Some(&name)).await?;
    let settings = shard_settings(&context, &record, shard);
    let (handle, notices, recovered) =
        sterna_replication::start(context.data.place(), settings, Arc::new(RealFs), None)
            .await
            .map_err(|error| {
                ControlError::Server(format!("the replication log of {name} can't be opened: {error}"))
            })?;
    for note in &recovered.notes {
        tracing::info!(group = %name, note, "log recovery");
    }
    if let Some(aside) = &recovered.kept_aside {
        let detail = format!("{}; its files are kept in {}", aside.why, aside.dir.display());
        tracing::error!(group = %name, detail, "the replication log could not be used, and another began");
        context
            .note("log.kept-aside", name.as_str(), "done", Some(detail))
            .await;
    }
    let aside = aside::watch(context.log_dir(&name, shard)).await;
    let kept = Kept {
        record,
        shard,
        operation,
        rescues,
    };
    let (state, effects) = GroupState::resume(
        kept,
        context.relay_endpoint(),
        context.started,
        context.clock.now(),
    );
    let shard = Shard {
        status: handle.status(),
        looks: handle.primary_looks(),
        handle,
    };
    // Before any node may attach. Nobody is followed before the nodes were looked at: to follow an old primary would
    // renew its lease.
    let epoch = state.known().record.epoch.0;
    let stands = async {
        shard.set_handover(epoch, state.known().link.handover).await?;
        shard.follow_nobody(epoch).await
    };
    stands
        .await
        .map_err(|error| ControlError::Server(format!("the shard of {name} can't be started: {error}")))?;
    let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
    let (stop, stopped) = oneshot::channel();
    let driver = Driver::new(context, state, shard.clone(), secrets, aside);
    let (status, operation, route) = driver.receivers();
    tracing::info!(group = %name, "group taken up");
    let task = tokio::spawn(driver.run(effects, requests_in, notices, stopped));
    Ok(GroupHandle {
        requests,
        status,
        operation,
        route,
        shard: shard.status,
        stop,
        task,
    })
}

/// The name of a shard in the gateway: nodes log in to the relay with it.
fn shard_name(group: &GroupName, shard: ShardId) -> String {
    format!("{group}/{shard}")
}

fn shard_settings(context: &Context, group: &Group, shard: ShardId) -> ShardSettings {
    ShardSettings {
        name: shard_name(&group.name, shard),
        log_dir: context.log_dir(&group.name, shard),
        unusable_log: UnusableLog::KeepAside,
        log: LogSettings::with_max_bytes(group.settings.log_max_bytes),
        tail_bytes: group.settings.tail_bytes,
        unit_bytes_max: group.settings.unit_bytes_max.min(group.settings.log_max_bytes),
        acknowledge: group.settings.acknowledge,
        accept_new_history: false,
        announce: Some(Announce::from(&context.relay_endpoint())),
        lease: true,
        silence: context.settings.silence,
    }
}
