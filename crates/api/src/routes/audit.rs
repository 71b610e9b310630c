//! The audit: who did what.

use axum::extract::State;
use serde::Deserialize;
use sterna_model::AuditRecord;
use utoipa::IntoParams;

use crate::extract::{Json, Query};
use crate::problem::Refusal;
use crate::routes::page_limit;
use crate::shared::App;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditQuery {
    /// Only records before this one.
    before: Option<u64>,
    /// At most so many, up to 500; 50 where it is left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// Who did what, the newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", operation_id = "listAudit", tag = "audit",
    params(AuditQuery),
    responses((status = 200, description = "A page of records.", body = Vec<AuditRecord>))
)]
pub(crate) async fn list(
    State(app): State<App>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<Vec<AuditRecord>>, Refusal> {
    let limit = page_limit(query.limit)?;
    Ok(Json(
        app.control.catalogue().audit.newest(query.before, limit).await?,
    ))
}
