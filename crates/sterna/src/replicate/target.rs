//! Makes a node a replica of this link's relay, and makes it what it was before.

use std::net::SocketAddr;

use sterna_node::adopt::{self, AdoptError, ConfigPersistence, RelayAccess};
use sterna_node::{Client, ClientError, Dialer, NodeAddress};

use super::link_file::{LinkFile, SHARD_NAME, TargetBefore};
use crate::output;

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
    let relay = RelayAccess {
        address: announce.to_node(node.stream().local_addr().ok()),
        user: SHARD_NAME.to_owned(),
        secret: link.secret(),
        tls: announce.tls,
    };
    if link.before(&dialer.address.to_string()).is_none() {
        let before = adopt::read_settings(&mut node).await?;
        link.targets.push(TargetBefore {
            before,
            follows: false,
        });
        save(link)?;
    }
    warn_unless_kept(&dialer.address, adopt::follow(&mut node, &relay).await?);
    Ok(())
}

/// Makes the node a primary with its old settings.
pub(crate) async fn release(dialer: &Dialer, before: Option<&TargetBefore>) -> Result<(), ClientError> {
    let mut node = Client::connect(dialer).await?;
    let kept = adopt::release(&mut node, before.map(|target| &target.before)).await?;
    warn_unless_kept(&dialer.address, kept);
    Ok(())
}

/// Undoes [`attach`] at a node that never got any data from this link: it becomes exactly what it was.
pub(crate) async fn restore(dialer: &Dialer, before: &TargetBefore) -> Result<(), AdoptError> {
    let mut node = Client::connect(dialer).await?;
    warn_unless_kept(&dialer.address, adopt::restore(&mut node, &before.before).await?);
    Ok(())
}

fn warn_unless_kept(address: &NodeAddress, kept: ConfigPersistence) {
    if let ConfigPersistence::UntilRestart(error) = kept {
        output::warn(&format!(
            "{address} can't keep its settings over a restart ({error}); after a restart it must be attached again: run \
             the same command"
        ));
    }
}
