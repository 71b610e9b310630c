//! Who waits for which answer.

use std::collections::BTreeMap;

use sterna_model::{Group, GroupName, Operation};
use sterna_store::StoreError;

use crate::error::ControlError;
use crate::handle::Reply;
use crate::state::{Answer, AskId};

/// Where an answer goes, by what it is about.
#[derive(Debug)]
pub(super) enum ReplyTo {
    Operation(Reply<Operation>),
    Group(Reply<Group>),
}

/// Everybody who waits for an answer.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: BTreeMap<AskId, ReplyTo>,
    last: u64,
}

impl Replies {
    /// Gives what was asked a name.
    pub(super) fn register(&mut self, reply: ReplyTo) -> AskId {
        self.last += 1;
        let ask = AskId(self.last);
        self.waiting.insert(ask, reply);
        ask
    }

    /// Answers. Who does not wait any more gets nothing.
    pub(super) fn answer(&mut self, group: &GroupName, ask: AskId, answer: Answer) {
        match self.waiting.remove(&ask) {
            Some(ReplyTo::Operation(reply)) => drop(reply.send(match answer {
                Answer::Operation(operation) => Ok(*operation),
                other => Err(error(group, other)),
            })),
            Some(ReplyTo::Group(reply)) => drop(reply.send(match answer {
                Answer::Group(group) => Ok(*group),
                other => Err(error(group, other)),
            })),
            None => {}
        }
    }
}

fn error(group: &GroupName, answer: Answer) -> ControlError {
    match answer {
        Answer::Busy(operation) => ControlError::Busy {
            group: group.clone(),
            operation,
        },
        Answer::Refused(refusal) => ControlError::refused(refusal.to_string(), refusal.hint()),
        Answer::Invalid(text) => ControlError::Invalid(text),
        Answer::Conflict { now } => ControlError::Store(StoreError::Conflict {
            key: format!("group {group}"),
            now,
        }),
        Answer::Store(error) => ControlError::Store(error),
        Answer::Operation(_) | Answer::Group(_) => ControlError::Stopping,
    }
}
