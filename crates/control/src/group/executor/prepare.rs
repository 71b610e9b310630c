//! The primary's nodes are given what every node of a group needs, and given back what they had.

use sterna_model::GroupName;
use sterna_node::{Client, adopt};
use sterna_store::Nodes;

use super::{Executor, fence};
use crate::access::COMMAND_TIMEOUT;
use crate::job::JobError;
use crate::observe::NodeKey;

/// Prepares a primary, and beside it, without waiting, the other nodes of its service: one of them may take its place. It
/// goes on without where a node does not let its settings be changed; the doctor says so.
pub(super) async fn primary(at: &Executor, node: &NodeKey) {
    let others = at.access.get(&node.service).into_iter();
    let others = others
        .flat_map(crate::access::Access::nodes)
        .filter(|other| other != node);
    for other in others {
        let at = at.clone();
        tokio::spawn(async move { log(&other, prepare(&at, &other).await) });
    }
    log(node, prepare(at, node).await);
}

async fn prepare(at: &Executor, node: &NodeKey) -> Result<(), JobError> {
    let mut client = at.connect(node).await?;
    fence::remember(&at.context.catalogue.nodes, &at.group, &mut client).await?;
    adopt::prepare(&mut client, at.service(&node.service)?.config_rewrite()).await?;
    Ok(())
}

fn log(node: &NodeKey, prepared: Result<(), JobError>) {
    if let Err(error) = prepared {
        tracing::warn!(%node.service, %node.address, %error, "a node of the primary service is not prepared");
    }
}

/// Gives the nodes of the primary service back what they had: the group ends.
pub(super) async fn give_back(at: &Executor, primary: &NodeKey) -> Result<(), JobError> {
    let access = at.service(&primary.service)?;
    let mut first = Ok(());
    for node in access.nodes() {
        let given = give_back_at(at, &node).await;
        // A replica of its own that is away keeps what it has.
        if node == *primary {
            first = given;
        } else {
            log(&node, given);
        }
    }
    first
}

async fn give_back_at(at: &Executor, node: &NodeKey) -> Result<(), JobError> {
    let mut client = Client::connect_with_timeout(&at.dialer(node)?, COMMAND_TIMEOUT).await?;
    settings(&at.context.catalogue.nodes, &at.group, &mut client).await?;
    at.rewrite_config(node, &mut client).await?;
    Ok(at
        .context
        .catalogue
        .nodes
        .forget_before(&at.group, &node.address)
        .await?)
}

/// Gives a node back the settings that it had.
async fn settings(nodes: &Nodes, group: &GroupName, client: &mut Client) -> Result<(), JobError> {
    let before = fence::before(nodes, group, client.address()).await?;
    adopt::put_back(client, &before.unwrap_or_default()).await?;
    Ok(())
}
