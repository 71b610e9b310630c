//! Routes for tests.

use sterna_model::{Epoch, LiveOffset, Route, RouteReplica, Routes};
use sterna_protocol::NodeAddress;

/// A node of that name on the usual port.
pub(crate) fn node(host: &str) -> NodeAddress {
    NodeAddress::new(host, 6379)
}

/// A healthy group in epoch 1.
pub(crate) fn route(name: &str, primary: &str, replicas: &[&str]) -> Route {
    let replica = |host: &&str| RouteReplica {
        service: format!("service-{host}").parse().expect("a name"),
        address: node(host),
        up: true,
        site: None,
        offset: LiveOffset::default(),
    };
    Route {
        group: name.parse().expect("a name"),
        epoch: Epoch(1),
        primary: node(primary),
        primary_down: false,
        failover_possible: true,
        replicas: replicas.iter().map(replica).collect(),
        down_after_ms: 1000,
    }
}

/// These groups.
pub(crate) fn routes(routes: impl IntoIterator<Item = Route>) -> Routes {
    let routes = routes.into_iter();
    routes.map(|route| (route.group.clone(), route)).collect()
}
