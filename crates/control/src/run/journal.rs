//! The record of an operation's steps and waits, for people. Nothing is decided from it.

use std::time::Duration;

use sterna_model::{
    Activity, Operation, OperationResult, OperationState, OperationWait, Step, StepDetail, StepName,
    StepOutcome, StepPurpose, StepState,
};

use super::Run;
use crate::time::{Moment, Now};

/// When a step began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) began: Moment,
    pub(super) ended: Option<Moment>,
}

impl Span {
    /// That of a step of the record, by the wall clock.
    pub(super) fn of(step: &Step, now: Now) -> Self {
        Self {
            began: now.moment_of(step.started_at),
            ended: step.finished_at.map(|at| now.moment_of(at)),
        }
    }
}

impl Run {
    /// A step begins; a wait that is under way ends with that.
    pub(crate) fn step_begins(&mut self, name: StepName, purpose: StepPurpose, now: Now) {
        self.end_open(StepState::Done, now);
        self.operation.now = Some(Activity::Step { step: name });
        self.push(name, StepDetail::Purpose(purpose), now);
    }

    /// The step under way is done. Without an outcome its record goes on saying why it was.
    pub(crate) fn step_done(&mut self, outcome: Option<StepOutcome>, now: Now) {
        let Some(step) = self.open() else { return };
        if let Some(outcome) = outcome {
            step.detail = StepDetail::Outcome(outcome);
        }
        self.end_open(StepState::Done, now);
        self.fold();
    }

    /// The step under way could not be done; it is tried again.
    pub(crate) fn step_failed(&mut self, error: String, now: Now) {
        let Some(step) = self.open() else { return };
        let name = step.name;
        step.detail = StepDetail::Failed { error: error.clone() };
        self.end_open(StepState::Failed, now);
        self.operation.now = Some(Activity::Retry { step: name, error });
        self.fold();
    }

    /// What the operation waits for now. True where that is a new wait, which is to be stored.
    pub(crate) fn waits(&mut self, wait: OperationWait, now: Now) -> bool {
        let (name, detail) = (wait.step(), StepDetail::Wait(wait.clone()));
        self.operation.now = Some(Activity::Wait(wait));
        if let Some(step) = self.open().filter(|step| step.name == name) {
            step.detail = detail;
            return false;
        }
        self.end_open(StepState::Done, now);
        self.push(name, detail, now);
        true
    }

    /// The operation is over; `result` says what came of it.
    pub(crate) fn ends(&mut self, state: OperationState, result: OperationResult, now: Now) {
        self.end_open(StepState::Done, now);
        let operation = &mut self.operation;
        operation.state = state;
        operation.finished_at = Some(now.wall);
        operation.result = Some(result);
        operation.now = None;
        operation.progress = None;
        self.complete_report();
    }

    /// Whether a step of this name was begun.
    pub(crate) fn has_begun(&self, name: StepName) -> bool {
        self.operation.steps.iter().any(|step| step.name == name)
    }

    /// When the first step of a name began.
    pub(super) fn began(&self, name: StepName) -> Option<Moment> {
        let place = self.operation.steps.iter().position(|step| step.name == name)?;
        self.spans.get(place).map(|span| span.began)
    }

    /// When the last step of a name was done.
    pub(crate) fn done(&self, name: StepName) -> Option<Moment> {
        let done = |step: &Step| step.name == name && step.state == StepState::Done;
        let place = self.operation.steps.iter().rposition(done)?;
        self.spans.get(place)?.ended
    }

    /// A step that was done before the operation had a record.
    pub(crate) fn detected(operation: &mut Operation, quiet_for: Duration, now: Now) {
        let step = Step {
            name: StepName::Detect,
            state: StepState::Done,
            detail: StepDetail::Reason {
                reason: operation.reason.clone(),
            },
            started_at: now.wall_of(now.at.minus(quiet_for)),
            finished_at: Some(now.wall),
        };
        operation.steps.push(step);
    }

    fn push(&mut self, name: StepName, detail: StepDetail, now: Now) {
        self.operation.steps.push(Step {
            name,
            state: StepState::Running,
            detail,
            started_at: now.wall,
            finished_at: None,
        });
        self.spans.push(Span {
            began: now.at,
            ended: None,
        });
    }

    fn open(&mut self) -> Option<&mut Step> {
        let last = self.operation.steps.last_mut();
        last.filter(|step| step.finished_at.is_none())
    }

    fn end_open(&mut self, state: StepState, now: Now) {
        let Some(step) = self.open() else { return };
        step.state = state;
        step.finished_at = Some(now.wall);
        if let Some(span) = self.spans.last_mut() {
            span.ended = Some(now.at);
        }
    }

    /// The same step failing, or coming to the same, again and again is one line.
    fn fold(&mut self) {
        let steps = &mut self.operation.steps;
        let [.., before, last] = steps.as_mut_slice() else {
            return;
        };
        let comes_to_the_same = before.state == last.state && before.detail == last.detail;
        if before.name == last.name && (before.state == StepState::Failed || comes_to_the_same) {
            last.started_at = before.started_at;
            let place = steps.len() - 2;
            steps.remove(place);
            let former = self.spans.remove(place);
            if let Some(span) = self.spans.last_mut() {
                span.began = former.began;
            }
        }
    }
}
