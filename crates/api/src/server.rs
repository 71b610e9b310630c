//! The listener: connections, their number, TLS, HTTP/1.1.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use sterna_node::listen::Purpose;
use sterna_node::{ListenError, Listener};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower_service::Service as _;

use crate::limit::network;
use crate::middleware::Peer;
use crate::settings::{ApiSettings, HEAD_BYTES_MAX, HEADERS_MAX};
use crate::shared::stopped;
use crate::write_timeout::WriteTimeout;

/// What the port is for.
pub(crate) const PURPOSE: Purpose = Purpose {
    name: "the API",
    when_taken: "Nothing was changed; stop that process or choose another address",
    send_buffer_bytes: None,
};

/// The API could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// It has no port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The document that describes the API could not be written.
    #[error("the API can't describe itself: {0}")]
    Document(#[from] serde_json::Error),
}

/// Accepts until it is told to stop, and then returns when the last connection is done. Connections end with it when it is
/// dropped.
pub(crate) async fn accept(
    mut listener: Listener,
    settings: ApiSettings,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let all = Arc::new(Semaphore::new(settings.connections_max));
    let per_address = Arc::new(PerAddressLimit::new(settings.connections_per_address_max));
    let handler = ConnectionHandler {
        settings: Arc::new(settings),
        router,
        stopping: stopping.clone(),
    };
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            let permit = Arc::clone(&all).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, (tcp, peer)) = tokio::select! {
            next = next => next,
            () = stopped(&mut stopping) => break,
        };
        if let Some(address_permit) = PerAddressLimit::take(&per_address, peer.ip()) {
            let handler = handler.clone();
            connections.spawn(async move {
                let _permits = (permit, address_permit);
                if let Err(reason) = handler.serve(tcp, peer).await {
                    tracing::debug!(%peer, reason, "connection ended");
                }
            });
        } else {
            tracing::debug!(%peer, "too many connections from there; this one is closed");
        }
        // What is over is let go, so that the set holds no more than there are connections.
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// What a connection is served with.
#[derive(Clone)]
struct ConnectionHandler {
    settings: Arc<ApiSettings>,
    router: Router,
    stopping: watch::Receiver<bool>,
}

impl ConnectionHandler {
    async fn serve(self, tcp: TcpStream, peer: SocketAddr) -> Result<(), String> {
        let timeouts = self.settings.timeouts;
        let tcp = WriteTimeout::new(tcp, timeouts.write_stall);
        match self.settings.tls.clone() {
            None => self.serve_http(tcp, peer).await,
            Some(tls) => self.serve_http(tls.accept(tcp, timeouts.head).await?, peer).await,
        }
    }

    async fn serve_http<T>(self, stream: T, peer: SocketAddr) -> Result<(), String>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            settings,
            router,
            mut stopping,
        } = self;
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(Peer(peer.ip()));
            let mut router = router.clone();
            async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|never| match never {})) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(settings.timeouts.head)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut stopping) => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended.map_err(|error| error.to_string())
    }
}

/// How many connections each remote address has. Its size is bounded by the number of connections.
#[derive(Debug)]
struct PerAddressLimit {
    max: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address; given back when it is dropped.
#[derive(Debug)]
struct AddressPermit {
    limit: Arc<PerAddressLimit>,
    network: IpAddr,
}

impl PerAddressLimit {
    fn new(max: usize) -> Self {
        Self {
            max,
            taken: Mutex::default(),
        }
    }

    fn take(limit: &Arc<Self>, address: IpAddr) -> Option<AddressPermit> {
        let network = network(address);
        let mut taken = limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(network).or_default();
        if *count >= limit.max {
            return None;
        }
        *count += 1;
        Some(AddressPermit {
            limit: Arc::clone(limit),
            network,
        })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_given_back() {
        let limit = Arc::new(PerAddressLimit::new(2));
        let here = "192.0.2.1".parse().unwrap();
        let first = PerAddressLimit::take(&limit, here).unwrap();
        let second = PerAddressLimit::take(&limit, here).unwrap();
        assert!(PerAddressLimit::take(&limit, here).is_none());
        assert!(PerAddressLimit::take(&limit, "192.0.2.2".parse().unwrap()).is_some());
        drop(first);
        assert!(PerAddressLimit::take(&limit, here).is_some());
        drop(second);
        assert!(limit.taken.lock().unwrap().is_empty());
    }
}
