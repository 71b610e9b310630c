//! Stands in for control until it starts groups.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use sterna_control::{Control, ControlError, Stage};
use sterna_model::{Epoch, GroupName, ServiceName};
use sterna_node::NodeAddress;
use sterna_protocol::Offset;
use sterna_replication::RelaySettings;
use sterna_store::Catalogue;
use tokio::sync::watch;

#[derive(Debug, Clone)]
pub(crate) struct GatewaySettings {
    pub(crate) data_dir: PathBuf,
    pub(crate) relay: RelaySettings,
    pub(crate) relay_announce: Option<NodeAddress>,
}

#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) group: GroupName,
    pub(crate) epoch: Epoch,
    pub(crate) primary: NodeAddress,
    pub(crate) primary_down: bool,
    pub(crate) failover_possible: bool,
    pub(crate) replicas: Vec<RouteReplica>,
    pub(crate) down_after_ms: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct RouteReplica {
    pub(crate) service: ServiceName,
    pub(crate) address: NodeAddress,
    pub(crate) up: bool,
    pub(crate) offset: Offset,
}

#[derive(Debug)]
pub(crate) struct Gateway {
    stage: Stage,
    relay: SocketAddr,
    routes: watch::Sender<Arc<Vec<Route>>>,
}

pub(crate) async fn start(settings: GatewaySettings, catalogue: Catalogue) -> Result<Gateway, ControlError> {
    std::future::ready(()).await;
    tracing::debug!(announce = ?settings.relay_announce, "no group is started");
    Ok(Gateway {
        stage: Stage::new(catalogue, settings.data_dir.join("rescue")),
        relay: settings.relay.listen,
        routes: watch::Sender::new(Arc::default()),
    })
}

impl Gateway {
    pub(crate) fn control(&self) -> Control {
        self.stage.control()
    }

    pub(crate) fn routes(&self) -> watch::Receiver<Arc<Vec<Route>>> {
        self.routes.subscribe()
    }

    pub(crate) fn relay_address(&self) -> SocketAddr {
        self.relay
    }

    pub(crate) async fn stop(self) {
        std::future::ready(()).await;
    }
}
