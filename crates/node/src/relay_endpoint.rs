//! Where nodes find the relay.

use std::net::{IpAddr, SocketAddr};

use crate::address::NodeAddress;

/// The relay's address, which depends on who asks where it listens on every interface and nobody named one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelayEndpoint {
    /// What a person named.
    pub announced: Option<NodeAddress>,
    pub listen: SocketAddr,
}

impl RelayEndpoint {
    /// Its address for a node that we reach from `local`.
    pub fn seen_from(&self, local: Option<IpAddr>) -> NodeAddress {
        self.announced.clone().unwrap_or_else(|| {
            let ip = match local {
                Some(local) if self.listen.ip().is_unspecified() => local,
                _ => self.listen.ip(),
            };
            NodeAddress::new(ip.to_string(), self.listen.port())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_named_or_where_it_listens_or_where_we_come_from() {
        let local = Some(IpAddr::from([10, 0, 0, 7]));
        let listening = |listen: &str| RelayEndpoint {
            announced: None,
            listen: listen.parse().expect("an address"),
        };
        assert_eq!(
            listening("0.0.0.0:7801").seen_from(local).to_string(),
            "10.0.0.7:7801"
        );
        assert_eq!(
            listening("10.0.0.9:7801").seen_from(local).to_string(),
            "10.0.0.9:7801"
        );
        assert_eq!(
            listening("0.0.0.0:7801").seen_from(None).to_string(),
            "0.0.0.0:7801"
        );
        let named = RelayEndpoint {
            announced: Some(NodeAddress::new("relay.example", 7802)),
            ..listening("0.0.0.0:7801")
        };
        assert_eq!(named.seen_from(local).to_string(), "relay.example:7802");
    }
}
