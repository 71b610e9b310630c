//! Operations.

use sterna_model::{GroupName, Operation, OperationId, Revision};

use super::records::{PAGE, Records};
use super::values;
use crate::backend::{Commit, Entry};
use crate::error::StoreError;

/// The operations that are kept; the oldest beyond them are dropped when they are over.
pub const OPERATIONS_MAX: u64 = 20_000;

const PREFIX: &str = "operations/";

/// One key for each operation that is not over, so that a start need not read all that ever were.
const UNFINISHED: &str = "unfinished/";

/// Operations, those that are over too.
#[derive(Debug, Clone)]
pub struct Operations {
    pub(super) records: Records,
}

impl Operations {
    /// Keeps a new operation and gives it the next number; the one that it came with does not matter.
    pub async fn create(&self, mut operation: Operation) -> Result<Operation, StoreError> {
        operation.revision = Revision(0);
        let (id, revision) = self
            .records
            .numbered("operations", |number| {
                operation.id = OperationId(number);
                let mut commit = Commit::urgent();
                put(&mut commit, &operation)?;
                Ok(commit)
            })
            .await?;
        operation.id = OperationId(id);
        operation.revision = revision;
        Ok(operation)
    }

    /// Keeps an operation that was changed, and returns it with its new revision. [`StoreError::Conflict`] where
    /// somebody else changed it since it was read.
    pub async fn save(&self, operation: Operation) -> Result<Operation, StoreError> {
        self.save_within(operation, OPERATIONS_MAX).await
    }

    async fn save_within(
        &self,
        mut operation: Operation,
        operations_max: u64,
    ) -> Result<Operation, StoreError> {
        let mut commit = Commit::urgent();
        save(&mut commit, &operation)?;
        // Numbers have no gaps, so one goes for each that ends, in the same commit: it costs nobody a wait.
        if operation.state.is_final()
            && let Some(old) = operation.id.0.checked_sub(operations_max)
            && let Some(entry) = self.records.get(&key(OperationId(old))).await?
            && self::operation(&entry)?.state.is_final()
        {
            commit.delete(&entry.key);
        }
        operation.revision = self.records.commit(commit).await?;
        Ok(operation)
    }

    /// One operation; [`StoreError::NotFound`].
    pub async fn get(&self, id: OperationId) -> Result<Operation, StoreError> {
        let found = self.records.get(&key(id)).await?;
        found.as_ref().map_or_else(|| Err(not_found(id)), operation)
    }

    /// At most `limit` operations, newest first: those of `group`, if one is given, and older than `before`.
    pub async fn newest(
        &self,
        group: Option<&GroupName>,
        before: Option<OperationId>,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut found = Vec::new();
        let mut before = before.map(key);
        while found.len() < limit {
            // Where groups are told apart, some of what is read is not wanted.
            let spread = if group.is_some() { 4 } else { 1 };
            let wanted = (limit - found.len()).saturating_mul(spread).min(PAGE);
            let page = self.records.newest(PREFIX, before.as_deref(), wanted).await?;
            let full = page.len() == wanted;
            for entry in &page {
                let operation = operation(entry)?;
                if group.is_none_or(|group| *group == operation.group) && found.len() < limit {
                    found.push(operation);
                }
            }
            if !full {
                break;
            }
            before = page.last().map(|entry| entry.key.clone());
        }
        Ok(found)
    }

    /// The operations that are not over, oldest first.
    pub async fn unfinished(&self) -> Result<Vec<Operation>, StoreError> {
        let mut unfinished = Vec::new();
        for entry in self.records.all(UNFINISHED).await? {
            let operation = self.get(values::parse(&entry)?).await?;
            // It may have ended since.
            if !operation.state.is_final() {
                unfinished.push(operation);
            }
        }
        Ok(unfinished)
    }
}

/// Sets an operation that must be there with its revision.
pub(super) fn save(commit: &mut Commit, operation: &Operation) -> Result<(), StoreError> {
    if operation.revision == Revision(0) {
        return Err(not_found(operation.id));
    }
    put(commit, operation)
}

/// Sets an operation that must have its revision.
pub(super) fn put(commit: &mut Commit, operation: &Operation) -> Result<(), StoreError> {
    let key = key(operation.id);
    commit.replace(&key, operation.revision, values::json(&key, operation)?);
    let unfinished = values::numbered_key(UNFINISHED, operation.id.0);
    if operation.state.is_final() {
        commit.delete(&unfinished);
    } else {
        commit.put(&unfinished, values::json(&unfinished, &operation.id)?);
    }
    Ok(())
}

fn key(id: OperationId) -> String {
    values::numbered_key(PREFIX, id.0)
}

fn operation(entry: &Entry) -> Result<Operation, StoreError> {
    let mut operation: Operation = values::parse(entry)?;
    operation.revision = entry.revision;
    Ok(operation)
}

fn not_found(id: OperationId) -> StoreError {
    StoreError::NotFound {
        what: "operation",
        name: id.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use sterna_model::{Epoch, FailoverCause, OperationKind, OperationReason, OperationState};
    use tempfile::TempDir;

    use super::*;
    use crate::Catalogue;

    fn running() -> Operation {
        let group = "orders".parse().expect("a name");
        Operation::begun(
            &group,
            Epoch(1),
            OperationKind::Failover,
            OperationReason::PrimaryLost(FailoverCause::LostItsData),
            jiff::Timestamp::UNIX_EPOCH,
        )
    }

    #[tokio::test]
    async fn the_oldest_are_dropped_when_they_are_over() {
        let dir = TempDir::new().expect("a directory");
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).expect("it opens");
        for number in 1..=10 {
            let made = catalogue.operations.create(running()).await.expect("created");
            assert_eq!(made.id, OperationId(number));
            // The second goes on and on.
            if number != 2 {
                let over = Operation {
                    state: OperationState::Succeeded,
                    ..made
                };
                catalogue.operations.save_within(over, 3).await.expect("saved");
            }
        }
        let kept = catalogue.operations.newest(None, None, 100).await.expect("read");
        let kept: Vec<_> = kept.into_iter().map(|operation| operation.id.0).collect();
        assert_eq!(kept, [10, 9, 8, 2]);
    }
}
