//! The work under way: at most one step, and commits one after the other; and what becomes of the group when a commit
//! ends.

use std::collections::VecDeque;

use sterna_model::{GroupPatch, Operation, StepName, StepOutcome};
use sterna_node::NodeAddress;
use sterna_store::StoreError;

use super::events::{Answer, AskId, Effect, Stored};
use super::{GroupState, RETRY_PAUSE, resolve, storing};
use crate::job::JobError;
use crate::plan::Step;
use crate::run::Run;
use crate::time::Now;

/// A step under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Active {
    pub(super) step: Step,
    /// It is recorded in the operation under way.
    pub(super) of_operation: bool,
    /// What came of it, as far as that is known.
    pub(super) outcome: Option<StepOutcome>,
}

/// Why something is stored. What exactly is made of what is known when its turn comes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Intent {
    /// A new operation begins; who asked for it is answered.
    Begin {
        operation: Box<Operation>,
        ask: Option<AskId>,
    },
    /// The step under way is recorded before it is done.
    Mark,
    /// What the step under way changes.
    Result {
        /// What a check found.
        primary_node: Option<NodeAddress>,
    },
    /// The operation waits for this now.
    Wait(StepName),
    /// The operation is over.
    Finish,
    /// A person changes the group.
    Update {
        ask: AskId,
        patch: GroupPatch,
        paused: Option<bool>,
    },
    /// A creation came to nothing.
    Drop(Box<Operation>),
}

impl Intent {
    pub(super) fn begin(operation: Operation, ask: Option<AskId>) -> Self {
        Self::Begin {
            operation: Box::new(operation),
            ask,
        }
    }
}

/// The work under way.
#[derive(Debug, Clone, Default)]
pub(super) struct Work {
    step: Option<Active>,
    /// The first is under way. As many as one step and the requests that the driver lets in between can make.
    commits: VecDeque<Intent>,
}

impl Work {
    /// Whether nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.step.is_none() && self.commits.is_empty()
    }

    /// Whether a new operation is about to be stored.
    pub(super) fn begins(&self) -> bool {
        let begins = |intent: &Intent| matches!(intent, Intent::Begin { .. });
        self.commits.iter().any(begins)
    }

    pub(super) fn active(&self) -> Option<&Active> {
        self.step.as_ref()
    }

    pub(super) fn begin(&mut self, active: Active) {
        assert!(self.step.is_none(), "one step at a time");
        self.step = Some(active);
    }

    pub(super) fn came_of_it(&mut self, outcome: Option<StepOutcome>) {
        if let Some(active) = &mut self.step {
            active.outcome = outcome;
        }
    }

    pub(super) fn end(&mut self) -> Option<Active> {
        self.step.take()
    }
}

impl GroupState {
    /// Stores something, after what waits to be stored already.
    pub(super) fn commit(&mut self, intent: Intent, now: Now, out: &mut Vec<Effect>) {
        self.work.commits.push_back(intent);
        if self.work.commits.len() == 1 {
            self.start_commit(now, out);
        }
    }

    /// The first of what waits to be stored is handed out.
    fn start_commit(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(intent) = self.work.commits.front() {
            if let Some(commit) =
                storing::commit(&self.known, self.run.as_ref(), self.work.active(), intent, now)
            {
                return out.push(Effect::Commit(Box::new(commit)));
            }
            // What it was about is gone.
            self.work.commits.pop_front();
        }
    }

    /// The commit under way came to an end.
    pub(super) fn commit_ended(
        &mut self,
        result: Result<Box<Stored>, StoreError>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(intent) = self.work.commits.pop_front() else {
            return;
        };
        match result {
            Ok(stored) => {
                let services_changed = self.take_stored(*stored, &intent, now);
                if services_changed {
                    let services = self.known.record.services().cloned().collect();
                    out.push(Effect::OpenRelay(services));
                }
                self.commit_done(&intent, now, out);
            }
            Err(error) => self.commit_failed(intent, error, now, out),
        }
        // A step that ended may have handed one out already.
        if !out.iter().any(|effect| matches!(effect, Effect::Commit(_))) {
            self.start_commit(now, out);
        }
    }

    /// Takes over what was stored; returns whether the group has other services now.
    fn take_stored(&mut self, stored: Stored, intent: &Intent, now: Now) -> bool {
        if let Some(operation) = stored.operation {
            match (&mut self.run, intent) {
                (_, Intent::Begin { .. }) => self.run = Some(Run::new(operation, &self.known.record, now)),
                (Some(run), _) => run.stored(operation),
                (None, _) => {}
            }
        }
        let Some(record) = stored.group else { return false };
        let changed = !record.services().eq(self.known.record.services());
        self.known.stored(record, now);
        changed
    }

    fn commit_done(&mut self, intent: &Intent, now: Now, out: &mut Vec<Effect>) {
        match intent {
            Intent::Begin { ask, .. } => self.begun(*ask, out),
            Intent::Mark => self.start(now, out),
            Intent::Result { .. } => match self.work.active() {
                Some(active) if matches!(active.step, Step::LiftFence(_)) => {
                    if let Some(job) = resolve::job(&self.known, self.run.as_ref(), &active.step) {
                        let job = Box::new(job);
                        out.push(Effect::Job { job, point: None });
                    }
                }
                Some(active) => {
                    if active.outcome.is_none() {
                        let outcome = resolve::outcome(&self.known, &active.step);
                        self.work.came_of_it(outcome);
                    }
                    self.step_done(now, out);
                }
                None => {}
            },
            Intent::Wait(_) => {}
            Intent::Finish => self.finished(now, out),
            Intent::Update { ask, .. } => out.push(Effect::Answer {
                ask: *ask,
                answer: Answer::Group(Box::new(self.known.record.clone())),
            }),
            Intent::Drop(operation) => {
                self.ended = true;
                self.answer_deletion(operation, out);
            }
        }
    }

    /// The group is gone already, by the end of the operation that made way.
    pub(super) fn answer_deletion(&mut self, operation: &Operation, out: &mut Vec<Effect>) {
        if let Some((ask, _)) = self.asked_next.take_if(|(_, what)| what.is_deletion()) {
            let answer = Answer::Operation(Box::new(operation.clone()));
            out.push(Effect::Answer { ask, answer });
        }
    }

    fn commit_failed(&mut self, intent: Intent, error: StoreError, now: Now, out: &mut Vec<Effect>) {
        let group = &self.known.record.name;
        match intent {
            Intent::Begin { ask: Some(ask), .. } | Intent::Update { ask, .. } => {
                let answer = Answer::Store(error);
                return out.push(Effect::Answer { ask, answer });
            }
            Intent::Mark => {
                return self.step_failed(&JobError::NotRecorded(error), now, out);
            }
            Intent::Result { .. } => return self.step_failed(&error.into(), now, out),
            Intent::Begin { operation, ask: None } => {
                tracing::error!(%group, kind = operation.kind.as_str(), %error, "an operation is due and can't be begun");
            }
            Intent::Wait(_) | Intent::Finish => {
                tracing::error!(%group, %error, "how the operation stands can't be stored");
            }
            Intent::Drop(_) => {
                tracing::error!(%group, %error, "a group that came to nothing can't be deleted");
                self.ended = true;
            }
        }
        self.retry_at = Some(now.at.plus(RETRY_PAUSE));
    }

    /// A new operation was stored.
    fn begun(&mut self, ask: Option<AskId>, out: &mut Vec<Effect>) {
        let Some(run) = &self.run else { return };
        let operation = &run.operation;
        tracing::warn!(
            group = %self.known.record.name,
            operation = %operation.id,
            kind = operation.kind.as_str(),
            reason = %operation.reason,
            "operation begins"
        );
        if let Some(ask) = ask {
            let answer = Answer::Operation(Box::new(operation.clone()));
            out.push(Effect::Answer { ask, answer });
        }
        out.push(Effect::operation(run));
    }
}
