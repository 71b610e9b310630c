//! SQLite against a plain model of a backend: whatever is asked in whatever order, both answer the same.

use std::collections::BTreeMap;

use proptest::prelude::*;
use sterna_model::Revision;
use sterna_store::{Commit, Entry, SqliteStore, Store, StoreError, Write};
use tempfile::TempDir;

/// A backend in memory, as simple as it can be said.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (Vec<u8>, u64)>,
    revision: u64,
}

impl Model {
    fn get(&self, key: &str) -> Option<Entry> {
        self.entries
            .get_key_value(key)
            .map(|(key, (value, revision))| entry(key, value, *revision))
    }

    fn list(&self, prefix: &str, after: Option<&str>, newest_first: bool, limit: usize) -> Vec<Entry> {
        let beyond = |key: &str| match after {
            None => true,
            Some(after) if newest_first => key < after,
            Some(after) => key > after,
        };
        let mut found: Vec<_> = self
            .entries
            .iter()
            .filter(|(key, _)| key.starts_with(prefix) && beyond(key))
            .map(|(key, (value, revision))| entry(key, value, *revision))
            .collect();
        if newest_first {
            found.reverse();
        }
        found.truncate(limit);
        found
    }

    fn commit(&mut self, commit: &Commit) -> Result<u64, (String, u64)> {
        for (key, wanted) in &commit.conditions {
            let now = self.entries.get(key).map_or(0, |(_, revision)| *revision);
            if now != wanted.0 {
                return Err((key.clone(), now));
            }
        }
        if !commit.writes.is_empty() {
            self.revision += 1;
        }
        for write in &commit.writes {
            match write {
                Write::Put { key, value } => {
                    self.entries.insert(key.clone(), (value.clone(), self.revision));
                }
                Write::Delete { key } => {
                    self.entries.remove(key);
                }
            }
        }
        Ok(self.revision)
    }
}

fn entry(key: &str, value: &[u8], revision: u64) -> Entry {
    Entry {
        key: key.to_owned(),
        value: value.to_vec(),
        revision: Revision(revision),
    }
}

#[derive(Debug, Clone)]
enum Ask {
    Get(String),
    List(String, Option<String>, bool, usize),
    Commit(Commit),
    Reopen,
}

/// Few keys, so that they meet; with characters at the edges of how UTF-8 sorts and SQLite compares.
fn key() -> impl Strategy<Value = String> {
    let character = prop::sample::select(vec![
        'a',
        'b',
        '/',
        '%',
        '_',
        '\0',
        '\u{7f}',
        'é',
        '\u{d7ff}',
        '\u{e000}',
        '\u{10ffff}',
    ]);
    prop::collection::vec(character, 0..4).prop_map(|characters| characters.into_iter().collect())
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        3 => (key(), prop::collection::vec(any::<u8>(), 0..5)).prop_map(|(key, value)| Write::Put { key, value }),
        1 => key().prop_map(|key| Write::Delete { key }),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let condition = (key(), prop_oneof![3 => Just(0), 1 => 1..20u64].prop_map(Revision));
    let commit = (
        prop::collection::vec(condition, 0..3),
        prop::collection::vec(write(), 0..4),
    )
        .prop_map(|(conditions, writes)| {
            Ask::Commit(Commit {
                conditions,
                writes,
                urgent: false,
            })
        });
    prop_oneof![
        2 => key().prop_map(Ask::Get),
        6 => (key(), prop::option::of(key()), any::<bool>(), prop_oneof![0..4usize, Just(usize::MAX)])
            .prop_map(|(prefix, after, newest_first, limit)| Ask::List(prefix, after, newest_first, limit)),
        6 => commit,
        1 => Just(Ask::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_answers_as_the_model_does(asks in prop::collection::vec(ask(), 1..60)) {
        let dir = TempDir::new().expect("a directory");
        let path = dir.path().join("store.db");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut store = SqliteStore::open(&path).expect("it opens");
        let mut model = Model::default();
        for ask in asks {
            match ask {
                Ask::Get(key) => {
                    prop_assert_eq!(runtime.block_on(store.get(&key)).expect("an answer"), model.get(&key));
                }
                Ask::List(prefix, after, newest_first, limit) => {
                    let after = after.as_deref();
                    let listed = runtime.block_on(store.list(&prefix, after, newest_first, limit));
                    prop_assert_eq!(listed.expect("an answer"), model.list(&prefix, after, newest_first, limit));
                }
                Ask::Commit(commit) => {
                    let expected = model.commit(&commit);
                    let done = match runtime.block_on(store.commit(commit)) {
                        Ok(revision) => Ok(revision.0),
                        Err(StoreError::Conflict { key, now }) => Err((key, now.0)),
                        Err(error) => panic!("{error}"),
                    };
                    prop_assert_eq!(done, expected);
                }
                Ask::Reopen => {
                    drop(store);
                    store = SqliteStore::open(&path).expect("it opens again");
                }
            }
        }
    }
}
