//! The gateway: takes up every group of the store, and hands requests to their owners.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use sterna_model::{
    AuditRecord, EventKind, Group, GroupName, Operation, OperationKind, Requester, ServiceName,
};
use sterna_node::NodeAddress;
use sterna_replication::{Relay, RelayError, RelaySettings};
use sterna_store::{Catalogue, StoreError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::access::Access;
use crate::doctor;
use crate::error::ControlError;
use crate::failpoint::Failpoint;
use crate::group::{self, GroupHandle};
use crate::handle::{Control, GroupRequest, GroupView, Request};
use crate::membership;
use crate::news::News;
use crate::route::Route;

/// Requests on their way to the supervisor.
const REQUESTS_MAX: usize = 256;
/// Events that a slow listener may be behind.
const EVENTS_MAX: usize = 1024;

/// What the gateway is told when it starts.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Where logs, rescue files and the store are.
    pub data_dir: PathBuf,
    /// The port for replica nodes.
    pub relay: RelaySettings,
    /// Where nodes find the relay, if it is not the address from which we reach them.
    pub relay_announce: Option<NodeAddress>,
}

/// A gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The relay's port.
    #[error(transparent)]
    Relay(#[from] RelayError),
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

/// What all groups of a gateway share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) settings: GatewaySettings,
    pub(crate) catalogue: Catalogue,
    pub(crate) relay: Relay,
    pub(crate) started: Instant,
    pub(crate) failpoint: Failpoint,
    news: News,
}

impl Common {
    /// Tells whoever listens.
    pub(crate) fn tell(&self, group: Option<&GroupName>, kind: EventKind) {
        self.news.tell(group, kind);
    }

    /// Where rescue files lie.
    pub(crate) fn rescue_dir(&self) -> PathBuf {
        self.settings.data_dir.join("rescue")
    }

    /// Notes in the audit what the gateway did by itself. The work goes on if the audit can't be written.
    pub(crate) async fn note(&self, action: &str, target: &str, outcome: &str, detail: Option<String>) {
        let record = AuditRecord {
            id: 0,
            at: Timestamp::now(),
            actor: Requester::GATEWAY.to_owned(),
            remote: None,
            action: action.to_owned(),
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        if let Err(error) = self.catalogue.append_audit(record).await {
            tracing::warn!(%error, "the audit can't be written");
        }
    }

    /// How a service is reached.
    pub(crate) async fn access(&self, name: &ServiceName) -> Result<Access, ControlError> {
        let service = self.catalogue.service(name).await?;
        let secrets = self.catalogue.secrets(name).await?;
        Access::new(service, &secrets)
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    common: Arc<Common>,
    control: Control,
    routes: watch::Receiver<Arc<Vec<Route>>>,
    stop: oneshot::Sender<()>,
    supervisor: tokio::task::JoinHandle<()>,
}

/// Starts the relay and takes up every group of the store.
pub async fn start(settings: GatewaySettings, catalogue: Catalogue) -> Result<Gateway, GatewayError> {
    let rescue_dir = settings.data_dir.join("rescue");
    std::fs::create_dir_all(&rescue_dir).map_err(|source| GatewayError::Directory {
        path: rescue_dir.clone(),
        source,
    })?;
    let relay = Relay::start(settings.relay.clone()).await?;
    let news = News::new(EVENTS_MAX);
    let common = Arc::new(Common {
        settings,
        catalogue: catalogue.clone(),
        relay,
        started: Instant::now(),
        failpoint: Failpoint::from_env(),
        news: news.clone(),
    });
    let (requests, requests_in) = mpsc::channel(REQUESTS_MAX);
    let (views, views_out) = watch::channel(Arc::default());
    let (ready, ready_out) = watch::channel(false);
    let (routes, routes_out) = watch::channel(Arc::default());
    let (stop, stopped) = oneshot::channel();
    let groups = common.catalogue.groups().await?;
    let unfinished = common.catalogue.unfinished_operations().await?;
    let supervisor = Supervisor {
        common: Arc::clone(&common),
        groups: BTreeMap::new(),
        views,
        routes,
        ready,
    };
    let supervisor = tokio::spawn(supervisor.run(groups, unfinished, requests_in, stopped));
    Ok(Gateway {
        common,
        control: Control {
            catalogue,
            requests,
            views: views_out,
            news,
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
    pub fn routes(&self) -> watch::Receiver<Arc<Vec<Route>>> {
        self.routes.clone()
    }

    /// Where the relay listens.
    pub fn relay_address(&self) -> SocketAddr {
        self.common.relay.address()
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
    common: Arc<Common>,
    groups: BTreeMap<GroupName, GroupHandle>,
    views: watch::Sender<Arc<BTreeMap<GroupName, GroupView>>>,
    routes: watch::Sender<Arc<Vec<Route>>>,
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
        for group in groups {
            let operation = unfinished
                .iter()
                .find(|operation| operation.group == group.name)
                .cloned();
            let name = group.name.clone();
            if let Err(error) = self.take_up(group, operation).await {
                tracing::error!(group = %name, %error, "the group can't be taken up");
            }
        }
        self.ready.send_replace(true);
        loop {
            self.publish_routes();
            tokio::select! {
                _ = &mut stop => break,
                request = requests.recv() => match request {
                    Some(request) => self.on_request(request).await,
                    None => break,
                },
                name = changed_route(&mut self.groups) => self.on_group_event(&name),
            }
        }
        let groups = std::mem::take(&mut self.groups);
        for handle in groups.into_values() {
            handle.stop().await;
        }
    }

    async fn take_up(&mut self, group: Group, operation: Option<Operation>) -> Result<(), ControlError> {
        let name = group.name.clone();
        let handle = group::start(Arc::clone(&self.common), group, operation).await?;
        self.groups.insert(name, handle);
        self.publish_views();
        Ok(())
    }

    fn publish_views(&self) {
        let views = self
            .groups
            .iter()
            .map(|(name, handle)| (name.clone(), handle.view()))
            .collect();
        self.views.send_replace(Arc::new(views));
    }

    fn publish_routes(&self) {
        let routes: Vec<_> = self.groups.values().filter_map(GroupHandle::route).collect();
        self.routes.send_if_modified(|known| {
            let changed = **known != routes;
            *known = Arc::new(routes);
            changed
        });
    }

    /// A group's route changed, or its owner ended because it was deleted.
    fn on_group_event(&mut self, name: &GroupName) {
        if self.groups.get(name).is_some_and(GroupHandle::has_ended) {
            self.groups.remove(name);
            self.publish_views();
        }
    }

    async fn on_request(&mut self, request: Request) {
        match request {
            Request::CreateGroup { spec, actor, reply } => {
                let created = match membership::prepare(&self.common, spec, &actor).await {
                    Ok((group, operation)) => match self.take_up(group, Some(operation.clone())).await {
                        Ok(()) => Ok(operation),
                        Err(error) => Err(error),
                    },
                    Err(error) => Err(error),
                };
                drop(reply.send(created));
            }
            Request::Group { name, ask } => match self.groups.get(&name) {
                Some(handle) => handle.ask(ask),
                None => ask.refuse(|| {
                    ControlError::Store(StoreError::NotFound {
                        what: "group",
                        name: name.to_string(),
                    })
                }),
            },
            Request::ServiceChanged(service) => {
                for handle in self.groups.values() {
                    handle.ask(GroupRequest::ServiceChanged(service.clone()));
                }
            }
            Request::Doctor { service, role, reply } => {
                let common = Arc::clone(&self.common);
                tokio::spawn(async move { drop(reply.send(doctor::examine(&common, &service, role).await)) });
            }
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
    crate::route::first_of(waits).await
}

/// A new operation of a group, not kept yet.
pub(crate) fn new_operation(group: &Group, kind: OperationKind, by: Requester, reason: String) -> Operation {
    Operation::begun(&group.name, group.epoch, kind, by, reason)
}
