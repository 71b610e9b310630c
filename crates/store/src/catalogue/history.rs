//! The terms of groups.

use sterna_model::{Epoch, GroupName, HistoryEntry, Revision};

use super::records::{ATTEMPTS_MAX, Records, contended};
use super::values;
use crate::backend::Commit;
use crate::error::StoreError;

/// The terms of groups: who was the primary since when, and why.
#[derive(Debug, Clone)]
pub struct History {
    pub(super) records: Records,
}

impl History {
    /// Adds an entry. To say the same again, after a crash or because more is known by now, adds nothing: it replaces the
    /// entry of the same term.
    pub async fn add(&self, entry: HistoryEntry) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let mut commit = Commit::urgent();
            put(&self.records, &mut commit, &entry).await?;
            match self.records.commit(commit).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&prefix(&entry.group)))
    }

    /// The terms of a group, oldest first; empty where there is no such group.
    pub async fn of(&self, group: &GroupName) -> Result<Vec<HistoryEntry>, StoreError> {
        self.records
            .all(&prefix(group))
            .await?
            .iter()
            .map(values::parse)
            .collect()
    }
}

/// Adds an entry to a commit, on the condition that nobody else adds it.
pub(super) async fn put(
    records: &Records,
    commit: &mut Commit,
    entry: &HistoryEntry,
) -> Result<(), StoreError> {
    let of_epoch = epoch_prefix(&entry.group, entry.epoch);
    let known = records.all(&of_epoch).await?;
    for kept in &known {
        let same: HistoryEntry = values::parse(kept)?;
        if same.is_same_term(entry) {
            commit.replace(&kept.key, kept.revision, values::json(&kept.key, entry)?);
            return Ok(());
        }
    }
    let key = format!("{of_epoch}{:04}", known.len());
    commit.replace(&key, Revision(0), values::json(&key, entry)?);
    Ok(())
}

/// Adds the first term of a group that is new.
pub(super) fn put_first(commit: &mut Commit, entry: &HistoryEntry) -> Result<(), StoreError> {
    let key = format!("{}{:04}", epoch_prefix(&entry.group, entry.epoch), 0);
    commit.replace(&key, Revision(0), values::json(&key, entry)?);
    Ok(())
}

pub(super) fn prefix(group: &GroupName) -> String {
    format!("history/{group}/")
}

fn epoch_prefix(group: &GroupName, epoch: Epoch) -> String {
    format!("{}{:020}/", prefix(group), epoch.0)
}
