//! Operations that begin: by themselves, or because somebody asked.

use std::time::Duration;

use jiff::Timestamp;
use sterna_model::{
    EventKind, HistoryCause, HistoryEntry, Operation, OperationKind, Requester, ServiceName, Step, StepName,
    StepState,
};
use tokio::time::Instant;

use super::owner::Owner;
use super::steps::{Action, Effect};
use super::world::since;
use crate::error::ControlError;
use crate::gateway::new_operation;
use crate::plan::health::{Cause, Sign};
use crate::plan::{NodeId, rejoin};

/// A node that returned is dealt with when it has been there for so long.
const RETURNED_FOR: Duration = Duration::from_millis(300);

impl Owner {
    pub(super) async fn begin_failover(&mut self, cause: Cause) {
        let mut operation = new_operation(
            &self.group,
            OperationKind::Failover,
            Requester::Gateway,
            cause.to_string(),
        );
        let now = Timestamp::now();
        let quiet = match cause {
            Cause::Refused { quiet_for } | Cause::Silent { quiet_for } | Cause::NotServing { quiet_for } => {
                quiet_for
            }
            Cause::LostItsData => Duration::ZERO,
        };
        let began = now
            .checked_sub(jiff::SignedDuration::try_from(quiet).unwrap_or_default())
            .unwrap_or(now);
        operation.steps.push(detect(cause.to_string(), began, now));
        if let Err(error) = self.begin_operation(operation).await {
            tracing::error!(group = %self.group.name, %error, "a failover is due and can't be begun");
            self.retry_at = Some(Instant::now() + super::steps::RETRY_PAUSE);
        }
    }

    /// Keeps a new operation and begins it.
    pub(super) async fn begin_operation(&mut self, operation: Operation) -> Result<Operation, ControlError> {
        if let Some(busy) = &self.operation {
            return Err(ControlError::Busy {
                group: self.group.name.clone(),
                operation: busy.id,
            });
        }
        let kind = operation.kind;
        self.common.failpoint.pass(kind, "ask", "before");
        let operation = self.common.catalogue.create_operation(operation).await?;
        self.common.failpoint.pass(kind, "ask", "after");
        tracing::warn!(group = %self.group.name, operation = %operation.id, %kind, reason = operation.reason, "operation begins");
        self.resyncs = (0, 0);
        self.cancelled = false;
        self.aborted = None;
        self.operation = Some(operation.clone());
        if operation
            .service
            .as_ref()
            .is_some_and(|service| !self.access.contains_key(service))
        {
            self.reach_services().await?;
        }
        let boxed = Box::new(operation.clone());
        self.common
            .tell(Some(&self.group.name), EventKind::Operation { operation: boxed });
        Ok(operation)
    }

    /// A service whose node came back with what can't simply be overwritten.
    pub(super) fn returned(&self, now: Instant) -> Option<(ServiceName, String)> {
        let services = self
            .group
            .replicas
            .iter()
            .chain(self.group.former_primaries.iter().map(|former| &former.service));
        for service in services {
            if *service == self.group.primary {
                continue;
            }
            let former = self.former_primary(service).is_some();
            for (id, node) in self.nodes_of(service) {
                // An old primary that takes writes is shut on sight.
                let at_once = former && node.sign() == Sign::Primary;
                let is_there = matches!(node.sign(), Sign::Primary | Sign::Replica);
                if !is_there || (node.sign_for(now) < RETURNED_FOR && !at_once) {
                    continue;
                }
                let Some((seen, cut)) = self.returning(id, now) else {
                    continue;
                };
                let step = rejoin::next(&seen, &cut);
                if former
                    && (step == rejoin::Step::Done || node.key.address == self.former_primary(service)?.node)
                {
                    return Some((service.clone(), format!("the old primary {} is back", node.key)));
                }
                let loses = !former
                    && seen.is_primary
                    && !seen.empty
                    && !matches!(
                        rejoin::next(&rejoin::Node { shut: true, ..seen }, &cut),
                        rejoin::Step::Attach(rejoin::Holds::APrefix)
                    );
                if loses && self.group_is_whole() {
                    return Some((
                        service.clone(),
                        format!(
                            "{} does not follow any more and may hold writes of its own",
                            node.key
                        ),
                    ));
                }
            }
        }
        None
    }

    /// The stream flows: what is put right now is put right against the right history.
    fn group_is_whole(&self) -> bool {
        self.following && self.shard_status.borrow().link == sterna_replication::LinkState::Streaming
    }

    pub(super) async fn begin_rejoin(&mut self, service: ServiceName, reason: String) {
        if !self.following {
            return;
        }
        let mut operation = new_operation(&self.group, OperationKind::Rejoin, Requester::Gateway, reason);
        operation.service = Some(service);
        if let Err(error) = self.begin_operation(operation).await {
            tracing::error!(group = %self.group.name, %error, "a rejoin is due and can't be begun");
            self.retry_at = Some(Instant::now() + super::steps::RETRY_PAUSE);
        }
    }

    /// Whether a replica node is to be put right, and can be without a loss.
    pub(super) fn is_astray(&self, node: NodeId, now: Instant) -> bool {
        let Some((seen, cut)) = self.returning(node, now) else {
            return false;
        };
        let state = &self.nodes[node.0];
        if seen.follows_us {
            // It does, but something else is wrong: its login perhaps.
            let down = state
                .fresh(now)
                .is_some_and(|facts| !facts.link_up && !facts.syncing);
            let long = since(self.group.primary_since) > Duration::from_secs(10);
            return down && long && state.sign_for(now) > Duration::from_secs(10);
        }
        if !self.group_is_whole() {
            return false;
        }
        let shut = rejoin::Node { shut: true, ..seen };
        matches!(
            rejoin::next(&shut, &cut),
            rejoin::Step::Attach(rejoin::Holds::APrefix | rejoin::Holds::Nothing)
        ) || (!seen.is_primary && self.former_primary(&state.key.service).is_none())
    }

    /// Lets a replica node follow.
    pub(super) fn repair(&mut self, node: NodeId, now: Instant) {
        self.nodes[node.0].repaired_at = Some(now);
        let key = self.nodes[node.0].key.clone();
        let what = match &self.nodes[node.0].facts {
            Some(facts) if facts.is_primary() => "it was writable",
            Some(facts) if facts.primary.as_ref() == Some(&self.relay_for(node).address) => {
                "it could not log in to the relay"
            }
            _ => "it followed somebody else",
        };
        tracing::warn!(group = %self.group.name, node = %key, what, "a replica node is put right");
        let text = format!("{key} is put right: {what}");
        self.common.tell(
            Some(&self.group.name),
            EventKind::Notice {
                text: text.clone(),
                operation: None,
            },
        );
        let work = self.attach_work(node);
        let (common, group) = (self.common.clone(), self.group.name.to_string());
        self.begin_work(Action::Repair(key), async move {
            let effect = work.await?;
            common.note("node.repair", &group, "ok", Some(text)).await;
            Ok(effect)
        });
    }

    pub(super) fn repair_failed(&mut self, key: &crate::observe::NodeKey, reason: String) {
        self.repair_failures.insert(key.clone(), reason);
    }

    /// Follows the group's primary.
    pub(super) fn follow_primary(&mut self) {
        let Some(primary) = self.primary() else { return };
        let work = self.follow_work(primary);
        self.begin_work(Action::Work, work);
    }

    /// The primary service promoted another of its own nodes: that one is the primary from now on.
    pub(super) fn adopt_within(&mut self, node: NodeId) {
        let key = self.nodes[node.0].key.clone();
        let mut next = self.group.clone();
        next.primary_node = Some(key.address.clone());
        next.epoch = self.group.epoch.next();
        next.primary_since = Timestamp::now();
        next.fence_in_place = false;
        let reason = format!("{key} was promoted within its service, by its Sentinel or a person");
        let entry = HistoryEntry {
            group: next.name.clone(),
            epoch: next.epoch,
            primary: key.service.clone(),
            node: Some(key.address.clone()),
            cause: HistoryCause::WithinService,
            ended_history: self.history(),
            divergence_offset: None,
            operation: None,
            reason: reason.clone(),
            at: Timestamp::now(),
        };
        let common = self.common.clone();
        self.begin_work(Action::Work, async move {
            let group = common
                .catalogue
                .save_group(next)
                .await
                .map_err(|error| error.to_string())?;
            common
                .catalogue
                .add_history(entry)
                .await
                .map_err(|error| error.to_string())?;
            common
                .note("primary.within-service", group.name.as_str(), "ok", Some(reason))
                .await;
            Ok(Effect {
                group: Some(group),
                following: Some(false),
                ..Effect::default()
            })
        });
    }
}

/// The first step of a failover is to have noticed.
pub(super) fn detect(reason: String, began: Timestamp, now: Timestamp) -> Step {
    Step {
        name: StepName::Detect,
        state: StepState::Done,
        reason,
        started_at: began,
        finished_at: Some(now),
    }
}
