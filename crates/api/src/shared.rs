//! What all requests share.

use std::net::IpAddr;
use std::sync::Arc;

use sterna_control::Control;
use sterna_model::TokenId;
use tokio::sync::Semaphore;

use crate::limit::Limiter;
use crate::meters::Meters;
use crate::record::Recorder;
use crate::settings::{ApiSettings, CHANGES_MAX, LISTENERS_MAX, LOOKUPS_MAX};

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
    pub(crate) recorder: Recorder,
    pub(crate) meters: Meters,
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
            changes: Arc::new(Semaphore::new(CHANGES_MAX)),
            listeners: Arc::new(Semaphore::new(LISTENERS_MAX)),
            recorder: Recorder::new(control.catalogue().clone()),
            meters: Meters::default(),
            control,
            settings,
            document,
        }
    }
}
