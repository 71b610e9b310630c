//! What the endpoint tells: the groups, their primaries and their replica nodes.

use std::collections::BTreeMap;

/// Host and port of a node, as clients are to be told. The host is a DNS name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// DNS name or IP address (an IPv6 one without brackets).
    pub host: String,
    pub port: u16,
}

/// A replica node of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaEntry {
    pub endpoint: Endpoint,
    /// The service it belongs to.
    pub service: String,
    /// Whether it can be read from: it answers, and follows the primary.
    pub up: bool,
    /// Its replication offset.
    pub offset: u64,
}

/// A group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which is the master name of the Sentinel protocol: without spaces and control characters.
    pub name: String,
    /// The group's term.
    pub epoch: u64,
    /// The primary node: the one that was decided last, also while it is down.
    pub primary: Endpoint,
    /// The primary is down, and a failover may be near. Some client libraries refuse a primary that is called down.
    pub down: bool,
    /// Whether a failover could be done now.
    pub failover_possible: bool,
    /// The replica nodes, of every service of the group.
    pub replicas: Vec<ReplicaEntry>,
    /// After how long without an answer a node is called down, in milliseconds.
    pub down_after_ms: u64,
}

/// All groups, by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Directory {
    /// The key is [`Entry::name`].
    pub entries: BTreeMap<String, Entry>,
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A node of that name on the usual port.
    pub(crate) fn endpoint(host: &str) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port: 6379,
        }
    }

    /// A healthy group in epoch 1.
    pub(crate) fn entry(name: &str, primary: &str, replicas: &[&str]) -> Entry {
        let replica = |host: &&str| ReplicaEntry {
            endpoint: endpoint(host),
            service: format!("service-{host}"),
            up: true,
            offset: 42,
        };
        Entry {
            name: name.to_owned(),
            epoch: 1,
            primary: endpoint(primary),
            down: false,
            failover_possible: true,
            replicas: replicas.iter().map(replica).collect(),
            down_after_ms: 1000,
        }
    }

    /// These groups.
    pub(crate) fn directory(entries: impl IntoIterator<Item = Entry>) -> Directory {
        Directory {
            entries: entries
                .into_iter()
                .map(|entry| (entry.name.clone(), entry))
                .collect(),
        }
    }
}
