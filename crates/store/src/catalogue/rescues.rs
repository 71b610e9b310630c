//! Rescue files: what is known of them. The files themselves lie in the gateway's rescue directory.

use sterna_model::{GroupName, Rescue, RescueId};

use super::records::Records;
use super::values;
use crate::backend::Commit;
use crate::error::StoreError;

const PREFIX: &str = "rescues/";

/// What is known of the rescue files.
#[derive(Debug, Clone)]
pub struct Rescues {
    pub(super) records: Records,
}

impl Rescues {
    /// Adds a rescue file and gives it the next number; the one that it came with does not matter.
    pub async fn add(&self, mut rescue: Rescue) -> Result<Rescue, StoreError> {
        let (id, _) = self
            .records
            .numbered("rescues", |number| {
                rescue.id = RescueId(number);
                let key = key(rescue.id);
                let mut commit = Commit::urgent();
                commit.create(&key, values::json(&key, &rescue)?);
                Ok(commit)
            })
            .await?;
        rescue.id = RescueId(id);
        Ok(rescue)
    }

    /// Rescue files, oldest first: those of `group`, if one is given.
    pub async fn list(&self, group: Option<&GroupName>) -> Result<Vec<Rescue>, StoreError> {
        let mut rescues = Vec::new();
        for entry in self.records.all(PREFIX).await? {
            let rescue: Rescue = values::parse(&entry)?;
            if group.is_none_or(|group| *group == rescue.group) {
                rescues.push(rescue);
            }
        }
        Ok(rescues)
    }

    /// One rescue file; [`StoreError::NotFound`].
    pub async fn get(&self, id: RescueId) -> Result<Rescue, StoreError> {
        let found = self.records.get(&key(id)).await?;
        found.as_ref().map_or_else(|| Err(not_found(id)), values::parse)
    }

    /// Forgets a rescue file; [`StoreError::NotFound`]. The file itself is for the caller to remove.
    pub async fn delete(&self, id: RescueId) -> Result<(), StoreError> {
        let key = key(id);
        let entry = self.records.get(&key).await?.ok_or_else(|| not_found(id))?;
        let mut commit = Commit::default();
        commit.require(&key, entry.revision);
        commit.delete(&key);
        match self.records.commit(commit).await {
            Ok(_) => Ok(()),
            // It is never changed, so it is gone.
            Err(StoreError::Conflict { .. }) => Err(not_found(id)),
            Err(error) => Err(error),
        }
    }
}

fn key(id: RescueId) -> String {
    values::numbered_key(PREFIX, id.0)
}

fn not_found(id: RescueId) -> StoreError {
    StoreError::NotFound {
        what: "rescue file",
        name: id.to_string(),
    }
}
