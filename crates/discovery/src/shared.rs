//! What the endpoint's connections have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sterna_protocol::sentinel::Event;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use crate::answers::{Facts, Identity};
use crate::observed::Observed;
use sterna_model::Routes;

/// Changes that a subscriber may be behind before it is dropped; each is a handful of events.
pub(crate) const CHANGES_QUEUED_MAX: usize = 256;

/// The events of one change.
pub(crate) type Batch = Arc<[Event]>;

/// Everything that answers are made of.
#[derive(Debug)]
pub(crate) struct Shared {
    identity: Identity,
    started: Instant,
    observed: watch::Sender<Arc<Observed>>,
    connections: AtomicUsize,
    /// Where connections subscribe.
    pub(crate) events: broadcast::Sender<Batch>,
}

impl Shared {
    /// Begins with routes about which nothing is published.
    pub(crate) fn new(identity: Identity, routes: Arc<Routes>) -> Self {
        let started = Instant::now();
        let first = Observed::first(routes, started.elapsed());
        Self {
            identity,
            started,
            observed: watch::Sender::new(Arc::new(first)),
            connections: AtomicUsize::new(0),
            events: broadcast::Sender::new(CHANGES_QUEUED_MAX),
        }
    }

    /// How long the endpoint has been up.
    pub(crate) fn uptime(&self) -> std::time::Duration {
        self.started.elapsed()
    }

    /// Takes routes over; who hears an event and asks finds what it tells of.
    pub(crate) fn update(&self, routes: Arc<Routes>) {
        let (next, events) = self.observed.borrow().next(routes, self.uptime());
        self.observed.send_replace(Arc::new(next));
        for event in &events {
            tracing::info!(
                channel = event.kind.channel(),
                message = event.message,
                "published"
            );
        }
        if !events.is_empty() {
            // An error only says that nobody listens.
            drop(self.events.send(events.into()));
        }
    }

    /// Calls `use_them` with what is so now.
    pub(crate) fn with_facts<R>(&self, use_them: impl FnOnce(&Facts<'_>) -> R) -> R {
        let observed = Arc::clone(&self.observed.borrow());
        use_them(&Facts {
            observed: &observed,
            now: self.uptime(),
            identity: &self.identity,
            connections: self.connections.load(Ordering::Relaxed),
        })
    }

    /// Says how many connections there are now.
    pub(crate) fn set_connections(&self, count: usize) {
        self.connections.store(count, Ordering::Relaxed);
    }
}
