//! What all requests share.

use std::net::IpAddr;
use std::sync::Arc;

use sterna_control::Control;
use sterna_model::TokenId;
use tokio::sync::{Semaphore, watch};

use crate::audit::Recorder;
use crate::counters::ApiCounters;
use crate::limit::{Limiter, Occupancy};
use crate::settings::{
    ApiSettings, CHANGES_MAX, LISTENERS_MAX, LISTENERS_OF_REMOTE_MAX, LISTENERS_OF_TOKEN_MAX, LOOKUPS_MAX,
};

/// The state behind every handler.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) control: Control,
    pub(crate) settings: ApiSettings,
    pub(crate) token_limits: Limiter<TokenId>,
    pub(crate) failed_login_limits: Limiter<IpAddr>,
    pub(crate) lookups: Semaphore,
    pub(crate) changes: Arc<Semaphore>,
    pub(crate) listeners: Arc<Semaphore>,
    pub(crate) listeners_of_token: Occupancy<TokenId>,
    pub(crate) listeners_of_remote: Occupancy<IpAddr>,
    pub(crate) recorder: Recorder,
    pub(crate) counters: ApiCounters,
    /// Whether the API ends: who waits for something is answered now.
    pub(crate) stopping: watch::Sender<bool>,
    /// The OpenAPI document, as it is served.
    pub(crate) document: String,
}

/// How handlers get at it.
pub(crate) type App = Arc<Shared>;

impl Shared {
    pub(crate) fn new(settings: ApiSettings, control: Control, document: String) -> Self {
        Self {
            token_limits: Limiter::new(settings.token_rate),
            failed_login_limits: Limiter::new(settings.failed_login_rate),
            lookups: Semaphore::new(LOOKUPS_MAX),
            changes: Arc::new(Semaphore::new(CHANGES_MAX as usize)),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            listeners_of_token: Occupancy::new(LISTENERS_OF_TOKEN_MAX),
            listeners_of_remote: Occupancy::new(LISTENERS_OF_REMOTE_MAX),
            recorder: Recorder::new(control.catalogue().audit.clone()),
            counters: ApiCounters::default(),
            stopping: watch::Sender::new(false),
            control,
            settings,
            document,
        }
    }
}

/// Returns when the API ends.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // That there is nobody left to say so means the same.
    drop(stopping.wait_for(|stopping| *stopping).await);
}
