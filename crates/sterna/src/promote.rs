//! `sterna promote`: a replica node becomes a primary, once it has applied what the log holds.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::json;
use sterna_log::{LogError, LogSettings, RealFs};
use sterna_model::Acknowledge;
use sterna_node::listen::Descriptors;
use sterna_node::{Client, ClientTls, Dialer, NodeAddress, ReplicationInfo, Role, TlsSettings};
use sterna_protocol::{Credentials, Offset, ReplicationId};
use sterna_replication::{
    Command, DataThread, Relay, RelaySettings, ShardAccess, ShardHandle, ShardSettings, SilenceLimits,
    StartError, TAIL_BYTES_DEFAULT, UNIT_BYTES_MAX_DEFAULT, UnusableLog,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::cli::{Output, PromoteArgs};
use crate::exit::{Classify as _, CommandError, CommandResult, Failure, in_words};
use crate::replicate::link_file::{LinkFile, RelayTls, SHARD_NAME, log_dir};
use crate::replicate::target;
use crate::{output, service};

/// How often the node is asked how far it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What the node must have before it is promoted.
#[derive(Debug, Clone, Copy)]
struct Goal {
    /// The history that the log is in.
    history: Option<ReplicationId>,
    log_end: Offset,
}

impl Goal {
    /// A higher offset in another history says nothing.
    fn is_reached(&self, node: &ReplicationInfo) -> bool {
        self.is_in_history(node) && node.offset >= self.log_end
    }

    fn is_in_history(&self, node: &ReplicationInfo) -> bool {
        self.history == Some(node.replid)
    }
}

/// What was reached.
#[derive(Debug)]
struct Outcome {
    applied: Offset,
    log_end: Offset,
    /// Bytes of writes that the log has and the node has not; unknown where it is in another history.
    missing: Option<u64>,
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
    let served = serve(&args.data_dir, &link, node).await?;
    let goal = served.goal();
    let reached = match wait_for(node, &goal, Duration::from_secs(args.timeout)).await {
        Ok(reached) => reached,
        Err(error) => {
            served.stop().await;
            return Err(error);
        }
    };
    if !goal.is_reached(&reached) && !args.force {
        served.stop().await;
        return Err(Failure::Refused.because(not_reached(node, &goal, &reached)));
    }
    let outcome = Outcome {
        applied: reached.offset,
        log_end: goal.log_end,
        missing: goal
            .is_in_history(&reached)
            .then(|| goal.log_end.bytes_since(reached.offset)),
    };
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

fn not_reached(node: &Dialer, goal: &Goal, reached: &ReplicationInfo) -> String {
    let (address, log_end) = (&node.address, goal.log_end);
    let what = if goal.is_in_history(reached) {
        format!(
            "{address} has applied offset {} and the log holds up to {log_end}: {} bytes of writes are missing",
            reached.offset,
            log_end.bytes_since(reached.offset)
        )
    } else {
        let follows = match &reached.primary {
            Some(primary) => format!("it follows {primary}"),
            None => "it follows nobody".to_owned(),
        };
        format!(
            "{address} is in the history {} and not in that of the log, which holds up to {log_end}: {follows}, and \
             did not come to the relay for what it lacks",
            reached.replid
        )
    };
    format!(
        "{what}. It was not promoted and goes on as a replica\n\
         hint: give it more time with --timeout, or lose those writes with --force"
    )
}

fn show(name: &str, outcome: &Outcome, after: &ReplicationInfo, output: Output) {
    if output == Output::Json {
        let object = json!({
            "event": "promoted",
            "node": name,
            "offset": outcome.applied,
            "log_end": outcome.log_end,
            "missing_bytes": outcome.missing,
            "history": after.replid,
        });
        output::data(&object.to_string());
        return;
    }
    output::data(&format!("promoted {name}: it is a primary now and takes writes"));
    output::data(&format!("  final offset  {}", outcome.applied));
    output::data(&format!("  log end       {}", outcome.log_end));
    output::data(&match outcome.missing {
        Some(0) => "  missing       nothing".to_owned(),
        Some(missing) => format!("  missing       {missing} bytes of writes"),
        None => "  missing       unknown: it was in another history than the log".to_owned(),
    });
    output::data(&format!("  new history   {}", after.replid));
    output::data(
        "  what the old primary accepted after its last bytes came here is not in this log: compare its \
         master_repl_offset, if it can still be asked",
    );
}

async fn look(node: &Dialer) -> Result<ReplicationInfo, CommandError> {
    let mut client = Client::connect(node).await.class(Failure::Server)?;
    let info = client.info().await.class(Failure::Server)?;
    info.replication().class(Failure::Server)
}

/// Waits until the node has reached the goal, or the time is over; returns where it is.
async fn wait_for(node: &Dialer, goal: &Goal, limit: Duration) -> Result<ReplicationInfo, CommandError> {
    let mut client = Client::connect(node).await.class(Failure::Server)?;
    let deadline = Instant::now() + limit;
    let mut ticks = interval(LOOK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let info = client.info().await.class(Failure::Server)?;
        let replication = info.replication().class(Failure::Server)?;
        if goal.is_reached(&replication) || Instant::now() >= deadline {
            return Ok(replication);
        }
    }
}

/// The log, served by this process, or by the one that has it open.
enum Served {
    Here { shard: ShardHandle, _relay: Relay },
    Elsewhere { goal: Goal },
}

impl Served {
    fn goal(&self) -> Goal {
        match self {
            Self::Here { shard, .. } => {
                let status = shard.status();
                let status = status.borrow();
                Goal {
                    history: status.history,
                    log_end: status.log_end,
                }
            }
            Self::Elsewhere { goal } => *goal,
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

async fn serve(data_dir: &Path, link: &LinkFile, node: &Dialer) -> Result<Served, CommandError> {
    let settings = ShardSettings {
        name: SHARD_NAME.to_owned(),
        log_dir: log_dir(data_dir),
        unusable_log: UnusableLog::Refuse,
        log: LogSettings {
            max_bytes: u64::MAX,
            ..LogSettings::default()
        },
        tail_bytes: TAIL_BYTES_DEFAULT,
        unit_bytes_max: UNIT_BYTES_MAX_DEFAULT,
        acknowledge: Acknowledge::Replica,
        accept_new_history: false,
        announce: None,
        lease: false,
        silence: SilenceLimits::default(),
    };
    let shard = match sterna_replication::start(DataThread::current(), settings, Arc::new(RealFs), None).await
    {
        Ok((shard, _, _)) => shard,
        Err(StartError::Log(LogError::Locked { .. })) => {
            let goal = ask_running(link).await?;
            output::message(
                "the link is running and goes on feeding the node; waiting for what its log holds now",
            );
            return Ok(Served::Elsewhere { goal });
        }
        Err(error) => return Err(error).class(Failure::Local),
    };
    // It is asked whether it can load a copy, should it need one.
    shard.command(Command::KnowNodes(vec![node.clone()])).await;
    let access = ShardAccess {
        shard: shard.clone(),
        logins: vec![link.login(1)],
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
    let settings = RelaySettings {
        listen,
        tls,
        descriptors: Descriptors::of_process(),
    };
    let relay = Relay::start(settings).await.class(Failure::Local)?;
    relay.open(access);
    Ok(Served::Here { shard, _relay: relay })
}

/// What the log of the running link holds, as its relay says: the process that writes a log knows more than its files.
async fn ask_running(link: &LinkFile) -> Result<Goal, CommandError> {
    let Some(listen) = link.relay else {
        return Err(Failure::Local.because("the link is just starting; wait until it follows its primary"));
    };
    let ip = match listen.ip() {
        ip if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    let mut dialer = Dialer::new(NodeAddress::new(ip.to_string(), listen.port()));
    dialer.credentials = Credentials {
        user: Some(SHARD_NAME.to_owned()),
        password: Some(link.secret()),
    };
    if let Some(files) = &link.relay_tls {
        dialer.tls = Some(
            ClientTls::new(&TlsSettings {
                client_cert: Some(files.cert.clone()),
                client_key: Some(files.key.clone()),
                // This machine's own port, named by a file that only its owner can write.
                verify: false,
                ..TlsSettings::default()
            })
            .context("the relay's TLS can't be set up")
            .class(Failure::Local)?,
        );
    }
    let relay = look(&dialer).await.map_err(|error| {
        Failure::Local.because(format!("the link is running, but {}", in_words(&error.error)))
    })?;
    Ok(Goal {
        history: Some(relay.replid),
        log_end: relay.offset,
    })
}
