//! The gateway's REST API: what people, scripts and the console ask of it.
//!
//! [`Api::start`] listens. Every request goes through one middleware (`middleware.rs`) with the rule that its entry in the
//! table of routes (`routes.rs`) names: who may, how it is timed, what the audit calls it. Handlers ask
//! [`sterna_control::Control`] for every change and for how groups are doing; what is only read (services, operations,
//! history, tokens, the audit) they take from its catalogue. The OpenAPI document is made from the same table.

mod audit;
mod auth;
mod counters;
mod document;
mod extract;
mod idempotency;
mod limit;
mod metrics;
mod middleware;
mod problem;
mod router;
mod routes;
mod server;
mod settings;
mod shared;
mod write_timeout;

use std::net::SocketAddr;
use std::sync::Arc;

use sterna_control::Control;
use sterna_node::Listener;
use tokio::task::JoinHandle;

pub use document::openapi;
pub use metrics::{MetricsFormat, link_metrics, metrics_reference};
pub use server::ApiError;
pub use settings::{ApiSettings, Rate, Timeouts};

use crate::settings::{CHANGES_MAX, STOP_MAX};
use crate::shared::Shared;

/// The listening API. It ends when it is dropped, and its connections with it; [`Api::stop`] ends it in good order.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: JoinHandle<()>,
    counter: JoinHandle<()>,
}

impl Drop for Api {
    fn drop(&mut self) {
        self.listener.abort();
        self.counter.abort();
    }
}

impl Api {
    /// Binds the port and begins to answer.
    pub async fn start(settings: ApiSettings, control: Control) -> Result<Self, ApiError> {
        let listener = Listener::bind(settings.listen, server::PURPOSE).await?;
        let address = listener.address();
        let events = control.events();
        let shared = Arc::new(Shared::new(settings.clone(), control, openapi()));
        let router = router::build(&shared);
        let accepting = server::accept(listener, settings, router, shared.stopping.subscribe());
        let counting = Arc::clone(&shared);
        Ok(Self {
            address,
            shared,
            listener: tokio::spawn(accepting),
            counter: tokio::spawn(async move { counting.counters.listen(events).await }),
        })
    }

    /// Ends in good order, within 5 s: nothing new is accepted, what was asked is answered, streams end, and changes that
    /// were begun are finished and recorded.
    pub async fn stop(mut self) {
        self.shared.stopping.send_replace(true);
        let ended = async {
            // It ends with its last connection, or ended before.
            drop((&mut self.listener).await);
            // The semaphore is never closed.
            drop(self.shared.changes.acquire_many(CHANGES_MAX).await);
        };
        if tokio::time::timeout(STOP_MAX, ended).await.is_err() {
            tracing::warn!("requests to the API were still under way when it stopped");
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
