//! Services that join and leave: making a group, adding and removing replica services, dissolving it.
//!
//! Every step looks at what is before it does anything, so that it can be done again after a crash.

use std::time::Duration;

use sterna_model::{
    Fencing, Group, GroupState, Operation, OperationKind, OperationState, ServiceName, StepState,
};
use sterna_node::adopt::{self, Before};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::LinkState;
use tokio::time::Instant;

use super::change::connect;
use super::fence;
use super::owner::Owner;
use super::steps::{Effect, Record};
use crate::observe::Lease;
use crate::plan::{NodeId, rejoin};

impl Owner {
    pub(super) fn drive_member(&mut self, operation: &Operation, now: Instant) {
        if self.cancelled && !operation.past_no_return {
            return self.finish(
                OperationState::Cancelled,
                "it was cancelled; what was done so far stays".to_owned(),
            );
        }
        match operation.kind {
            OperationKind::Create => {
                let services = self.group.replicas.clone();
                self.drive_joining(operation, &services, now);
            }
            OperationKind::AddReplica => {
                let services: Vec<_> = operation.service.clone().into_iter().collect();
                self.drive_joining(operation, &services, now);
            }
            OperationKind::RemoveReplica | OperationKind::Detach => self.drive_leaving(operation),
            OperationKind::Delete => self.drive_dissolving(operation),
            _ => self.finish(
                OperationState::Failed,
                "this version knows no such operation".to_owned(),
            ),
        }
    }

    fn drive_joining(&mut self, operation: &Operation, services: &[ServiceName], now: Instant) {
        if !was_done(operation, "check") {
            return self.check(operation, services);
        }
        if !self.following {
            let Some(primary) = self.primary() else { return };
            let work = self.follow_work(primary);
            return self.begin_step(record("follow", "follow the primary"), move |_, _| work);
        }
        let status = self.shard_now();
        if !matches!(status.link, LinkState::FullSync { .. } | LinkState::Streaming) {
            return self.wait(
                "primary",
                format!("waiting for the primary's stream: {}", status.link.word()),
            );
        }
        let nodes: Vec<NodeId> = services
            .iter()
            .flat_map(|service| self.nodes_of(service).map(|(id, _)| id).collect::<Vec<_>>())
            .collect();
        for node in &nodes {
            let relay = self.relay_for(*node).address;
            let follows = self.nodes[node.0]
                .fresh(now)
                .map(|facts| !facts.is_primary() && facts.primary == Some(relay));
            let key = self.nodes[node.0].key.clone();
            // One that was a replica of this relay in an earlier group has another group's login.
            let attached = operation.steps.iter().any(|step| {
                step.name == "attach"
                    && step.state == StepState::Done
                    && step.reason.starts_with(&key.to_string())
            });
            if follows == Some(false) || (follows == Some(true) && !attached) {
                let work = self.attach_work(*node);
                let reason = format!("let {key} follow");
                return self.begin_step(record("attach", &reason), move |_, _| work);
            }
        }
        let waits_for = nodes
            .iter()
            .find(|node| !self.nodes[node.0].fresh(now).is_some_and(|facts| facts.link_up));
        if let Some(node) = waits_for {
            self.note_copy_progress();
            return self.wait(
                "copy",
                format!("waiting until {} has a whole copy", self.nodes[node.0].key),
            );
        }
        if status.link != LinkState::Streaming {
            self.note_copy_progress();
            return self.wait("copy", "waiting for the end of the full copy".to_owned());
        }
        let Some(primary) = self.primary() else { return };
        let fenced = self.group.settings.fencing == Fencing::Lease;
        if fenced && !self.group.fence_armed {
            let work = self.arm_work(primary);
            return self.begin_step(
                record("arm", "put the fence in place at the primary"),
                move |_, group| work(group),
            );
        }
        let what = services
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        self.finish(
            OperationState::Succeeded,
            format!(
                "{what}: holds a whole copy of {} and follows it",
                self.group.primary
            ),
        );
    }

    fn note_copy_progress(&mut self) {
        let progress = match self.shard_status.borrow().link {
            LinkState::FullSync {
                received_bytes,
                total_bytes: Some(total),
            } if total > 0 => {
                #[expect(clippy::cast_precision_loss, reason = "a share for people")]
                let share = received_bytes as f64 / total as f64;
                Some(share.min(1.0))
            }
            _ => None,
        };
        if let Some(operation) = &mut self.operation {
            operation.progress = progress;
        }
    }

    fn check(&mut self, operation: &Operation, services: &[ServiceName]) {
        let overwrite = operation.force;
        let request = crate::doctor::Joining {
            primary: self.access[&self.group.primary].clone(),
            replicas: services
                .iter()
                .filter_map(|service| self.access.get(service))
                .cloned()
                .collect(),
            overwrite,
            group: self.group.clone(),
        };
        let common = self.common.clone();
        self.begin_step(
            record("check", "are the services fit for it?"),
            move |operation, group| async move {
                match crate::doctor::fit(&common, request).await {
                    Ok(primary_node) => {
                        let mut group = group;
                        group.primary_node.get_or_insert(primary_node);
                        let joins = operation
                            .service
                            .iter()
                            .filter(|_| operation.kind == OperationKind::AddReplica);
                        for service in joins {
                            if !group.replicas.contains(service) {
                                group.replicas.push(service.clone());
                            }
                        }
                        // From here on nodes are changed: whoever wants to take it back removes the service.
                        let joining = Operation {
                            past_no_return: true,
                            ..operation
                        };
                        let (group, operation) = common
                            .catalogue
                            .commit_change(group, joining, None)
                            .await
                            .map_err(|error| error.to_string())?;
                        Ok(Effect {
                            group: Some(group),
                            operation: Some(operation),
                            ..Effect::said("nothing stands against it")
                        })
                    }
                    Err(reasons) => Ok(Effect {
                        operation: Some(Operation {
                            state: OperationState::Failed,
                            finished_at: Some(jiff::Timestamp::now()),
                            result: Some(format!("nothing was changed at any node: {reasons}")),
                            ..operation
                        }),
                        ..Effect::said(reasons)
                    }),
                }
            },
        );
    }

    /// Makes a node follow the relay; what it was before is kept first.
    pub(super) fn attach_work(
        &mut self,
        node: NodeId,
    ) -> impl Future<Output = Result<Effect, String>> + Send + 'static + use<> {
        self.nodes[node.0].shut_run = None;
        let (dialer, relay) = (self.dialer(node), self.relay_for(node));
        let key = self.nodes[node.0].key.clone();
        let settings = self.group.settings.clone();
        let (catalogue, group) = (self.common.catalogue.clone(), self.group.name.clone());
        let (shard, prefix) = (self.shard.clone(), self.foreign_prefix(node));
        async move {
            let mut client = connect(&dialer).await?;
            let failed = |error: &dyn std::fmt::Display| format!("{key} can't be made a replica: {error}");
            if let Some((id, offset)) = prefix {
                super::vouch(&shard, id, offset).await;
            }
            fence::remember(&catalogue, &group, &mut client)
                .await
                .map_err(|error| failed(&error))?;
            // A node that was shut stays shut until it is a replica: what it took in between would be lost.
            let mut kept = adopt::follow(&mut client, &relay)
                .await
                .map_err(|error| failed(&error))?;
            if settings.fencing == Fencing::Lease {
                let lease = Lease {
                    min_replicas: 1,
                    max_lag_seconds: settings.lease_seconds,
                };
                fence::set(&mut client, lease)
                    .await
                    .map_err(|error| failed(&error))?;
                kept = adopt::keep(&mut client).await;
            }
            let looked = crate::observe::look_at(key.clone(), &mut client).await;
            Ok(Effect {
                kept: Some((key.clone(), kept)),
                looks: vec![looked],
                ..Effect::said(format!("{key} follows {}", relay.address))
            })
        }
    }

    fn drive_leaving(&mut self, operation: &Operation) {
        let Some(service) = operation.service.clone() else {
            return self.finish(OperationState::Failed, "it names no service".to_owned());
        };
        let promote = operation.kind == OperationKind::Detach;
        if !was_done(operation, "leave") {
            let next = Group {
                replicas: self
                    .group
                    .replicas
                    .iter()
                    .filter(|name| **name != service)
                    .cloned()
                    .collect(),
                departed: self
                    .group
                    .departed
                    .iter()
                    .filter(|departed| departed.service != service)
                    .cloned()
                    .collect(),
                ..self.group.clone()
            };
            let common = self.common.clone();
            let reason = format!("keep that {service} is no longer in the group");
            return self.begin_step(record("leave", &reason), move |operation, _| async move {
                let decided = Operation {
                    past_no_return: true,
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
            });
        }
        if !was_done(operation, "release") {
            let nodes: Vec<_> = self.nodes_of(&service).map(|(id, _)| id).collect();
            let work = self.release_work(&nodes, promote);
            let reason = if promote {
                format!("make {service} a primary of its own")
            } else {
                format!("let {service} go as it is, read-only with the data that it has")
            };
            return self.begin_step(record("release", &reason), move |_, _| work);
        }
        let result = if promote {
            format!("{service} is a primary of its own and takes writes")
        } else {
            format!("{service} does not replicate any more; it is read-only and keeps its data")
        };
        self.finish(OperationState::Succeeded, result);
    }

    /// The history under which a node holds a prefix of ours, where that is one that the log never lived through.
    fn foreign_prefix(&self, node: NodeId) -> Option<(ReplicationId, Offset)> {
        let (seen, cut) = self.returning(node, Instant::now())?;
        let shut = rejoin::Node {
            shut: true,
            follows_us: false,
            ..seen
        };
        let prefix = rejoin::next(&shut, &cut) == rejoin::Step::Attach(rejoin::Holds::APrefix);
        (prefix && seen.history != cut.history).then_some((seen.history, seen.offset))
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

    fn drive_dissolving(&mut self, operation: &Operation) {
        if !was_done(operation, "release") {
            let nodes: Vec<_> = self
                .group
                .replicas
                .clone()
                .iter()
                .flat_map(|service| self.nodes_of(service).map(|(id, _)| id).collect::<Vec<_>>())
                .collect();
            let release = self.release_work(&nodes, false);
            let lift = self.lift_work();
            return self.begin_step(
                record("release", "let every node go as it is, and lift the fence"),
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
        if !was_done(operation, "dissolve") {
            let common = self.common.clone();
            let shard = self.shard.clone();
            let epoch = self.group.epoch.0;
            return self.begin_step(
                record("dissolve", "forget the group"),
                move |operation, group| async move {
                    super::follow(&shard, epoch, None).await;
                    common.relay.close(group.name.as_str());
                    let done = Operation {
                        state: OperationState::Succeeded,
                        finished_at: Some(jiff::Timestamp::now()),
                        result: Some("the group is dissolved; its services stay as they are".to_owned()),
                        past_no_return: true,
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

    /// What the end of an operation changes in the group.
    pub(super) async fn after_operation(&mut self, over: Option<Operation>) {
        let Some(over) = over else { return };
        match (over.kind, over.state) {
            (OperationKind::Create, OperationState::Failed | OperationState::Cancelled)
                if over.epoch == self.group.epoch && !was_done(&over, "check") =>
            {
                // Nothing was changed anywhere: there is no such group.
                self.common.relay.close(self.group.name.as_str());
                if let Err(error) = self.common.catalogue.delete_group(&self.group).await {
                    tracing::error!(group = %self.group.name, %error, "a group that came to nothing can't be forgotten");
                }
                self.ended = true;
            }
            (OperationKind::RemoveReplica | OperationKind::Detach, _) => {
                if let Err(error) = self.reach_services().await {
                    tracing::error!(group = %self.group.name, %error, "a service can't be reached as it is registered");
                }
            }
            (
                OperationKind::Failover | OperationKind::Switchover,
                OperationState::Cancelled | OperationState::Failed,
            ) => {
                // The old primary goes on: it is followed again in the next cycle, where it is not already.
                self.following = self.following && self.shard_status.borrow().link != LinkState::ServeOnly;
            }
            (OperationKind::Delete, OperationState::Succeeded) => self.ended = true,
            _ => {}
        }
        self.common.tell(
            Some(&self.group.name),
            sterna_model::EventKind::Catalogue {
                what: "group".to_owned(),
                name: self.group.name.to_string(),
            },
        );
    }

    /// Before the gateway stops: no failover can happen without it, so the primary may go on without a lease.
    pub(super) async fn leave(&mut self) {
        let healthy = self.status.borrow().state != GroupState::Changing && self.operation.is_none();
        if healthy && !self.ended && self.group.fence_armed {
            let unfenced = Group {
                fence_armed: false,
                ..self.group.clone()
            };
            match self.common.catalogue.save_group(unfenced).await {
                Ok(group) => {
                    self.group = group;
                    let lifted = tokio::time::timeout(Duration::from_secs(3), self.lift_work()).await;
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

fn record(name: &'static str, reason: &str) -> Record {
    Record {
        name,
        reason: reason.to_owned(),
        mark: true,
    }
}

/// Whether a step of this name was done.
pub(super) fn was_done(operation: &Operation, name: &str) -> bool {
    operation
        .steps
        .iter()
        .any(|step| step.name == name && step.state == StepState::Done)
}
