//! The steps of a change of primary, done.

use std::time::Duration;

use jiff::Timestamp;
use sterna_model::{
    Certainty, FormerPrimary, Group, HistoryCause, HistoryEntry, Operation, OperationKind, OperationState,
    Report, Rpo, ServiceName, StepName,
};
use sterna_node::adopt;
use sterna_node::{Client, Dialer, NodeAddress, Role};
use sterna_protocol::Offset;
use sterna_replication::{Handover, LinkState};
use tokio::time::Instant;

use super::owner::Owner;
use super::steps::{Effect, Record};
use super::{follow, set_handover};
use crate::access::COMMAND_TIMEOUT;
use crate::plan::{NodeId, failover, switchover};

/// More replicas than any node has: with this a primary takes no write.
pub(super) const MIN_REPLICAS_SHUT: &str = "1000000";
/// How long the new primary's stream may take to arrive.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);

impl Owner {
    pub(super) fn do_failover(&mut self, step: failover::Step) {
        let record = |name, mark| Record {
            name,
            reason: step.to_string(),
            mark,
        };
        match step {
            failover::Step::StopFollowing => {
                let (shard, epoch) = (self.shard.clone(), self.group.epoch.0);
                self.begin_step(record(StepName::StopFollowing, true), move |_, _| async move {
                    set_handover(&shard, epoch, Handover::Refuse).await;
                    if !follow(&shard, epoch, None).await {
                        return Err("the shard does not obey".to_owned());
                    }
                    Ok(Effect {
                        following: Some(false),
                        handover: Some(Handover::Refuse),
                        ..Effect::said("the old primary is no longer followed")
                    })
                });
            }
            failover::Step::ShutOld => {
                let Some(old) = self.primary() else { return };
                let work = shut(self.dialer(old), self.nodes[old.0].key.clone());
                self.begin_step(record(StepName::BlockWrites, true), move |_, _| work);
            }
            failover::Step::Decide { node, cut } => self.decide(record(StepName::Decide, false), node, cut),
            failover::Step::Promote(node) => self.promote(record(StepName::Promote, false), node),
            failover::Step::FollowNew(node) => self.follow_new(record(StepName::Follow, false), node),
            failover::Step::Arm(node) => self.arm(record(StepName::PlaceFence, true), node),
        }
    }

    pub(super) fn do_switchover(
        &mut self,
        step: switchover::Step,
        target: Option<NodeId>,
        old: Option<NodeId>,
    ) {
        let record = |name, mark| Record {
            name,
            reason: step.to_string(),
            mark,
        };
        match (step, target, old) {
            (switchover::Step::Prepare, _, Some(old)) => {
                let (dialer, relay) = (self.dialer(old), self.relay_for(old));
                let (shard, epoch) = (self.shard.clone(), self.group.epoch.0);
                self.begin_step(record(StepName::Prepare, true), move |_, _| async move {
                    let mut node = connect(&dialer).await?;
                    adopt::introduce(&mut node, &relay)
                        .await
                        .map_err(|error| error.to_string())?;
                    set_handover(&shard, epoch, Handover::Hold).await;
                    Ok(Effect {
                        handover: Some(Handover::Hold),
                        ..Effect::said("the log stands ready")
                    })
                });
            }
            (switchover::Step::Pause, _, Some(old)) => {
                let (dialer, relay) = (self.dialer(old), self.relay_for(old).address);
                let timeout = self.group.settings.switchover_timeout_ms.to_string();
                self.begin_step(record(StepName::PauseWrites, true), move |_, _| async move {
                    let mut node = connect(&dialer).await?;
                    let port = relay.port.to_string();
                    let command = ["FAILOVER", "TO", &relay.host, &port, "TIMEOUT", &timeout];
                    node.command(&command).await.map_err(|error| error.to_string())?;
                    Ok(Effect {
                        paused: Some(Instant::now()),
                        ..Effect::said("writes wait at the old primary")
                    })
                });
            }
            (switchover::Step::Decide { cut }, Some(target), _) => {
                self.decide(record(StepName::Decide, false), target, cut);
            }
            (switchover::Step::Promote, Some(target), _) => {
                self.promote(record(StepName::Promote, false), target);
            }
            (switchover::Step::FollowNew, Some(target), _) => {
                self.follow_new(record(StepName::Follow, false), target);
            }
            (switchover::Step::Accept, ..) => {
                let (shard, epoch) = (self.shard.clone(), self.group.epoch.0);
                self.begin_step(
                    record(StepName::AcceptFormerPrimary, false),
                    move |_, _| async move {
                        set_handover(&shard, epoch, Handover::Accept).await;
                        Ok(Effect {
                            handover: Some(Handover::Accept),
                            ..Effect::said("the old primary may follow")
                        })
                    },
                );
            }
            (switchover::Step::Arm, Some(target), _) => self.arm(record(StepName::PlaceFence, true), target),
            (switchover::Step::Abort(why), _, old) => self.abort(why, old),
            _ => tracing::warn!(group = %self.group.name, ?step, "a node of the switchover is not known"),
        }
    }

    pub(super) fn dialer(&self, node: NodeId) -> Dialer {
        let key = &self.nodes[node.0].key;
        self.access[&key.service].node(&key.address)
    }

    /// The durable decision: who is the primary from now on, in which term, with everything up to where.
    fn decide(&mut self, record: Record, node: NodeId, cut: Offset) {
        let key = self.nodes[node.0].key.clone();
        let status = self.shard_now();
        let selected_db = status.selected_db.filter(|_| status.log_end == cut);
        let (at_risk, silent) = self.at_risk();
        let (common, reason) = (self.common.clone(), record.reason.clone());
        let history = status
            .history
            .or(self.nodes[node.0].facts.as_ref().map(|facts| facts.history));
        self.begin_step(record, move |operation, group| async move {
            let next = next_group(
                &group,
                &operation,
                &key.service,
                &key.address,
                history,
                cut,
                selected_db,
            );
            let report = Report {
                reason: operation.reason.clone(),
                from: group.primary.clone(),
                from_node: group.primary_node.clone(),
                to: key.service.clone(),
                to_node: key.address.clone(),
                epoch: next.epoch,
                history,
                divergence_offset: cut,
                rpo: Rpo {
                    bytes: if operation.kind == OperationKind::Switchover {
                        0
                    } else {
                        at_risk
                    },
                    commands: (operation.kind == OperationKind::Switchover).then_some(0),
                    seconds: if operation.kind == OperationKind::Switchover {
                        0.0
                    } else {
                        silent.as_secs_f64()
                    },
                    certainty: if operation.kind == OperationKind::Switchover {
                        Certainty::Exact
                    } else {
                        Certainty::Estimate
                    },
                    rescue: None,
                },
                rto_ms: 0.0,
                phases: Vec::new(),
                partial_resyncs: 0,
                full_resyncs: 0,
            };
            let decided = Operation {
                service: Some(key.service.clone()),
                committed: true,
                report: Some(report),
                ..operation
            };
            let entry = HistoryEntry {
                group: next.name.clone(),
                epoch: next.epoch,
                primary: key.service.clone(),
                node: Some(key.address.clone()),
                cause: if decided.kind == OperationKind::Switchover {
                    HistoryCause::Switchover
                } else {
                    HistoryCause::Failover
                },
                ended_history: history,
                divergence_offset: Some(cut),
                operation: Some(decided.id),
                reason: decided.reason.clone(),
                at: Timestamp::now(),
            };
            tracing::info!(reason, node = %key, %cut, "decided");
            let (group, operation) = common
                .catalogue
                .commit_change(next, decided, Some(entry))
                .await
                .map_err(|error| error.to_string())?;
            let said = format!(
                "{key} is the primary from epoch {} on, with everything up to offset {cut}",
                group.epoch
            );
            Ok(Effect {
                group: Some(group),
                operation: Some(operation),
                following: Some(false),
                ..Effect::said(said)
            })
        });
    }

    fn promote(&mut self, record: Record, node: NodeId) {
        let dialer = self.dialer(node);
        let key = self.nodes[node.0].key.clone();
        self.begin_step(record, move |operation, _| async move {
            let mut client = connect(&dialer).await?;
            let now = look(&mut client).await?;
            if now.role == Role::Replica {
                may_promote(&key, &now, operation.report.as_ref())?;
                client
                    .replica_of_no_one()
                    .await
                    .map_err(|error| error.to_string())?;
            }
            let looked = crate::observe::look_at(key.clone(), &mut client).await;
            Ok(Effect {
                looks: vec![looked],
                ..Effect::said(format!("{key} is a primary"))
            })
        });
    }

    fn follow_new(&mut self, record: Record, node: NodeId) {
        let work = self.follow_work(node);
        self.begin_step(record, move |_, _| work);
    }

    /// Follows a node and waits for its stream.
    pub(super) fn follow_work(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<Effect, String>> + Send + 'static + use<> {
        let key = self.nodes[node.0].key.clone();
        let upstream = self.access[&key.service].upstream(&key.address);
        let (shard, epoch, mut status) = (self.shard.clone(), self.group.epoch.0, self.shard_status.clone());
        async move {
            if !follow(&shard, epoch, Some(upstream)).await {
                return Err("the shard does not obey: it has heard of a later term".to_owned());
            }
            let wanted = key.address.to_string();
            let streams = status.wait_for(|status| {
                let stream = matches!(
                    status.link,
                    LinkState::Streaming | LinkState::FullSync { .. } | LinkState::Holding(_)
                );
                stream && status.primary.as_ref() == Some(&wanted)
            });
            let followed = tokio::time::timeout(FOLLOW_TIMEOUT, streams).await;
            let said = match followed {
                Ok(_) => format!("{key} is followed"),
                Err(_) => format!("{key} is asked for its stream, and has not sent it yet"),
            };
            Ok(Effect {
                following: Some(true),
                ..Effect::said(said)
            })
        }
    }

    fn abort(&mut self, why: switchover::Abort, old: Option<NodeId>) {
        let (shard, epoch) = (self.shard.clone(), self.group.epoch.0);
        let dialer = old.map(|old| self.dialer(old));
        let record = Record {
            name: StepName::Abort,
            reason: switchover::Step::Abort(why).to_string(),
            mark: true,
        };
        let was_cancelled = why == switchover::Abort::Cancelled;
        self.begin_step(record, move |_, _| async move {
            set_handover(&shard, epoch, Handover::Refuse).await;
            if let Some(dialer) = dialer
                && let Ok(mut node) = Client::connect_with_timeout(&dialer, COMMAND_TIMEOUT).await
            {
                // It says so where there is nothing to abort.
                drop(node.command(&["FAILOVER", "ABORT"]).await);
            }
            Ok(Effect {
                handover: Some(Handover::Refuse),
                ..Effect::said("the old primary takes writes again")
            })
        });
        self.aborted = Some((
            if was_cancelled {
                OperationState::Cancelled
            } else {
                OperationState::Failed
            },
            format!("taken back: {why}. The old primary goes on, nothing was changed"),
        ));
    }

    /// A failover that is no longer needed.
    pub(super) fn call_off(&mut self, why: &str) {
        self.finish(OperationState::Cancelled, format!("called off: {why}"));
    }
}

fn next_group(
    group: &Group,
    operation: &Operation,
    service: &ServiceName,
    node: &NodeAddress,
    history: Option<sterna_protocol::ReplicationId>,
    cut: Offset,
    selected_db: Option<u32>,
) -> Group {
    let mut next = group.clone();
    if *service != group.primary {
        // The old primary takes the new one's place in the order.
        for replica in &mut next.replicas {
            if replica == service {
                replica.clone_from(&group.primary);
            }
        }
    }
    if let (Some(history), Some(old)) = (history, &group.primary_node) {
        next.former_primaries.retain(|former| former.service != *service);
        next.former_primaries.push(FormerPrimary {
            service: group.primary.clone(),
            node: old.clone(),
            history,
            divergence_offset: cut,
            selected_db,
            epoch: group.epoch,
            operation: operation.id,
        });
    }
    next.primary = service.clone();
    next.primary_node = Some(node.clone());
    next.epoch = group.epoch.next();
    next.fence_in_place = false;
    next.primary_since = Timestamp::now();
    if operation.kind == OperationKind::Failover {
        next.failed_over_at = Some(next.primary_since);
    }
    next
}

/// Connects to a node to change something at it.
pub(super) async fn connect(dialer: &Dialer) -> Result<Client, String> {
    Client::connect_with_timeout(dialer, COMMAND_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

async fn look(client: &mut Client) -> Result<sterna_node::ReplicationInfo, String> {
    let info = client.info().await.map_err(|error| error.to_string())?;
    info.replication().map_err(|error| error.to_string())
}

/// A node may have restarted since it was looked at, from an older file or empty: what counts is what it has now.
fn may_promote(
    key: &crate::observe::NodeKey,
    node: &sterna_node::ReplicationInfo,
    decided: Option<&Report>,
) -> Result<(), String> {
    let Some(decided) = decided else {
        return Err("nothing was decided".to_owned());
    };
    let applied = node.applied_offset.unwrap_or(node.offset);
    if decided.history.is_none_or(|history| history == node.replid) && applied >= decided.divergence_offset {
        return Ok(());
    }
    Err(format!(
        "{key} was decided on with everything up to offset {} of history {}, and holds offset {applied} of {} now: it is \
         not promoted",
        decided.divergence_offset,
        decided
            .history
            .map_or_else(String::new, |history| history.to_string()),
        node.replid
    ))
}

/// Shuts a node to writes; its configuration file stays, so that a restart of it begins with the lease.
pub(super) async fn shut(dialer: Dialer, key: crate::observe::NodeKey) -> Result<Effect, String> {
    let mut node = connect(&dialer).await?;
    node.config_set("min-replicas-to-write", MIN_REPLICAS_SHUT)
        .await
        .map_err(|error| error.to_string())?;
    let run = node
        .info()
        .await
        .map_err(|error| error.to_string())?
        .server()
        .run_id
        .unwrap_or_default();
    let looked = crate::observe::look_at(key.clone(), &mut node).await;
    Ok(Effect {
        shut: Some((key.clone(), run)),
        looks: vec![looked],
        ..Effect::said(format!("{key} takes no more writes"))
    })
}
