//! Steps: work that runs beside the owner, one at a time, and comes back as an event.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use sterna_model::{EventKind, Group, Operation, OperationState, Step, StepName, StepState};
use sterna_node::adopt::Kept;
use sterna_replication::Handover;
use tokio::time::Instant;

use super::owner::Owner;
use crate::gateway::Common;
use crate::observe::NodeKey;

/// After a step that failed the next is tried no sooner.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What is under way.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// A step of the operation.
    Step,
    /// The operation is being kept as over.
    Finish,
    /// Something that belongs to no operation.
    Work,
    /// A node is put right.
    Repair(NodeKey),
}

/// What a step changed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// In one sentence.
    pub(super) result: String,
    pub(super) group: Option<Group>,
    pub(super) operation: Option<Operation>,
    /// A node was shut to writes, in this process of it.
    pub(super) shut: Option<(NodeKey, String)>,
    pub(super) kept: Option<(NodeKey, Kept)>,
    pub(super) following: Option<bool>,
    pub(super) handover: Option<Handover>,
    pub(super) paused: Option<Instant>,
    /// Writes were saved.
    pub(super) rescued: Option<sterna_model::Rescue>,
    /// Looks that the step took.
    pub(super) looks: Vec<crate::observe::Look>,
}

impl Effect {
    pub(super) fn said(result: impl Into<String>) -> Self {
        Self {
            result: result.into(),
            ..Self::default()
        }
    }
}

/// A step came back.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) result: Result<Effect, String>,
    /// The operation as it was kept when the step began.
    operation: Option<Operation>,
}

/// How a step is recorded.
pub(super) struct Record {
    /// Its name.
    pub(super) name: StepName,
    /// Why it is done.
    pub(super) reason: String,
    /// Whether it is kept before it is done. What follows a decision need not be: the decision is kept.
    pub(super) mark: bool,
}

impl Owner {
    /// Begins a step of the operation.
    pub(super) fn begin_step<F, W>(&mut self, record: Record, work: W)
    where
        W: FnOnce(Operation, Group) -> F + Send + 'static,
        F: Future<Output = Result<Effect, String>> + Send + 'static,
    {
        let Some(mut operation) = self.operation.clone() else {
            return;
        };
        let now = Timestamp::now();
        Self::end_waiting(&mut operation, now);
        operation.now.clone_from(&record.reason);
        operation.steps.push(Step {
            name: record.name,
            state: StepState::Running,
            reason: record.reason,
            started_at: now,
            finished_at: None,
        });
        tracing::info!(group = %self.group.name, operation = %operation.id, step = %record.name, "step begins");
        self.operation = Some(operation.clone());
        self.step = Some(Action::Step);
        self.since = Instant::now();
        let (common, steps) = (self.common.clone(), self.steps.clone());
        let kind = operation.kind;
        let name = record.name;
        let group = self.group.clone();
        tokio::spawn(async move {
            let mut kept = operation;
            if record.mark {
                common.failpoint.pass(kind, name.as_str(), "begin");
                match common.catalogue.save_operation(kept.clone()).await {
                    Ok(saved) => kept = saved,
                    Err(error) => {
                        let result = Err(format!("the step could not be kept, so it was not done: {error}"));
                        return drop(
                            steps
                                .send(Done {
                                    result,
                                    operation: None,
                                })
                                .await,
                        );
                    }
                }
            }
            common.failpoint.pass(kind, name.as_str(), "before");
            let result = work(kept.clone(), group).await;
            common.failpoint.pass(kind, name.as_str(), "after");
            drop(
                steps
                    .send(Done {
                        result,
                        operation: Some(kept),
                    })
                    .await,
            );
        });
    }

    /// Begins work that belongs to no operation.
    pub(super) fn begin_work<F>(&mut self, action: Action, work: F)
    where
        F: Future<Output = Result<Effect, String>> + Send + 'static,
    {
        self.step = Some(action);
        self.since = Instant::now();
        let steps = self.steps.clone();
        tokio::spawn(async move {
            let result = work.await;
            drop(
                steps
                    .send(Done {
                        result,
                        operation: None,
                    })
                    .await,
            );
        });
    }

    /// Takes in what a step changed.
    pub(super) async fn on_step_done(&mut self, done: Done) {
        let action = self.step.take();
        let now = Timestamp::now();
        self.since = Instant::now();
        if let (Some(kept), Some(known)) = (&done.operation, &mut self.operation) {
            known.revision = kept.revision;
        }
        match done.result {
            Ok(effect) => {
                let result = effect.result.clone();
                self.take_effect(effect).await;
                let failed = self
                    .operation
                    .as_ref()
                    .is_some_and(|operation| operation.state == OperationState::Failed);
                self.close_step(
                    if failed {
                        StepState::Failed
                    } else {
                        StepState::Done
                    },
                    &result,
                    now,
                    action.as_ref(),
                );
            }
            Err(reason) => {
                tracing::warn!(group = %self.group.name, ?action, %reason, "step failed");
                self.close_step(StepState::Failed, &reason, now, action.as_ref());
                self.retry_at = Some(Instant::now() + RETRY_PAUSE);
                if let Some(Action::Repair(key)) = &action {
                    self.repair_failed(key, reason);
                }
            }
        }
        if matches!(action, Some(Action::Finish)) {
            self.on_finished().await;
        }
        self.tell_operation();
    }

    fn close_step(&mut self, state: StepState, result: &str, now: Timestamp, action: Option<&Action>) {
        if !matches!(action, Some(Action::Step)) {
            return;
        }
        let Some(operation) = &mut self.operation else {
            return;
        };
        let Some(step) = operation
            .steps
            .last_mut()
            .filter(|step| step.finished_at.is_none())
        else {
            return;
        };
        step.state = state;
        step.finished_at = Some(now);
        if !result.is_empty() {
            result.clone_into(&mut step.reason);
        }
        if state == StepState::Failed {
            result.clone_into(&mut operation.now);
        }
        // The same step failing again and again is one line.
        if let [.., before, last] = operation.steps.as_mut_slice()
            && before.state == StepState::Failed
            && before.name == last.name
        {
            last.started_at = before.started_at;
            let keep = operation.steps.len() - 2;
            operation.steps.remove(keep);
        }
    }

    async fn take_effect(&mut self, effect: Effect) {
        if let Some(mut operation) = effect.operation {
            // What was shown meanwhile is of the same operation; its steps are ours.
            if let Some(known) = &self.operation {
                operation.steps.clone_from(&known.steps);
            }
            self.operation = Some(operation);
        }
        if let Some(group) = effect.group {
            let services_changed = !group.services().eq(self.group.services());
            self.group = group;
            if services_changed {
                self.open_relay();
                if let Err(error) = self.reach_services().await {
                    tracing::error!(group = %self.group.name, %error, "a service of the group can't be reached as it is registered");
                }
            }
        }
        if let Some((key, run)) = effect.shut
            && let Some(node) = self.nodes.iter_mut().find(|node| node.key == key)
        {
            node.shut_run = Some(run);
        }
        if let Some((key, kept)) = effect.kept
            && let Some(node) = self.nodes.iter_mut().find(|node| node.key == key)
        {
            node.kept = Some(kept);
            // What was set is seen at once: a lease that seems longer than it is would be waited for.
            node.probe.look_now();
        }
        self.rescued.extend(effect.rescued);
        for look in effect.looks {
            if let Some(node) = self.nodes.iter_mut().find(|node| node.key == look.node) {
                node.looked(look);
            }
        }
        self.following = effect.following.unwrap_or(self.following);
        self.handover = effect.handover.unwrap_or(self.handover);
        self.paused_at = effect.paused.or(self.paused_at);
    }

    /// Takes note of what the operation waits for; a wait is a step of its own in the record.
    pub(super) fn wait(&mut self, name: StepName, reason: String) {
        let Some(operation) = &mut self.operation else {
            return;
        };
        let again = operation
            .steps
            .last()
            .is_some_and(|step| step.name == name && step.finished_at.is_none());
        operation.now.clone_from(&reason);
        if again {
            if let Some(step) = operation.steps.last_mut() {
                step.reason = reason;
            }
            return;
        }
        let now = Timestamp::now();
        let mut operation = operation.clone();
        Self::end_waiting(&mut operation, now);
        operation.steps.push(Step {
            name,
            state: StepState::Running,
            reason,
            started_at: now,
            finished_at: None,
        });
        self.operation = Some(operation);
        self.tell_operation();
        self.save_soon(name);
    }

    /// A wait that is under way ends when something else begins.
    fn end_waiting(operation: &mut Operation, now: Timestamp) {
        if let Some(step) = operation
            .steps
            .last_mut()
            .filter(|step| step.finished_at.is_none())
        {
            step.state = StepState::Done;
            step.finished_at = Some(now);
        }
    }

    /// Keeps what the operation waits for, so that who asks sees it.
    fn save_soon(&mut self, name: StepName) {
        let Some(operation) = self.operation.clone() else {
            return;
        };
        let common = self.common.clone();
        self.begin_work(Action::Work, async move {
            let kind = operation.kind;
            let kept = keep(&common, operation).await?;
            common.failpoint.pass(kind, name.as_str(), "wait");
            Ok(kept)
        });
    }

    /// Ends the operation.
    pub(super) fn finish(&mut self, state: OperationState, result: String) {
        let Some(mut operation) = self.operation.clone() else {
            return;
        };
        let now = Timestamp::now();
        Self::end_waiting(&mut operation, now);
        operation.state = state;
        operation.finished_at = Some(now);
        operation.result = Some(result);
        operation.now = String::new();
        operation.progress = None;
        self.complete_report(&mut operation);
        self.operation = Some(operation.clone());
        self.keep_finished(operation);
    }

    /// Keeps an operation that is over.
    pub(super) fn keep_finished(&mut self, operation: Operation) {
        let common = self.common.clone();
        self.begin_work(Action::Finish, async move {
            common.failpoint.pass(operation.kind, "finish", "before");
            keep(&common, operation).await
        });
    }

    /// The operation is kept as over: the group goes on without it.
    async fn on_finished(&mut self) {
        let Some(operation) = &self.operation else { return };
        if !operation.state.is_final() {
            return;
        }
        let outcome = format!("{:?}", operation.state).to_lowercase();
        let action = format!("{}.end", operation.kind);
        let (id, target) = (operation.id, self.group.name.to_string());
        let result = operation.result.clone().unwrap_or_default();
        self.common
            .note(
                &action,
                &target,
                &outcome,
                Some(format!("operation {id}: {result}")),
            )
            .await;
        self.tell_operation();
        let over = self.operation.take();
        self.cancelled = false;
        self.paused_at = None;
        self.resyncs = (0, 0);
        self.after_operation(over).await;
    }

    /// Tells whoever listens how the operation stands.
    pub(super) fn tell_operation(&self) {
        if let Some(operation) = &self.operation {
            let operation = Box::new(operation.clone());
            self.common
                .tell(Some(&self.group.name), EventKind::Operation { operation });
        }
    }
}

/// Keeps an operation as it is.
async fn keep(common: &Common, operation: Operation) -> Result<Effect, String> {
    let kept = common
        .catalogue
        .save_operation(operation)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Effect {
        operation: Some(kept),
        ..Effect::default()
    })
}
