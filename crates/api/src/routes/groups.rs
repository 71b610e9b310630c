//! Groups: what is kept of them, and how they are doing.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use sterna_control::Change;
use sterna_model::{
    Group, GroupName, GroupPatch, GroupSpec, GroupStatus, HistoryEntry, Operation, Problem, Revision,
};

use crate::audit::AuditNote;
use crate::auth::Caller;
use crate::extract::{IfMatch, Json, Path, accepted, tagged};
use crate::problem::{Kind, Refusal};
use crate::shared::App;

/// All groups.
#[utoipa::path(
    get, path = "/api/v1/groups", operation_id = "listGroups", tag = "groups",
    responses((status = 200, description = "All groups, by name.", body = Vec<Group>))
)]
pub(crate) async fn list(State(app): State<App>) -> Result<Json<Vec<Group>>, Refusal> {
    Ok(Json(app.control.catalogue().groups.all().await?))
}

/// Make a group.
///
/// The operation ends when every replica service holds a copy.
#[utoipa::path(
    post, path = "/api/v1/groups", operation_id = "createGroup", tag = "groups",
    request_body = GroupSpec,
    responses((
        status = 202, description = "It is being made.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ), (
        status = 404, description = "A service of it is not registered.", body = Problem,
        content_type = "application/problem+json",
    ))
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Extension(note): Extension<AuditNote>,
    Json(spec): Json<GroupSpec>,
) -> Result<Response, Refusal> {
    note.target(spec.name.as_str());
    if spec.overwrite {
        note.detail("overwriting what the replica services hold");
    }
    Ok(accepted(app.control.create_group(spec, caller.actor()).await?))
}

/// One group.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}", operation_id = "getGroup", tag = "groups",
    params(("name" = GroupName, Path, description = "The group.")),
    responses((
        status = 200, description = "The group.", body = Group,
        headers(("ETag" = String, description = "Its revision.")),
    ))
)]
pub(crate) async fn show(State(app): State<App>, Path(name): Path<GroupName>) -> Result<Response, Refusal> {
    let group = app.control.catalogue().groups.get(&name).await?;
    Ok(tagged(group.revision, group).into_response())
}

/// Change a group's settings, or the order of its replica services.
#[utoipa::path(
    patch, path = "/api/v1/groups/{name}", operation_id = "updateGroup", tag = "groups",
    params(
        ("name" = GroupName, Path, description = "The group."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the last answer: change it only if nobody else did meanwhile."),
    ),
    request_body = GroupPatch,
    responses((
        status = 200, description = "It is changed.", body = Group,
        headers(("ETag" = String, description = "Its new revision.")),
    ))
)]
pub(crate) async fn update(
    State(app): State<App>,
    Path(name): Path<GroupName>,
    IfMatch(expected): IfMatch,
    Json(patch): Json<GroupPatch>,
) -> Result<Response, Refusal> {
    let group = app
        .control
        .update_group(name, patch, expected)
        .await
        .map_err(|error| Refusal::from(error).if_match(expected.is_some()))?;
    Ok(tagged(group.revision, group).into_response())
}

/// Delete a group.
///
/// Its services stay as they are: the primary goes on, replica services keep their data and stay read-only.
#[utoipa::path(
    delete, path = "/api/v1/groups/{name}", operation_id = "deleteGroup", tag = "groups",
    params(
        ("name" = GroupName, Path, description = "The group."),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the last answer: change it only if nobody else did meanwhile."),
    ),
    responses((
        status = 202, description = "It is being deleted.", body = Operation,
        headers(("Location" = String, description = "The operation.")),
    ))
)]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<GroupName>,
    IfMatch(expected): IfMatch,
) -> Result<Response, Refusal> {
    if let Some(expected) = expected {
        let group = app.control.catalogue().groups.get(&name).await?;
        must_be_at(&group, expected)?;
    }
    let operation = app.control.begin(name, Change::Delete, caller.actor()).await?;
    Ok(accepted(operation))
}

fn must_be_at(group: &Group, expected: Revision) -> Result<(), Refusal> {
    if group.revision == expected {
        return Ok(());
    }
    Err(Refusal::new(
        Kind::PreconditionFailed,
        format!(
            "the group {} is at revision {}, not {expected}",
            group.name, group.revision
        ),
    ))
}

/// How all groups are doing.
#[utoipa::path(
    get, path = "/api/v1/status", operation_id = "listStatus", tag = "groups",
    responses((status = 200, description = "All statuses, by name.", body = Vec<GroupStatus>))
)]
pub(crate) async fn list_status(State(app): State<App>) -> Json<Vec<GroupStatus>> {
    let views = app.control.views();
    Json(views.values().map(|view| view.status.borrow().clone()).collect())
}

/// How a group is doing.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}/status", operation_id = "getStatus", tag = "groups",
    params(("name" = GroupName, Path, description = "The group.")),
    responses((status = 200, description = "As last seen.", body = GroupStatus))
)]
pub(crate) async fn status(
    State(app): State<App>,
    Path(name): Path<GroupName>,
) -> Result<Json<GroupStatus>, Refusal> {
    let seen = app
        .control
        .views()
        .get(&name)
        .map(|view| view.status.borrow().clone());
    if let Some(status) = seen {
        return Ok(Json(status));
    }
    let group = app.control.catalogue().groups.get(&name).await?;
    Err(Refusal::new(
        Kind::NotReady,
        format!("the gateway has not taken up the group {} yet", group.name),
    )
    .retry_after(1))
}

/// The primaries that a group has had.
#[utoipa::path(
    get, path = "/api/v1/groups/{name}/history", operation_id = "getHistory", tag = "groups",
    params(("name" = GroupName, Path, description = "The group.")),
    responses((status = 200, description = "Term by term, the oldest first.", body = Vec<HistoryEntry>))
)]
pub(crate) async fn history(
    State(app): State<App>,
    Path(name): Path<GroupName>,
) -> Result<Json<Vec<HistoryEntry>>, Refusal> {
    let catalogue = app.control.catalogue();
    let history = catalogue.history.of(&name).await?;
    if history.is_empty() {
        // A group that is just being made has none yet; one that was never there is not found.
        catalogue.groups.get(&name).await?;
    }
    Ok(Json(history))
}
