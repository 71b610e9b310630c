//! Services that join: making a group, adding replica services. What leaves is in `leaving`.
//!
//! Every step looks at what is before it does anything, so that it can be done again after a crash.

use sterna_model::{Fencing, Operation, OperationKind, OperationState, ServiceName, StepName, StepState};
use sterna_node::adopt::{self};
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
        if self.cancelled && !operation.committed {
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
            OperationKind::Delete => self.drive_delete(operation),
            _ => self.finish(
                OperationState::Failed,
                "this version knows no such operation".to_owned(),
            ),
        }
    }

    fn drive_joining(&mut self, operation: &Operation, services: &[ServiceName], now: Instant) {
        if !was_done(operation, StepName::Check) {
            return self.check(operation, services);
        }
        if !self.following {
            let Some(primary) = self.primary() else { return };
            let work = self.follow_work(primary);
            return self.begin_step(record(StepName::Follow, "follow the primary"), move |_, _| work);
        }
        let status = self.shard_now();
        if !matches!(status.link, LinkState::FullSync { .. } | LinkState::Streaming) {
            return self.wait(
                StepName::AwaitStream,
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
                step.name == StepName::Attach
                    && step.state == StepState::Done
                    && step.reason.starts_with(&key.to_string())
            });
            if follows == Some(false) || (follows == Some(true) && !attached) {
                let work = self.attach_work(*node);
                let reason = format!("let {key} follow");
                return self.begin_step(record(StepName::Attach, &reason), move |_, _| work);
            }
        }
        let waits_for = nodes
            .iter()
            .find(|node| !self.nodes[node.0].fresh(now).is_some_and(|facts| facts.link_up));
        if let Some(node) = waits_for {
            self.note_copy_progress();
            return self.wait(
                StepName::AwaitCopy,
                format!("waiting until {} has a whole copy", self.nodes[node.0].key),
            );
        }
        if status.link != LinkState::Streaming {
            self.note_copy_progress();
            return self.wait(
                StepName::AwaitCopy,
                "waiting for the end of the full copy".to_owned(),
            );
        }
        let Some(primary) = self.primary() else { return };
        let fenced = self.group.settings.fencing == Fencing::Lease;
        if fenced && !self.group.fence_in_place {
            if !self.is_counted_by(primary, now) {
                return self.wait(
                    StepName::AwaitReplicaCount,
                    "waiting until the primary counts the gateway as a replica".to_owned(),
                );
            }
            let work = self.arm_work(primary);
            return self.begin_step(
                record(StepName::PlaceFence, "put the fence in place at the primary"),
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
            record(StepName::Check, "are the services fit for it?"),
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
                            committed: true,
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

    /// What the end of an operation changes in the group.
    pub(super) async fn after_operation(&mut self, over: Option<Operation>) {
        let Some(over) = over else { return };
        match (over.kind, over.state) {
            (OperationKind::Create, OperationState::Failed | OperationState::Cancelled)
                if over.epoch == self.group.epoch && !was_done(&over, StepName::Check) =>
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
}

pub(super) fn record(name: StepName, reason: &str) -> Record {
    Record {
        name,
        reason: reason.to_owned(),
        mark: true,
    }
}

/// Whether a step of this name was done.
pub(super) fn was_done(operation: &Operation, name: StepName) -> bool {
    operation
        .steps
        .iter()
        .any(|step| step.name == name && step.state == StepState::Done)
}
