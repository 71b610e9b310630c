//! What is told to those who listen.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use sterna_model::{Event, EventKind, GroupName};
use tokio::sync::broadcast;

/// Tells everybody who listens; numbers rise in the life of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct News {
    events: broadcast::Sender<Event>,
    next_id: Arc<AtomicU64>,
}

impl News {
    /// A slow listener may be `events_max` behind before it misses some.
    pub(crate) fn new(events_max: usize) -> Self {
        Self {
            events: broadcast::Sender::new(events_max),
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Tells that something changed.
    pub(crate) fn tell(&self, group: Option<&GroupName>, kind: EventKind) {
        self.pass_on(Event {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            at: Timestamp::now(),
            group: group.cloned(),
            kind,
        });
    }

    /// Tells that something was added, changed or removed.
    pub(crate) fn changed(&self, what: &str, name: &str) {
        let kind = EventKind::Catalogue {
            what: what.to_owned(),
            name: name.to_owned(),
        };
        self.tell(None, kind);
    }

    /// Passes on an event as it is.
    pub(crate) fn pass_on(&self, event: Event) {
        // Nobody listens if this fails.
        drop(self.events.send(event));
    }

    /// What is told from now on.
    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
