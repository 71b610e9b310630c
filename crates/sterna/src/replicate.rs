//! `sterna replicate`: one link in the foreground.

pub(crate) mod link_file;
pub(crate) mod target;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use link_file::{LinkFile, RelayTls, SHARD_NAME, log_dir};
use sterna_log::{History, LogError, LogSettings, RealFs};
use sterna_model::{Check, LinkState, Subject, Verdict, verdict};
use sterna_node::checks::{self, CopyRequest, Purpose};
use sterna_node::listen::Descriptors;
use sterna_node::{Dialer, NodeAddress, RelayEndpoint};
use sterna_replication::{
    Command, DataThread, Notice, Relay, RelaySettings, ShardAccess, ShardHandle, ShardSettings,
    SilenceLimits, UNIT_BYTES_MAX_DEFAULT, UnusableLog,
};
use target::RelayForTargets;
use tokio::sync::{mpsc, oneshot};

use crate::cli::ReplicateArgs;
use crate::data_dir;
use crate::display::{self, Display};
use crate::exit::{Classify as _, CommandError, CommandResult, Failure};
use crate::service::{self, Service};
use crate::{metrics, output};

/// The relay's port where none is given.
const RELAY_PORT: u16 = 7801;
/// How often the display may be drawn anew where nothing but time has passed.
const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
/// Runs until it is stopped or can't go on.
pub(crate) async fn run(args: &ReplicateArgs) -> CommandResult {
    let mut display = display::new(args.output);
    let from = service::read(
        "--from",
        &args.from,
        args.from_password_file.as_deref(),
        "STERNA_FROM_PASSWORD",
    )?;
    let mut targets = Vec::new();
    for to in &args.to {
        let service = service::read("--to", to, args.to_password_file.as_deref(), "STERNA_TO_PASSWORD")?;
        targets.extend(service::nodes(&service)?);
    }
    let relay_tls = relay_tls(args);
    let tls = relay_tls
        .as_ref()
        .map(RelayTls::load)
        .transpose()
        .class(Failure::Local)?;
    let listen = args.relay_addr.unwrap_or_else(|| default_relay(&targets));
    let announce = args
        .announce_addr
        .as_deref()
        .map(|text| NodeAddress::parse(text, listen.port()));
    let given = announce
        .transpose()
        .context("--announce-addr")
        .class(Failure::Refused)?;

    tokio::spawn(sterna_node::tls::keep_fresh());
    let relay = RelayEndpoint {
        announced: given,
        listen,
    };
    check(args, &from, &targets, relay.clone(), display.as_mut()).await?;
    data_dir::demand_own(&args.data_dir)?;
    let mut link = LinkFile::open(&args.data_dir).class(Failure::Local)?;
    let settings = shard_settings(args);
    let fs = Arc::new(RealFs);
    let (shard, notices, recovered) =
        sterna_replication::start(DataThread::current(), settings, fs, Some(from.upstream))
            .await
            .class(Failure::Local)?;
    shard.command(Command::KnowNodes(targets.clone())).await;
    for note in &recovered.notes {
        tracing::info!(note, "log recovery");
    }
    let access = ShardAccess {
        shard: shard.clone(),
        logins: vec![link.login(targets.len())],
    };
    let relay_settings = RelaySettings {
        listen,
        tls: tls.clone(),
        descriptors: Descriptors::of_process(),
    };
    let listening = Relay::start(relay_settings).await.class(Failure::Local)?;
    listening.open(access);
    link.relay = Some(listening.address());
    link.relay_tls = relay_tls;
    link.save(&args.data_dir).class(Failure::Local)?;
    let _metrics = match args.metrics_addr {
        Some(address) => Some(
            metrics::serve(address, shard.status())
                .await
                .class(Failure::Local)?,
        ),
        None => None,
    };
    let relay = RelayForTargets {
        endpoint: RelayEndpoint {
            listen: listening.address(),
            ..relay
        },
        tls: tls.is_some(),
    };
    let mut session = Session {
        args,
        shard,
        targets,
        relay,
        link,
        attached: false,
    };
    let ended = session.run(notices, display.as_mut()).await;
    session.stop().await;
    match ended {
        Ok(words) => {
            display.end(&words);
            Ok(())
        }
        Err(error) => {
            session.undo().await;
            display.end("");
            Err(error)
        }
    }
}

async fn check(
    args: &ReplicateArgs,
    from: &Service,
    targets: &[Dialer],
    relay: RelayEndpoint,
    display: &mut dyn Display,
) -> CommandResult {
    let history = match sterna_log::read_history(&RealFs, &log_dir(&args.data_dir)) {
        // The check of the data directory says it better.
        Err(LogError::Io { .. }) => None,
        read => read.class(Failure::Local)?,
    };
    let known_histories = history
        .iter()
        .flat_map(History::entries)
        .map(|entry| entry.id)
        .collect();
    let request = CopyRequest {
        purpose: Purpose::Link,
        from: from.upstream.clone(),
        to: targets.to_vec(),
        overwrite: args.overwrite,
        data_dir: args.data_dir.clone(),
        log_max_bytes: args.log_max_bytes,
        relay,
        relay_tls: args.relay_tls_cert.is_some(),
        known_histories,
    };
    let checks = checks::copy(&request).await;
    display.checks(&checks);
    if verdict(&checks) < Verdict::Refuse {
        return Ok(());
    }
    let (failure, reasons) = refusals(&checks);
    Err(failure.because(format!("not started, nothing was changed anywhere: {reasons}")))
}

/// The class of what was refused, and all refusals in words.
fn refusals(checks: &[Check]) -> (Failure, String) {
    let refused: Vec<_> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refuse)
        .collect();
    // Who was never logged in to is no server that could be asked: down, a stranger, or no Redis at all.
    let logged_in = |subject: &Subject| {
        checks.iter().any(|check| {
            check.subject == *subject && check.name == "authenticated" && check.verdict == Verdict::Pass
        })
    };
    let no_server = |check: &&Check| check.subject != Subject::Here && !logged_in(&check.subject);
    let failure = if refused.iter().any(no_server) {
        Failure::Server
    } else if refused.iter().all(|check| check.subject == Subject::Here) {
        Failure::Local
    } else {
        Failure::Refused
    };
    let reasons: Vec<_> = refused
        .iter()
        .map(|check| format!("{}: {}", check.subject, check.detail))
        .collect();
    (failure, reasons.join("; "))
}

fn relay_tls(args: &ReplicateArgs) -> Option<RelayTls> {
    let (cert, key) = (args.relay_tls_cert.clone()?, args.relay_tls_key.clone()?);
    Some(RelayTls {
        cert,
        key,
        client_ca: args.relay_tls_client_ca.clone(),
    })
}

/// On loopback if every target is there, else everywhere.
fn default_relay(targets: &[Dialer]) -> SocketAddr {
    let loopback = |target: &Dialer| {
        let host = &target.address.host;
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    };
    let ip = if targets.iter().all(loopback) {
        Ipv4Addr::LOCALHOST
    } else {
        Ipv4Addr::UNSPECIFIED
    };
    SocketAddr::from((ip, RELAY_PORT))
}

fn shard_settings(args: &ReplicateArgs) -> ShardSettings {
    ShardSettings {
        name: SHARD_NAME.to_owned(),
        log_dir: log_dir(&args.data_dir),
        unusable_log: UnusableLog::Refuse,
        log: LogSettings::with_max_bytes(args.log_max_bytes),
        tail_bytes: args.tail_bytes,
        unit_bytes_max: UNIT_BYTES_MAX_DEFAULT.min(args.log_max_bytes),
        acknowledge: args.acknowledge.into(),
        accept_new_history: args.accept_new_history,
        announce: None,
        lease: false,
        silence: SilenceLimits::default(),
    }
}

/// A link that runs.
struct Session<'a> {
    args: &'a ReplicateArgs,
    shard: ShardHandle,
    targets: Vec<Dialer>,
    relay: RelayForTargets,
    link: LinkFile,
    attached: bool,
}

impl Session<'_> {
    /// Shows what happens until a signal comes; targets are attached as soon as the primary has agreed to be followed.
    async fn run(
        &mut self,
        mut notices: mpsc::Receiver<Notice>,
        display: &mut dyn Display,
    ) -> Result<String, CommandError> {
        let mut status = self.shard.status();
        let mut stop = std::pin::pin!(stop_signal());
        let mut redraw = tokio::time::interval(REDRAW_INTERVAL);
        loop {
            tokio::select! {
                // What grows with time alone, as a lag, is no change of the status.
                _ = redraw.tick() => display.status(&status.borrow().clone()),
                reason = &mut stop => {
                    reason?;
                    return Ok(self.last_words());
                }
                notice = notices.recv() => match notice {
                    None => return Err(Failure::Other.because("the link ended by itself, which is a defect")),
                    Some(notice) => {
                        display.notice(&notice);
                        self.on_notice(&notice)?;
                    }
                },
                changed = status.changed() => {
                    if changed.is_ok() {
                        let now = status.borrow_and_update().clone();
                        display.status(&now);
                        if matches!(now.link, LinkState::Streaming | LinkState::Holding(_)) {
                            self.attach().await?;
                        }
                    }
                }
            }
        }
    }

    fn on_notice(&mut self, notice: &Notice) -> CommandResult {
        match notice {
            Notice::Corrupt { reason } => Err(Failure::BadData.because(format!(
                "{reason}\nThe same happened several times in a row at the same place, so it is not the network. The \
                 targets' data was not touched by it.\nhint: look into the log of the primary, and at what stands between"
            ))),
            Notice::FollowerOnline { .. } | Notice::FollowerResumed { .. } => {
                for target in &mut self.link.targets {
                    target.follows = true;
                }
                self.link.save(&self.args.data_dir).class(Failure::Local)
            }
            _ => Ok(()),
        }
    }

    async fn attach(&mut self) -> CommandResult {
        if self.attached {
            return Ok(());
        }
        self.attached = true;
        let data_dir = self.args.data_dir.clone();
        for target in &self.targets {
            let save = |link: &LinkFile| link.save(&data_dir);
            target::attach(target, &self.relay, &mut self.link, save)
                .await
                .with_context(|| format!("{} can't be made a replica", target.address))
                .class(Failure::Server)?;
        }
        Ok(())
    }

    async fn stop(&self) {
        let (done, stopped) = oneshot::channel();
        if self.shard.command(Command::Stop(done)).await {
            drop(stopped.await);
        }
    }

    /// Targets that never followed become what they were.
    async fn undo(&mut self) {
        for target in &self.targets {
            let name = target.address.to_string();
            let Some(before) = self.link.before(&name).filter(|before| !before.follows).cloned() else {
                continue;
            };
            match target::restore(target, &before).await {
                Ok(()) => self.link.targets.retain(|known| known.before.address != name),
                Err(error) => output::warn(&format!("{name} could not be made what it was before: {error}")),
            }
        }
        drop(self.link.save(&self.args.data_dir));
    }

    fn last_words(&self) -> String {
        let targets: Vec<_> = self
            .targets
            .iter()
            .map(|target| target.address.to_string())
            .collect();
        let dir = self.args.data_dir.display();
        format!(
            "stopped. {} stay read-only replicas with the data they have.\n\
             to resume:  run the same command again (partial resync, nothing is recopied)\n\
             to promote: sterna promote --to redis://{} --data-dir {dir}",
            targets.join(", "),
            targets.first().map_or("", String::as_str),
        )
    }
}

/// Ctrl-C or SIGTERM.
async fn stop_signal() -> CommandResult {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).class(Failure::Other)?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.class(Failure::Other),
        _ = terminate.recv() => Ok(()),
    }
}
