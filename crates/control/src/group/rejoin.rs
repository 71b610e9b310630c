//! An old primary comes back: shut it, save what only it has, let it follow.

use std::time::Duration;

use sterna_model::{Certainty, Group, Operation, OperationState, Rescue, RescueKind, ServiceName, StepName};
use tokio::time::Instant;

use super::change::shut;
use super::owner::Owner;
use super::steps::{Effect, Record};
use crate::plan::{NodeId, rejoin};
use crate::rescue::{self, Job};

/// How long a node may be away during its rejoin before the operation ends; it begins anew when the node is back.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// What a shut node's stream may grow by after its data were saved: 14 bytes every ten seconds.
const PINGS_BYTES_MAX: u64 = 4096;

impl Owner {
    pub(super) fn drive_rejoin(&mut self, operation: &Operation, now: Instant) {
        let Some(service) = operation.service.clone() else {
            return self.finish(OperationState::Failed, "it names no service".to_owned());
        };
        if self.cancelled {
            return self.finish(
                OperationState::Cancelled,
                format!("{service} is left as it is; it is tried again when the group is resumed"),
            );
        }
        let nodes: Vec<NodeId> = self.nodes_of(&service).map(|(id, _)| id).collect();
        let mut away = None;
        for node in nodes {
            let key = self.nodes[node.0].key.clone();
            let Some((seen, cut)) = self.returning(node, now) else {
                away = Some(node);
                continue;
            };
            let step = rejoin::next(&seen, &cut);
            if step != rejoin::Step::Done {
                return self.do_rejoin(node, step);
            }
            let up = self.nodes[node.0].fresh(now).is_some_and(|facts| facts.link_up);
            if !up {
                return self.wait(
                    StepName::AwaitCopy,
                    format!("waiting until {key} has a whole copy"),
                );
            }
        }
        let former_node = self.former_primary(&service).map(|former| former.node.clone());
        let essential = away.filter(|node| {
            former_node
                .as_ref()
                .is_none_or(|address| self.nodes[node.0].key.address == *address)
        });
        match essential {
            Some(node) if self.nodes[node.0].sign_for(now) > AWAY_MAX => {
                let key = &self.nodes[node.0].key;
                let result = format!("{key} does not answer; it is tried again when it is back");
                self.finish(OperationState::Failed, result);
            }
            Some(node) => {
                let key = self.nodes[node.0].key.clone();
                self.wait(
                    StepName::AwaitNode,
                    format!("waiting for {key}, which does not answer"),
                );
            }
            None => self.finish_rejoin(&service),
        }
    }

    fn do_rejoin(&mut self, node: NodeId, step: rejoin::Step) {
        let key = self.nodes[node.0].key.clone();
        let record = |name| Record {
            name,
            reason: format!("{key}: {step}"),
            mark: true,
        };
        match step {
            rejoin::Step::Shut => {
                let work = shut(self.dialer(node), key.clone());
                self.begin_step(record(StepName::BlockWrites), move |_, _| work);
            }
            rejoin::Step::RescueCommands { .. } | rejoin::Step::RescueSnapshot => {
                self.rescue(record(StepName::Rescue), node, step);
            }
            rejoin::Step::Attach(holds) => {
                let work = self.attach_work(node);
                let former = self.former_primary(&key.service).filter(|former| {
                    let history = self.nodes[node.0].facts.as_ref().map(|facts| facts.history);
                    holds == rejoin::Holds::APrefix
                        && former.node == key.address
                        && history == Some(former.history)
                });
                let failover = former.map(|former| former.operation);
                let common = self.common.clone();
                self.begin_step(record(StepName::Attach), move |_, _| async move {
                    if let Some(failover) = failover {
                        confirm_report(&common, failover)
                            .await
                            .map_err(|error| error.to_string())?;
                    }
                    work.await
                });
            }
            rejoin::Step::Done => {}
        }
    }

    fn rescue(&mut self, record: Record, node: NodeId, step: rejoin::Step) {
        let key = self.nodes[node.0].key.clone();
        let Some(facts) = self.nodes[node.0].facts.clone() else {
            return;
        };
        let former = self.former_primary(&key.service).cloned();
        let job = Job {
            dialer: self.dialer(node),
            node: key.clone(),
            group: self.group.name.clone(),
            epoch: former.as_ref().map_or(self.group.epoch, |former| former.epoch),
            history: facts.history,
            selected_db: former.as_ref().and_then(|former| former.selected_db),
            step,
            offset: facts.offset,
            cut: former
                .as_ref()
                .map_or(facts.offset, |former| former.divergence_offset),
            dir: self.common.rescue_dir(),
            max_bytes: self.group.settings.rescue.max_bytes,
        };
        let common = self.common.clone();
        self.begin_step(record, move |_, _| async move {
            let kept = rescue::save(job).await.map_err(|error| error.to_string())?;
            let kept = common
                .catalogue
                .add_rescue(kept)
                .await
                .map_err(|error| error.to_string())?;
            if let Some(former) = former
                && let Err(error) = correct_report(&common, former.operation, &kept).await
            {
                tracing::warn!(%error, "the failover's report can't be corrected");
            }
            let said = format!(
                "{}: saved as rescue {} ({} bytes)",
                key.address, kept.id, kept.bytes
            );
            common
                .note("rescue.save", kept.group.as_str(), "ok", Some(said.clone()))
                .await;
            Ok(Effect {
                rescued: Some(kept),
                ..Effect::said(said)
            })
        });
    }

    /// Whether what this node has beyond the cut is in a rescue file: its own, or that of another node of its service
    /// with the same history.
    pub(super) fn is_saved(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.0];
        let Some(facts) = &state.facts else { return false };
        self.rescued.iter().any(|rescue| {
            let beyond = facts.offset.bytes_since(rescue.to);
            let saved = match rescue.kind {
                RescueKind::Commands => rescue.service == state.key.service && beyond == 0,
                // A node that is shut writes nothing into its stream but now and then a PING.
                RescueKind::Snapshot => rescue.node == state.key.address && beyond <= PINGS_BYTES_MAX,
            };
            saved && rescue.history == facts.history
        })
    }

    /// The service follows: it is a replica service like any other.
    fn finish_rejoin(&mut self, service: &ServiceName) {
        if self.former_primary(service).is_some() {
            self.close_former_primary(service);
        } else {
            self.finish(OperationState::Succeeded, format!("{service} follows"));
        }
    }

    /// Keeps that nothing of an old primary is to be waited for any more.
    pub(super) fn close_former_primary(&mut self, service: &ServiceName) {
        let next = Group {
            former_primaries: self
                .group
                .former_primaries
                .iter()
                .filter(|former| former.service != *service)
                .cloned()
                .collect(),
            ..self.group.clone()
        };
        let common = self.common.clone();
        let record = Record {
            name: StepName::Close,
            reason: format!("{service} follows: it is a replica service again"),
            mark: false,
        };
        self.begin_step(record, move |_, _| async move {
            let group = common
                .catalogue
                .save_group(next)
                .await
                .map_err(|error| error.to_string())?;
            Ok(Effect {
                group: Some(group),
                ..Effect::said("it is a replica service again")
            })
        });
    }
}

/// What was estimated at the failover is counted now.
async fn correct_report(
    common: &crate::gateway::Common,
    failover: sterna_model::OperationId,
    rescue: &Rescue,
) -> Result<(), sterna_store::StoreError> {
    let mut operation = common.catalogue.operation(failover).await?;
    if let Some(report) = &mut operation.report {
        report.rpo.rescue = Some(rescue.id);
        if let Some(summary) = &rescue.summary {
            report.rpo.bytes = rescue.to.bytes_since(rescue.from);
            report.rpo.commands = Some(summary.commands);
            report.rpo.certainty = Certainty::Exact;
        }
        common.catalogue.save_operation(operation).await?;
    }
    Ok(())
}

/// It came back with its memory, and with nothing that the new primary lacks.
async fn confirm_report(
    common: &crate::gateway::Common,
    failover: sterna_model::OperationId,
) -> Result<(), sterna_store::StoreError> {
    let mut operation = common.catalogue.operation(failover).await?;
    if let Some(report) = &mut operation.report {
        report.rpo.bytes = 0;
        report.rpo.commands = Some(0);
        report.rpo.certainty = Certainty::Exact;
        common.catalogue.save_operation(operation).await?;
    }
    Ok(())
}
