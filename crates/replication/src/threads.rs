//! The threads of the data plane. Each shard has one of them for as long as it runs, with its connections.
//!
//! A thread is a runtime of its own, so that a byte passes from the primary's socket to the followers' without waking
//! another thread, and nothing else runs on it: what blocks goes to the runtime's pool for that.

use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// Disk jobs and name lookups that may block at a time, for each thread.
const BLOCKING_THREADS_MAX: usize = 64;

/// The threads of one gateway; they end when this is dropped.
#[derive(Debug)]
pub struct DataThreads {
    runtimes: Vec<Handle>,
    shards: Shards,
    /// Each keeps its thread running until it is dropped.
    running: Vec<oneshot::Sender<()>>,
}

impl Drop for DataThreads {
    fn drop(&mut self) {
        self.running.clear();
    }
}

impl DataThreads {
    /// Starts so many threads. Fails where the system gives no more.
    pub fn start(count: NonZeroUsize) -> io::Result<Self> {
        let mut threads = Self {
            runtimes: Vec::new(),
            shards: Shards::default(),
            running: Vec::new(),
        };
        for number in 0..count.get() {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .thread_name(format!("data-{number}-io"))
                .max_blocking_threads(BLOCKING_THREADS_MAX)
                .build()?;
            let (running, end) = oneshot::channel();
            threads.runtimes.push(runtime.handle().clone());
            threads.shards.lock().push(0);
            threads.running.push(running);
            let run = move || {
                // Nothing is ever sent: the other end is dropped.
                drop(runtime.block_on(end));
                // What still blocks must not keep a process that has said its last word.
                runtime.shutdown_background();
            };
            std::thread::Builder::new()
                .name(format!("data-{number}"))
                .spawn(run)?;
        }
        Ok(threads)
    }

    /// The thread with the fewest shards, the first of those. Whoever has it keeps it to its end.
    pub fn place(&self) -> DataThread {
        let mut shards = self.shards.lock();
        let fewest = (0..shards.len()).min_by_key(|number| shards[*number]);
        let number = fewest.expect("there is at least one thread");
        shards[number] += 1;
        DataThread {
            runtime: self.runtimes[number].clone(),
            counted: Some((number, self.shards.clone())),
        }
    }
}

/// How many shards each thread has.
#[derive(Debug, Clone, Default)]
struct Shards(Arc<Mutex<Vec<usize>>>);

impl Shards {
    fn lock(&self) -> MutexGuard<'_, Vec<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A shard's place on a thread of the data plane; it is free again when this is dropped.
#[derive(Debug)]
pub struct DataThread {
    runtime: Handle,
    counted: Option<(usize, Shards)>,
}

impl DataThread {
    /// The runtime of the caller, for a process that has one shard and little else.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    pub fn current() -> Self {
        Self {
            runtime: Handle::current(),
            counted: None,
        }
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

impl Drop for DataThread {
    fn drop(&mut self) {
        if let Some((number, shards)) = &self.counted {
            shards.lock()[*number] -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_spread_evenly_and_a_place_that_is_free_is_taken_again() {
        let threads = DataThreads::start(NonZeroUsize::new(3).expect("not 0")).expect("started");
        let mut places: Vec<_> = (0..7).map(|_| threads.place()).collect();
        assert_eq!(*threads.shards.lock(), [3, 2, 2]);
        drop(places.remove(1));
        assert_eq!(*threads.shards.lock(), [3, 1, 2]);
        let place = threads.place();
        assert_eq!(*threads.shards.lock(), [3, 2, 2]);
        let name = place.runtime().block_on(
            place
                .runtime()
                .spawn(async { std::thread::current().name().map(str::to_owned) }),
        );
        assert_eq!(name.expect("it ran").as_deref(), Some("data-1"));
    }
}
