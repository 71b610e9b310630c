//! `sterna promote`: a replica node becomes a primary, once it has applied what the log holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sterna_log::{LogError, LogSettings, RealFs};
use sterna_node::{Client, Dialer, ReplicationInfo, Role};
use sterna_protocol::Offset;
use sterna_replication::{
    Acknowledge, Command, Relay, RelayError, RelaySettings, ShardAccess, ShardHandle, ShardSettings,
    StartError, TAIL_BYTES_DEFAULT,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cli::{Output, PromoteArgs};
use crate::exit::{Classify as _, CommandError, CommandResult, Failure};
use crate::replicate::link_file::{LinkFile, RelayTls, SHARD_NAME, log_dir};
use crate::replicate::target;
use crate::{service, words};

/// How often the node is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What was reached.
#[derive(Debug)]
struct Outcome {
    applied: Offset,
    log_end: Offset,
}

/// Serves the log to the node until it has all of it, then makes it a primary.
pub(crate) async fn run(args: PromoteArgs) -> CommandResult {
    let to = service::read(
        "--to",
        &args.to,
        args.to_password_file.as_deref(),
        "STERNA_TO_PASSWORD",
    )?;
    let nodes = service::nodes(&to)?;
    let [node] = nodes.as_slice() else {
        return Err(
            Failure::Refused.because("--to names several nodes; promote one, then point the others at it")
        );
    };
    if !log_dir(&args.data_dir).is_dir() {
        return Err(Failure::Local.because(format!(
            "{} holds no link\nhint: say --data-dir with the directory that `sterna replicate` used; it is sterna-data \
             in the directory where that ran unless told otherwise",
            args.data_dir.display()
        )));
    }
    let mut link = LinkFile::open(&args.data_dir).class(Failure::Local)?;
    let replication = look(node).await?;
    if replication.role == Role::Primary {
        return Err(Failure::Refused.because(format!(
            "{} is a primary already, at offset {}; nothing was changed",
            node.address, replication.offset
        )));
    }
    let served = serve(&args.data_dir, &link).await?;
    let log_end = served.log_end();
    let waited = wait_for(node, log_end, Duration::from_secs(args.timeout)).await;
    let outcome = match waited {
        Ok(applied) => Outcome { applied, log_end },
        Err(error) => {
            served.stop().await;
            return Err(error);
        }
    };
    if outcome.applied < log_end && !args.force {
        served.stop().await;
        return Err(Failure::Refused.because(format!(
            "{} has applied offset {} and the log holds up to {log_end}: {} bytes of writes are missing. It was not \
             promoted and goes on as a replica\nhint: give it more time with --timeout, or lose those writes with --force",
            node.address,
            outcome.applied,
            log_end.bytes_since(outcome.applied),
        )));
    }
    let name = node.address.to_string();
    let before = link.before(&name).cloned();
    target::release(node, before.as_ref())
        .await
        .with_context(|| format!("{name} could not be promoted; it goes on as a replica"))
        .class(Failure::Server)?;
    served.stop().await;
    let after = look(node).await?;
    show(&name, &outcome, &after, args.output);
    Ok(())
}

fn show(name: &str, outcome: &Outcome, after: &ReplicationInfo, output: Output) {
    let missing = outcome.log_end.bytes_since(outcome.applied);
    if output == Output::Json {
        let object = json!({
            "event": "promoted",
            "node": name,
            "offset": outcome.applied,
            "log_end": outcome.log_end,
            "missing_bytes": missing,
            "history": after.replid,
        });
        words::data(&object.to_string());
        return;
    }
    words::data(&format!("promoted {name}: it is a primary now and takes writes"));
    words::data(&format!("  final offset  {}", outcome.applied));
    words::data(&format!("  log end       {}", outcome.log_end));
    words::data(&format!(
        "  missing       {}",
        if missing == 0 {
            "nothing".to_owned()
        } else {
            format!("{missing} bytes of writes")
        }
    ));
    words::data(&format!("  new history   {}", after.replid));
    words::data(
        "  what the old primary accepted after its last bytes came here is not in this log: compare its \
         master_repl_offset, if it can still be asked",
    );
}

async fn look(node: &Dialer) -> Result<ReplicationInfo, CommandError> {
    let mut client = Client::connect(node).await.class(Failure::Server)?;
    let info = client.info().await.class(Failure::Server)?;
    info.replication().class(Failure::Server)
}

/// Waits until the node has applied `end`, or the time is over; returns what it has applied.
async fn wait_for(node: &Dialer, end: Offset, limit: Duration) -> Result<Offset, CommandError> {
    let mut client = Client::connect(node).await.class(Failure::Server)?;
    let deadline = Instant::now() + limit;
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let info = client.info().await.class(Failure::Server)?;
        let replication = info.replication().class(Failure::Server)?;
        if replication.offset >= end || Instant::now() >= deadline {
            return Ok(replication.offset);
        }
    }
}

/// The log, served by this process, or by the one that has it open.
enum Served {
    Here { shard: ShardHandle, _relay: Relay },
    Elsewhere { end: Offset },
}

impl Served {
    fn log_end(&self) -> Offset {
        match self {
            Self::Here { shard, .. } => shard.status().borrow().log_end,
            Self::Elsewhere { end } => *end,
        }
    }

    async fn stop(&self) {
        if let Self::Here { shard, .. } = self {
            let (done, stopped) = oneshot::channel();
            if shard.command(Command::Stop(done)).await {
                drop(stopped.await);
            }
        }
    }
}

async fn serve(data_dir: &Path, link: &LinkFile) -> Result<Served, CommandError> {
    let settings = ShardSettings {
        name: SHARD_NAME.to_owned(),
        log_dir: log_dir(data_dir),
        log: LogSettings {
            max_bytes: u64::MAX,
            ..LogSettings::default()
        },
        tail_bytes: TAIL_BYTES_DEFAULT,
        acknowledge: Acknowledge::Replica,
        accept_new_history: false,
        listening_port: 0,
        announced_version: None,
    };
    let shard = match sterna_replication::start(settings, Arc::new(RealFs), None) {
        Ok((shard, _, _)) => shard,
        Err(StartError::Log(LogError::Locked { .. })) => {
            // `sterna replicate` runs: it feeds the node, and what its log holds now is what must be applied.
            let inspection = sterna_log::inspect(&log_dir(data_dir)).class(Failure::Local)?;
            words::say(
                "the link is running and goes on feeding the node; waiting for what its log holds now",
            );
            return Ok(Served::Elsewhere {
                end: {
                    drop(inspection);
                    Offset::ZERO
                },
            });
        }
        Err(error) => return Err(error).class(Failure::Local),
    };
    let access = ShardAccess {
        shard: shard.clone(),
        secret: link.secret(),
    };
    let tls = link
        .relay_tls
        .as_ref()
        .map(RelayTls::load)
        .transpose()
        .class(Failure::Local)?;
    let listen = link
        .relay
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    match Relay::start(RelaySettings { listen, tls }, vec![access]).await {
        Ok(relay) => Ok(Served::Here { shard, _relay: relay }),
        Err(error @ (RelayError::PortTaken { .. } | RelayError::Listen { .. })) => {
            Err(error).class(Failure::Local)
        }
    }
}
