//! What a change of primary cost, from the times of its steps.

use sterna_model::{Operation, OperationKind, Phase, StepState};

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
        let end_of = |name: &str| {
            let done = |step: &&sterna_model::Step| step.name == name && step.state == StepState::Done;
            steps.iter().rfind(done).and_then(|step| step.finished_at)
        };
        let start_of = |name: &str| {
            steps
                .iter()
                .find(|step| step.name == name)
                .map(|step| step.started_at)
        };
        let begin = if switchover {
            start_of("pause")
        } else {
            start_of("detect")
        };
        let Some(begin) = begin.or(start_of("let-go")) else {
            return;
        };
        let marks: &[(&str, &str)] = if switchover {
            &[
                ("step-down", "pause"),
                ("promote", "promote"),
                ("follow", "follow"),
            ]
        } else {
            &[
                ("detect", "detect"),
                ("let-go", "let-go"),
                ("promote", "promote"),
                ("follow", "follow"),
            ]
        };
        let mut last = begin;
        report.phases.clear();
        for (phase, step) in phases(marks, &steps) {
            let end = if phase == "step-down" {
                start_of("decide")
            } else {
                end_of(step)
            };
            if let Some(end) = end {
                let ms = end.duration_since(last).as_secs_f64() * 1000.0;
                report.phases.push(Phase {
                    name: phase.to_owned(),
                    ms,
                });
                last = end;
            }
        }
        report.rto_ms = last.duration_since(begin).as_secs_f64() * 1000.0;
    }
}

/// The parts of the time without writes, in order; the waits that occurred stand among them.
fn phases<'a>(marks: &[(&'a str, &'a str)], steps: &[sterna_model::Step]) -> Vec<(&'a str, &'a str)> {
    let occurred = |name: &str| steps.iter().any(|step| step.name == name);
    let mut all = Vec::new();
    for (phase, step) in marks {
        if *step == "promote" {
            for wait in ["shut", "fence", "drain", "decide"] {
                if occurred(wait) {
                    all.push((wait, wait));
                }
            }
        }
        all.push((*phase, *step));
    }
    all
}
