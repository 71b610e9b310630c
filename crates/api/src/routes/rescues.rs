//! Rescue files: writes that a failover left behind.

use std::io;

use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sterna_model::{GroupName, Rescue, RescueId, RescueKind};
use tokio_util::io::ReaderStream;
use utoipa::IntoParams;

use crate::extract::{Json, Path, Query};
use crate::problem::{Kind, Refusal};
use crate::shared::App;

/// How much of a file is read at once, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RescuesQuery {
    /// Only those of this group.
    group: Option<GroupName>,
}

/// All rescue files.
#[utoipa::path(
    get, path = "/api/v1/rescues", operation_id = "listRescues", tag = "rescues",
    params(RescuesQuery),
    responses((status = 200, description = "What was saved, without the files.", body = Vec<Rescue>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<RescuesQuery>,
) -> Result<Json<Vec<Rescue>>, Refusal> {
    Ok(Json(
        app.control.catalogue().rescues.list(query.group.as_ref()).await?,
    ))
}

/// What is in a rescue file.
#[utoipa::path(
    get, path = "/api/v1/rescues/{id}", operation_id = "getRescue", tag = "rescues",
    params(("id" = RescueId, Path, description = "The rescue file.")),
    responses((status = 200, description = "What was saved.", body = Rescue))
)]
pub(crate) async fn show(State(app): State<App>, Path(id): Path<RescueId>) -> Result<Json<Rescue>, Refusal> {
    Ok(Json(app.control.catalogue().rescues.get(id).await?))
}

/// The rescue file itself.
///
/// Commands can be loaded with `redis-cli --pipe`; a snapshot is an RDB file.
#[utoipa::path(
    get, path = "/api/v1/rescues/{id}/file", operation_id = "getRescueFile", tag = "rescues",
    params(("id" = RescueId, Path, description = "The rescue file.")),
    responses((
        status = 200, description = "The file.", body = String, content_type = "application/octet-stream",
        headers(("Content-Disposition" = String, description = "A name for it.")),
    ))
)]
pub(crate) async fn file(State(app): State<App>, Path(id): Path<RescueId>) -> Result<Response, Refusal> {
    let rescue = app.control.catalogue().rescues.get(id).await?;
    let path = app.control.rescue_file(id).await?;
    let unreadable = |error: io::Error| {
        tracing::error!(%error, path = %path.display(), rescue = %id, "a rescue file can't be read");
        Refusal::new(
            Kind::Damaged,
            format!("the file of rescue {id} can't be read: {error}"),
        )
        .hint("its path is in the gateway's log")
    };
    let file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    let metadata = file.metadata().await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(unreadable(io::Error::other("it is not a file")));
    }
    let ending = match rescue.kind {
        RescueKind::Commands => "resp",
        RescueKind::Snapshot => "rdb",
    };
    // Names have no quotes.
    let name = format!("{}-{}-rescue-{id}.{ending}", rescue.group, rescue.service);
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, metadata.len().to_string()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    let body = Body::from_stream(ReaderStream::with_capacity(file, CHUNK_BYTES));
    Ok((headers, body).into_response())
}

/// Delete a rescue file.
///
/// The writes in it are gone for good then.
#[utoipa::path(
    delete, path = "/api/v1/rescues/{id}", operation_id = "deleteRescue", tag = "rescues",
    params(("id" = RescueId, Path, description = "The rescue file.")),
    responses((status = 204, description = "It is deleted."))
)]
pub(crate) async fn remove(State(app): State<App>, Path(id): Path<RescueId>) -> Result<StatusCode, Refusal> {
    let catalogue = app.control.catalogue();
    catalogue.rescues.get(id).await?;
    let path = app.control.rescue_file(id).await?;
    // The file first: where that fails nothing was changed, and where the gateway dies in between this can be repeated.
    match tokio::fs::remove_file(&path).await {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(Refusal::new(
                Kind::Internal,
                format!("the file of rescue {id} can't be deleted: {error}. It is still there"),
            ));
        }
    }
    catalogue.rescues.delete(id).await?;
    Ok(StatusCode::NO_CONTENT)
}
