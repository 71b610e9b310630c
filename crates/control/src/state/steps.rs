//! One step: it begins, its work is asked for, and it ends.

use sterna_model::{OperationKind, OperationReason, OperationResult, OperationState};

use super::events::{Effect, Point};
use super::work::{Active, Intent};
use super::{GroupState, RETRY_PAUSE, consequences, new_operation, resolve};
use crate::job::{JobError, JobReport};
use crate::plan::{AttachCause, Step};
use crate::run::Run;
use crate::time::Now;

impl GroupState {
    /// Begins a step.
    pub(super) fn begin(&mut self, step: Step, now: Now, out: &mut Vec<Effect>) {
        match &step {
            Step::BeginFailover(cause) => {
                let reason = OperationReason::PrimaryLost(*cause);
                let mut operation =
                    new_operation(&self.known.record, OperationKind::Failover, None, reason, now);
                Run::detected(&mut operation, cause.quiet_for(), now);
                return self.commit(Intent::begin(operation, None), now, out);
            }
            Step::AdoptLocalPromotion(node) => {
                let reason = OperationReason::PromotedWithinService(self.known.node(*node).key.clone());
                let operation = new_operation(&self.known.record, OperationKind::Failover, None, reason, now);
                return self.commit(Intent::begin(operation, None), now, out);
            }
            Step::BeginRejoin { service, why } => {
                let (service, reason) = (Some(service.clone()), why.reason(&self.known));
                let operation =
                    new_operation(&self.known.record, OperationKind::Rejoin, service, reason, now);
                return self.commit(Intent::begin(operation, None), now, out);
            }
            _ => {}
        }
        if let Some(node) = step.may_unblock() {
            self.known.nodes[node.0].blocked_run = None;
        }
        if let Step::Abort { old: Some(node), .. } = &step {
            self.known.nodes[node.0].may_take_writes(now.at);
        }
        if let Step::Attach {
            node,
            why: AttachCause::Drifted | AttachCause::Writable,
        } = step
        {
            self.known.nodes[node.0].repaired_at = Some(now.at);
        }
        let told = step.name().zip(step.purpose(&self.known));
        let recorded = if let (Some(run), Some((name, purpose))) = (&mut self.run, told) {
            tracing::info!(group = %self.known.record.name, operation = %run.operation.id, step = %name, "step begins");
            run.step_begins(name, purpose, now);
            true
        } else {
            out.extend(consequences::upkeep_begins(&mut self.known, &step, now.at));
            false
        };
        let marked = recorded && step.is_recorded_first();
        self.work.begin(Active {
            step,
            of_operation: recorded,
            outcome: None,
        });
        if marked {
            self.commit(Intent::Mark, now, out);
        } else {
            self.start(now, out);
        }
    }

    /// Does the step that was begun.
    pub(super) fn start(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(active) = self.work.active() else { return };
        if resolve::is_record_first(&active.step) {
            return self.commit(Intent::Result { primary_node: None }, now, out);
        }
        match resolve::job(&self.known, self.run.as_ref(), &active.step) {
            Some(job) => out.push(Effect::Job {
                job: Box::new(job),
                point: Point::of(self.run.as_ref(), "", active.step.name()),
            }),
            None => self.step_failed(&JobError::Gone, now, out),
        }
    }

    /// The job of the step is over.
    pub(super) fn job_ended(
        &mut self,
        result: Result<Box<JobReport>, JobError>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let report = match result {
            Ok(report) => *report,
            Err(error) => return self.step_failed(&error, now, out),
        };
        let checked = report.checked.clone();
        self.work.came_of_it(report.outcome.clone());
        out.extend(consequences::seen(&mut self.known, self.run.as_mut(), report));
        let Some(active) = self.work.active() else { return };
        match (&active.step, checked) {
            (Step::Check(_), Some(Ok(node))) => {
                self.commit(
                    Intent::Result {
                        primary_node: Some(node),
                    },
                    now,
                    out,
                );
            }
            (Step::Check(_), Some(Err(checks))) => {
                self.work.end();
                if let Some(run) = &mut self.run {
                    run.step_failed(checks.clone(), now);
                    let result = OperationResult::NotFit { checks };
                    run.ends(OperationState::Failed, result, now);
                }
            }
            (Step::PlaceFence(_) | Step::Delete, _) => {
                self.commit(Intent::Result { primary_node: None }, now, out);
            }
            _ => self.step_done(now, out),
        }
    }

    /// The step came to its end.
    pub(super) fn step_done(&mut self, now: Now, out: &mut Vec<Effect>) {
        let Some(active) = self.work.end() else { return };
        consequences::done(&mut self.known, self.run.as_mut(), &active.step, now.at);
        if active.of_operation {
            if let Some(run) = &mut self.run {
                run.step_done(active.outcome, now);
                run.promotion_refused &= !matches!(active.step, Step::Promote(_));
            }
            out.extend(self.run.as_ref().map(Effect::operation));
            return;
        }
        if let Step::Attach { node, .. } = active.step {
            self.known.nodes[node.0].repair_failure = None;
        }
        out.extend(consequences::audit(&self.known, &active.step));
    }

    /// The step could not be done; it is tried again.
    pub(super) fn step_failed(&mut self, why: &JobError, now: Now, out: &mut Vec<Effect>) {
        let Some(active) = self.work.end() else { return };
        tracing::warn!(group = %self.known.record.name, step = ?active.step, %why, "step failed");
        self.retry_at = Some(now.at.plus(RETRY_PAUSE));
        if active.of_operation {
            if let Some(run) = &mut self.run {
                run.step_failed(why.to_string(), now);
                if matches!(active.step, Step::Promote(_)) {
                    run.promotion_refused = why.is_refusal();
                }
            }
            out.extend(self.run.as_ref().map(Effect::operation));
        } else if let Step::Attach { node, .. } = active.step {
            self.known.nodes[node.0].repair_failure = Some(why.to_string());
        }
    }
}
