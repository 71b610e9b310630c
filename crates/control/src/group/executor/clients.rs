//! Clients of a node are let go where it is no longer what they came for: many libraries notice in no other way. That they
//! could not be is told, and no reason not to go on.

use std::time::Duration;

use sterna_model::{ClientsLetGo, Route};
use sterna_node::{Client, ClientError, Role};

use super::Executor;
use crate::job::JobError;
use crate::observe::NodeKey;

/// How long clients may be told of the old primary after the new one was promoted, before its readers are let go anyhow.
const TOLD_MAX: Duration = Duration::from_secs(60);

/// How long a replica node is waited for to which they can go: the old primary of a switchover is one in a moment. Where
/// there is none, some libraries take readers back to the primary, for good.
const PLACE_MAX: Duration = Duration::from_secs(5);

/// For how long, and how often, it is looked whether clients go on to write to an old primary.
const GO_ON_MAX: Duration = Duration::from_secs(15);
const GO_ON_INTERVAL: Duration = Duration::from_millis(500);

/// Lets those go who were connected to a node when it was promoted, over the connection that promoted it, as soon as clients
/// are told that it is the primary: before that they would come back. Who comes later comes to the new primary, and stays.
/// It is no part of the promotion, which is over already, and stands in the audit.
pub(super) async fn let_readers_go(at: Executor, node: NodeKey, mut client: Client) {
    let mut route = at.route.clone();
    let is_told = |route: &Option<Route>| route.as_ref().is_some_and(|route| route.epoch.0 >= at.epoch);
    drop(tokio::time::timeout(TOLD_MAX, route.wait_for(is_told)).await);
    let has_place = |route: &Option<Route>| {
        is_told(route)
            && route
                .iter()
                .flat_map(|route| &route.replicas)
                .any(|replica| replica.up)
    };
    drop(tokio::time::timeout(PLACE_MAX, route.wait_for(has_place)).await);
    let gone = async {
        let id = client.id().await?;
        client.disconnect_clients(Some(id)).await
    };
    let clients = told(&node, gone.await);
    note(&at, &clients, format!("{node} is a primary{clients}")).await;
}

/// Lets everybody at a node go that became a replica, and those who go on to write to it again.
pub(super) async fn let_go_of_replica(at: &Executor, node: &NodeKey, mut client: Client) -> ClientsLetGo {
    let clients = let_go(node, &mut client).await;
    tokio::spawn(let_writers_go(at.clone(), node.clone(), client));
    clients
}

/// Lets everybody at an old primary go whenever writes were refused there, for a while. Some libraries open a connection that was
/// closed to them again at the same node, without a question to discovery: redis-py in a transaction that watches keys, which a
/// worker of Celery repeats for as long as it fails. It asks discovery once such a connection ends while it is being opened.
async fn let_writers_go(at: Executor, node: NodeKey, mut client: Client) {
    let mut gone = 0;
    let watched = tokio::time::timeout(GO_ON_MAX, let_go_again(&mut client, &mut gone)).await;
    let outcome = match watched.unwrap_or(Ok(())) {
        // The connection ended: the node did, or the next change of its role took its place.
        Err(error) if !error.leaves_usable() => Ok(gone),
        ended => ended.map(|()| gone),
    };
    if gone > 0 || outcome.is_err() {
        let clients = told(&node, outcome);
        note(
            &at,
            &clients,
            format!("{node} is a replica, and was written to{clients}"),
        )
        .await;
    }
}

/// Ends when the node is a replica no more. `gone`: how many were let go.
async fn let_go_again(client: &mut Client, gone: &mut u64) -> Result<(), ClientError> {
    let mut refused = client.info().await?.writes_refused();
    loop {
        tokio::time::sleep(GO_ON_INTERVAL).await;
        let info = client.info().await?;
        if info.role().is_ok_and(|role| role == Role::Primary) {
            return Ok(());
        }
        if info.writes_refused() > refused {
            *gone += client.disconnect_clients(None).await?;
        }
        refused = info.writes_refused();
    }
}

async fn note(at: &Executor, clients: &ClientsLetGo, detail: String) {
    let outcome = if clients.error.is_some() { "failed" } else { "ok" };
    at.context
        .note("clients.disconnect", at.group.as_str(), outcome, Some(detail))
        .await;
}

/// Lets everybody at a node go.
pub(super) async fn let_go(node: &NodeKey, client: &mut Client) -> ClientsLetGo {
    told(node, client.disconnect_clients(None).await)
}

/// Lets everybody at a primary go that stepped down, and ends what is left of the pause of its writes: with it, what its
/// new primary sends would wait too.
pub(super) async fn let_go_of_stepped_down(at: &Executor, node: &NodeKey) -> ClientsLetGo {
    let mut client = match at.connect(node).await {
        Ok(client) => client,
        Err(error) => return told(node, Err(error)),
    };
    let clients = let_go(node, &mut client).await;
    if let Err(error) = client.resume_writes().await {
        tracing::warn!(%node, %error, "the pause of its writes goes on until it ends by itself");
    }
    tokio::spawn(let_writers_go(at.clone(), node.clone(), client));
    clients
}

/// What came of it.
pub(super) fn told(node: &NodeKey, outcome: Result<u64, impl Into<JobError>>) -> ClientsLetGo {
    match outcome {
        Ok(count) => ClientsLetGo { count, error: None },
        Err(error) => {
            let error = error.into();
            tracing::warn!(%node, %error, "its clients could not be let go");
            ClientsLetGo {
                count: 0,
                error: Some(error.to_string()),
            }
        }
    }
}
