//! What can go wrong in the store.

use sterna_model::Revision;

/// Nothing was changed, unless the message says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else changed it first.
    #[error("{key} was changed by somebody else meanwhile (it is at revision {now})")]
    Conflict {
        key: String,
        /// Its revision now; 0 where it is gone.
        now: Revision,
    },
    /// It is there already.
    #[error("{what} {name:?} exists already")]
    Exists {
        /// `service`, `group`, `token`.
        what: &'static str,
        name: String,
    },
    /// It is not there.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// `service`, `group`, `operation`...
        what: &'static str,
        name: String,
    },
    /// The disk, or the database on it.
    #[error("the store can't be used: {reason}. Nothing was changed")]
    Unusable {
        /// Why.
        reason: String,
    },
    /// The disk failed in the middle of a commit. Nothing more is written until the store is opened anew, and only then
    /// does it show whether that commit is kept: as after a crash at that moment.
    #[error(
        "the disk failed while the store wrote to it: {reason}. Whether this change is kept shows when the gateway is \
         restarted, and until then nothing more is changed. Check the disk, then restart the gateway"
    )]
    Uncertain {
        /// What the disk said.
        reason: String,
    },
    /// A stored value can't be read.
    #[error("{key} in the store can't be read: {reason}. It is left as it is")]
    Damaged {
        key: String,
        /// Why.
        reason: String,
    },
    /// A sealed value can't be opened.
    #[error(
        "{key} can't be unsealed: the key file is not the one that it was sealed with. Put the old key file back, or \
         set the password anew"
    )]
    Unsealable { key: String },
}
