//! The open database: the seam's operations, blocking.

use std::fs::File;
use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use sterna_model::Revision;

use super::files;
use crate::error::StoreError;
use crate::seam::{Commit, Entry, Write};

/// An open database; it stays locked until this is dropped.
pub(crate) struct Database {
    connection: Connection,
    /// Why nothing more is written: see [`StoreError::Uncertain`].
    broken: Option<String>,
    _lock: File,
}

impl Database {
    /// See [`super::SqliteStore::open`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let (connection, lock) = files::open(path)?;
        Ok(Self {
            connection,
            broken: None,
            _lock: lock,
        })
    }

    /// See [`crate::Store::get`].
    pub(crate) fn get(&mut self, key: &str) -> Result<Option<Entry>, StoreError> {
        let find = || {
            let mut found = self
                .connection
                .prepare_cached("SELECT key, value, revision FROM entries WHERE key = ?1")?;
            found.query_row([key], entry).optional()
        };
        find().map_err(|error| unusable(&error))
    }

    /// See [`crate::Store::list`].
    pub(crate) fn list(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut from = prefix.to_owned();
        // No text is greater than a blob.
        let mut to = end_of(prefix).map_or(Value::Blob(Vec::new()), Value::Text);
        if let Some(after) = after {
            if newest_first {
                if end_of(prefix).is_none_or(|end| after < end.as_str()) {
                    to = Value::Text(after.to_owned());
                }
            } else if after >= prefix {
                from = format!("{after}\0");
            }
        }
        let statement = if newest_first {
            "SELECT key, value, revision FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key DESC LIMIT ?3"
        } else {
            "SELECT key, value, revision FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3"
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = || -> rusqlite::Result<Vec<Entry>> {
            let mut found = self.connection.prepare_cached(statement)?;
            found.query_map((from, to, limit), entry)?.collect()
        };
        find().map_err(|error| unusable(&error))
    }

    /// See [`crate::Store::commit`].
    pub(crate) fn commit(&mut self, commit: &Commit) -> Result<Revision, StoreError> {
        if let Some(reason) = &self.broken {
            return Err(StoreError::Unusable {
                reason: format!(
                    "its disk failed earlier ({reason}), and nothing is written until the gateway is restarted. Check \
                     the disk, then restart it"
                ),
            });
        }
        match self.try_commit(commit) {
            Ok(done) => done,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                let reason = error.to_string();
                self.broken = Some(reason.clone());
                Err(StoreError::Uncertain { reason })
            }
            Err(error) => Err(unusable(&error)),
        }
    }

    fn try_commit(&mut self, commit: &Commit) -> rusqlite::Result<Result<Revision, StoreError>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some(conflict) = first_conflict(&transaction, &commit.conditions)? {
            return Ok(Err(conflict));
        }
        let revision: u64 = if commit.writes.is_empty() {
            transaction.query_row("SELECT revision FROM counter", [], |row| row.get(0))?
        } else {
            transaction
                .prepare_cached("UPDATE counter SET revision = revision + 1 RETURNING revision")?
                .query_row([], |row| row.get(0))?
        };
        for write in &commit.writes {
            match write {
                Write::Put { key, value } => transaction
                    .prepare_cached("INSERT OR REPLACE INTO entries VALUES (?1, ?2, ?3)")?
                    .execute((key, value, revision))?,
                Write::Delete { key } => transaction
                    .prepare_cached("DELETE FROM entries WHERE key = ?1")?
                    .execute([key])?,
            };
        }
        transaction.commit()?;
        Ok(Ok(Revision(revision)))
    }
}

fn first_conflict(
    transaction: &Transaction<'_>,
    conditions: &[(String, Revision)],
) -> rusqlite::Result<Option<StoreError>> {
    let mut revision_of = transaction.prepare_cached("SELECT revision FROM entries WHERE key = ?1")?;
    for (key, wanted) in conditions {
        let now = revision_of.query_row([key], |row| row.get(0)).optional()?;
        let now = Revision(now.unwrap_or(0));
        if now != *wanted {
            return Ok(Some(StoreError::Conflict {
                key: key.clone(),
                now,
            }));
        }
    }
    Ok(None)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        key: row.get(0)?,
        value: row.get(1)?,
        revision: Revision(row.get(2)?),
    })
}

/// The first text that is greater than every text with this prefix; none where there is no such text.
fn end_of(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // Ranges of characters leave out the surrogates, which no text has.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

fn unusable(error: &rusqlite::Error) -> StoreError {
    let reason = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "its disk is full. Make room; replication goes on meanwhile".to_owned(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("its database is damaged ({error}). It is left as it is: restore a backup in its place")
        }
        _ => error.to_string(),
    };
    StoreError::Unusable { reason }
}
