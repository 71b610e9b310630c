//! The fence's settings at a node, and what they were before.

use sterna_model::{GroupName, StepOutcome};
use sterna_node::adopt::{self, OriginalSettings};
use sterna_node::{Client, ClientError, NodeAddress};
use sterna_store::Nodes;

use super::{Executor, clients};
use crate::job::{JobError, JobReport, Lift};
use crate::observe::{Lease, NodeKey, look_at};
use crate::plan::fence::{MIN_REPLICAS_BLOCKED, counted};

/// What connections that change a fence are opened for.
const WORK: &str = "fence";

/// Blocks a node's writes, and lets its clients go: they find another primary, or that there is none. Its configuration file stays, so that a restart of it begins with the lease.
pub(super) async fn block_writes(at: &Executor, node: NodeKey) -> Result<JobReport, JobError> {
    let mut client = at.connect(&node).await?;
    client
        .config_set("min-replicas-to-write", &MIN_REPLICAS_BLOCKED.to_string())
        .await?;
    let run = client.info().await?.server().run_id.unwrap_or_default();
    let seen = look_at(node.clone(), &mut client, at.clock).await;
    let clients = clients::let_go(&node, &mut client).await;
    Ok(JobReport {
        observations: vec![seen],
        blocked: Some((node.clone(), run)),
        ..JobReport::of(StepOutcome::WritesBlocked { node, clients })
    })
}

/// Puts the fence in place at the primary.
pub(super) async fn place(at: &Executor, node: NodeKey, lease: Lease) -> Result<JobReport, JobError> {
    let mut client = at.connect_for(&node, WORK).await?;
    remember(&at.context.catalogue.nodes, &at.group, &mut client).await?;
    check_counted(&mut client, lease).await?;
    set(&mut client, lease).await?;
    let kept = at.rewrite_config(&node, &mut client).await?;
    Ok(JobReport {
        kept: Some((node.clone(), kept)),
        ..JobReport::of(StepOutcome::FenceInPlace(node))
    })
}

/// Puts the fence at a node back to what it was before the group; one that was never remembered has none of ours. Should
/// this arrive late, it must not take away a fence that was placed since: that closes this connection.
pub(super) async fn lift(at: &Executor, node: &NodeKey, run: &str, lift: Lift) -> Result<(), JobError> {
    let before = before(&at.context.catalogue.nodes, &at.group, &node.address).await?;
    let Some(before) = before else { return Ok(()) };
    let mut client = at.connect(node).await?;
    client.displace(WORK).await?;
    if client.info().await?.server().run_id.as_deref() != Some(run) {
        return Err(JobError::Restarted(node.clone()));
    }
    let was = |name: &str| {
        let setting = before.raised.iter().find(|(known, _)| known == name);
        setting.map(|(_, value)| value.as_str())
    };
    let min = was("min-replicas-to-write").unwrap_or("0");
    client.config_set("min-replicas-to-write", min).await?;
    if let Some(lag) = was("min-replicas-max-lag") {
        client.config_set("min-replicas-max-lag", lag).await?;
    }
    if lift == Lift::ForGood {
        at.rewrite_config(node, &mut client).await?;
    }
    Ok(())
}

/// Sets the fence at a node, the time before the number: it closes for want of replicas, not for an old lag.
pub(super) async fn set(client: &mut Client, lease: Lease) -> Result<(), ClientError> {
    client
        .config_set("min-replicas-max-lag", &lease.max_lag_seconds.to_string())
        .await?;
    client
        .config_set("min-replicas-to-write", &lease.min_replicas.to_string())
        .await
}

/// Lets a node take writes as it did before the group, should it be promoted.
pub(super) async fn unblock(
    client: &mut Client,
    before: Option<&OriginalSettings>,
) -> Result<(), ClientError> {
    let was = before.and_then(|before| {
        let raised = before.raised.iter();
        raised.clone().find(|(name, _)| name == "min-replicas-to-write")
    });
    let min = was.map_or("0", |(_, value)| value.as_str());
    client.config_set("min-replicas-to-write", min).await
}

/// Refuses where the fence would close the node at once.
async fn check_counted(client: &mut Client, lease: Lease) -> Result<(), JobError> {
    let seen = client.info().await?.replication()?;
    let counted = counted(&seen.replicas);
    if counted >= lease.min_replicas {
        return Ok(());
    }
    Err(JobError::NotCounted {
        node: client.address().clone(),
        counted,
        wanted: lease.min_replicas,
    })
}

/// Keeps what a node was before the group changed anything at it, the first time.
pub(super) async fn remember(nodes: &Nodes, group: &GroupName, client: &mut Client) -> Result<(), JobError> {
    if before(nodes, group, client.address()).await?.is_some() {
        return Ok(());
    }
    let found = adopt::read_settings(client).await?;
    let value = serde_json::to_value(found).map_err(|source| JobError::OriginalSettings {
        node: client.address().clone(),
        source,
    })?;
    Ok(nodes.save_before(group, client.address(), value).await?)
}

/// What a node was before the group changed anything at it.
pub(super) async fn before(
    nodes: &Nodes,
    group: &GroupName,
    node: &NodeAddress,
) -> Result<Option<OriginalSettings>, JobError> {
    let value = nodes.before(group, node).await?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
