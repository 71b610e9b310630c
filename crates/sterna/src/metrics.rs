//! Serves the metrics of `sterna replicate`.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use sterna_api::MetricsFormat;
use sterna_replication::Status;
use tokio::sync::watch;

/// Stands where a gateway's metrics have the name of the group.
const GROUP: &str = "replicate";

/// Ends the endpoint when it is dropped.
#[derive(Debug)]
pub(crate) struct Endpoint(tokio::task::JoinHandle<()>);

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Serves `/metrics` until the endpoint is dropped.
pub(crate) async fn serve(address: SocketAddr, status: watch::Receiver<Status>) -> anyhow::Result<Endpoint> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| {
        format!("metrics can't be served on {address}; choose another with --metrics-addr")
    })?;
    let listener = listener.tap_io(|tcp| {
        if let Err(error) = sterna_node::socket::prepare(tcp) {
            tracing::debug!(%error, "a connection has no keepalive");
        }
    });
    let router = Router::new().route("/metrics", get(show)).with_state(status);
    Ok(Endpoint(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::warn!(%error, "metrics are no longer served");
        }
    })))
}

async fn show(State(status): State<watch::Receiver<Status>>, headers: HeaderMap) -> impl IntoResponse {
    let status = status.borrow().clone();
    let accept = headers.get(header::ACCEPT).and_then(|types| types.to_str().ok());
    let format = MetricsFormat::accepted_by(accept);
    match sterna_api::link_metrics(GROUP, status, format) {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, format.media_type())],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            error.to_string(),
        ),
    }
}
