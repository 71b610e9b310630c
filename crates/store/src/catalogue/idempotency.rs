//! Idempotency keys: a request that is sent again gets the answer of the first one.
//!
//! Answers are sealed, for one may hold a new token's text. Keys are kept as their hash: they may be anything.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sterna_model::Revision;

use super::records::{ATTEMPTS_MAX, Records, contended};
use super::values;
use crate::backend::{Commit, Entry};
use crate::error::StoreError;

/// The keys that are kept; the oldest beyond them are dropped.
pub const IDEMPOTENCY_KEYS_MAX: u64 = 10_000;

/// How long an answer is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// How long a request may be under way; after that the gateway that had it is believed dead, and it may begin anew.
const IN_PROGRESS_MAX: SignedDuration = SignedDuration::from_mins(2);

/// Expired keys that are dropped with each new one: more than come.
const DROPPED_AT_ONCE: usize = 4;

const PREFIX: &str = "idempotency/";
const ORDER: &str = "idempotency-order/";

/// What a request with an idempotency key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// New: do it, then say [`IdempotencyKeys::finish`] or [`IdempotencyKeys::abandon`].
    Fresh,
    /// Done before, with this answer.
    Replay {
        /// The HTTP status.
        status: u16,
        body: String,
    },
    /// The key was used for another request.
    Mismatch,
    /// The first request is not answered yet.
    InProgress,
}

/// What is kept for a key.
#[derive(Serialize, Deserialize)]
struct Record {
    /// The number of its place in the order of age.
    place: u64,
    fingerprint: String,
    begun_at: Timestamp,
    answer: Option<Answered>,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    status: u16,
    body: String,
}

/// A place in the order of age.
#[derive(Serialize, Deserialize)]
struct Place {
    /// The record's key.
    key: String,
    begun_at: Timestamp,
}

/// The idempotency keys of requests, with the answers to be replayed.
#[derive(Debug, Clone)]
pub struct IdempotencyKeys {
    pub(super) records: Records,
}

impl IdempotencyKeys {
    /// Begins a request: `fingerprint` stands for everything in it that must be the same. Both are the caller's to
    /// bind to who asks. A new one is kept before this returns.
    pub async fn begin(
        &self,
        key: &str,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<Idempotency, StoreError> {
        self.begin_within(key, fingerprint, now, IDEMPOTENCY_KEYS_MAX)
            .await
    }

    /// Keeps the answer of a request that was begun.
    pub async fn finish(&self, key: &str, status: u16, body: &str) -> Result<(), StoreError> {
        let key = record_key(key);
        for _ in 0..ATTEMPTS_MAX {
            let Some((entry, mut record)) = self.record(&key).await? else {
                return Ok(());
            };
            record.answer = Some(Answered {
                status,
                body: body.to_owned(),
            });
            let mut commit = Commit::default();
            commit.replace(&key, entry.revision, self.records.seal(&key, &record)?);
            match self.records.commit(commit).await {
                Err(StoreError::Conflict { .. }) => {}
                done => return done.map(|_| ()),
            }
        }
        Err(contended(&key))
    }

    /// Forgets a request that was begun and came to nothing, so that it can be sent again.
    pub async fn abandon(&self, key: &str) -> Result<(), StoreError> {
        let key = record_key(key);
        for _ in 0..ATTEMPTS_MAX {
            let Some((entry, record)) = self.record(&key).await? else {
                return Ok(());
            };
            if record.answer.is_some() {
                return Ok(());
            }
            let mut commit = Commit::default();
            commit.require(&key, entry.revision);
            commit.delete(&key);
            commit.delete(&place_key(record.place));
            match self.records.commit(commit).await {
                Err(StoreError::Conflict { .. }) => {}
                done => return done.map(|_| ()),
            }
        }
        Err(contended(&key))
    }

    async fn begin_within(
        &self,
        key: &str,
        fingerprint: &str,
        now: Timestamp,
        keys_max: u64,
    ) -> Result<Idempotency, StoreError> {
        let key = record_key(key);
        for _ in 0..ATTEMPTS_MAX {
            let known = self.record(&key).await?;
            if let Some((_, record)) = &known
                && let Some(known) = judge(record, fingerprint, now)
            {
                return Ok(known);
            }
            let oldest = self.records.oldest(ORDER, DROPPED_AT_ONCE).await?;
            let begun = self
                .records
                .numbered("idempotency", |place| {
                    let mut commit = Commit::default();
                    let before = known.as_ref().map_or(Revision(0), |(entry, _)| entry.revision);
                    let known_place = known.as_ref().map(|(_, record)| place_key(record.place));
                    for old in oldest.iter().filter(|old| known_place.as_ref() != Some(&old.key)) {
                        drop_if_old(&mut commit, old, place, now, keys_max)?;
                    }
                    if let Some(known_place) = &known_place {
                        commit.delete(known_place);
                    }
                    let record = Record {
                        place,
                        fingerprint: fingerprint.to_owned(),
                        begun_at: now,
                        answer: None,
                    };
                    commit.replace(&key, before, self.records.seal(&key, &record)?);
                    let place_key = place_key(place);
                    let kept = Place {
                        key: key.clone(),
                        begun_at: now,
                    };
                    commit.put(&place_key, values::json(&place_key, &kept)?);
                    Ok(commit)
                })
                .await;
            match begun {
                Ok(_) => return Ok(Idempotency::Fresh),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(contended(&key))
    }

    async fn record(&self, key: &str) -> Result<Option<(Entry, Record)>, StoreError> {
        let Some(entry) = self.records.get(key).await? else {
            return Ok(None);
        };
        let record = self.records.unseal(&entry)?;
        Ok(Some((entry, record)))
    }
}

/// What a kept record means for a request; none where it does not count any more.
fn judge(record: &Record, fingerprint: &str, now: Timestamp) -> Option<Idempotency> {
    let age = now.duration_since(record.begun_at);
    let kept = if record.answer.is_some() {
        KEPT
    } else {
        IN_PROGRESS_MAX
    };
    if age >= kept {
        return None;
    }
    Some(match &record.answer {
        _ if record.fingerprint != fingerprint => Idempotency::Mismatch,
        None => Idempotency::InProgress,
        Some(answer) => Idempotency::Replay {
            status: answer.status,
            body: answer.body.clone(),
        },
    })
}

/// Drops what stands in an old place, on the condition that it still stands there.
fn drop_if_old(
    commit: &mut Commit,
    entry: &Entry,
    newest: u64,
    now: Timestamp,
    keys_max: u64,
) -> Result<(), StoreError> {
    let place: Place = values::parse(entry)?;
    let beyond = newest
        .checked_sub(keys_max)
        .is_some_and(|last_dropped| entry.key <= place_key(last_dropped));
    if beyond || now.duration_since(place.begun_at) >= KEPT {
        commit.require(&entry.key, entry.revision);
        commit.delete(&entry.key);
        commit.delete(&place.key);
    }
    Ok(())
}

fn record_key(key: &str) -> String {
    format!("{PREFIX}{}", values::sha256_hex(key))
}

fn place_key(place: u64) -> String {
    values::numbered_key(ORDER, place)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::Catalogue;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    async fn kept(catalogue: &Catalogue) -> (usize, usize) {
        let count = async |prefix: &str| catalogue.records.all(prefix).await.expect("listed").len();
        (count(PREFIX).await, count(ORDER).await)
    }

    #[tokio::test]
    async fn old_keys_are_dropped_and_leave_nothing() {
        let dir = TempDir::new().expect("a directory");
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).expect("it opens");
        let begin = async |key: &str, second: i64| {
            catalogue
                .idempotency
                .begin_within(key, "f", at(second), 3)
                .await
                .expect("begun")
        };
        for key in ["a", "b", "c", "d", "e"] {
            assert_eq!(begin(key, 0).await, Idempotency::Fresh);
            catalogue
                .idempotency
                .finish(key, 200, key)
                .await
                .expect("finished");
        }
        assert_eq!(kept(&catalogue).await, (3, 3), "no more than the most");
        assert!(matches!(begin("c", 1).await, Idempotency::Replay { .. }));
        assert_eq!(begin("a", 1).await, Idempotency::Fresh, "dropped");
        assert_eq!(kept(&catalogue).await, (3, 3));

        let day = KEPT.as_secs();
        assert_eq!(
            begin("d", day).await,
            Idempotency::Fresh,
            "expired, and begun anew in the same place"
        );
        assert_eq!(kept(&catalogue).await, (2, 2), "the expired ones went with it");
        assert_eq!(begin("d", day + 1).await, Idempotency::InProgress);
    }

    #[tokio::test]
    async fn a_request_whose_gateway_died_can_be_sent_again() {
        let dir = TempDir::new().expect("a directory");
        let catalogue = Catalogue::open(dir.path(), &dir.path().join("key")).expect("it opens");
        let begin = async |second: i64| {
            catalogue
                .idempotency
                .begin("a", "f", at(second))
                .await
                .expect("begun")
        };
        assert_eq!(begin(0).await, Idempotency::Fresh);
        assert_eq!(
            begin(IN_PROGRESS_MAX.as_secs() - 1).await,
            Idempotency::InProgress
        );
        assert_eq!(begin(IN_PROGRESS_MAX.as_secs()).await, Idempotency::Fresh);
        assert_eq!(begin(IN_PROGRESS_MAX.as_secs()).await, Idempotency::InProgress);
        catalogue.idempotency.abandon("a").await.expect("abandoned");
        assert_eq!(kept(&catalogue).await, (0, 0));
    }
}
