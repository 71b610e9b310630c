//! A node is made a replica of the relay.

use sterna_model::{ClientsLetGo, StepOutcome};
use sterna_node::adopt::{self, Followed};
use sterna_node::{NodeAddress, Role};
use sterna_replication::Command;
use tokio::sync::oneshot;

use super::{CHANGES_ROLE, Executor, clients, fence, rescue};
use crate::job::{Attach, Former, JobError, JobReport};
use crate::observe::{NodeKey, look_at};

/// Makes a node follow the relay; what it was before is kept first.
pub(super) async fn attach(at: &Executor, job: Attach) -> Result<JobReport, JobError> {
    if let Some(failover) = job.confirms {
        rescue::confirm_report(at, failover).await?;
    }
    let mut client = at.connect_for(&job.node, CHANGES_ROLE).await?;
    if let Some((id, offset)) = job.alias {
        let (done, answer) = oneshot::channel();
        let command = Command::AddHistoryAlias { id, offset, done };
        if at.shard.handle.command(command).await {
            // It has ended if this fails, and lets nobody attach.
            drop(answer.await);
        }
    }
    let followed = change(at, &job, &mut client)
        .await
        .map_err(|source| JobError::Attach {
            node: job.node.clone(),
            source: Box::new(source),
        })?;
    let seen = look_at(job.node.clone(), &mut client, at.clock).await;
    let clients = if followed.was_primary {
        clients::let_go_of_replica(at, &job.node, client).await
    } else {
        ClientsLetGo::default()
    };
    let NodeKey { service, address } = job.node.clone();
    let outcome = StepOutcome::Attached {
        service,
        address,
        relay: job.relay,
        clients,
    };
    Ok(JobReport {
        kept: Some((job.node, followed.settings)),
        observations: vec![seen],
        ..JobReport::of(outcome)
    })
}

/// Makes a node follow its service's own primary again, with the login that it had for that before the group.
pub(super) async fn follow_own(
    at: &Executor,
    node: NodeKey,
    primary: NodeAddress,
) -> Result<JobReport, JobError> {
    let before = fence::before(&at.context.catalogue.nodes, &at.group, &node.address).await?;
    let Some((host, port)) = before.as_ref().and_then(|before| before.replica_of.clone()) else {
        return Ok(JobReport {
            has_no_own: Some(node),
            ..JobReport::default()
        });
    };
    // It may know that node by another name than the gateway does.
    let known_as = NodeAddress::new(host, port);
    let own = if known_as.port == primary.port {
        known_as
    } else {
        primary
    };
    let mut client = at.connect_for(&node, CHANGES_ROLE).await?;
    adopt::forget_relay(&mut client, before.as_ref()).await?;
    client.replica_of(&own).await?;
    kept(at, node, &mut client).await
}

/// Makes a node that took the writes before follow the primary that its service has now, and takes away what kept it from taking
/// writes: its Sentinels may promote it again. Where they let it follow already it stays as it is.
pub(super) async fn follow_new(
    at: &Executor,
    node: NodeKey,
    primary: NodeAddress,
    former: Former,
) -> Result<JobReport, JobError> {
    let before = fence::before(&at.context.catalogue.nodes, &at.group, &node.address).await?;
    let mut client = at.connect_for(&node, CHANGES_ROLE).await?;
    let seen = client.info().await?.replication()?;
    let was_primary = seen.role == Role::Primary;
    // It may know that node by another name than the gateway does.
    let is_there = seen.sync_in_progress || (seen.link_up && former.history == Some(seen.replid));
    let follows = seen
        .primary
        .is_some_and(|followed| followed.port == primary.port && is_there);
    if was_primary || !follows {
        if adopt::read_settings(&mut client).await?.masteruser == at.shard.handle.name() {
            adopt::forget_relay(&mut client, before.as_ref()).await?;
        }
        client.replica_of(&primary).await?;
    }
    match former.lease {
        Some(lease) => fence::set(&mut client, lease).await?,
        None => fence::unblock(&mut client, before.as_ref()).await?,
    }
    let report = kept(at, node.clone(), &mut client).await?;
    if was_primary {
        clients::let_go_of_replica(at, &node, client).await;
    }
    Ok(report)
}

/// What a node's settings came to, and how it is now.
async fn kept(at: &Executor, node: NodeKey, client: &mut sterna_node::Client) -> Result<JobReport, JobError> {
    let kept = at.rewrite_config(&node, client).await?;
    let seen = look_at(node.clone(), client, at.clock).await;
    Ok(JobReport {
        kept: Some((node, kept)),
        observations: vec![seen],
        ..JobReport::default()
    })
}

async fn change(at: &Executor, job: &Attach, client: &mut sterna_node::Client) -> Result<Followed, JobError> {
    fence::remember(&at.context.catalogue.nodes, &at.group, client).await?;
    // A node whose writes were blocked stays so until it is a replica: what it took in between would be lost.
    let relay = at.relay_access(&job.node, job.relay.clone());
    if !adopt::read_settings(client).await?.follows(&relay) {
        at.end_copy(client).await?;
    }
    let followed = adopt::follow(client, &relay, at.service(&job.node.service)?.config_rewrite()).await?;
    match job.lease {
        Some(lease) => fence::set(client, lease).await?,
        None if followed.was_primary => {
            let before = fence::before(&at.context.catalogue.nodes, &at.group, &job.node.address).await?;
            fence::unblock(client, before.as_ref()).await?;
        }
        None => return Ok(followed),
    }
    Ok(Followed {
        settings: at.rewrite_config(&job.node, client).await?,
        ..followed
    })
}
