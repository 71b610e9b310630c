//! Where nodes find the relay.

use std::net::{IpAddr, SocketAddr};

use sterna_node::NodeAddress;
use sterna_replication::Announce;

/// The relay's address, which depends on who asks where it listens on every interface and nobody named one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct RelayEndpoint {
    /// What a person named.
    pub(crate) announced: Option<NodeAddress>,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
}

impl RelayEndpoint {
    /// Its address for a node that we reach from `local`.
    pub(crate) fn seen_from(&self, local: Option<IpAddr>) -> NodeAddress {
        self.announced.clone().unwrap_or_else(|| {
            let ip = match local {
                Some(local) if self.listen.ip().is_unspecified() => local,
                _ => self.listen.ip(),
            };
            NodeAddress::new(ip.to_string(), self.listen.port())
        })
    }

    /// What is announced to primaries, so that the relay can be the target of `FAILOVER TO`.
    pub(crate) fn announce(&self) -> Announce {
        match &self.announced {
            Some(named) => Announce {
                host: Some(named.host.clone()),
                port: named.port,
            },
            None => Announce {
                host: (!self.listen.ip().is_unspecified()).then(|| self.listen.ip().to_string()),
                port: self.listen.port(),
            },
        }
    }
}
