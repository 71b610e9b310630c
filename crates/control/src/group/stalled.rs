//! A group whose log can't be opened, nor another in its place: it is shown with the reason, and tried again.

use std::sync::Arc;
use std::time::Duration;

use sterna_model::{
    Alert, AlertReason, AlertSubject, Group, GroupName, GroupReason, GroupState, GroupStatus, Operation,
};
use sterna_replication::Status;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::{GroupHandle, REQUESTS_MAX, start};
use crate::context::Context;
use crate::error::ControlError;
use crate::handle::GroupRequest;

/// How often it is tried.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// A group that was taken up at last.
pub(crate) type TakenUp = mpsc::Sender<(GroupName, GroupHandle)>;

/// Takes a group up. Where that can't be, what is given stands for it, and the group comes over `later` once it can.
pub(crate) async fn start_or_stall(
    context: Arc<Context>,
    record: Group,
    operation: Option<Operation>,
    later: TakenUp,
) -> GroupHandle {
    match start(Arc::clone(&context), record.clone(), operation.clone()).await {
        Ok(handle) => handle,
        Err(error) => stall(context, (record, operation), error.to_string(), later),
    }
}

fn stall(
    context: Arc<Context>,
    kept: (Group, Option<Operation>),
    error: String,
    later: TakenUp,
) -> GroupHandle {
    let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
    let (stop, stopped) = oneshot::channel();
    let status = watch::Sender::new(status(&kept.0, kept.1.as_ref(), &error));
    let operation = watch::Sender::new(kept.1.clone());
    let (route, shard) = (watch::Sender::new(None), watch::Sender::new(Status::default()));
    tracing::error!(group = %kept.0.name, %error, "the group can't be taken up");
    let handle = |task| GroupHandle {
        requests,
        status: status.subscribe(),
        operation: operation.subscribe(),
        route: route.subscribe(),
        shard: shard.subscribe(),
        stop,
        task,
    };
    let stalled = Stalled {
        context,
        record: kept.0,
        operation: kept.1,
        error,
        status: status.clone(),
    };
    let channels = (operation.clone(), route.clone(), shard.clone());
    handle(tokio::spawn(async move {
        stalled.run(requests_in, stopped, later).await;
        drop(channels);
    }))
}

struct Stalled {
    context: Arc<Context>,
    record: Group,
    operation: Option<Operation>,
    error: String,
    status: watch::Sender<GroupStatus>,
}

impl Stalled {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<GroupRequest>,
        mut stopped: oneshot::Receiver<()>,
        later: TakenUp,
    ) {
        loop {
            let again = Instant::now() + RETRY_INTERVAL;
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    () = tokio::time::sleep_until(again) => break,
                    Some(request) = requests.recv() => request.refuse(|| self.refusal()),
                }
            }
            let (record, operation) = (self.record.clone(), self.operation.clone());
            match start(Arc::clone(&self.context), record, operation).await {
                Ok(handle) => {
                    // The gateway stops if nobody takes it.
                    if let Err(unwanted) = later.send((self.record.name.clone(), handle)).await {
                        unwanted.0.1.stop().await;
                    }
                    break;
                }
                Err(error) => self.failed(error.to_string()),
            }
        }
        // It stands for the group until that has taken its place.
        loop {
            tokio::select! {
                _ = &mut stopped => return,
                Some(request) = requests.recv() => request.refuse(|| self.refusal()),
            }
        }
    }

    fn failed(&mut self, error: String) {
        if error == self.error {
            return;
        }
        tracing::error!(group = %self.record.name, %error, "the group can't be taken up");
        self.error = error;
        let status = status(&self.record, self.operation.as_ref(), &self.error);
        self.status.send_modify(|shown| {
            let revision = shown.revision + 1;
            *shown = GroupStatus { revision, ..status };
        });
    }

    fn refusal(&self) -> ControlError {
        let (name, error) = (&self.record.name, &self.error);
        ControlError::refused(
            format!("group {name} can't be taken up: {error}"),
            "mend that, and ask again: it is tried every 5 seconds",
        )
    }
}

fn status(record: &Group, operation: Option<&Operation>, error: &str) -> GroupStatus {
    let reason = AlertReason::NotTakenUp {
        error: error.to_owned(),
    };
    let now = jiff::Timestamp::now();
    GroupStatus {
        group: record.name.clone(),
        revision: 0,
        summary: sterna_model::StatusSummary {
            state: GroupState::Degraded,
            reason: GroupReason::NotTakenUp {
                error: error.to_owned(),
            },
            epoch: record.epoch,
            paused: record.paused,
            failover: sterna_model::FailoverReadiness::Unknown,
            operation: operation.map(|operation| operation.id),
        },
        services: Vec::new(),
        shards: Vec::new(),
        alerts: vec![Alert {
            severity: reason.code().severity(),
            reason,
            subject: AlertSubject::Gateway,
            since: now,
        }],
        at: now,
    }
}
