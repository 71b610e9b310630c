//! The few commands that Sterna gives to nodes, typed.

use std::collections::BTreeMap;

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
