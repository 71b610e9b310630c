//! The few commands that Sterna gives to nodes, typed.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use sterna_protocol::Offset;
use sterna_protocol::resp::Value;

use super::{Client, ClientError};
use crate::address::NodeAddress;
use crate::engine::{Engine, Version};
use crate::info::Info;

/// What `ROLE` answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeRole {
    /// A primary, its offset, and how many replicas are attached.
    Primary {
        /// Its replication offset.
        offset: Offset,
        /// Attached replicas.
        replicas: usize,
    },
    Replica {
        /// Of whom.
        primary: NodeAddress,
        /// `connect`, `connecting`, `handshake`, `sync` or `connected`.
        state: String,
        /// What it has received; none before the first sync.
        offset: Option<Offset>,
    },
    /// A Sentinel, which is not a node at all.
    Sentinel,
}

/// A connection that follows a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowingClient {
    /// The node's number for it, which it gives to no other as long as its process lives.
    pub id: u64,
    /// Where it comes from, as the node sees it: behind a translation of addresses that is no address of its own.
    pub from: IpAddr,
}

impl FollowingClient {
    /// `id=7 addr=10.0.0.7:41012 laddr=… flags=S …`
    fn parse(line: &str) -> Option<Self> {
        let field = |name: &str| {
            let fields = line.split(' ').filter_map(|part| part.split_once('='));
            fields
                .into_iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let from: SocketAddr = field("addr")?.parse().ok()?;
        Some(Self {
            id: field("id")?.parse().ok()?,
            from: from.ip(),
        })
    }
}

impl Client {
    /// `INFO`, all default sections.
    pub async fn info(&mut self) -> Result<Info, ClientError> {
        self.info_of(&["INFO"]).await
    }

    /// The sections of `INFO` that tell how a node replicates: server, persistence, replication, keyspace, modules. Before Redis
    /// 7.0 it takes one section only; there it is all of them.
    pub async fn replication_info(&mut self, engine: Engine) -> Result<Info, ClientError> {
        const SECTIONS: &[&str] = &[
            "INFO",
            "server",
            "persistence",
            "replication",
            "keyspace",
            "modules",
        ];
        let takes_several = engine.version >= Version::new(7, 0, 0);
        self.info_of(if takes_several { SECTIONS } else { &SECTIONS[..1] })
            .await
    }

    async fn info_of(&mut self, command: &[&str]) -> Result<Info, ClientError> {
        let value = self.command(command).await?;
        let text = value
            .as_bytes()
            .ok_or_else(|| self.unexpected("INFO", "not a string"))?;
        Ok(Info::parse(text))
    }

    /// `CONFIG GET pattern`: names and values, empty where the node knows none.
    pub async fn config_get(&mut self, pattern: &str) -> Result<BTreeMap<String, String>, ClientError> {
        let value = self.command(&["CONFIG", "GET", pattern]).await?;
        let pairs = value
            .as_pairs()
            .ok_or_else(|| self.unexpected("CONFIG GET", "not a list of pairs"))?;
        let text = |value: &Value| {
            value
                .as_bytes()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
                .unwrap_or_default()
        };
        Ok(pairs
            .into_iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect())
    }

    /// `CONFIG SET name value`.
    pub async fn config_set(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), ClientError> {
        self.command(&["CONFIG".as_bytes(), b"SET", name.as_bytes(), value.as_ref()])
            .await
            .map(drop)
    }

    /// `CONFIG REWRITE`, so that the node keeps its settings over a restart.
    pub async fn config_rewrite(&mut self) -> Result<(), ClientError> {
        self.command(&["CONFIG", "REWRITE"]).await.map(drop)
    }

    /// `ROLE`.
    pub async fn role(&mut self) -> Result<NodeRole, ClientError> {
        let value = self.command(&["ROLE"]).await?;
        parse_role(&value).ok_or_else(|| self.unexpected("ROLE", "not a role"))
    }

    /// `DBSIZE`: keys in the selected database.
    pub async fn dbsize(&mut self) -> Result<u64, ClientError> {
        let value = self.command(&["DBSIZE"]).await?;
        value
            .as_int()
            .and_then(|keys| u64::try_from(keys).ok())
            .ok_or_else(|| self.unexpected("DBSIZE", "not a number"))
    }

    /// `CLIENT LIST TYPE replica`: the connections that follow the node, whatever they announced of themselves.
    pub async fn following_clients(&mut self) -> Result<Vec<FollowingClient>, ClientError> {
        let value = self.command(&["CLIENT", "LIST", "TYPE", "replica"]).await?;
        let text = value
            .as_bytes()
            .ok_or_else(|| self.unexpected("CLIENT LIST", "not a string"))?;
        let text = String::from_utf8_lossy(text);
        Ok(text.lines().filter_map(FollowingClient::parse).collect())
    }

    /// `REPLICAOF host port`.
    pub async fn replica_of(&mut self, primary: &NodeAddress) -> Result<(), ClientError> {
        let port = primary.port.to_string();
        self.command(&["REPLICAOF", &primary.host, &port]).await.map(drop)
    }

    /// `REPLICAOF NO ONE`: the node becomes a primary with the data that it holds.
    pub async fn replica_of_no_one(&mut self) -> Result<(), ClientError> {
        self.command(&["REPLICAOF", "NO", "ONE"]).await.map(drop)
    }

    pub(crate) fn unexpected(&self, command: &str, problem: &str) -> ClientError {
        ClientError::Unexpected {
            address: self.address.clone(),
            command: command.to_owned(),
            problem: problem.to_owned(),
        }
    }
}

fn parse_role(value: &Value) -> Option<NodeRole> {
    let items = value.as_array()?;
    let offset = |value: &Value| {
        value
            .as_int()
            .and_then(|offset| u64::try_from(offset).ok())
            .map(Offset::new)
    };
    match items.first()?.as_text()? {
        "master" => Some(NodeRole::Primary {
            offset: offset(items.get(1)?)?,
            replicas: items.get(2)?.as_array()?.len(),
        }),
        "slave" => Some(NodeRole::Replica {
            primary: NodeAddress::new(
                items.get(1)?.as_text()?,
                u16::try_from(items.get(2)?.as_int()?).ok()?,
            ),
            state: items.get(3)?.as_text()?.to_owned(),
            offset: items.get(4).and_then(offset),
        }),
        "sentinel" => Some(NodeRole::Sentinel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_following_client_is_known_by_its_number_and_where_it_comes_from() {
        let line =
            "id=57 addr=172.17.0.1:41012 laddr=172.17.0.2:6379 fd=9 name= age=3 flags=S db=0 cmd=replconf";
        let seen = FollowingClient::parse(line).expect("a client");
        assert_eq!((seen.id, seen.from), (57, IpAddr::from([172, 17, 0, 1])));
        let line = "id=8 addr=[::1]:41012 fd=9";
        assert!(FollowingClient::parse(line).expect("a client").from.is_ipv6());
        assert_eq!(FollowingClient::parse("id=8 addr=/tmp/socket:0"), None);
    }
}
