//! Makes a node a replica of this link's relay, and makes it what it was before.

use sterna_model::ConfigRewrite;
use sterna_node::adopt::{self, AdoptError, ConfigPersistence, NotKept, RelayAccess};
use sterna_node::{Client, ClientError, Dialer, NodeAddress, RelayEndpoint};

use super::link_file::{LinkFile, SHARD_NAME, TargetBefore};
use crate::output;

/// A link has no setting for it.
const REWRITE: ConfigRewrite = ConfigRewrite::WhenSafe;

/// What targets are told of the relay.
#[derive(Debug, Clone)]
pub(crate) struct RelayForTargets {
    pub(crate) endpoint: RelayEndpoint,
    pub(crate) tls: bool,
}

/// Points the node at the relay, unless it already follows it. What it was before goes into `link` and to disk first.
pub(crate) async fn attach(
    dialer: &Dialer,
    relay: &RelayForTargets,
    link: &mut LinkFile,
    save: impl Fn(&LinkFile) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut node = Client::connect(dialer).await?;
    let local = node.stream().local_addr().ok().map(|local| local.ip());
    let access = RelayAccess {
        address: relay.endpoint.seen_from(local),
        user: SHARD_NAME.to_owned(),
        secret: link.secret(),
        tls: relay.tls,
    };
    if link.before(&dialer.address.to_string()).is_none() {
        let before = adopt::read_settings(&mut node).await?;
        link.targets.push(TargetBefore {
            before,
            follows: false,
        });
        save(link)?;
    }
    warn_unless_kept(
        &dialer.address,
        adopt::follow(&mut node, &access, REWRITE).await?.settings,
    );
    Ok(())
}

/// Makes the node a primary with its old settings.
pub(crate) async fn release(dialer: &Dialer, before: Option<&TargetBefore>) -> Result<(), ClientError> {
    let mut node = Client::connect(dialer).await?;
    let kept = adopt::release(&mut node, before.map(|target| &target.before), REWRITE).await?;
    warn_unless_kept(&dialer.address, kept);
    Ok(())
}

/// Undoes [`attach`] at a node that never got any data from this link: it becomes exactly what it was.
pub(crate) async fn restore(dialer: &Dialer, before: &TargetBefore) -> Result<(), AdoptError> {
    let mut node = Client::connect(dialer).await?;
    warn_unless_kept(
        &dialer.address,
        adopt::restore(&mut node, &before.before, REWRITE).await?,
    );
    Ok(())
}

fn warn_unless_kept(address: &NodeAddress, kept: ConfigPersistence) {
    if let ConfigPersistence::UntilRestart(NotKept { error, .. }) = kept {
        output::warn(&format!(
            "{address} does not keep its settings over a restart ({error}); after a restart it must be attached again: run \
             the same command"
        ));
    }
}
