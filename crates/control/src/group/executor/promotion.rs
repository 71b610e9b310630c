//! The steps of a change of primary, done.

use std::time::Duration;

use sterna_model::{ClientsLetGo, LinkState, StepOutcome};
use sterna_node::adopt::{self, ConfigPersistence};
use sterna_node::{Client, ClientError, NodeAddress, Role};
use sterna_replication::{Handover, HistoryEnd, NodePosition};

use super::{CHANGES_ROLE, Executor, clients, prepare};
use crate::job::{Decided, JobError, JobReport, NotAsDecided};
use crate::observe::{NodeKey, look_at};

/// How long the new primary's stream may take to arrive, before the step is taken for done without it.
const FOLLOW_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn stop_following(at: &Executor) -> Result<JobReport, JobError> {
    // A shard that heard of a later epoch refuses both; the second says so.
    drop(at.shard.set_handover(at.epoch, Handover::Refuse).await);
    at.shard.follow_nobody(at.epoch).await?;
    Ok(JobReport::of(StepOutcome::NotFollowed))
}

/// Follows a node and waits for its stream.
pub(super) async fn follow(
    at: &Executor,
    node: &NodeKey,
    decided: Option<HistoryEnd>,
    held_by_nodes: Vec<NodePosition>,
) -> Result<JobReport, JobError> {
    let upstream = at.service(&node.service)?.upstream(&node.address);
    at.shard
        .follow(at.epoch, upstream, decided, held_by_nodes)
        .await?;
    let wanted = node.address.to_string();
    let mut status = at.shard.status.clone();
    let streams = status.wait_for(|status| {
        let stream = matches!(status.link, LinkState::Streaming | LinkState::Holding(_));
        stream && status.primary.as_ref() == Some(&wanted)
    });
    let streams = async { tokio::time::timeout(FOLLOW_TIMEOUT, streams).await.is_ok() };
    let (streams, ()) = tokio::join!(streams, prepare::primary(at, node));
    Ok(JobReport::of(if streams {
        StepOutcome::Followed(node.clone())
    } else {
        StepOutcome::StreamAwaited(node.clone())
    }))
}

pub(super) async fn prepare(
    at: &Executor,
    node: &NodeKey,
    relay: NodeAddress,
) -> Result<JobReport, JobError> {
    let mut client = at.connect(node).await?;
    adopt::configure_login(&mut client, &at.relay_access(node, relay)).await?;
    at.shard.set_handover(at.epoch, Handover::Hold).await?;
    Ok(JobReport::of(StepOutcome::LogReady))
}

pub(super) async fn pause_writes(
    at: &Executor,
    node: &NodeKey,
    relay: &NodeAddress,
    timeout_ms: u64,
) -> Result<JobReport, JobError> {
    let mut client = at.connect(node).await?;
    let relay = listed_as(at, &mut client, relay).await?;
    let handed_over = client.hand_over(&relay, timeout_ms).await?;
    let clients = clients::told(node, handed_over.clients);
    Ok(JobReport::of(StepOutcome::WritesPaused { clients }))
}

/// The new primary takes writes, and discovery names it: the clients of the old one are let go, those first that it kept
/// waiting, before it can refuse what they wait for.
pub(super) async fn accept(at: &Executor, old: Option<&NodeKey>) -> Result<JobReport, JobError> {
    let clients = match old {
        Some(old) => clients::let_go_of_stepped_down(at, old).await,
        None => ClientsLetGo::default(),
    };
    at.shard.set_handover(at.epoch, Handover::Accept).await?;
    let kept = match old {
        Some(old) => keep_as_replica(at, old).await,
        None => None,
    };
    Ok(JobReport {
        kept,
        ..JobReport::of(StepOutcome::FormerPrimaryAccepted { clients })
    })
}

/// Lets the old primary's configuration file say whom it follows now: started again, it would be a primary. One that can't be
/// told is dealt with when it comes back.
async fn keep_as_replica(at: &Executor, old: &NodeKey) -> Option<(NodeKey, ConfigPersistence)> {
    let mut client = at.connect(old).await.ok()?;
    let kept = at.rewrite_config(old, &mut client).await.ok()?;
    Some((old.clone(), kept))
}

/// Under which address the primary lists us, which `FAILOVER` wants to hear: behind a translation of addresses it is not the
/// one that we know, but the connection can be found by its number.
async fn listed_as(
    at: &Executor,
    client: &mut Client,
    relay: &NodeAddress,
) -> Result<NodeAddress, ClientError> {
    let info = client.info().await?;
    let listed = info.replication().map(|seen| seen.replicas).unwrap_or_default();
    if listed.iter().any(|replica| replica.address == *relay) {
        return Ok(relay.clone());
    }
    let ours = at.shard.status.borrow().clients.clone();
    let following = match client.following_clients().await {
        Ok(following) => following,
        Err(error) if error.leaves_usable() => Vec::new(),
        Err(error) => return Err(error),
    };
    let from = following.iter().filter(|client| ours.contains(&client.id));
    let mut known_as = from
        .filter_map(|client| client.from)
        .map(|from| NodeAddress::new(from.to_string(), relay.port));
    let found = known_as.find(|address| listed.iter().any(|replica| replica.address == *address));
    Ok(found.unwrap_or_else(|| relay.clone()))
}

pub(super) async fn abort(at: &Executor, old: Option<&NodeKey>) -> Result<JobReport, JobError> {
    at.shard.set_handover(at.epoch, Handover::Refuse).await?;
    if let Some(old) = old
        && let Ok(mut client) = at.connect(old).await
    {
        // It says so where there is nothing to abort.
        drop(client.command(&["FAILOVER", "ABORT"]).await);
        drop(client.resume_writes().await);
    }
    Ok(JobReport::of(StepOutcome::TakenBack))
}

pub(super) async fn promote(
    at: &Executor,
    node: NodeKey,
    decided: Decided,
    in_file: bool,
) -> Result<JobReport, JobError> {
    let mut client = at.connect_for(&node, CHANGES_ROLE).await?;
    let now = client.info().await?.replication()?;
    if now.role == Role::Replica {
        // It may have restarted since it was looked at, from an older file or empty: what counts is what it has now.
        let offset = now.applied_offset.unwrap_or(now.offset);
        let same = decided.history.is_none_or(|history| history == now.replid);
        if !same || offset < decided.offset {
            return Err(JobError::NotAsDecided(Box::new(NotAsDecided {
                node,
                decided,
                offset,
                history: now.replid,
            })));
        }
        at.end_copy(&mut client).await?;
        client.replica_of_no_one().await?;
    }
    let kept = if in_file {
        Some((node.clone(), at.rewrite_config(&node, &mut client).await?))
    } else {
        None
    };
    let seen = look_at(node.clone(), &mut client, at.clock).await;
    tokio::spawn(clients::let_readers_go(at.clone(), node.clone(), client));
    Ok(JobReport {
        observations: vec![seen],
        kept,
        ..JobReport::of(StepOutcome::Promoted(node))
    })
}
