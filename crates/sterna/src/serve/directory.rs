//! From what control knows of the groups' nodes to what discovery tells clients.

use sterna_control::Route;
use sterna_discovery::{Directory, Endpoint, Entry, ReplicaEntry};
use sterna_node::NodeAddress;

/// The directory of these routes.
pub(super) fn directory(routes: &[Route]) -> Directory {
    let entries = routes.iter().map(|route| {
        let replicas = route.replicas.iter().map(|replica| ReplicaEntry {
            endpoint: endpoint(&replica.address),
            service: replica.service.to_string(),
            up: replica.up,
            offset: replica.offset.get(),
        });
        let entry = Entry {
            name: route.group.to_string(),
            epoch: route.epoch.0,
            primary: endpoint(&route.primary),
            down: route.primary_down,
            failover_possible: route.failover_possible,
            replicas: replicas.collect(),
            down_after_ms: route.down_after_ms,
        };
        (entry.name.clone(), entry)
    });
    Directory {
        entries: entries.collect(),
    }
}

/// An address as clients are told it.
pub(super) fn endpoint(address: &NodeAddress) -> Endpoint {
    Endpoint {
        host: address.host.clone(),
        port: address.port,
    }
}

#[cfg(test)]
mod tests {
    use sterna_model::Epoch;
    use sterna_protocol::Offset;

    use super::*;
    use sterna_control::RouteReplica;

    #[test]
    fn routes_become_entries_under_the_groups_name() {
        let route = Route {
            group: "orders".parse().expect("a name"),
            epoch: Epoch(3),
            primary: NodeAddress::new("eu", 6379),
            primary_down: true,
            failover_possible: true,
            replicas: vec![RouteReplica {
                service: "us".parse().expect("a name"),
                address: NodeAddress::new("::1", 7000),
                up: true,
                offset: Offset::new(42),
            }],
            down_after_ms: 1000,
        };
        let directory = directory(&[route]);
        let entry = &directory.entries["orders"];
        assert_eq!(
            (entry.epoch, entry.down, entry.failover_possible),
            (3, true, true)
        );
        assert_eq!((entry.primary.host.as_str(), entry.primary.port), ("eu", 6379));
        let replica = &entry.replicas[0];
        assert_eq!(
            (replica.endpoint.host.as_str(), replica.offset, replica.up),
            ("::1", 42, true)
        );
        assert_eq!(replica.service, "us");
    }
}
