//! The open database: the operations of a backend, blocking.

use std::path::Path;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, Transaction, TransactionBehavior};
use sterna_model::Revision;

use super::files::{self, Lock};
use super::reserve::Reserve;
use crate::backend::{Commit, Entry, Room, Write};
use crate::error::StoreError;

/// What is written to find out whether anything can be.
const PROBE_KEY: &str = "probe";

/// An open database; it stays locked until this is dropped.
pub(crate) struct Database {
    connection: Connection,
    /// Why nothing more is written: see [`StoreError::Uncertain`].
    broken: Option<String>,
    reserve: Reserve,
    /// After the connection: it is released when that is closed.
    _lock: Lock,
}

impl Database {
    /// See [`super::SqliteStore::open`].
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let (connection, lock) = files::open(path)?;
        let mut database = Self {
            connection,
            broken: None,
            reserve: Reserve::of(path),
            _lock: lock,
        };
        database.reserve.look_after(&mut database.connection);
        Ok(database)
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
        let mut answers = self.commit_all(&[commit]);
        answers.pop().expect("one commit has one answer")
    }

    /// See [`crate::Store::room`].
    pub(crate) fn room(&mut self) -> Room {
        if !self.reserve.is_needed() {
            return Room::Enough;
        }
        let commit = Commit {
            writes: vec![Write::Put {
                key: PROBE_KEY.to_owned(),
                value: Vec::new(),
            }],
            urgent: true,
            ..Commit::default()
        };
        self.commit(&commit).map_or(Room::Nothing, |_| Room::Decisions)
    }

    /// Commits after one another, each on its own, with one wait for the disk: the answers in their order.
    pub(crate) fn commit_all(&mut self, commits: &[&Commit]) -> Vec<Result<Revision, StoreError>> {
        let all = |answer: &dyn Fn() -> StoreError| commits.iter().map(|_| Err(answer())).collect();
        if let Some(reason) = &self.broken {
            return all(&|| StoreError::Unusable {
                reason: format!(
                    "its disk failed earlier ({reason}), and nothing is written until the gateway is restarted. Check \
                     the disk, then restart it"
                ),
            });
        }
        let kept_for_decisions = self.reserve.is_needed();
        match self.try_commit(commits, kept_for_decisions) {
            Ok(answers) => {
                if !kept_for_decisions {
                    self.reserve.look_after(&mut self.connection);
                }
                answers
            }
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                let reason = error.to_string();
                self.broken = Some(reason.clone());
                all(&|| StoreError::Uncertain {
                    reason: reason.clone(),
                })
            }
            // One that can't be written does not take the others with it.
            Err(_) if commits.len() > 1 => commits.iter().map(|commit| self.commit(commit)).collect(),
            Err(error) => all(&|| unusable(&error)),
        }
    }

    fn try_commit(
        &mut self,
        commits: &[&Commit],
        kept_for_decisions: bool,
    ) -> rusqlite::Result<Vec<Result<Revision, StoreError>>> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answers = commits
            .iter()
            .map(|commit| {
                if kept_for_decisions && !commit.urgent && !commit.writes.is_empty() {
                    return Ok(Err(full()));
                }
                apply(&transaction, commit)
            })
            .collect::<rusqlite::Result<_>>()?;
        transaction.commit()?;
        Ok(answers)
    }
}

fn apply(transaction: &Transaction<'_>, commit: &Commit) -> rusqlite::Result<Result<Revision, StoreError>> {
    if let Some(conflict) = first_conflict(transaction, &commit.conditions)? {
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
    Ok(Ok(Revision(revision)))
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

fn full() -> StoreError {
    StoreError::Unusable {
        reason: "its disk is full. Make room; replication goes on meanwhile".to_owned(),
    }
}

fn unusable(error: &rusqlite::Error) -> StoreError {
    let reason = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => return full(),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("its database is damaged ({error}). It is left as it is: restore a backup in its place")
        }
        _ => error.to_string(),
    };
    StoreError::Unusable { reason }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn open() -> (TempDir, Database) {
        let dir = TempDir::new().expect("a directory");
        let database = Database::open(&dir.path().join("store.db")).expect("it opens");
        (dir, database)
    }

    fn put(key: &str, bytes: usize) -> Commit {
        Commit {
            urgent: false,
            conditions: Vec::new(),
            writes: vec![Write::Put {
                key: key.to_owned(),
                value: vec![7; bytes],
            }],
        }
    }

    #[test]
    fn commits_are_synced_before_they_are_acknowledged() {
        let (_dir, database) = open();
        let pragma = |name: &str| -> String {
            database
                .connection
                .query_row(
                    &format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}"),
                    [],
                    |row| row.get(0),
                )
                .expect("known")
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("synchronous"), "2", "FULL");
        assert_eq!(pragma("foreign_keys"), "1");
    }

    #[test]
    fn a_full_disk_refuses_a_commit_whole_and_no_more_when_there_is_room() {
        let (_dir, mut database) = open();
        database.commit(&put("a", 1)).expect("committed");
        let limit = |database: &Database, pages: u32| {
            database
                .connection
                .query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
                .expect("set");
        };
        limit(&database, 1);
        let mut large = put("a", 2);
        large.writes.extend(put("b", 4_000_000).writes);
        let error = database.commit(&large).expect_err("full");
        assert!(
            matches!(&error, StoreError::Unusable { reason } if reason.contains("disk is full")),
            "{error}"
        );
        assert_eq!(database.get("a").expect("read").expect("there").value, [7]);
        limit(&database, 1_000_000);
        assert_eq!(database.commit(&large).expect("committed"), Revision(2));
    }

    #[test]
    fn commits_at_once_each_have_an_answer_of_their_own() {
        let (_dir, mut database) = open();
        let mut refused = put("b", 1);
        refused.conditions.push(("a".to_owned(), Revision(7)));
        let mut after = put("c", 1);
        after.conditions.push(("a".to_owned(), Revision(1)));
        let answers = database.commit_all(&[&put("a", 1), &refused, &after]);
        assert!(
            matches!(
                answers.as_slice(),
                [
                    Ok(Revision(1)),
                    Err(StoreError::Conflict { now: Revision(1), .. }),
                    Ok(Revision(2))
                ]
            ),
            "{answers:?}"
        );
        let held = ["a", "b", "c"].map(|key| database.get(key).expect("read").is_some());
        assert_eq!(held, [true, false, true]);
    }

    #[test]
    fn one_that_has_no_room_leaves_room_to_the_others() {
        let (_dir, mut database) = open();
        let pages: u32 = database
            .connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .expect("known");
        database
            .connection
            .query_row(&format!("PRAGMA max_page_count = {}", pages + 4), [], |_| Ok(()))
            .expect("set");
        let answers = database.commit_all(&[&put("a", 1), &put("b", 4_000_000), &put("c", 1)]);
        assert!(
            matches!(
                answers.as_slice(),
                [Ok(Revision(1)), Err(StoreError::Unusable { .. }), Ok(Revision(2))]
            ),
            "{answers:?}"
        );
    }

    #[test]
    fn nothing_is_written_after_the_disk_failed() {
        let (_dir, mut database) = open();
        database.commit(&put("a", 1)).expect("committed");
        database.broken = Some("disk I/O error".to_owned());
        let error = database.commit(&put("a", 2)).expect_err("refused").to_string();
        assert!(
            error.contains("disk I/O error") && error.contains("restart"),
            "{error}"
        );
        assert_eq!(database.get("a").expect("read").expect("there").value, [7]);
    }

    #[test]
    fn the_end_of_a_prefix_is_the_next_text() {
        assert_eq!(end_of("a/"), Some("a0".to_owned()));
        assert_eq!(end_of("a\u{d7ff}"), Some("a\u{e000}".to_owned()));
        assert_eq!(end_of("a\u{10ffff}\u{10ffff}"), Some("b".to_owned()));
        assert_eq!(end_of("\u{10ffff}"), None);
        assert_eq!(end_of(""), None);
    }
}
