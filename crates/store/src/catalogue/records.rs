//! What every part of the catalogue stands on: records under keys, in JSON, some of them sealed or numbered.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use sterna_model::Revision;
use tokio::sync::Mutex;

use super::values;
use crate::backend::{Commit, Entry, Room, Store, Write};
use crate::error::StoreError;
use crate::seal::Sealer;

/// How often a change that needs nobody's consent is tried anew when somebody else was faster.
pub(super) const ATTEMPTS_MAX: usize = 32;

/// Entries that are read at a time.
pub(super) const PAGE: usize = 500;

/// The store, with the key for what is secret in it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Records {
    store: Arc<dyn Store>,
    sealer: Arc<Sealer>,
    /// Held while a number is given, so that only other gateways can be faster.
    numbering: Arc<Mutex<()>>,
}

impl Records {
    pub(super) fn new(store: Arc<dyn Store>, sealer: Sealer) -> Self {
        Self {
            store,
            sealer: Arc::new(sealer),
            numbering: Arc::default(),
        }
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.store.get(key).await
    }

    /// At most `limit` entries whose keys begin with `prefix` and are less than `before`, the last one first.
    pub(super) async fn newest(
        &self,
        prefix: &str,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.store.list(prefix, before, true, limit).await
    }

    /// The first entries whose keys begin with `prefix`, at most `limit`.
    pub(super) async fn oldest(&self, prefix: &str, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store.list(prefix, None, false, limit).await
    }

    pub(super) async fn room(&self) -> Result<Room, StoreError> {
        self.store.room().await
    }

    pub(super) async fn commit(&self, commit: Commit) -> Result<Revision, StoreError> {
        self.store.commit(commit).await
    }

    /// A value as JSON, sealed: it opens under this key only.
    pub(super) fn seal<T: Serialize>(&self, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
        self.sealer.seal(key, &values::json(key, value)?)
    }

    /// A value that was sealed; [`StoreError::Unsealable`].
    pub(super) fn unseal<T: DeserializeOwned>(&self, entry: &Entry) -> Result<T, StoreError> {
        values::parse_bytes(&entry.key, &self.sealer.open(&entry.key, &entry.value)?)
    }

    /// What is at `key`, which is `value` where nothing was.
    pub(super) async fn made_once(&self, key: &str, value: Vec<u8>) -> Result<Entry, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            if let Some(entry) = self.store.get(key).await? {
                return Ok(entry);
            }
            let mut commit = Commit::default();
            commit.create(key, value.clone());
            match self.store.commit(commit).await {
                Ok(_) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(key))
    }

    /// Everything whose key begins with `prefix`, in the order of the keys.
    pub(super) async fn all(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let after = entries.last().map(|entry| entry.key.clone());
            let page = self.store.list(prefix, after.as_deref(), false, PAGE).await?;
            let full = page.len() == PAGE;
            entries.extend(page);
            if !full {
                return Ok(entries);
            }
        }
    }

    /// Commits what `make` makes of the next number of a kind. No number is given twice; what `make` makes is only
    /// committed if nobody else was given one meanwhile.
    pub(super) async fn numbered(
        &self,
        kind: &str,
        mut make: impl FnMut(u64) -> Result<Commit, StoreError> + Send,
    ) -> Result<(u64, Revision), StoreError> {
        let counter = format!("counters/{kind}");
        let _alone = self.numbering.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let entry = self.store.get(&counter).await?;
            let (last, revision) = match &entry {
                None => (0, Revision(0)),
                Some(entry) => (values::parse::<u64>(entry)?, entry.revision),
            };
            let number = last.checked_add(1).ok_or_else(|| StoreError::Damaged {
                key: counter.clone(),
                reason: "there is no number after it".to_owned(),
            })?;
            let mut commit = make(number)?;
            commit.conditions.insert(0, (counter.clone(), revision));
            commit.put(&counter, values::json(&counter, &number)?);
            match self.store.commit(commit).await {
                Ok(revision) => return Ok((number, revision)),
                Err(StoreError::Conflict { key, .. }) if key == counter => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&counter))
    }
}

/// Somebody else was faster every time.
pub(super) fn contended(key: &str) -> StoreError {
    StoreError::Unusable {
        reason: format!("{key} was changed by others {ATTEMPTS_MAX} times in a row. Try again"),
    }
}

impl Commit {
    /// One that a change of primary may depend on.
    pub(super) fn urgent() -> Self {
        Self {
            urgent: true,
            ..Self::default()
        }
    }

    /// Requires that `key` has this revision; 0 means that it must not be there.
    pub(super) fn require(&mut self, key: &str, revision: Revision) {
        self.conditions.push((key.to_owned(), revision));
    }

    /// Sets `key`.
    pub(super) fn put(&mut self, key: &str, value: Vec<u8>) {
        let key = key.to_owned();
        self.writes.push(Write::Put { key, value });
    }

    /// Removes `key`.
    pub(super) fn delete(&mut self, key: &str) {
        self.writes.push(Write::Delete { key: key.to_owned() });
    }

    /// Sets `key`, which must not be there.
    pub(super) fn create(&mut self, key: &str, value: Vec<u8>) {
        self.require(key, Revision(0));
        self.put(key, value);
    }

    /// Sets `key`, which must have this revision.
    pub(super) fn replace(&mut self, key: &str, revision: Revision, value: Vec<u8>) {
        self.require(key, revision);
        self.put(key, value);
    }
}
