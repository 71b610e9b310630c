//! Events, for those who subscribe to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use sterna_model::{CatalogueItem, Event, EventKind, GroupName};
use tokio::sync::broadcast;

/// Gives events to everybody who subscribed; their numbers rise in the life of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EventBus {
    events: broadcast::Sender<Event>,
    next_id: Arc<AtomicU64>,
}

impl EventBus {
    /// A slow subscriber may be `events_max` behind before it misses some.
    pub(crate) fn new(events_max: usize) -> Self {
        Self {
            events: broadcast::Sender::new(events_max),
            next_id: Arc::new(AtomicU64::new(1)),
        }
    }

    /// Publishes that something changed.
    pub(crate) fn publish(&self, group: Option<&GroupName>, kind: EventKind) {
        self.publish_event(Event {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            at: Timestamp::now(),
            group: group.cloned(),
            kind,
        });
    }

    /// Publishes that something was added, changed or removed.
    pub(crate) fn changed(&self, what: CatalogueItem, name: &str) {
        let kind = EventKind::Catalogue {
            what,
            name: name.to_owned(),
        };
        self.publish(None, kind);
    }

    /// Publishes an event as it is.
    pub(crate) fn publish_event(&self, event: Event) {
        // Nobody has subscribed if this fails.
        drop(self.events.send(event));
    }

    /// The number of the last event.
    pub(crate) fn last_id(&self) -> u64 {
        self.next_id.load(Ordering::Relaxed) - 1
    }

    /// The events from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}
