//! Changes of a group's primary, and of who is in it.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sterna_control::Change;
use sterna_model::{
    AcceptHistoryRequest, AddReplicaRequest, DetachRequest, FailoverRequest, Group, GroupName, Nothing,
    Operation, ServiceName, SwitchoverRequest,
};

use crate::audit::AuditNote;
use crate::auth::Caller;
use crate::extract::{Json, MaybeJson, Path, accepted, tagged};
use crate::problem::Refusal;
use crate::shared::App;

/// Change the primary as planned.
///
/// Nothing is lost and nothing is copied again. Until the point of no return it can be cancelled, and everything is as it
/// was.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/switchover", operation_id = "switchover", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    request_body = SwitchoverRequest,
    responses((
        status = 202, description = "It is under way.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn switchover(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Path(name): Path<GroupName>,
    Json(request): Json<SwitchoverRequest>,
) -> Result<Response, Refusal> {
    let SwitchoverRequest {
        to,
        allow_missing_users,
    } = request;
    note.detail(format!("to {to}"));
    let change = Change::Switchover {
        to,
        allow_missing_users,
    };
    let operation = app.control.begin(name, change, caller.actor()).await?;
    Ok(accepted(operation))
}

/// Change the primary because it is lost.
///
/// Writes that no replica service has are lost to the group; where the old primary comes back they are saved as a rescue
/// file.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/failover", operation_id = "failover", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    request_body(content = FailoverRequest, description = "May be left out."),
    responses((
        status = 202, description = "It is under way.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn failover(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Path(name): Path<GroupName>,
    MaybeJson(request): MaybeJson<FailoverRequest>,
) -> Result<Response, Refusal> {
    let to = request.to.as_ref().map_or("the best", ServiceName::as_str);
    let forced = if request.force { ", forced" } else { "" };
    note.detail(format!("to {to}{forced}"));
    let change = Change::Failover {
        to: request.to,
        force: request.force,
    };
    let operation = app.control.begin(name, change, caller.actor()).await?;
    Ok(accepted(operation))
}

/// Decide nothing by oneself for a while.
///
/// No failover, no repair. Replication goes on.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/pause", operation_id = "pauseGroup", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    responses((status = 200, description = "It is paused.", body = Group))
)]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<GroupName>,
    MaybeJson(Nothing {}): MaybeJson<Nothing>,
) -> Result<Response, Refusal> {
    let group = app.control.set_paused(name, true, caller.actor()).await?;
    Ok(tagged(group.revision, group).into_response())
}

/// Decide by oneself again.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/resume", operation_id = "resumeGroup", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    responses((status = 200, description = "It goes on.", body = Group))
)]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<GroupName>,
    MaybeJson(Nothing {}): MaybeJson<Nothing>,
) -> Result<Response, Refusal> {
    let group = app.control.set_paused(name, false, caller.actor()).await?;
    Ok(tagged(group.revision, group).into_response())
}

/// Accept what the primary offers, though it does not continue what the replica services hold.
///
/// For a group whose replication holds. The replica services are given the primary's data anew: what only they hold is lost.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/accept-history", operation_id = "acceptHistory", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    request_body(content = AcceptHistoryRequest, description = "May be left out."),
    responses((status = 200, description = "The primary is followed from now on.", body = Group))
)]
pub(crate) async fn accept_history(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Path(name): Path<GroupName>,
    MaybeJson(request): MaybeJson<AcceptHistoryRequest>,
) -> Result<Response, Refusal> {
    if let Some(offered) = request.offered {
        note.detail(format!("history {offered}"));
    }
    let group = app
        .control
        .accept_history(name, request.offered, caller.actor())
        .await?;
    Ok(tagged(group.revision, group).into_response())
}

/// Take a service into the group.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/replicas", operation_id = "addReplica", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    request_body = AddReplicaRequest,
    responses((
        status = 202, description = "It is joining.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn add_replica(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Path(name): Path<GroupName>,
    Json(request): Json<AddReplicaRequest>,
) -> Result<Response, Refusal> {
    let overwriting = if request.overwrite { ", overwriting it" } else { "" };
    note.detail(format!("{}{overwriting}", request.service));
    let change = Change::AddReplica {
        service: request.service,
        overwrite: request.overwrite,
    };
    let operation = app.control.begin(name, change, caller.actor()).await?;
    Ok(accepted(operation))
}

/// Let a replica service go as it is.
///
/// It keeps its data and stays read-only.
#[utoipa::path(
    delete, path = "/api/v1/groups/{name}/replicas/{service}", operation_id = "removeReplica", tag = "changes",
    params(
        ("name" = GroupName, Path, description = "The group."),
        ("service" = ServiceName, Path, description = "The replica service."),
    ),
    responses((
        status = 202, description = "It is leaving.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn remove_replica(
    State(app): State<App>,
    caller: Caller,
    Path((name, service)): Path<(GroupName, ServiceName)>,
) -> Result<Response, Refusal> {
    let change = Change::RemoveReplica {
        service,
        promote: false,
    };
    let operation = app.control.begin(name, change, caller.actor()).await?;
    Ok(accepted(operation))
}

/// Let a replica service go as a primary of its own.
#[utoipa::path(
    post, path = "/api/v1/groups/{name}/detach", operation_id = "detachReplica", tag = "changes",
    params(("name" = GroupName, Path, description = "The group.")),
    request_body = DetachRequest,
    responses((
        status = 202, description = "It is leaving.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn detach(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Path(name): Path<GroupName>,
    Json(request): Json<DetachRequest>,
) -> Result<Response, Refusal> {
    note.detail(request.service.as_str());
    let change = Change::RemoveReplica {
        service: request.service,
        promote: true,
    };
    let operation = app.control.begin(name, change, caller.actor()).await?;
    Ok(accepted(operation))
}
