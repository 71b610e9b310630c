//! Makes a node a replica of the relay, and makes it what it was before.

use std::net::SocketAddr;

use sterna_node::{Client, ClientError, Dialer, NodeAddress, Role};

use super::link_file::{LinkFile, SHARD_NAME, TargetBefore};
use crate::words;

/// A replica's own backlog is raised to this, in bytes, so that after its promotion the others can continue from it.
const BACKLOG_BYTES_MIN: u64 = 64 << 20;

/// What [`attach`] raises at every target, whatever it was.
const RAISED: [&str; 3] = ["replica-read-only", "repl-backlog-size", "repl-backlog-ttl"];

/// Where targets find the relay.
#[derive(Debug, Clone)]
pub(crate) struct Announce {
    /// As the person said it.
    pub(crate) given: Option<NodeAddress>,
    pub(crate) relay: SocketAddr,
    pub(crate) tls: bool,
}

impl Announce {
    /// For a node that was reached from `local`.
    fn to_node(&self, local: Option<SocketAddr>) -> NodeAddress {
        if let Some(given) = &self.given {
            return given.clone();
        }
        let ip = match local {
            Some(local) if self.relay.ip().is_unspecified() => local.ip(),
            _ => self.relay.ip(),
        };
        NodeAddress::new(ip.to_string(), self.relay.port())
    }
}

/// Points the node at the relay, unless it already follows it. What it was before goes into `link` and to disk first.
pub(crate) async fn attach(
    dialer: &Dialer,
    announce: &Announce,
    link: &mut LinkFile,
    save: impl Fn(&LinkFile) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut node = Client::connect(dialer).await?;
    let relay = announce.to_node(node.stream().local_addr().ok());
    let secret = link.secret();
    let secret = std::str::from_utf8(secret.expose())?;
    let name = dialer.address.to_string();

    let before = look(&mut node, &name).await?;
    let ours = before.masteruser == SHARD_NAME && before.masterauth == secret;
    if link.before(&name).is_none() {
        link.targets.push(before.clone());
        save(link)?;
    }
    let follows = ours && before.replica_of == Some((relay.host.clone(), relay.port));
    set(&mut node, "replica-read-only", "yes").await?;
    raise_backlog(&mut node).await;
    if !follows {
        set(&mut node, "masteruser", SHARD_NAME).await?;
        set(&mut node, "masterauth", secret).await?;
        if announce.tls {
            set(&mut node, "tls-replication", "yes").await?;
        } else if before.tls_replication.as_deref() == Some("yes") {
            set(&mut node, "tls-replication", "no").await?;
        }
        node.replica_of(&relay).await?;
    }
    rewrite(&mut node).await;
    Ok(())
}

/// Makes the node a primary with its old settings. Returns its final offset.
pub(crate) async fn release(dialer: &Dialer, before: Option<&TargetBefore>) -> Result<(), ClientError> {
    let mut node = Client::connect(dialer).await?;
    node.replica_of_no_one().await?;
    restore_settings(&mut node, before).await?;
    rewrite(&mut node).await;
    Ok(())
}

/// Undoes [`attach`] at a node that never got any data from this link: it becomes exactly what it was.
pub(crate) async fn restore(dialer: &Dialer, before: &TargetBefore) -> Result<(), ClientError> {
    let mut node = Client::connect(dialer).await?;
    restore_settings(&mut node, Some(before)).await?;
    for (name, value) in &before.raised {
        set(&mut node, name, value).await?;
    }
    match &before.replica_of {
        None => node.replica_of_no_one().await?,
        Some((host, port)) => node.replica_of(&NodeAddress::new(host.clone(), *port)).await?,
    }
    rewrite(&mut node).await;
    Ok(())
}

async fn restore_settings(node: &mut Client, before: Option<&TargetBefore>) -> Result<(), ClientError> {
    let (user, secret) = before.map_or(("", ""), |before| {
        (before.masteruser.as_str(), before.masterauth.as_str())
    });
    set(node, "masteruser", user).await?;
    set(node, "masterauth", secret).await?;
    if let Some(tls) = before.and_then(|before| before.tls_replication.as_deref()) {
        set(node, "tls-replication", tls).await?;
    }
    Ok(())
}

async fn look(node: &mut Client, name: &str) -> anyhow::Result<TargetBefore> {
    let replication = node.info().await?.replication()?;
    let replica_of = match (replication.role, replication.primary) {
        (Role::Replica, Some(primary)) => Some((primary.host, primary.port)),
        _ => None,
    };
    let mut raised = Vec::new();
    for name in RAISED {
        raised.extend(get(node, name).await?.map(|value| (name.to_owned(), value)));
    }
    Ok(TargetBefore {
        address: name.to_owned(),
        masteruser: get(node, "masteruser").await?.unwrap_or_default(),
        masterauth: get(node, "masterauth").await?.unwrap_or_default(),
        tls_replication: get(node, "tls-replication").await?,
        raised,
        replica_of,
        follows: false,
    })
}

async fn get(node: &mut Client, name: &str) -> Result<Option<String>, ClientError> {
    Ok(node.config_get(name).await?.remove(name))
}

async fn set(node: &mut Client, name: &str, value: &str) -> Result<(), ClientError> {
    node.config_set(name, value).await
}

/// Best effort: it only helps those who follow this node after its promotion.
async fn raise_backlog(node: &mut Client) {
    let size = get(node, "repl-backlog-size")
        .await
        .ok()
        .flatten()
        .and_then(|text| text.parse::<u64>().ok());
    if size.is_some_and(|size| size < BACKLOG_BYTES_MIN) {
        drop(set(node, "repl-backlog-size", &BACKLOG_BYTES_MIN.to_string()).await);
    }
    drop(set(node, "repl-backlog-ttl", "0").await);
}

async fn rewrite(node: &mut Client) {
    if let Err(error) = node.config_rewrite().await {
        words::warn(&format!(
            "{} can't keep its settings over a restart ({error}); after a restart it must be attached again: run the \
             same command",
            node.address()
        ));
    }
}
