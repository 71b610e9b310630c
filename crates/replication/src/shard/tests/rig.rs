//! The shard on a bench: the test plays the primary, the replica nodes, the disk's speed and the clock.

mod primary;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sterna_log::sim::SimFs;
use sterna_log::{Log, LogFs, LogSettings};
use sterna_model::Acknowledge;
use sterna_node::copying::CopyNeeds;
use sterna_node::{Engine, EngineKind, Upstream, Version};
use sterna_protocol::psync::{Ack, PsyncRequest};
use sterna_protocol::{Offset, ReplicationId, RunId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::node::Node;
use super::world::{World, id};
use crate::backoff::Random;
use crate::lineage::HistoryEnd;
use crate::psync_client::PsyncError;
use crate::settings::{ShardSettings, SilenceLimits, UNWRITTEN_BYTES_MIN, UnusableLog};
use crate::shard::event::{
    Attach, Command, Effect, Event, FollowerEvent, FollowerId, Handover, LoginLimit, Now, OUTBOX_MESSAGES_MAX,
};
use crate::shard::jobs::{run_files, run_log, run_read, run_spool};
use crate::shard::state::Shard;
use crate::source::{Purpose, SourceError};
use crate::status::{Notice, Status};

pub(super) const DIR: &str = "/log";
/// How often the driver lets time pass.
const TICK_MS: u64 = 50;
pub(super) const A: char = 'a';
pub(super) const B: char = 'b';

struct Counting(u64);

impl Random for Counting {
    fn next_u64(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

/// A connection to the primary that the shard asked for.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) purpose: Purpose,
    pub(super) delay: Duration,
    pub(super) acks: watch::Receiver<Ack>,
}

/// A shard with everything around it.
pub(super) struct Rig {
    pub(super) shard: Shard,
    pub(super) fs: SimFs,
    pub(super) now: Now,
    pub(super) world: World,
    pub(super) settings: ShardSettings,
    /// Jobs that were sent to the disk and are not done yet.
    pub(super) jobs: VecDeque<Effect>,
    /// Whether jobs are done at once.
    pub(super) disk_is_fast: bool,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) nodes: BTreeMap<FollowerId, Node>,
    pub(super) notices: Vec<Notice>,
    /// The nodes whose ability to load was asked for.
    pub(super) asked: Vec<FollowerId>,
    /// What the primary says of its data set.
    pub(super) needs: CopyNeeds,
    /// The latest link to the primary.
    pub(super) link: u64,
    pub(super) fetch: Option<u64>,
    /// What was acknowledged on the link, in order.
    pub(super) acked: Vec<Offset>,
    /// What was said of a disk with the last of them.
    pub(super) synced: Option<Offset>,
    /// The most that one event added to memory.
    chunk_bytes_max: u64,
    hands_over: bool,
    /// From where on the primary's backlog holds what comes next; none: it has no backlog.
    pub(super) backlog_from: Option<u64>,
    /// Its process, where it tells it.
    pub(super) process: Option<RunId>,
    next_node: u64,
    /// Where nodes that attach say that they serve clients; none: each at a port of its own.
    pub(super) listening_port: Option<u16>,
    pub(super) login: LoginLimit,
    /// How many readers were let go of.
    pub(super) closed: u32,
    /// Who waits for the end, once it has come to that.
    pub(super) stopped: Option<oneshot::Sender<()>>,
}

pub(super) fn upstream() -> Upstream {
    Upstream::new(&"redis://127.0.0.1:1".parse().expect("a URL")).expect("no files to read")
}

/// Another than the one that is followed in the beginning.
pub(super) fn other_upstream() -> Upstream {
    Upstream::new(&"redis://127.0.0.1:2".parse().expect("a URL")).expect("no files to read")
}

pub(super) fn settings() -> ShardSettings {
    ShardSettings {
        name: "test".to_owned(),
        log_dir: DIR.into(),
        unusable_log: UnusableLog::Refuse,
        log: LogSettings::default(),
        tail_bytes: 64 * 1024,
        unit_bytes_max: 16 * 1024 * 1024,
        acknowledge: Acknowledge::Gateway,
        accept_new_history: false,
        announce: None,
        lease: false,
        silence: SilenceLimits::default(),
    }
}

/// What a primary of this version says of a plain data set.
pub(super) fn needs(kind: EngineKind, major: u32, minor: u32) -> CopyNeeds {
    CopyNeeds {
        engine: Engine {
            kind,
            version: Version::new(major, minor, 0),
        },
        databases: 1,
        field_ttls: false,
        modules: Vec::new(),
    }
}

impl Rig {
    /// A shard with an empty log that looks for its primary.
    pub(super) fn with(settings: ShardSettings) -> Self {
        Self::on(SimFs::new(1), settings, Some(upstream()), World::default())
    }

    /// A shard that streams history `a` from offset 100 on, where a first full copy stands.
    pub(super) fn streaming(settings: ShardSettings) -> Self {
        let mut rig = Self::with(settings);
        rig.world.begin(id(A), 100);
        rig.full_sync(id(A), &super::world::rdb(1000));
        rig.notices.clear();
        rig
    }

    pub(super) fn on(fs: SimFs, settings: ShardSettings, target: Option<Upstream>, world: World) -> Self {
        let now = Now {
            mono: Instant::now(),
            wall_ms: 1_700_000_000_000,
        };
        let disk: Arc<dyn LogFs> = Arc::new(fs.clone());
        let opened = Log::open(Arc::clone(&disk), Path::new(DIR), settings.log.clone()).expect("opened");
        let shard = Shard::new(settings.clone(), disk, opened, target, Box::new(Counting(0)), now);
        let mut rig = Self {
            shard,
            fs,
            now,
            world,
            settings,
            jobs: VecDeque::new(),
            disk_is_fast: true,
            connections: BTreeMap::new(),
            nodes: BTreeMap::new(),
            notices: Vec::new(),
            asked: Vec::new(),
            needs: needs(EngineKind::Redis, 7, 0),
            link: 0,
            fetch: None,
            acked: Vec::new(),
            synced: None,
            chunk_bytes_max: 0,
            hands_over: false,
            backlog_from: Some(0),
            process: None,
            next_node: 0,
            listening_port: None,
            login: LoginLimit::none(),
            closed: 0,
            stopped: None,
        };
        rig.take_effects();
        rig
    }

    /// The process ends without a word and starts anew; `power` also takes what was not synced.
    pub(super) fn restart(self, power: bool) -> Self {
        let Self {
            fs, settings, world, ..
        } = self;
        if power {
            fs.crash();
        } else {
            fs.exit_process();
        }
        Self::on(fs, settings, Some(upstream()), world)
    }

    /// One event, everything that follows from it at once, and the checks.
    pub(super) fn event(&mut self, event: Event) {
        self.shard.apply(event, self.now);
        self.take_effects();
        self.check();
        if self.disk_is_fast {
            self.do_jobs();
        }
    }

    fn take_effects(&mut self) {
        for effect in self.shard.take_effects() {
            match effect {
                Effect::Connect {
                    attempt,
                    purpose,
                    delay,
                    acks,
                    ..
                } => {
                    match purpose {
                        Purpose::Follow => self.link = attempt,
                        Purpose::Snapshot => self.fetch = Some(attempt),
                        Purpose::Lease => {}
                    }
                    let known = self
                        .connections
                        .insert(attempt, Connection { purpose, delay, acks });
                    assert!(known.is_none(), "attempt {attempt} was begun twice");
                }
                Effect::Disconnect { attempt } => {
                    self.connections.remove(&attempt);
                    self.fetch = self.fetch.filter(|fetch| *fetch != attempt);
                }
                Effect::KnowNodes(_) => {}
                Effect::Ask { id, .. } => self.asked.push(id),
                Effect::Notify(notice) => self.notices.push(notice),
                Effect::Close(_) => self.closed += 1,
                Effect::Stopped(done) => assert!(self.stopped.replace(done).is_none(), "it is answered once"),
                job => self.jobs.push_back(job),
            }
        }
        if let Some(link) = self.connections.get_mut(&self.link)
            && link.acks.has_changed().unwrap_or(false)
        {
            let Ack { applied, synced } = *link.acks.borrow_and_update();
            self.check_ack(applied);
            self.acked.push(applied);
            self.check_synced(synced);
            self.synced = synced;
        }
        for node in self.nodes.values_mut().filter(|node| node.takes) {
            node.take();
            node.parse(&self.world);
        }
    }

    /// Does the oldest job that was sent to the disk, or an event of its own where there is none.
    pub(super) fn do_job(&mut self) {
        let done = match self.jobs.pop_front() {
            Some(Effect::Log(job)) => Event::Log(Box::new(run_log(*job))),
            Some(Effect::Spool(job)) => Event::Spool(Box::new(run_spool(*job))),
            Some(Effect::Files(job)) => Event::Files(Box::new(run_files(*job))),
            Some(Effect::Read(job)) => Event::Read(Box::new(run_read(*job))),
            _ => return,
        };
        self.shard.apply(done, self.now);
        self.take_effects();
        self.check();
    }

    pub(super) fn do_jobs(&mut self) {
        let mut jobs = 0..10_000;
        while !self.jobs.is_empty() {
            jobs.next().expect("what is sent to the disk comes to an end");
            self.do_job();
        }
    }

    /// What must hold after every event, whatever came before:
    ///
    /// 1. the offsets are ordered (also asserted in the shard itself);
    /// 2. memory is bounded;
    /// 3. nothing is acknowledged that the setting does not allow;
    /// 4. a node has nothing beyond the last whole unit (that every byte it has is of the history that it was told is
    ///    checked as it comes, see [`Node::parse`]);
    /// 5. there is at most one link and one second connection.
    pub(super) fn check(&self) {
        let status = self.status();
        assert!(status.log_durable <= status.log_end, "{status:?}");
        let unwritten_max = self.settings.tail_bytes.max(UNWRITTEN_BYTES_MIN);
        // The tail, the window of a snapshot with what may wait for the disk, one chunk more of each, one unit.
        let memory_max = unwritten_max + 12 * 1024 * 1024 + 2 * self.chunk_bytes_max;
        assert!(
            status.memory_bytes <= memory_max,
            "{} > {memory_max}",
            status.memory_bytes
        );
        for node in self.nodes.values().filter(|node| !node.is_let_go()) {
            // What it came with, or was loaded with, may be ahead of the log.
            let allowed = status.log_end.max(node.begins);
            assert!(node.at <= allowed, "{} of {allowed}", node.at);
        }
        let links = |purpose| {
            self.connections
                .values()
                .filter(|connection| connection.purpose == purpose)
                .count()
        };
        assert!(links(Purpose::Follow) <= 1 && links(Purpose::Snapshot) <= 1);
    }

    fn check_ack(&self, offset: Offset) {
        let status = self.status();
        let applied = || {
            let nodes = self.nodes.values().filter(|node| !node.is_let_go());
            nodes.filter_map(|node| node.acked).min().unwrap_or_default()
        };
        let on_disk = self.hands_over || self.settings.acknowledge == Acknowledge::Gateway;
        let safe = if on_disk { status.log_durable } else { applied() };
        assert!(offset <= safe, "acknowledged {offset}, of which {safe} is safe");
    }

    fn check_synced(&self, synced: Option<Offset>) {
        let following = self
            .nodes
            .values()
            .filter(|node| !node.is_let_go() && node.acked.is_some());
        let on_disk = self.hands_over || self.settings.acknowledge == Acknowledge::Gateway;
        let safe = if on_disk {
            Some(self.status().log_durable)
        } else {
            following.map(|node| node.synced).min().flatten()
        };
        assert!(
            synced <= safe,
            "said to be on disk: {synced:?}, of which {safe:?} is"
        );
    }

    pub(super) fn status(&self) -> Status {
        self.shard.status(self.now)
    }

    /// Time passes, tick by tick.
    pub(super) fn advance(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(TICK_MS) {
            self.now.mono += Duration::from_millis(TICK_MS);
            self.now.wall_ms += TICK_MS;
            self.event(Event::Tick { late: Duration::ZERO });
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.event(Event::Command(command));
    }

    /// Returns whether it was admitted.
    pub(super) fn follow(&mut self, epoch: u64, upstream: Option<Upstream>) -> bool {
        self.follow_decided(epoch, upstream, None)
    }

    /// Follows one that was decided on with everything up to there.
    pub(super) fn follow_decided(
        &mut self,
        epoch: u64,
        upstream: Option<Upstream>,
        decided: Option<HistoryEnd>,
    ) -> bool {
        let (done, mut answer) = oneshot::channel();
        self.hands_over = false;
        self.command(Command::Follow {
            epoch,
            upstream: upstream.map(Box::new),
            decided,
            held_by_nodes: Vec::new(),
            done,
        });
        answer.try_recv().expect("answered at once")
    }

    pub(super) fn handover(&mut self, epoch: u64, handover: Handover) -> bool {
        let (done, mut answer) = oneshot::channel();
        self.hands_over = handover == Handover::Hold;
        self.command(Command::Handover {
            epoch,
            handover,
            done,
        });
        answer.try_recv().expect("answered at once")
    }

    pub(super) fn alias(&mut self, id: ReplicationId, offset: u64) {
        let (done, mut answer) = oneshot::channel();
        let offset = Offset::new(offset);
        self.command(Command::AddHistoryAlias { id, offset, done });
        answer.try_recv().expect("answered at once");
    }

    pub(super) fn attach(&mut self, request: PsyncRequest) -> FollowerId {
        self.attach_as(request, true, false)
    }

    pub(super) fn attach_at(&mut self, name: ReplicationId, held: u64) -> FollowerId {
        let held = Offset::new(held);
        self.attach(PsyncRequest::Resume { id: name, held })
    }

    pub(super) fn attach_as(&mut self, request: PsyncRequest, takes_eof: bool, failover: bool) -> FollowerId {
        self.attach_version(request, takes_eof, failover, None)
    }

    /// A node that announces its version.
    pub(super) fn attach_version(
        &mut self,
        request: PsyncRequest,
        takes_eof: bool,
        failover: bool,
        version: Option<Version>,
    ) -> FollowerId {
        self.next_node += 1;
        let (id, asked) = (
            FollowerId(self.next_node),
            match request {
                PsyncRequest::Full => Offset::ZERO,
                PsyncRequest::Resume { held, .. } => held,
            },
        );
        let (outbox, taken) = mpsc::channel(OUTBOX_MESSAGES_MAX);
        let (attached, let_go) = oneshot::channel();
        let node = Node::new(taken, let_go, asked);
        self.nodes.insert(id, node);
        let listening_port = self
            .listening_port
            .unwrap_or(7000 + u16::try_from(id.0).expect("a few nodes"));
        self.event(Event::Attach(Attach {
            id,
            peer: ([10, 1, 0, 1], 4000).into(),
            login: self.login.clone(),
            listening_port,
            announced: None,
            takes_eof,
            version,
            request,
            failover,
            outbox,
            attached,
        }));
        // What it needs beside the log is seen to with the next event.
        self.event(Event::Tick { late: Duration::ZERO });
        id
    }

    pub(super) fn node(&self, id: FollowerId) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn node_event(&mut self, id: FollowerId, event: FollowerEvent) {
        self.event(Event::Follower { id, event });
    }

    pub(super) fn ack(&mut self, id: FollowerId, offset: u64) {
        let node = self.nodes.get_mut(&id).expect("known");
        node.acked = node.acked.max(Some(Offset::new(offset).max(node.begins)));
        self.node_event(id, FollowerEvent::Acked(Offset::new(offset).into()));
    }

    /// The node has so much of what it has applied on its disk.
    pub(super) fn ack_synced(&mut self, id: FollowerId, offset: u64, synced: u64) {
        let node = self.nodes.get_mut(&id).expect("known");
        node.acked = node.acked.max(Some(Offset::new(offset).max(node.begins)));
        node.synced = node.synced.max(Some(Offset::new(synced)));
        let ack = Ack {
            applied: Offset::new(offset),
            synced: Some(Offset::new(synced)),
        };
        self.node_event(id, FollowerEvent::Acked(ack));
    }

    /// The node takes from now on what its connection has, or takes nothing.
    pub(super) fn set_takes(&mut self, id: FollowerId, takes: bool) {
        self.nodes.get_mut(&id).expect("known").takes = takes;
    }

    pub(super) fn told(&self, wanted: impl Fn(&Notice) -> bool) -> bool {
        self.notices.iter().any(wanted)
    }
}

pub(super) fn broken() -> SourceError {
    SourceError::Psync(PsyncError::Broken {
        peer: "10.0.0.1:6379".to_owned(),
        what: "the peer closed it".to_owned(),
        by_peer: true,
    })
}
