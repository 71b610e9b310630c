//! One cycle: what is next, and why. Every cycle leaves one reason.

use std::time::Duration;

use sterna_model::{Operation, OperationKind, StepName};
use tokio::time::Instant;

use super::owner::Owner;
use super::world::since;
use crate::observe::{LOOK_INTERVAL, LOOK_INTERVAL_CHANGE, LOOK_INTERVAL_REPLICA, LOOK_INTERVAL_URGENT};
use crate::plan::health::{self, Sign, Verdict};
use crate::plan::{NodeId, failover, switchover};

/// How often time passes for the owner of a group...
const TICK: Duration = Duration::from_millis(20);
/// ...and of one where nothing is under way.
const TICK_CALM: Duration = Duration::from_millis(250);
/// A node that was put right is not put right again sooner.
const REPAIR_PAUSE: Duration = Duration::from_secs(5);
/// A promotion within the service is believed when the old primary has not been one for so long.
const WITHIN_SERVICE_AFTER: Duration = Duration::from_millis(500);

impl Owner {
    /// Decides what is next after an event.
    pub(super) async fn cycle(&mut self) {
        let now = Instant::now();
        self.set_pace();
        self.verdict = health::judge(&self.sight(now), &self.circumstances(now));
        let may_act = self.step.is_none() && self.retry_at.is_none_or(|at| now >= at);
        if may_act {
            match self.operation.clone() {
                Some(operation) if operation.state.is_final() => self.keep_finished(operation),
                Some(operation) if self.is_preempted(&operation) => self.finish(
                    sterna_model::OperationState::Failed,
                    "the primary was lost meanwhile: a failover goes first. What is not done yet is taken up again".to_owned(),
                ),
                Some(operation) => self.drive(&operation, now),
                None => self.steady(now).await,
            }
        }
        self.publish(now);
    }

    /// Nodes whose state decides about the next step are looked at all the time.
    fn set_pace(&self) {
        let kind = self.operation.as_ref().map(|operation| operation.kind);
        let primary = self.primary();
        for (id, node) in self.nodes.iter().enumerate() {
            node.probe.every(match kind {
                Some(OperationKind::Switchover) => LOOK_INTERVAL_URGENT,
                Some(OperationKind::Failover) => LOOK_INTERVAL_CHANGE,
                Some(_) => LOOK_INTERVAL,
                None if Some(NodeId(id)) == primary => LOOK_INTERVAL,
                None => LOOK_INTERVAL_REPLICA,
            });
        }
    }

    /// How soon time passes for the owner, if nothing else happens.
    pub(super) fn tick(&self) -> Duration {
        let calm = self.operation.is_none() && self.step.is_none() && self.verdict == Verdict::Healthy;
        if calm { TICK_CALM } else { TICK }
    }

    fn drive(&mut self, operation: &Operation, now: Instant) {
        use OperationKind as Kind;
        // A gateway that was restarted follows nobody yet. Only what changes or first follows the primary decides about
        // that itself; everything else would leave the primary without its lease.
        let decides = matches!(operation.kind, Kind::Create | Kind::Failover | Kind::Switchover);
        if !decides && self.must_follow() {
            return self.follow_primary();
        }
        match operation.kind {
            OperationKind::Failover => self.drive_failover(operation, now),
            OperationKind::Switchover => self.drive_switchover(operation, now),
            OperationKind::Rejoin => self.drive_rejoin(operation, now),
            _ => self.drive_member(operation, now),
        }
    }

    /// Whether the primary was lost in an operation that can wait.
    fn is_preempted(&self, operation: &Operation) -> bool {
        use OperationKind as Kind;
        let can_wait = matches!(
            operation.kind,
            Kind::Rejoin | Kind::AddReplica | Kind::RemoveReplica | Kind::Detach
        );
        can_wait && matches!(self.verdict, Verdict::FailOver(_))
    }

    fn drive_failover(&mut self, operation: &Operation, now: Instant) {
        use failover::Next;
        if self.cancelled && !operation.committed {
            return self.call_off("it was cancelled; the old primary is followed again");
        }
        let unfit = operation.committed && self.primary().is_some_and(|node| self.is_unfit(node, now));
        self.unfit_since = if unfit {
            self.unfit_since.or(Some(now))
        } else {
            None
        };
        let world = self.failover_world(operation, now);
        match failover::next(&world) {
            Next::Do(step) => self.do_failover(step),
            Next::Wait(waiting) => {
                let name = match waiting {
                    failover::Waiting::Lease { .. } | failover::Waiting::Force => StepName::AwaitLease,
                    failover::Waiting::Receive { .. } => StepName::AwaitLastBytes,
                    failover::Waiting::Candidate => StepName::AwaitCandidate,
                    failover::Waiting::Drain { .. } => StepName::AwaitApply,
                    failover::Waiting::Decided => StepName::AwaitNewPrimary,
                };
                self.wait(name, waiting.to_string());
            }
            Next::GiveUp => {
                let result = format!(
                    "{} was decided on and can't be promoted: it is not there, or lost what it had. Another failover follows",
                    self.group.primary
                );
                self.finish(sterna_model::OperationState::Failed, result);
            }
            Next::CallOff => {
                self.call_off("the primary answers again and takes writes; it is followed again");
            }
            Next::Done => {
                let result = self.changed_words();
                self.finish(sterna_model::OperationState::Succeeded, result);
            }
        }
    }

    fn drive_switchover(&mut self, operation: &Operation, now: Instant) {
        use switchover::Next;
        if let Some((state, result)) = self.aborted.clone()
            && operation.steps.last().is_some_and(|step| {
                step.name == StepName::Abort && step.state == sterna_model::StepState::Done
            })
        {
            self.aborted = None;
            return self.finish(state, result);
        }
        let (target, old) = self.switchover_nodes(operation, now);
        let world = self.switchover_world(operation, target, old, now);
        match switchover::next(&world) {
            Next::Do(step) => self.do_switchover(step, target, old),
            Next::Wait(waiting) => {
                let name = match waiting {
                    switchover::Waiting::CatchUp { .. } => StepName::AwaitCatchUp,
                    switchover::Waiting::StepDown => StepName::AwaitStepDown,
                    switchover::Waiting::Drain { .. } => StepName::AwaitApply,
                    switchover::Waiting::Target => StepName::AwaitNewPrimary,
                    switchover::Waiting::OldFollows => StepName::AwaitFormerPrimary,
                };
                self.note_wait(name, waiting.to_string());
            }
            Next::Done => {
                let follows = world.old == switchover::OldPrimary::Follows;
                let old = operation.report.as_ref().map(|report| report.from.clone());
                if let Some(old) = old.filter(|old| follows && self.former_primary(old).is_some()) {
                    self.close_former_primary(&old);
                } else {
                    let result = self.changed_words();
                    self.finish(sterna_model::OperationState::Succeeded, result);
                }
            }
        }
    }

    /// The two nodes of a switchover: before the decision the group's primary is the old one.
    fn switchover_nodes(&self, operation: &Operation, now: Instant) -> (Option<NodeId>, Option<NodeId>) {
        if operation.committed {
            let old = operation.report.as_ref().and_then(|report| {
                let address = report.from_node.as_ref()?;
                self.find(&report.from, address)
            });
            return (self.primary(), old);
        }
        let target = operation.service.as_ref().and_then(|service| {
            let best = |(_, node): &(NodeId, &super::node::NodeState)| {
                node.fresh(now)
                    .filter(|facts| facts.link_up)
                    .map(|facts| facts.offset)
            };
            // The node is chosen once: another one would have to catch up first.
            let nodes = self.nodes_of(service).filter(|entry| best(entry).is_some());
            nodes.min_by_key(|(id, _)| *id).map(|(id, _)| id)
        });
        (target, self.primary())
    }

    /// Nothing is under way: begin what is needed.
    async fn steady(&mut self, now: Instant) {
        if let Verdict::FailOver(cause) = self.verdict {
            return self.begin_failover(cause).await;
        }
        // Replication goes on while the group is paused.
        if self.must_follow() {
            return self.follow_primary();
        }
        if self.group.paused {
            return;
        }
        if let Some(node) = self.promoted_within(now) {
            return self.adopt_within(node);
        }
        if let Some((service, reason)) = self.returned(now) {
            return self.begin_rejoin(service, reason).await;
        }
        if let Some(node) = self.astray(now) {
            return self.repair(node, now);
        }
        if self.fence_is_off(now) {
            return self.mend_fence();
        }
        self.drop_old_rescue(now);
    }

    /// The primary takes writes and is not followed yet.
    fn must_follow(&self) -> bool {
        let primary = self.primary().map(|primary| self.nodes[primary.0].sign());
        !self.following && primary == Some(Sign::Primary)
    }

    /// Another node of the primary service was promoted by its Sentinel or a person.
    fn promoted_within(&self, now: Instant) -> Option<NodeId> {
        let primary = self.primary()?;
        let old = &self.nodes[primary.0];
        if matches!(old.sign(), Sign::Primary | Sign::Unknown) || old.sign_for(now) < WITHIN_SERVICE_AFTER {
            return None;
        }
        let history = self.history()?;
        let service = &self.group.primary;
        self.nodes_of(service)
            .filter(|(id, _)| *id != primary)
            .find(|(_, node)| {
                node.fresh(now).is_some_and(|facts| {
                    let continues = facts.previous.is_some_and(|(previous, _)| previous == history);
                    facts.is_primary() && (continues || facts.history == history)
                })
            })
            .map(|(id, _)| id)
    }

    /// A replica node that does not follow us, but could without a loss.
    fn astray(&self, now: Instant) -> Option<NodeId> {
        let services: Vec<_> = self.group.replicas.clone();
        for service in &services {
            let former = self.former_primary(service).map(|former| &former.node);
            for (id, node) in self.nodes_of(service) {
                // The old primary itself comes back by a rejoin.
                if former == Some(&node.key.address) {
                    continue;
                }
                let paused = node
                    .repaired_at
                    .is_some_and(|at| now.saturating_duration_since(at) < REPAIR_PAUSE);
                if paused || node.sign_for(now) < LOOK_INTERVAL {
                    continue;
                }
                if self.is_astray(id, now) {
                    return Some(id);
                }
            }
        }
        None
    }

    /// Takes note of a wait without keeping it: it is over in moments, and every write counts.
    fn note_wait(&mut self, name: StepName, reason: String) {
        match &self.operation {
            Some(operation)
                if self.paused_at.is_none() || since(operation.created_at) > Duration::from_secs(30) =>
            {
                self.wait(name, reason);
            }
            Some(_) => {
                if let Some(operation) = &mut self.operation {
                    operation.now = reason;
                }
            }
            None => {}
        }
    }
}
