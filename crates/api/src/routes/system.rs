//! Whether the gateway lives and is ready, its metrics, and what it says of its API.

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use sterna_model::Problem;

use crate::metrics;
use crate::problem::{Kind, Refusal};
use crate::shared::App;

/// How long the store may take to answer before the gateway counts as not ready.
const STORE_ANSWER_MAX: Duration = Duration::from_secs(2);

/// Whether the process answers.
#[utoipa::path(
    get, path = "/healthz", operation_id = "getHealth", tag = "system",
    responses((status = 200, description = "It does.", body = String, content_type = "text/plain"))
)]
pub(crate) async fn health() -> &'static str {
    "ok\n"
}

/// Whether the gateway does its work.
///
/// Its store answers, and every group was taken up after the start.
#[utoipa::path(
    get, path = "/readyz", operation_id = "getReadiness", tag = "system",
    responses(
        (status = 200, description = "It does.", body = String, content_type = "text/plain"),
        (
            status = 503, description = "It does not; the detail says why.", body = Problem,
            content_type = "application/problem+json",
        ),
    )
)]
pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, Refusal> {
    let not_ready = |why: &str| Refusal::new(Kind::NotReady, why).retry_after(1);
    if !app.control.is_ready() {
        return Err(not_ready("groups are still being taken up after the start"));
    }
    match tokio::time::timeout(STORE_ANSWER_MAX, app.control.catalogue().gateway_id()).await {
        Ok(Ok(_)) => Ok("ready\n"),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(not_ready("the store does not answer")),
    }
}

/// Metrics as Prometheus reads them.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getMetrics", tag = "system",
    responses((
        status = 200,
        description = "All metrics: as OpenMetrics where `Accept` names that, else in the Prometheus text format 0.0.4.",
        content((String = "text/plain"), (String = "application/openmetrics-text")),
    ))
)]
pub(crate) async fn metrics(State(app): State<App>, headers: HeaderMap) -> Result<Response, Refusal> {
    let accept = headers.get(header::ACCEPT).and_then(|types| types.to_str().ok());
    let format = metrics::MetricsFormat::accepted_by(accept);
    let text = metrics::render(metrics::MetricsSnapshot::of(&app), format)
        .map_err(|error| Refusal::new(Kind::Internal, format!("the metrics can't be written: {error}")))?;
    Ok(([(header::CONTENT_TYPE, format.media_type())], text).into_response())
}

/// This document.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "getOpenApi", tag = "system",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object))
)]
pub(crate) async fn openapi(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.document.clone()).into_response()
}
