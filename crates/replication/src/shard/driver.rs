//! Drives a shard: waits for the next event, lets the owner apply it, starts what the owner asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sterna_log::{Log, LogError, LogFs, LogReader, LogReaders, RecoveryReport};
use sterna_node::{Dialer, Upstream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::ask::ask;
use super::event::{Command, Effect, Event, Now};
use super::jobs::{run_files, run_log, run_read, run_spool};
use super::state::Shard;
use crate::backoff::OsRandom;
use crate::settings::{ShardSettings, UnusableLog};
use crate::source::{Connection, Numbered, Purpose, Reports, SourceEvent};
use crate::status::{Notice, PrimaryLook, Status};
use crate::threads::DataThread;
use crate::turn::Turn;

/// Chunks of stream, and of a snapshot, on their way from their connection to the owner; with 256 KiB each they are part of
/// the memory bound.
const SOURCE_QUEUE: usize = 16;
/// Answers to questions beside the stream, on their way to the owner.
const BESIDE_QUEUE: usize = 16;
/// Notices that nobody has read yet; more are dropped, the status still tells the state.
const NOTICES_MAX: usize = 1024;
/// Reports of followers and jobs on their way to the owner; a full queue slows their connections down.
const EVENT_QUEUE: usize = 1024;
/// How often time passes for the owner...
const TICK: Duration = Duration::from_millis(50);
/// ...and where nothing is due. An acknowledgement goes out once a second.
const TICK_CALM: Duration = Duration::from_millis(250);

/// A shard could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its log can't be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The gateway stops, or the opening ended by a panic.
    #[error("the replication log was not opened to the end: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// A running shard.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    name: Arc<str>,
    runtime: Handle,
    events: mpsc::Sender<Event>,
    status: watch::Receiver<Status>,
    looks: watch::Receiver<Option<PrimaryLook>>,
    log: LogReaders,
}

impl ShardHandle {
    /// Its name, with which replica nodes log in.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its status. What is waited for with it is a change of more than [`Status::heard_at`], [`Status::alive_at`] and
    /// [`Status::renewed_at`], which are always up to date.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// What the primary that is followed answers, many times a second while the shard gives it a lease: nobody else needs
    /// to ask it then.
    pub fn primary_looks(&self) -> watch::Receiver<Option<PrimaryLook>> {
        self.looks.clone()
    }

    /// Asks something of it; `false` if it has ended.
    pub async fn command(&self, command: Command) -> bool {
        self.events.send(Event::Command(command)).await.is_ok()
    }

    /// A reader of the log as it is on disk; it notices when that is cut back or begun anew.
    pub(crate) fn log_reader(&self) -> LogReader {
        self.log.reader()
    }

    /// Where it runs, and where the connections of its replica nodes are served.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The way in for the connections of its replica nodes.
    pub(crate) fn events(&self) -> mpsc::Sender<Event> {
        self.events.clone()
    }
}

/// Opens the log, on the pool for blocking work, and starts the shard on its thread. Without an upstream the log is
/// served, and nothing is followed.
pub async fn start(
    thread: DataThread,
    settings: ShardSettings,
    fs: Arc<dyn LogFs>,
    upstream: Option<Upstream>,
) -> Result<(ShardHandle, mpsc::Receiver<Notice>, RecoveryReport), StartError> {
    let runtime = thread.runtime().clone();
    let opening = {
        let (fs, settings) = (Arc::clone(&fs), settings.clone());
        move || match settings.unusable_log {
            UnusableLog::Refuse => Log::open(fs, &settings.log_dir, settings.log),
            UnusableLog::KeepAside => Log::open_or_keep_aside(fs, &settings.log_dir, settings.log),
        }
    };
    let opened = runtime.spawn_blocking(opening).await??;
    let recovered = opened.recovered.clone();
    let log = opened.writer.readers();
    let (notices, notices_out) = mpsc::channel(NOTICES_MAX);
    let (events, events_in) = mpsc::channel(EVENT_QUEUE);
    let name: Arc<str> = settings.name.as_str().into();
    let now = read_clocks();
    let shard = Shard::new(settings.clone(), fs, opened, upstream, Box::new(OsRandom), now);
    let (status, status_out) = watch::channel(shard.status(now));
    let (looks, looks_out) = watch::channel(None);
    let (stream, stream_in) = mpsc::channel(SOURCE_QUEUE);
    let (snapshot, snapshot_in) = mpsc::channel(SOURCE_QUEUE);
    let (beside, beside_in) = mpsc::channel(BESIDE_QUEUE);
    let driver = Driver {
        thread,
        shard,
        settings,
        events: events.clone(),
        stream,
        snapshot,
        beside,
        notices,
        status,
        looks,
        connections: BTreeMap::new(),
        nodes: Vec::new(),
    };
    runtime.spawn(driver.run(events_in, stream_in, snapshot_in, beside_in));
    Ok((
        ShardHandle {
            name,
            runtime,
            events,
            status: status_out,
            log,
            looks: looks_out,
        },
        notices_out,
        recovered,
    ))
}

struct Driver {
    /// Its place, which is free once the log is closed.
    thread: DataThread,
    shard: Shard,
    settings: ShardSettings,
    events: mpsc::Sender<Event>,
    stream: mpsc::Sender<Numbered>,
    snapshot: mpsc::Sender<Numbered>,
    beside: mpsc::Sender<Numbered>,
    notices: mpsc::Sender<Notice>,
    status: watch::Sender<Status>,
    looks: watch::Sender<Option<PrimaryLook>>,
    connections: BTreeMap<u64, AbortHandle>,
    /// Those that may attach.
    nodes: Vec<Dialer>,
}

impl Driver {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut stream: mpsc::Receiver<Numbered>,
        mut snapshot: mpsc::Receiver<Numbered>,
        mut beside: mpsc::Receiver<Numbered>,
    ) {
        let mut turn = Turn::begin();
        let mut ticked = Instant::now();
        let mut planned = ticked;
        let mut tick = std::pin::pin!(sleep_until(planned));
        let mut stopped = self.perform();
        while stopped.is_none() {
            let pause = if self.shard.is_calm() { TICK_CALM } else { TICK };
            if planned != ticked + pause {
                planned = ticked + pause;
                // It is not late because it is wanted sooner now.
                tick.as_mut().reset(planned.max(Instant::now()));
            }
            let event = tokio::select! {
                Some(event) = events.recv() => event,
                Some((attempt, event)) = beside.recv() => Event::Source { attempt, event },
                Some((attempt, event)) = stream.recv(), if self.shard.accepts_stream() => {
                    Event::Source { attempt, event }
                }
                Some((attempt, event)) = snapshot.recv(), if self.shard.accepts_snapshot() => {
                    Event::Source { attempt, event }
                }
                () = &mut tick => {
                    ticked = Instant::now();
                    Event::Tick { late: ticked.saturating_duration_since(tick.deadline()) }
                }
            };
            let now = read_clocks();
            let renew = !matches!(
                event,
                Event::Follower { .. }
                    | Event::Source {
                        event: SourceEvent::Stream(_) | SourceEvent::Snapshot(_),
                        ..
                    }
            );
            self.shard.apply(event, now);
            stopped = self.perform();
            if renew {
                let status = self.shard.status(now);
                // Whoever wants to know when the primary was last heard reads it; nobody is woken up for that alone.
                self.status.send_if_modified(|known| {
                    let changed = !known.is_same_later(&status);
                    *known = status;
                    changed
                });
            }
            turn.give_way().await;
        }
        for connection in self.connections.values() {
            connection.abort();
        }
        let (thread, shard) = (self.thread, self.shard);
        let close = move || {
            drop(shard);
            drop(thread);
            // Nobody waits any more if this fails.
            let _ = stopped.map(|done| done.send(()));
        };
        drop(tokio::task::spawn_blocking(close));
    }

    /// Starts what the shard asks for. Returns who waits for its end, once it has come to that.
    fn perform(&mut self) -> Option<oneshot::Sender<()>> {
        let mut stopped = None;
        for effect in self.shard.take_effects() {
            match effect {
                Effect::Connect {
                    attempt,
                    purpose,
                    upstream,
                    delay,
                    acks,
                } => {
                    let settings = &self.settings;
                    let connection = Connection {
                        attempt,
                        purpose,
                        upstream: *upstream,
                        announce: settings.announce.clone(),
                        lease: settings.lease,
                        silence_max: settings.silence.primary,
                        reports: Reports {
                            attempt,
                            sender: match purpose {
                                Purpose::Follow => self.stream.clone(),
                                Purpose::Snapshot => self.snapshot.clone(),
                                Purpose::Lease => self.beside.clone(),
                            },
                            beside: self.beside.clone(),
                        },
                        acks,
                        looks: self.looks.clone(),
                    };
                    self.connections.retain(|_, connection| !connection.is_finished());
                    self.connections
                        .insert(attempt, tokio::spawn(connection.run(delay)).abort_handle());
                }
                Effect::Disconnect { attempt } => {
                    if let Some(connection) = self.connections.remove(&attempt) {
                        connection.abort();
                    }
                }
                Effect::Notify(notice) => {
                    tracing::info!(shard = %self.settings.name, ?notice, "notice");
                    // A full queue loses the notice, not the state.
                    drop(self.notices.try_send(notice));
                }
                Effect::Log(job) => self.block(move || Event::Log(Box::new(run_log(*job)))),
                Effect::Spool(job) => self.block(move || Event::Spool(Box::new(run_spool(*job)))),
                Effect::Files(job) => self.block(move || Event::Files(Box::new(run_files(*job)))),
                Effect::Read(job) => self.block(move || Event::Read(Box::new(run_read(*job)))),
                Effect::KnowNodes(nodes) => self.nodes = nodes,
                Effect::Ask {
                    id,
                    peer,
                    listening_port,
                } => {
                    let (events, nodes) = (self.events.clone(), self.nodes.clone());
                    tokio::spawn(async move {
                        let asked = ask(nodes, peer, listening_port).await;
                        drop(events.send(Event::Asked { id, asked }).await);
                    });
                }
                Effect::Close(reader) => drop(tokio::task::spawn_blocking(move || drop(reader))),
                Effect::Stopped(done) => stopped = Some(done),
            }
        }
        stopped
    }

    /// Runs a job where blocking is allowed; its answer comes back as an event.
    fn block(&self, job: impl FnOnce() -> Event + Send + 'static) {
        let events = self.events.clone();
        tokio::spawn(async move {
            match tokio::task::spawn_blocking(job).await {
                Ok(event) => drop(events.send(event).await),
                Err(error) => tracing::error!(%error, "a disk job ended without an answer"),
            }
        });
    }
}

fn read_clocks() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now {
        mono: Instant::now(),
        wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX),
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").finish_non_exhaustive()
    }
}
