//! The gateway: takes up every group of the store, and new ones as they are made.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use sterna_model::{Group, GroupName, GroupSpec, Operation, Routes};
use sterna_node::ListenError;
use sterna_replication::{DataThreads, Relay};
use sterna_store::{Catalogue, Room, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::context::{Context, GROUPS_DIR, GatewaySettings, RESCUE_DIR};
use crate::descriptors;
use crate::doctor;
use crate::error::ControlError;
use crate::events::EventBus;
use crate::failpoint::Failpoint;
use crate::group::{self, GroupHandle, TakenUp};
use crate::handle::{Actor, Control, GroupRequest, GroupView, Request};
use crate::membership;
use crate::time::Clock;

/// Requests on their way to the supervisor.
const REQUESTS_MAX: usize = 256;
/// Groups that are taken up at a time when the gateway starts.
const STARTS_MAX: usize = 16;
/// How often the store is asked what it has room for.
const ROOM_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked how many descriptors are to be kept: services get and lose nodes.
const DESCRIPTORS_INTERVAL: Duration = Duration::from_secs(10);
/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 1024;

/// A gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The relay's port.
    #[error(transparent)]
    Relay(#[from] ListenError),
    /// The threads of the data plane.
    #[error("the threads of the data plane can't be started: {0}")]
    Threads(#[source] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The data directory.
    #[error("{path} can't be made: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    context: Arc<Context>,
    control: Control,
    routes: watch::Receiver<Arc<Routes>>,
    stop: oneshot::Sender<()>,
    supervisor: tokio::task::JoinHandle<()>,
}

/// What groups keep in a data directory beside the store: logs and rescue files. None where there are none.
pub fn kept_by_groups(data_dir: &Path) -> Option<PathBuf> {
    let holds_anything =
        |dir: &PathBuf| std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some());
    [GROUPS_DIR, RESCUE_DIR]
        .map(|name| data_dir.join(name))
        .into_iter()
        .find(holds_anything)
}

/// Starts the relay and takes up every group of the store.
pub async fn start(settings: GatewaySettings, catalogue: Catalogue) -> Result<Gateway, GatewayError> {
    let rescue_dir = settings.data_dir.join(RESCUE_DIR);
    std::fs::create_dir_all(&rescue_dir).map_err(|source| GatewayError::Directory {
        path: rescue_dir.clone(),
        source,
    })?;
    let data = DataThreads::start(settings.data_threads).map_err(GatewayError::Threads)?;
    let relay = Relay::start(settings.relay.clone()).await?;
    let events = EventBus::new(EVENTS_MAX);
    let clock = Clock::start();
    let (room, store_room) = watch::channel(Room::default());
    tokio::spawn(look_for_room(catalogue.clone(), room));
    let context = Arc::new(Context {
        settings,
        catalogue: catalogue.clone(),
        data,
        relay,
        clock,
        started: clock.now().at,
        failpoint: Failpoint::from_env(),
        events: events.clone(),
        store_room,
    });
    let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
    let (views, views_out) = watch::channel(Arc::default());
    let (ready, ready_out) = watch::channel(false);
    let (routes, routes_out) = watch::channel(Arc::default());
    let (stop, stopped) = oneshot::channel();
    let groups = context.catalogue.groups.all().await?;
    let unfinished = context.catalogue.operations.unfinished().await?;
    let (taken_up, taken_up_later) = mpsc::channel(STARTS_MAX);
    let supervisor = Supervisor {
        context: Arc::clone(&context),
        groups: BTreeMap::new(),
        leaving: BTreeMap::new(),
        taken_up,
        taken_up_later,
        views,
        routes,
        ready,
    };
    let supervisor = tokio::spawn(supervisor.run(groups, unfinished, requests_in, stopped));
    Ok(Gateway {
        context,
        control: Control {
            catalogue,
            requests,
            views: views_out,
            events,
            ready: ready_out,
            rescue_dir,
        },
        routes: routes_out,
        stop,
        supervisor,
    })
}

impl Gateway {
    /// For the API.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Where the primaries are, as it changes.
    pub fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.routes.clone()
    }

    /// Where the relay listens.
    pub fn relay_address(&self) -> SocketAddr {
        self.context.relay.address()
    }

    /// Lets the primaries go on without a lease, closes every log, ends.
    pub async fn stop(self) {
        // It has ended already if this fails.
        let _ = self.stop.send(());
        if self.supervisor.await.is_err() {
            tracing::error!("the supervisor ended by a panic");
        }
    }
}

struct Supervisor {
    context: Arc<Context>,
    groups: BTreeMap<GroupName, GroupHandle>,
    /// Those that were deleted, until nothing of them is left.
    leaving: BTreeMap<GroupName, GroupHandle>,
    /// Those that could not be taken up at first.
    taken_up: TakenUp,
    taken_up_later: mpsc::Receiver<(GroupName, GroupHandle)>,
    views: watch::Sender<Arc<BTreeMap<GroupName, GroupView>>>,
    routes: watch::Sender<Arc<Routes>>,
    ready: watch::Sender<bool>,
}

impl Supervisor {
    async fn run(
        mut self,
        groups: Vec<Group>,
        unfinished: Vec<Operation>,
        mut requests: mpsc::Receiver<Request>,
        mut stop: oneshot::Receiver<()>,
    ) {
        self.take_up_all(groups, unfinished).await;
        self.ready.send_replace(true);
        let mut count = tokio::time::interval(DESCRIPTORS_INTERVAL);
        loop {
            self.publish_routes();
            tokio::select! {
                _ = &mut stop => break,
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => break,
                },
                name = changed_route(&mut self.groups) => self.on_group_event(&name),
                Some((name, handle)) = self.taken_up_later.recv() => self.add(name, handle),
                _ = count.tick() => self.keep_descriptors(),
            }
        }
        let groups = std::mem::take(&mut self.groups);
        for handle in groups.into_values() {
            handle.stop().await;
        }
    }

    /// Takes up the groups of the store. What each waits for is its disk, so that several start at a time.
    async fn take_up_all(&mut self, groups: Vec<Group>, unfinished: Vec<Operation>) {
        let mut waiting = groups.into_iter();
        let mut starting = JoinSet::new();
        loop {
            while starting.len() < STARTS_MAX
                && let Some(group) = waiting.next()
            {
                let of_group = |operation: &&Operation| operation.group == group.name;
                let operation = unfinished.iter().find(of_group).cloned();
                let (context, later) = (Arc::clone(&self.context), self.taken_up.clone());
                starting.spawn(async move {
                    let name = group.name.clone();
                    (
                        name,
                        group::start_or_stall(context, group, operation, later).await,
                    )
                });
            }
            match starting.join_next().await {
                None => return,
                Some(Ok((name, handle))) => self.add(name, handle),
                Some(Err(error)) => tracing::error!(%error, "a group can't be taken up"),
            }
        }
    }

    fn add(&mut self, name: GroupName, handle: GroupHandle) {
        self.groups.insert(name, handle);
        self.publish_views();
    }

    fn publish_views(&self) {
        let views = self
            .groups
            .iter()
            .map(|(name, handle)| (name.clone(), handle.view()))
            .collect();
        self.views.send_replace(Arc::new(views));
        self.keep_descriptors();
    }

    fn keep_descriptors(&self) {
        let views = self.views.borrow();
        descriptors::keep(&self.context.settings.relay.descriptors, views.values());
    }

    /// Refused before anything of it is kept, where there are too few descriptors for one more.
    async fn create(&mut self, spec: GroupSpec, actor: &Actor) -> Result<Operation, ControlError> {
        let services = spec.replicas.len() + 1;
        let views = Arc::clone(&self.views.borrow());
        descriptors::suffice(&self.context.settings.relay.descriptors, views.values(), services)?;
        if let Some(before) = self.leaving.remove(&spec.name) {
            // Its log is removed to the end: the new group begins in the same place.
            before.stop().await;
        }
        let (group, operation) = membership::prepare(&self.context, spec, &actor.name).await?;
        let (context, later) = (Arc::clone(&self.context), self.taken_up.clone());
        let name = group.name.clone();
        let handle = group::start_or_stall(context, group, Some(operation.clone()), later).await;
        self.add(name, handle);
        Ok(operation)
    }

    fn publish_routes(&self) {
        let routes = self.groups.values().filter_map(GroupHandle::route);
        let routes: Routes = routes.map(|route| (route.group.clone(), route)).collect();
        self.routes.send_if_modified(|known| {
            let changed = **known != routes;
            *known = Arc::new(routes);
            changed
        });
    }

    /// A group's route changed, or its owner ended because it was deleted.
    fn on_group_event(&mut self, name: &GroupName) {
        if self.groups.get(name).is_some_and(GroupHandle::has_ended) {
            self.leaving.retain(|_, handle| !handle.is_gone());
            self.leaving.extend(self.groups.remove_entry(name));
            self.publish_views();
        }
    }

    async fn on_request(&mut self, request: Request) {
        match request {
            Request::CreateGroup { spec, actor, reply } => {
                drop(reply.send(self.create(spec, &actor).await));
            }
            Request::ServiceChanged(service) => {
                for handle in self.groups.values() {
                    handle.ask(GroupRequest::ServiceChanged(service.clone()));
                }
            }
            Request::Doctor { service, role, reply } => {
                let context = Arc::clone(&self.context);
                tokio::spawn(
                    async move { drop(reply.send(doctor::examine(&context, &service, role).await)) },
                );
            }
        }
    }
}

/// Tells what the store has room for, as that changes, for as long as anybody wants to know.
async fn look_for_room(catalogue: Catalogue, room: watch::Sender<Room>) {
    loop {
        // A store that can't be asked has room for nothing.
        let now = catalogue.room().await.unwrap_or(Room::Nothing);
        room.send_if_modified(|known| std::mem::replace(known, now) != now);
        // The store is let go of with the gateway, not up to an interval after it.
        if tokio::time::timeout(ROOM_INTERVAL, room.closed()).await.is_ok() {
            return;
        }
    }
}

/// Waits until the route of any group changes, or its owner ends.
async fn changed_route(groups: &mut BTreeMap<GroupName, GroupHandle>) -> GroupName {
    let waits: Vec<_> = groups
        .iter_mut()
        .map(|(name, handle)| {
            let name = name.clone();
            Box::pin(async move {
                handle.route_changed().await;
                name
            })
        })
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    first_of(waits).await
}

/// The first of several futures to be ready.
async fn first_of<T>(mut waits: Vec<Pin<Box<impl Future<Output = T>>>>) -> T {
    std::future::poll_fn(|cx| {
        for wait in &mut waits {
            if let Poll::Ready(ready) = wait.as_mut().poll(cx) {
                return Poll::Ready(ready);
            }
        }
        Poll::Pending
    })
    .await
}
