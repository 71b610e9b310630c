//! A [`Control`] with nothing behind it, for tests of what stands in front of it, without servers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sterna_model::{Event, GroupStatus};
use sterna_replication::Status;
use sterna_store::Catalogue;
use tokio::sync::{mpsc, watch};

use crate::events::EventBus;
use crate::handle::{Control, GroupView};

/// Events that a slow subscriber may be behind before it misses some.
const EVENTS_MAX: usize = 64;

/// Stands where the supervisor stands in a gateway. What changes a group is answered as by a gateway that is stopping;
/// reads, statuses and events are what the test put there.
#[derive(Debug)]
pub struct FakeControl {
    catalogue: Catalogue,
    rescue_dir: PathBuf,
    requests: mpsc::Sender<crate::handle::Request>,
    group_requests: mpsc::Sender<crate::handle::GroupRequest>,
    views: watch::Sender<Arc<BTreeMap<sterna_model::GroupName, GroupView>>>,
    events: EventBus,
    ready: watch::Sender<bool>,
}

impl FakeControl {
    /// One on a catalogue, ready, without groups to show.
    pub fn new(catalogue: Catalogue, rescue_dir: PathBuf) -> Self {
        let (requests, _) = mpsc::channel(1);
        let (group_requests, _) = mpsc::channel(1);
        Self {
            catalogue,
            rescue_dir,
            requests,
            group_requests,
            views: watch::Sender::new(Arc::default()),
            events: EventBus::new(EVENTS_MAX),
            ready: watch::Sender::new(true),
        }
    }

    /// The handle that a real gateway would give.
    pub fn control(&self) -> Control {
        Control {
            catalogue: self.catalogue.clone(),
            requests: self.requests.clone(),
            views: self.views.subscribe(),
            events: self.events.clone(),
            ready: self.ready.subscribe(),
            rescue_dir: self.rescue_dir.clone(),
        }
    }

    /// Shows a group's status, with that of its shard.
    pub fn show(&self, status: GroupStatus, shard: Status) {
        let name = status.group.clone();
        let view = GroupView {
            status: watch::Sender::new(status).subscribe(),
            operation: watch::Sender::new(None).subscribe(),
            shard: watch::Sender::new(shard).subscribe(),
            requests: self.group_requests.clone(),
        };
        self.views.send_modify(|views| {
            Arc::make_mut(views).insert(name, view);
        });
    }

    /// Gives an event to everybody who subscribed.
    pub fn publish(&self, event: Event) {
        self.events.publish_event(event);
    }

    /// Whether the groups count as taken up.
    pub fn set_ready(&self, ready: bool) {
        self.ready.send_replace(ready);
    }
}
