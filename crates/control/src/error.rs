//! Why something that was asked for was not done.

use sterna_model::{GroupName, OperationId};
use sterna_store::StoreError;

/// Nothing was changed, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The store refused: not there, there already, changed meanwhile, unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was asked for makes no sense as it stands.
    #[error("{0}")]
    Invalid(String),
    /// A rule that protects data or service refuses it.
    #[error("{reason}")]
    Refused {
        /// What stands against it, and what it means.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// Another operation of the group is under way.
    #[error(
        "operation {operation} of group {group} is under way; wait for it (`sterna operation wait {operation}`) or cancel it"
    )]
    Busy {
        /// The group.
        group: GroupName,
        /// The operation.
        operation: OperationId,
    },
    /// A server could not be asked.
    #[error("{0}")]
    Server(String),
    /// The gateway is stopping.
    #[error("the gateway is stopping; ask again when it is back")]
    Stopping,
}

impl ControlError {
    /// A refusal with advice.
    pub(crate) fn refused(reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused {
            reason: reason.into(),
            hint: Some(hint.into()),
        }
    }
}
