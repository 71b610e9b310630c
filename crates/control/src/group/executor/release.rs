//! Nodes are let go: their login to the relay and their settings are put back to what they were.

use std::time::Duration;

use sterna_model::{ReleasedAs, ReleasedNode, StepOutcome};
use sterna_node::{NodeAddress, Role, adopt};

use super::{Executor, fence, prepare};
use crate::job::{JobError, JobReport};
use crate::observe::NodeKey;
use crate::plan::fence::MIN_REPLICAS_BLOCKED;

/// How many replicas a node wants before it takes a write.
const MIN_REPLICAS: &str = "min-replicas-to-write";
/// A node that answers, and can't be let go, is left as it is after so many attempts...
const ATTEMPTS_MAX: u32 = 3;
/// ...with this between them.
const ATTEMPTS_PAUSE: Duration = Duration::from_secs(1);

/// Lets nodes go. With `promote` the first that answers becomes a primary, the others its replicas.
pub(super) async fn release(
    at: &Executor,
    nodes: Vec<NodeKey>,
    promote: bool,
    lift_at: Option<NodeKey>,
) -> Result<JobReport, JobError> {
    let lifted = match &lift_at {
        Some(node) => prepare::give_back(at, node).await,
        None => Ok(()),
    };
    let mut told = Vec::new();
    let mut head = None;
    for node in nodes {
        let released = release_or_leave(at, &node, promote, &mut head).await;
        // A node that is gone, or does not do as it is told, must not keep the group from going on.
        let released = released.unwrap_or_else(|error| ReleasedAs::Unchanged {
            error: error.to_string(),
        });
        told.push(ReleasedNode { node, released });
    }
    Ok(JobReport::of(StepOutcome::Released {
        nodes: told,
        fence_error: lifted.err().map(|error| error.to_string()),
    }))
}

/// Tries again where a node answers and the work fails all the same.
async fn release_or_leave(
    at: &Executor,
    node: &NodeKey,
    promote: bool,
    head: &mut Option<NodeAddress>,
) -> Result<ReleasedAs, JobError> {
    let mut attempts = 1..=ATTEMPTS_MAX;
    loop {
        let mut client = at.connect(node).await?;
        let released = release_node(at, node, &mut client, promote, head).await;
        match released {
            Err(_) if attempts.next().is_some_and(|attempt| attempt < ATTEMPTS_MAX) => {
                tokio::time::sleep(ATTEMPTS_PAUSE).await;
            }
            released => return released,
        }
    }
}

async fn release_node(
    at: &Executor,
    node: &NodeKey,
    client: &mut sterna_node::Client,
    promote: bool,
    head: &mut Option<NodeAddress>,
) -> Result<ReleasedAs, JobError> {
    let nodes = &at.context.catalogue.nodes;
    let mut before = fence::before(nodes, &at.group, &node.address).await?;
    // One that was never let follow is as it was.
    let was_changed = before.is_some();
    let shut = !promote && was_changed && client.info().await?.replication()?.role == Role::Primary;
    if shut {
        // What it alone has, or takes beside the group's primary, would be known to nobody.
        let blocked = MIN_REPLICAS_BLOCKED.to_string();
        client.config_set(MIN_REPLICAS, &blocked).await?;
        if let Some(before) = &mut before {
            before.raised.retain(|(name, _)| name != MIN_REPLICAS);
        }
    }
    if let Some(before) = &before {
        adopt::put_back(client, before).await?;
    }
    adopt::forget_relay(client, before.as_ref()).await?;
    if promote {
        at.end_copy(client).await?;
    }
    let released = if shut {
        ReleasedAs::Shut
    } else if !promote {
        // With the login forgotten the link does not come back.
        drop(client.command(&["CLIENT", "KILL", "TYPE", "master"]).await);
        ReleasedAs::Replica
    } else if let Some(head) = head {
        client.replica_of(head).await?;
        ReleasedAs::ReplicaOf {
            primary: head.clone(),
        }
    } else {
        client.replica_of_no_one().await?;
        *head = Some(node.address.clone());
        ReleasedAs::Primary
    };
    at.rewrite_config(node, client).await?;
    nodes.forget_before(&at.group, &node.address).await?;
    Ok(released)
}
