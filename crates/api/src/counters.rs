//! What the API counts itself: its answers, and operations that ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::http::StatusCode;
use sterna_model::{Event, EventKind, GroupName, OperationId, OperationKind, OperationState, Report};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// Ended operations that are remembered, so that news of one that ended before do not count it again.
const ENDED_REMEMBERED: usize = 256;

/// Answers by route and status. Its size is bounded by the table of routes.
pub(crate) type Answers = BTreeMap<(&'static str, u16), u64>;
/// Ended operations by kind and result.
pub(crate) type Ended = BTreeMap<(&'static str, &'static str), u64>;

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct ApiCounters {
    answers: Mutex<Answers>,
    operations: Mutex<Operations>,
}

#[derive(Debug, Default)]
struct Operations {
    ended: Ended,
    remembered: VecDeque<OperationId>,
    /// The report of each group's last failover. Its size is bounded by the number of groups.
    failovers: BTreeMap<GroupName, Report>,
}

impl ApiCounters {
    /// Counts an answer.
    pub(crate) fn answered(&self, action: &'static str, status: StatusCode) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        *answers.entry((action, status.as_u16())).or_default() += 1;
    }

    pub(crate) fn answers(&self) -> Answers {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn ended(&self) -> Ended {
        let operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.ended.clone()
    }

    /// The report of the last failover of each group; those of groups that are gone are forgotten.
    pub(crate) fn failovers(&self, is_there: impl Fn(&GroupName) -> bool) -> Vec<(GroupName, Report)> {
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operations.failovers.retain(|group, _| is_there(group));
        let failovers = operations.failovers.iter();
        failovers
            .map(|(group, report)| (group.clone(), report.clone()))
            .collect()
    }

    /// Counts an event that says that an operation ended.
    fn heard(&self, event: &Event) {
        let EventKind::Operation { operation } = &event.kind else {
            return;
        };
        let Some(result) = result_word(operation.state) else {
            return;
        };
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        if operation.kind == OperationKind::Failover
            && let Some(report) = &operation.report
        {
            // Told again once the writes that it left behind are counted.
            operations
                .failovers
                .insert(operation.group.clone(), report.clone());
        }
        if operations.remembered.contains(&operation.id) {
            return;
        }
        if operations.remembered.len() == ENDED_REMEMBERED {
            operations.remembered.pop_front();
        }
        operations.remembered.push_back(operation.id);
        let key = (operation.kind.as_str(), result);
        *operations.ended.entry(key).or_default() += 1;
    }

    /// Counts for as long as events come. Those that were missed are not counted.
    pub(crate) async fn listen(&self, mut events: Receiver<Event>) {
        loop {
            match events.recv().await {
                Ok(event) => self.heard(&event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

fn result_word(state: OperationState) -> Option<&'static str> {
    match state {
        OperationState::Succeeded => Some("succeeded"),
        OperationState::Failed => Some("failed"),
        OperationState::Cancelled => Some("cancelled"),
        OperationState::Running => None,
    }
}
