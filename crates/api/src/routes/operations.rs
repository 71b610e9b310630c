//! Operations: long work, looked at, waited for, ended.

use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;
use sterna_model::{EventKind, GroupName, Nothing, Operation, OperationId};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::auth::Caller;
use crate::extract::{Json, MaybeJson, Path, Query};
use crate::problem::Refusal;
use crate::routes::page_limit;
use crate::settings::WAIT_MAX;
use crate::shared::{App, Shared};

/// How often an operation that is waited for is looked at without an event about it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OperationsQuery {
    /// Only those of this group.
    group: Option<GroupName>,
    /// Only those that began before this one.
    before: Option<OperationId>,
    /// At most so many, up to 500; 50 where it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WaitQuery {
    /// Answer when it is over, or after so many milliseconds: at most 60000, which is what more counts as.
    #[serde(default)]
    wait_ms: u64,
}

/// Operations, the newest first.
#[utoipa::path(
    get, path = "/api/v1/operations", operation_id = "listOperations", tag = "operations",
    params(OperationsQuery),
    responses((status = 200, description = "A page of operations.", body = Vec<Operation>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<OperationsQuery>,
) -> Result<Json<Vec<Operation>>, Refusal> {
    let limit = page_limit(query.limit)?;
    let catalogue = app.control.catalogue();
    let operations = catalogue
        .operations
        .newest(query.group.as_ref(), query.before, limit)
        .await?;
    Ok(Json(operations))
}

/// One operation, at once or when it is over.
#[utoipa::path(
    get, path = "/api/v1/operations/{id}", operation_id = "getOperation", tag = "operations",
    params(("id" = OperationId, Path, description = "The operation."), WaitQuery),
    responses((status = 200, description = "As it is now.", body = Operation))
)]
pub(crate) async fn show(
    State(app): State<App>,
    Path(id): Path<OperationId>,
    Query(query): Query<WaitQuery>,
) -> Result<Json<Operation>, Refusal> {
    let wait = Duration::from_millis(query.wait_ms).min(WAIT_MAX);
    awaited(&app, id, Instant::now() + wait).await.map(Json)
}

/// The operation when it is over, or as it is at the deadline or when the gateway stops.
async fn awaited(app: &Shared, id: OperationId, deadline: Instant) -> Result<Operation, Refusal> {
    // Listens before it looks, so that nothing happens in between unseen.
    let mut events = app.control.events();
    let mut stopping = app.stopping.subscribe();
    loop {
        let operation = app.control.operation(id).await?;
        if operation.state.is_final() || Instant::now() >= deadline || *stopping.borrow() {
            return Ok(operation);
        }
        let look = deadline.min(Instant::now() + LOOK_EVERY);
        // Either way it is looked at again.
        tokio::select! {
            () = news_of(&mut events, id) => {}
            () = tokio::time::sleep_until(look) => {}
            _ = stopping.changed() => {}
        }
    }
}

/// Returns when something was said about the operation, or may have been.
async fn news_of(events: &mut Receiver<sterna_model::Event>, id: OperationId) {
    loop {
        match events.recv().await {
            Ok(event) => match event.kind {
                EventKind::Operation { operation } if operation.id == id => return,
                _ => {}
            },
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// End an operation.
///
/// A change of primary can be ended before its point of no return: everything is as it was before. A service that joins, and a
/// group that is made, can be taken back at any time, also where a node has died for good: nodes that answer are let go. A rejoin
/// that is ended begins again by itself; a removal comes to its end whatever its nodes do.
#[utoipa::path(
    post, path = "/api/v1/operations/{id}/cancel", operation_id = "cancelOperation", tag = "operations",
    params(("id" = OperationId, Path, description = "The operation.")),
    responses((status = 200, description = "It is ended, or ending.", body = Operation))
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OperationId>,
    MaybeJson(Nothing {}): MaybeJson<Nothing>,
) -> Result<Json<Operation>, Refusal> {
    Ok(Json(app.control.cancel(id, caller.actor()).await?))
}
