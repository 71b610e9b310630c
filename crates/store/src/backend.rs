//! The backend: what a coordination store must be able to do. Small, so that SQLite and etcd mean the same.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use sterna_model::Revision;

use crate::error::StoreError;

/// What asynchronous methods of a trait object return.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key: segments with `/` between them.
    pub key: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// The commit that wrote it last.
    pub revision: Revision,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets a value.
    Put { key: String, value: Vec<u8> },
    /// Removes a value, if it is there.
    Delete { key: String },
}

/// Changes that happen together or not at all, if the conditions hold. Each key is written once at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Keys with the revisions that they must have; 0 means that they must not be there.
    pub conditions: Vec<(String, Revision)>,
    /// The changes.
    pub writes: Vec<Write>,
    /// It may have the room that is kept for decisions: a change of primary must not fail for want of it on a disk that somebody
    /// else has filled.
    pub urgent: bool,
}

/// What a store has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Room {
    /// Everything.
    #[default]
    Enough,
    /// Only what is urgent.
    Decisions,
    /// Nothing.
    Nothing,
}

/// A coordination store. What was committed survives a crash and a loss of power.
pub trait Store: fmt::Debug + Send + Sync {
    /// The value of a key.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>>;

    /// The values whose keys begin with `prefix`, in the order of their keys, or the other way round with `newest_first`;
    /// at most `limit`, and only those beyond `after` (exclusive) in that direction.
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        newest_first: bool,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Entry>>;

    /// Applies a commit and returns its revision, which every value that it put has now: one more than the last commit's.
    /// One without changes only checks its conditions, and returns the last revision.
    /// [`StoreError::Conflict`] names the first condition that does not hold. It is carried out even if nobody waits for
    /// it any more.
    fn commit(&self, commit: Commit) -> StoreFuture<'_, Revision>;

    /// What it has room for now. Where that is not everything it is found out by a commit that changes nothing.
    fn room(&self) -> StoreFuture<'_, Room>;
}
