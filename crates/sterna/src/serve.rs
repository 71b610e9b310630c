//! `sterna serve`: the gateway.
//!
//! Control and the relay's handshakes have this thread, the API and discovery have another (see [`listeners`]), and the
//! data plane has threads of its own.

mod admin_token;
mod listeners;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context as _;
use sterna_control::GatewaySettings;
use sterna_node::ServerTls;
use sterna_node::listen::Descriptors;
use sterna_replication::RelaySettings;
use sterna_store::Catalogue;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::ServeArgs;
use crate::config::{Config, Layers, LogFormat, TlsFiles, demand_sound};
use crate::data_dir;
use crate::exit::{Classify as _, CommandError, CommandResult, Failure};
use crate::output;
use listeners::{Addresses, GatewayHandles, Listeners};

/// Runs the gateway until it is stopped.
pub(crate) async fn run(args: &ServeArgs) -> CommandResult {
    let layers = Layers::for_serve(args).class(Failure::Local)?;
    let config = Config::read(&layers).class(Failure::Local)?;
    demand_sound(&config)?;
    init_logging(&config)?;
    // What is written from here on, logs and rescue files too, is for its owner only.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    tokio::spawn(sterna_node::tls::keep_fresh());
    // From here on a signal stops the gateway in good order.
    let mut signals = Signals::new()?;
    let descriptors = Descriptors::of_process();
    let relay = RelaySettings {
        listen: config.relay.listen,
        tls: tls(config.relay.tls.as_ref())?,
        descriptors: descriptors.clone(),
    };
    data_dir::demand_own(&config.data_dir)?;
    if !args.new_store {
        demand_store(&config.data_dir)?;
    }
    let catalogue = Catalogue::open(&config.data_dir, &config.key_file)
        .context("the catalogue can't be opened")
        .class(Failure::Local)?;
    let gateway_id = catalogue.gateway_id().await.class(Failure::Local)?;
    admin_token::ensure(&catalogue, &config.admin_token_file(), args.new_admin_token).await?;
    let settings = GatewaySettings {
        data_dir: config.data_dir.clone(),
        data_threads: config.data_threads,
        relay,
        relay_announce: config.relay.announce.clone(),
        silence: config.silence,
    };
    let gateway = tokio::select! {
        started = sterna_control::start(settings, catalogue) => started.class(Failure::Local)?,
        name = signals.next() => {
            tracing::info!(signal = name, "stopped before the start was complete");
            return Ok(());
        }
    };
    let handles = GatewayHandles {
        control: gateway.control(),
        routes: gateway.routes(),
        gateway_id,
        descriptors,
    };
    let mut listeners = match Listeners::start(&config, handles).await {
        Ok(listeners) => listeners,
        Err(error) => {
            gateway.stop().await;
            return Err(error);
        }
    };
    output::data(&listening(&config, listeners.addresses, gateway.relay_address()));
    let ended = tokio::select! {
        name = signals.next() => {
            tracing::info!(signal = name, "stopping");
            Ok(())
        }
        () = listeners.ended() => Err(Failure::Other.because(
            "the API ended by itself, which is a defect. Replication is stopped; the replica nodes keep what they have",
        )),
    };
    tokio::select! {
        () = async {
            listeners.stop().await;
            gateway.stop().await;
        } => {
            tracing::info!("stopped");
            ended
        }
        _ = signals.next() => Err(Failure::Other.because(
            "stopped at once by a second signal; what was under way is resumed at the next start",
        )),
    }
}

/// A gateway whose store is gone would know no group, while the primaries of its groups are closed to writes for want of it.
fn demand_store(data_dir: &Path) -> CommandResult {
    let kept = sterna_control::kept_by_groups(data_dir).filter(|_| !Catalogue::is_in(data_dir));
    kept.map_or(Ok(()), |kept| {
        Err(Failure::Local.because(format!(
            "{} has no store.db, and {} holds what its groups kept. Nothing was started: a new store would know none of them, \
             and their primaries may be closed to writes until their gateway is back. Put store.db back from a copy, with its \
             key file; if it is lost for good, `sterna serve --new-store` begins anew, and the groups must be made again",
            data_dir.display(),
            kept.display()
        )))
    })
}

/// Where everything listens.
fn listening(config: &Config, addresses: Addresses, relay: SocketAddr) -> String {
    let secured = |tls: bool| if tls { " (TLS)" } else { "" };
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    let discovery = addresses.discovery.map_or_else(
        || "off".to_owned(),
        |address| format!("{address}{}", secured(config.discovery.tls.is_some())),
    );
    let data_dir = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    format!(
        "sterna {} is up\n  API        {scheme}://{}\n  relay      {relay}{}\n  discovery  {discovery}\n  data       {}",
        env!("CARGO_PKG_VERSION"),
        addresses.api,
        secured(config.relay.tls.is_some()),
        data_dir.display()
    )
}

/// The server side of TLS from its files, where there are some.
fn tls(files: Option<&TlsFiles>) -> Result<Option<ServerTls>, CommandError> {
    let load = |files: &TlsFiles| ServerTls::new(&files.cert, &files.key, files.client_ca.as_deref());
    files.map(load).transpose().class(Failure::Local)
}

/// Structured logs on stderr, as the configuration says.
fn init_logging(config: &Config) -> CommandResult {
    let filter: tracing_subscriber::EnvFilter = config.log_filter.parse().class(Failure::Local)?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.log_format {
        LogFormat::Json => logs.json().flatten_event(true).init(),
        LogFormat::Text => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            logs.with_ansi(colours).init();
        }
    }
    Ok(())
}

/// Ctrl-C and SIGTERM.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind)
                .context("signals can't be listened to")
                .class(Failure::Local)
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}
