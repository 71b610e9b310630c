//! File descriptors: how many this process may have, and how many are not for whoever connects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The file descriptors of this process. So many are kept for replication, control and the store; the listeners share the rest.
#[derive(Debug, Clone)]
pub struct Descriptors {
    most: usize,
    kept: Arc<AtomicUsize>,
}

impl Descriptors {
    /// Those of this process, after its soft limit was raised to the hard one.
    pub fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        let most = match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit.maximum,
            Err(error) => {
                tracing::warn!(%error, ?limit, "the limit of open files can't be raised");
                limit.current
            }
        };
        let most = most.and_then(|most| usize::try_from(most).ok());
        Self::bounded(most.unwrap_or(usize::MAX))
    }

    /// So many, whatever the limit of the process is.
    pub fn bounded(most: usize) -> Self {
        Self {
            most,
            kept: Arc::new(AtomicUsize::new(0)),
        }
    }

    /// How many there may be at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Keeps so many for what is no listener's. Connections that are there already stay.
    pub fn keep(&self, count: usize) {
        self.kept.store(count, Ordering::Relaxed);
    }

    /// How many the listeners share. A quarter of all is theirs in any case: somebody must be able to ask what is wrong where
    /// there are too few.
    pub(super) fn shared(&self) -> usize {
        let kept = self.kept.load(Ordering::Relaxed);
        self.most.saturating_sub(kept).max(self.most / 4)
    }
}
