//! What stands in front of the gateway: the API and discovery, on a thread of their own.
//!
//! A busy API can't slow control down, and replication neither. They meet only in channels.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use sterna_api::{Api, ApiSettings};
use sterna_control::Control;
use sterna_discovery::{Discovery, DiscoverySettings, Logins};
use sterna_model::Routes;
use sterna_node::LoadedSecret;
use sterna_node::listen::Descriptors;
use sterna_protocol::Secret;
use tokio::sync::{oneshot, watch};

use super::tls;
use crate::config::Config;
use crate::exit::{Classify as _, CommandError, Failure};
use crate::output;

/// Threads for work of the API that blocks: name lookups and rescue files.
const BLOCKING_THREADS_MAX: usize = 4;

/// What the listeners need of the gateway.
#[derive(Debug)]
pub(super) struct GatewayHandles {
    pub(super) control: Control,
    pub(super) routes: watch::Receiver<Arc<Routes>>,
    pub(super) gateway_id: String,
    /// Those of the process.
    pub(super) descriptors: Descriptors,
}

/// Where they listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) api: SocketAddr,
    pub(super) discovery: Option<SocketAddr>,
}

/// Both, running.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) addresses: Addresses,
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Listeners {
    /// Starts the thread; returns when both listen.
    pub(super) async fn start(config: &Config, handles: GatewayHandles) -> Result<Self, CommandError> {
        let settings = Settings::read(config, &handles)?;
        let (stop, stopped) = oneshot::channel();
        let (started, start) = oneshot::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("listeners".to_owned())
            .spawn(move || {
                let _end = end;
                serve(settings, handles, started, stopped);
            })
            .class(Failure::Local)?;
        let addresses = match start.await {
            Ok(started) => started?,
            Err(_) => {
                return Err(
                    Failure::Other.because("the thread of the API ended at its start, which is a defect")
                );
            }
        };
        Ok(Self {
            addresses,
            stop,
            ended,
            thread,
        })
    }

    /// Returns when the thread ended by itself, which it never should.
    pub(super) async fn ended(&mut self) {
        // Nothing is ever sent: the end of the thread drops the sender.
        drop((&mut self.ended).await);
    }

    /// Ends both, and waits for the thread.
    pub(super) async fn stop(self) {
        let Self {
            stop, ended, thread, ..
        } = self;
        // A thread that is gone needs no word.
        let _ = stop.send(());
        drop(ended.await);
        if thread.join().is_err() {
            tracing::error!("the thread of the API panicked, which is a defect");
        }
    }
}

/// Everything read and checked before the thread starts.
#[derive(Debug)]
struct Settings {
    api: ApiSettings,
    discovery: Option<DiscoverySettings>,
}

impl Settings {
    fn read(config: &Config, handles: &GatewayHandles) -> Result<Self, CommandError> {
        let mut api = ApiSettings::new(config.api.listen);
        api.tls = tls(config.api.tls.as_ref())?;
        api.metrics_public = config.api.metrics_public;
        api.descriptors = handles.descriptors.clone();
        let discovery = if config.discovery.enabled {
            Some(discovery(config, handles)?)
        } else {
            None
        };
        Ok(Self { api, discovery })
    }
}

/// What a file holds that is nobody else's business.
fn secret(file: &Path) -> Result<Secret, CommandError> {
    let loaded = LoadedSecret::from_file(file).class(Failure::Local)?;
    if let Some(warning) = loaded.warning {
        output::warn(&warning);
    }
    Ok(loaded.secret)
}

fn discovery(config: &Config, handles: &GatewayHandles) -> Result<DiscoverySettings, CommandError> {
    let settings = &config.discovery;
    let mut logins = match &settings.password_file {
        None => Logins::default(),
        Some(file) => Logins::with_default(secret(file)?),
    };
    if let Some(file) = &settings.users_file {
        let users = logins.and(secret(file)?.expose());
        logins = users
            .map_err(|error| anyhow::anyhow!("{}: {error}", file.display()))
            .class(Failure::Local)?;
    }
    Ok(DiscoverySettings {
        listen: settings.listen,
        tls: tls(settings.tls.as_ref())?,
        logins,
        announce: settings.announce.clone(),
        id: handles.gateway_id.clone(),
        descriptors: handles.descriptors.clone(),
    })
}

fn serve(
    settings: Settings,
    handles: GatewayHandles,
    started: oneshot::Sender<Result<Addresses, CommandError>>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build();
    let runtime = match runtime.class(Failure::Local) {
        Ok(runtime) => runtime,
        Err(error) => {
            drop(started.send(Err(error)));
            return;
        }
    };
    runtime.block_on(async {
        match listen(settings, handles).await {
            Ok((addresses, listening)) => {
                if started.send(Ok(addresses)).is_ok() {
                    // The sender's end means the same as its word.
                    drop(stopped.await);
                }
                listening.stop().await;
            }
            Err(error) => drop(started.send(Err(error))),
        }
    });
    // What blocks (a name lookup, a rescue file that somebody reads) is not waited for.
    runtime.shutdown_background();
}

/// What listens, until it is dropped.
#[derive(Debug)]
struct Listening {
    api: Api,
    _discovery: Option<Discovery>,
}

impl Listening {
    /// Answers what was asked, and ends.
    async fn stop(self) {
        self.api.stop().await;
    }
}

async fn listen(settings: Settings, handles: GatewayHandles) -> Result<(Addresses, Listening), CommandError> {
    let GatewayHandles { control, routes, .. } = handles;
    let discovery = match settings.discovery {
        Some(settings) => Some(Discovery::start(settings, routes).await.class(Failure::Local)?),
        None => None,
    };
    let api = Api::start(settings.api, control).await.class(Failure::Local)?;
    let addresses = Addresses {
        api: api.address(),
        discovery: discovery.as_ref().map(Discovery::address),
    };
    let listening = Listening {
        api,
        _discovery: discovery,
    };
    Ok((addresses, listening))
}
