//! Services that leave, the end of a group, and a gateway that stops.

use std::time::Duration;

use sterna_model::{Group, GroupState, Operation, OperationKind, OperationState, StepName};
use sterna_node::adopt::{self, Before};

use super::change::connect;
use super::fence::Lift;
use super::member::{record, was_done};
use super::owner::Owner;
use super::steps::Effect;
use crate::plan::NodeId;

/// A gateway that stops does not wait longer for a primary.
const LIFT_MAX: Duration = Duration::from_secs(3);

impl Owner {
    pub(super) fn drive_leaving(&mut self, operation: &Operation) {
        let Some(service) = operation.service.clone() else {
            return self.finish(OperationState::Failed, "it names no service".to_owned());
        };
        let promote = operation.kind == OperationKind::Detach;
        if !was_done(operation, StepName::Remove) {
            let next = Group {
                replicas: self
                    .group
                    .replicas
                    .iter()
                    .filter(|name| **name != service)
                    .cloned()
                    .collect(),
                former_primaries: self
                    .group
                    .former_primaries
                    .iter()
                    .filter(|former| former.service != service)
                    .cloned()
                    .collect(),
                ..self.group.clone()
            };
            let common = self.common.clone();
            let reason = format!("keep that {service} is no longer in the group");
            return self.begin_step(
                record(StepName::Remove, &reason),
                move |operation, _| async move {
                    let decided = Operation {
                        committed: true,
                        ..operation
                    };
                    let (group, operation) = common
                        .catalogue
                        .commit_change(next, decided, None)
                        .await
                        .map_err(|error| error.to_string())?;
                    Ok(Effect {
                        group: Some(group),
                        operation: Some(operation),
                        ..Effect::said("it is no longer in the group")
                    })
                },
            );
        }
        if !was_done(operation, StepName::Release) {
            let nodes: Vec<_> = self.nodes_of(&service).map(|(id, _)| id).collect();
            let work = self.release_work(&nodes, promote);
            let reason = if promote {
                format!("make {service} a primary of its own")
            } else {
                format!("let {service} go as it is, read-only with the data that it has")
            };
            return self.begin_step(record(StepName::Release, &reason), move |_, _| work);
        }
        let result = if promote {
            format!("{service} is a primary of its own and takes writes")
        } else {
            format!("{service} does not replicate any more; it is read-only and keeps its data")
        };
        self.finish(OperationState::Succeeded, result);
    }

    /// Lets the nodes of a service go. With `promote` the first that answers becomes a primary, the others its replicas.
    fn release_work(
        &self,
        nodes: &[NodeId],
        promote: bool,
    ) -> impl Future<Output = Result<Effect, String>> + Send + 'static + use<> {
        let nodes: Vec<_> = nodes
            .iter()
            .map(|node| (self.dialer(*node), self.nodes[node.0].key.clone()))
            .collect();
        let (catalogue, group) = (self.common.catalogue.clone(), self.group.name.clone());
        async move {
            let mut head = None;
            let mut said = Vec::new();
            for (dialer, key) in nodes {
                let mut node = match connect(&dialer).await {
                    Ok(node) => node,
                    // A node that is gone must not keep the group from going on.
                    Err(error) => {
                        said.push(format!("{key} could not be told and keeps its settings: {error}"));
                        continue;
                    }
                };
                let failed = |error: &dyn std::fmt::Display| format!("{key} can't be let go: {error}");
                let before = catalogue
                    .node_before(&group, &key.address)
                    .await
                    .map_err(|error| failed(&error))?;
                let before: Option<Before> = before.and_then(|value| serde_json::from_value(value).ok());
                for (name, value) in before.iter().flat_map(|before| &before.raised) {
                    if name.starts_with("min-replicas") {
                        node.config_set(name, value)
                            .await
                            .map_err(|error| failed(&error))?;
                    }
                }
                adopt::forget_relay(&mut node, before.as_ref())
                    .await
                    .map_err(|error| failed(&error))?;
                if !promote {
                    // With the login forgotten the link does not come back.
                    drop(node.command(&["CLIENT", "KILL", "TYPE", "master"]).await);
                    said.push(format!("{key} stays a replica without a primary"));
                } else if let Some(head) = &head {
                    node.replica_of(head).await.map_err(|error| failed(&error))?;
                    said.push(format!("{key} follows {head}"));
                } else {
                    node.replica_of_no_one().await.map_err(|error| failed(&error))?;
                    said.push(format!("{key} is a primary"));
                    head = Some(key.address.clone());
                }
                adopt::keep(&mut node).await;
                catalogue
                    .forget_node_before(&group, &key.address)
                    .await
                    .map_err(|error| failed(&error))?;
            }
            Ok(Effect::said(said.join("; ")))
        }
    }

    pub(super) fn drive_delete(&mut self, operation: &Operation) {
        if !was_done(operation, StepName::Release) {
            let nodes: Vec<_> = self
                .group
                .replicas
                .clone()
                .iter()
                .flat_map(|service| self.nodes_of(service).map(|(id, _)| id).collect::<Vec<_>>())
                .collect();
            let release = self.release_work(&nodes, false);
            let lift = self.lift_work(Lift::ForGood);
            return self.begin_step(
                record(
                    StepName::Release,
                    "let every node go as it is, and lift the fence",
                ),
                move |_, _| async move {
                    let lifted = lift.await;
                    let mut effect = release.await?;
                    if let Err(error) = lifted {
                        effect.result = format!(
                            "{}; the fence at the primary could not be lifted: {error}",
                            effect.result
                        );
                    }
                    Ok(effect)
                },
            );
        }
        if !was_done(operation, StepName::Delete) {
            let common = self.common.clone();
            let shard = self.shard.clone();
            let epoch = self.group.epoch.0;
            return self.begin_step(
                record(StepName::Delete, "forget the group"),
                move |operation, group| async move {
                    super::follow(&shard, epoch, None).await;
                    common.relay.close(group.name.as_str());
                    let done = Operation {
                        state: OperationState::Succeeded,
                        finished_at: Some(jiff::Timestamp::now()),
                        result: Some("the group is deleted; its services stay as they are".to_owned()),
                        committed: true,
                        ..operation
                    };
                    let kept = common
                        .catalogue
                        .save_operation(done)
                        .await
                        .map_err(|error| error.to_string())?;
                    common
                        .catalogue
                        .delete_group(&group)
                        .await
                        .map_err(|error| error.to_string())?;
                    Ok(Effect {
                        operation: Some(kept),
                        ..Effect::said("the group is forgotten")
                    })
                },
            );
        }
        self.ended = true;
    }

    /// Before the gateway stops: no failover can happen without it, so the primary may go on without a lease.
    pub(super) async fn leave(&mut self) {
        let healthy = self.status.borrow().state != GroupState::Changing && self.operation.is_none();
        if healthy && !self.ended && self.group.fence_in_place {
            let unfenced = Group {
                fence_in_place: false,
                ..self.group.clone()
            };
            match self.common.catalogue.save_group(unfenced).await {
                Ok(group) => {
                    self.group = group;
                    let lifted = tokio::time::timeout(LIFT_MAX, self.lift_work(Lift::UntilRestart)).await;
                    tracing::info!(group = %self.group.name, ?lifted, "the fence is lifted while the gateway is away");
                }
                Err(error) => tracing::warn!(group = %self.group.name, %error, "the fence stays in place"),
            }
        }
        let (done, stopped) = tokio::sync::oneshot::channel();
        if self.shard.command(sterna_replication::Command::Stop(done)).await {
            drop(stopped.await);
        }
        if self.ended {
            let dir = super::log_dir(&self.common, &self.group.name);
            if let Some(dir) = dir.parent() {
                drop(tokio::fs::remove_dir_all(dir).await);
            }
        }
    }
}
