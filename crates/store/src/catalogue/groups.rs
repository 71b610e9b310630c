//! Replication groups, and the decision that changes one together with its operation.

use sterna_model::{Group, GroupName, HistoryEntry, Operation, OperationId, Revision};

use super::records::Records;
use super::{history, nodes, operations, values};
use crate::backend::{Commit, Entry};
use crate::error::StoreError;

const PREFIX: &str = "groups/";

/// Replication groups.
#[derive(Debug, Clone)]
pub struct Groups {
    pub(super) records: Records,
}

impl Groups {
    /// All groups, by name.
    pub async fn all(&self) -> Result<Vec<Group>, StoreError> {
        self.records.all(PREFIX).await?.iter().map(group).collect()
    }

    /// One group; [`StoreError::NotFound`].
    pub async fn get(&self, name: &GroupName) -> Result<Group, StoreError> {
        let found = self.records.get(&key(name)).await?;
        found.as_ref().map_or_else(|| Err(not_found(name)), group)
    }

    /// Keeps a new group; [`StoreError::Exists`].
    pub async fn create(&self, mut group: Group) -> Result<Group, StoreError> {
        group.revision = Revision(0);
        let mut commit = Commit::default();
        put(&mut commit, &group)?;
        match self.records.commit(commit).await {
            Ok(revision) => {
                group.revision = revision;
                Ok(group)
            }
            Err(StoreError::Conflict { .. }) => Err(StoreError::Exists {
                what: "group",
                name: group.name.to_string(),
            }),
            Err(error) => Err(error),
        }
    }

    /// Keeps a new group with the operation that makes it, which gets the next number, and its first term, all or nothing;
    /// [`StoreError::Exists`].
    pub async fn begin(
        &self,
        mut group: Group,
        mut operation: Operation,
        mut entry: HistoryEntry,
    ) -> Result<(Group, Operation), StoreError> {
        (group.revision, operation.revision) = (Revision(0), Revision(0));
        let made = self
            .records
            .numbered("operations", |number| {
                operation.id = OperationId(number);
                entry.operation = Some(operation.id);
                let mut commit = Commit::default();
                put(&mut commit, &group)?;
                operations::put(&mut commit, &operation)?;
                history::put_first(&mut commit, &entry)?;
                Ok(commit)
            })
            .await;
        match made {
            Ok((_, revision)) => {
                (group.revision, operation.revision) = (revision, revision);
                Ok((group, operation))
            }
            Err(StoreError::Conflict { key: taken, .. }) if taken == key(&group.name) => {
                Err(StoreError::Exists {
                    what: "group",
                    name: group.name.to_string(),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps a group that was changed, and returns it with its new revision. [`StoreError::Conflict`] where somebody
    /// else changed it since it was read.
    pub async fn save(&self, mut group: Group) -> Result<Group, StoreError> {
        if group.revision == Revision(0) {
            return Err(not_found(&group.name));
        }
        let mut commit = Commit::urgent();
        put(&mut commit, &group)?;
        group.revision = self.records.commit(commit).await?;
        Ok(group)
    }

    /// Forgets a group with its history, its secret and what its nodes were before; its rescue files and operations
    /// stay. [`StoreError::Conflict`] where somebody else changed it since it was read.
    pub async fn delete(&self, group: &Group) -> Result<(), StoreError> {
        let name = &group.name;
        if group.revision == Revision(0) {
            return Err(not_found(name));
        }
        let mut commit = Commit::default();
        commit.require(&key(name), group.revision);
        commit.delete(&key(name));
        commit.delete(&nodes::relay_secret_key(name));
        for prefix in [history::prefix(name), nodes::before_prefix(name)] {
            for entry in self.records.all(&prefix).await? {
                commit.delete(&entry.key);
            }
        }
        self.records.commit(commit).await?;
        Ok(())
    }

    /// A group that was changed, with the operation that changes it and the epoch that begins with it, where there are
    /// such: all or nothing. [`StoreError::Conflict`] where somebody else changed one of them since it was read.
    pub async fn change(
        &self,
        mut group: Group,
        mut operation: Option<Operation>,
        entry: Option<HistoryEntry>,
    ) -> Result<(Group, Option<Operation>), StoreError> {
        if group.revision == Revision(0) {
            return Err(not_found(&group.name));
        }
        let mut commit = Commit::urgent();
        put(&mut commit, &group)?;
        if let Some(operation) = &operation {
            operations::save(&mut commit, operation)?;
        }
        if let Some(entry) = entry {
            history::put(&self.records, &mut commit, &entry).await?;
        }
        let revision = self.records.commit(commit).await?;
        group.revision = revision;
        if let Some(operation) = &mut operation {
            operation.revision = revision;
        }
        Ok((group, operation))
    }
}

fn key(name: &GroupName) -> String {
    format!("{PREFIX}{name}")
}

fn group(entry: &Entry) -> Result<Group, StoreError> {
    let mut group: Group = values::parse(entry)?;
    group.revision = entry.revision;
    Ok(group)
}

/// Sets a group that must have its revision.
fn put(commit: &mut Commit, group: &Group) -> Result<(), StoreError> {
    let key = key(&group.name);
    commit.replace(&key, group.revision, values::json(&key, group)?);
    Ok(())
}

fn not_found(name: &GroupName) -> StoreError {
    StoreError::NotFound {
        what: "group",
        name: name.to_string(),
    }
}
