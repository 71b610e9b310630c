//! The listener: connections, their number, TLS, HTTP/1.1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use sterna_node::listen::{Place, Places, Purpose};
use sterna_node::{ListenError, Listener};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower_service::Service as _;

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
    let places = Places::new(settings.connections, settings.descriptors.clone());
    let handler = ConnectionHandler {
        settings: Arc::new(settings),
        router,
        stopping: stopping.clone(),
    };
    let mut connections = JoinSet::new();
    loop {
        let (tcp, peer) = tokio::select! {
            next = listener.accept() => next,
            () = stopped(&mut stopping) => break,
        };
        match places.take(peer.ip()) {
            Ok(place) => {
                let handler = handler.clone();
                connections.spawn(async move {
                    if let Err(reason) = handler.serve(tcp, peer, place).await {
                        tracing::debug!(%peer, reason, "connection ended");
                    }
                });
            }
            Err(full) => tracing::debug!(%peer, %full, "a connection was closed at once"),
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
    async fn serve(self, tcp: TcpStream, peer: SocketAddr, mut place: Place) -> Result<(), String> {
        let peer = Peer {
            address: peer.ip(),
            proof: place.proof().clone(),
        };
        tokio::select! {
            ended = self.serve_stream(tcp, peer) => ended,
            () = place.given_up() => Err("it showed no valid token, and made room for another".to_owned()),
        }
    }

    async fn serve_stream(self, tcp: TcpStream, peer: Peer) -> Result<(), String> {
        let timeouts = self.settings.timeouts;
        let tcp = WriteTimeout::new(tcp, timeouts.write_stall);
        match self.settings.tls.clone() {
            None => self.serve_http(tcp, peer).await,
            Some(tls) => self.serve_http(tls.accept(tcp, timeouts.head).await?, peer).await,
        }
    }

    async fn serve_http<T>(self, stream: T, peer: Peer) -> Result<(), String>
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
            request.extensions_mut().insert(peer.clone());
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
