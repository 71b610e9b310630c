//! SQLite behind [`Store`]: the embedded store of a gateway that stands alone.
//!
//! SQLite blocks, so one thread owns the database and works through a bounded queue; what waits for an answer does so
//! without blocking. One writer also means that nothing ever waits for SQLite's own locks. Commits that wait together go
//! to the disk together: when a whole site is lost, hundreds of groups decide at once.

mod database;
mod files;
mod reserve;
mod schema;

use std::fmt;
use std::path::Path;
use std::thread::JoinHandle;

use sterna_model::Revision;
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Commit, Entry, Room, Store, StoreFuture};
use crate::error::StoreError;
pub(crate) use database::Database;

/// Requests that wait for the thread; who comes beyond them waits to be let in.
const REQUESTS_QUEUED_MAX: usize = 128;

/// Commits that go to the disk together.
const COMMITS_TOGETHER_MAX: usize = 64;

/// What the thread is asked for.
enum Request {
    /// To read; it sends its answer itself.
    Read(Box<dyn FnOnce(&mut Database) + Send>),
    /// To write, and where the answer goes.
    Commit(Commit, Answered<Revision>),
}

type Answered<T> = oneshot::Sender<Result<T, StoreError>>;

/// The store in a file.
pub struct SqliteStore {
    /// None only while it is dropped.
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the database, or makes a new one where there is none. Blocks. [`StoreError::Unusable`] where another
    /// process has it open, where it is damaged, or where a newer version wrote it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Self::start(Database::open(path)?)
    }

    /// Hands an open database to its thread.
    pub(crate) fn start(mut database: Database) -> Result<Self, StoreError> {
        let (requests, mut queue) = mpsc::channel::<Request>(REQUESTS_QUEUED_MAX);
        let thread = std::thread::Builder::new()
            .name("sterna-store".to_owned())
            .spawn(move || {
                while let Some(request) = queue.blocking_recv() {
                    serve(&mut database, request, &mut queue);
                }
            })
            .map_err(|error| StoreError::Unusable {
                reason: format!("its thread can't be started: {error}"),
            })?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
        })
    }

    /// Has the thread read.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(|answer: Answered<T>| {
            Request::Read(Box::new(move |database| {
                // Who asked may have gone away.
                let _ = answer.send(read(database));
            }))
        })
        .await
    }

    /// Asks the thread, which does it even if nobody waits for the answer any more.
    async fn ask<T>(&self, request: impl FnOnce(Answered<T>) -> Request) -> Result<T, StoreError> {
        let gone = || StoreError::Unusable {
            reason: "its thread has ended. Restart the gateway; what was acknowledged is on disk".to_owned(),
        };
        let (answer, answered) = oneshot::channel();
        let request = request(answer);
        let requests = self.requests.as_ref().ok_or_else(gone)?;
        requests.send(request).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Serves a request. Where it is a commit, those that wait behind it are written with it; reads see nothing that is not
/// on the disk yet.
fn serve(database: &mut Database, request: Request, queue: &mut mpsc::Receiver<Request>) {
    let mut next = Some(request);
    while let Some(request) = next.take() {
        let mut together = match request {
            Request::Read(read) => return read(database),
            Request::Commit(commit, answer) => vec![(commit, answer)],
        };
        while together.len() < COMMITS_TOGETHER_MAX {
            match queue.try_recv() {
                Ok(Request::Commit(commit, answer)) => together.push((commit, answer)),
                Ok(read) => {
                    next = Some(read);
                    break;
                }
                Err(_) => break,
            }
        }
        let commits: Vec<_> = together.iter().map(|(commit, _)| commit).collect();
        let done = database.commit_all(&commits);
        for ((_, answer), done) in together.into_iter().zip(done) {
            // Who asked may have gone away.
            let _ = answer.send(done);
        }
    }
}

impl Store for SqliteStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Entry>> {
        let key = key.to_owned();
        Box::pin(self.read(move |database| database.get(&key)))
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        newest_first: bool,
        limit: usize,
    ) -> StoreFuture<'a, Vec<Entry>> {
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        Box::pin(self.read(move |database| database.list(&prefix, after.as_deref(), newest_first, limit)))
    }

    fn room(&self) -> StoreFuture<'_, Room> {
        Box::pin(self.read(|database| Ok(database.room())))
    }

    fn commit(&self, commit: Commit) -> StoreFuture<'_, Revision> {
        Box::pin(self.ask(|answer| Request::Commit(commit, answer)))
    }
}

impl Drop for SqliteStore {
    /// Waits for the requests in the queue, so that the database can be opened again right after.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had ended early");
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SqliteStore")
    }
}
