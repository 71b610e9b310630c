//! What a change of primary cost, from the times of its steps.

use sterna_model::{Operation, OperationKind, Phase, StepName, StepState};

use super::owner::Owner;

impl Owner {
    /// What a change of primary came to.
    pub(super) fn changed_words(&self) -> String {
        let node = self
            .group
            .primary_node
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        format!(
            "{} ({node}) is the primary since epoch {}",
            self.group.primary, self.group.epoch
        )
    }

    /// Fills in what the steps took.
    pub(super) fn complete_report(&self, operation: &mut Operation) {
        let resyncs = self.resyncs;
        let switchover = operation.kind == OperationKind::Switchover;
        let steps = operation.steps.clone();
        let Some(report) = &mut operation.report else {
            return;
        };
        (report.full_resyncs, report.partial_resyncs) = resyncs;
        let end_of = |name: StepName| {
            let done = |step: &&sterna_model::Step| step.name == name && step.state == StepState::Done;
            steps.iter().rfind(done).and_then(|step| step.finished_at)
        };
        let start_of = |name: StepName| {
            steps
                .iter()
                .find(|step| step.name == name)
                .map(|step| step.started_at)
        };
        let begin = if switchover {
            start_of(StepName::PauseWrites)
        } else {
            start_of(StepName::Detect)
        };
        let Some(begin) = begin.or(start_of(StepName::StopFollowing)) else {
            return;
        };
        let marks: &[(StepName, StepName)] = if switchover {
            &[
                (StepName::AwaitStepDown, StepName::PauseWrites),
                (StepName::Promote, StepName::Promote),
                (StepName::Follow, StepName::Follow),
            ]
        } else {
            &[
                (StepName::Detect, StepName::Detect),
                (StepName::StopFollowing, StepName::StopFollowing),
                (StepName::Promote, StepName::Promote),
                (StepName::Follow, StepName::Follow),
            ]
        };
        let mut last = begin;
        report.phases.clear();
        for (phase, step) in phases(marks, &steps) {
            let end = if phase == StepName::AwaitStepDown {
                start_of(StepName::Decide)
            } else {
                end_of(step)
            };
            if let Some(end) = end {
                let ms = end.duration_since(last).as_secs_f64() * 1000.0;
                report.phases.push(Phase { name: phase, ms });
                last = end;
            }
        }
        report.rto_ms = last.duration_since(begin).as_secs_f64() * 1000.0;
    }
}

/// The parts of the time without writes, in order; the waits that occurred stand among them.
fn phases(marks: &[(StepName, StepName)], steps: &[sterna_model::Step]) -> Vec<(StepName, StepName)> {
    let occurred = |name: StepName| steps.iter().any(|step| step.name == name);
    let mut all = Vec::new();
    for (phase, step) in marks {
        if *step == StepName::Promote {
            for wait in [
                StepName::BlockWrites,
                StepName::AwaitLease,
                StepName::AwaitApply,
                StepName::Decide,
            ] {
                if occurred(wait) {
                    all.push((wait, wait));
                }
            }
        }
        all.push((*phase, *step));
    }
    all
}
