//! The one owner of all of a shard's state: `apply` changes it for one event, `settle` restores the invariants.
//!
//! Nothing here waits or does I/O of its own but for rare changes of history, which are a few small synced writes.
//! What must be started outside is left in `effects` for the driver.

use std::collections::BTreeMap;

use std::sync::Arc;

use sterna_log::{LogFs, Opened};
use sterna_node::Upstream;
use sterna_protocol::stream::UnitScanner;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::disk::{Disk, DiskError};
use super::event::{Attach, Command, Effect, Event, FollowerId, Now};
use super::follower::Follower;
use super::link::Link;
use super::snapshot::Snapshot;
use crate::backoff::Random;
use crate::marks::Marks;
use crate::settings::{SNAPSHOT_WINDOW_BYTES, ShardSettings, UNWRITTEN_BYTES_MIN};
use crate::status::{Counters, Notice, Status};
use crate::window::Window;

/// Notices that nobody has read yet; more are dropped, the status still tells the state.
pub(crate) const NOTICES_MAX: usize = 1024;

/// Histories that may be vouched for at a time.
const VOUCHED_MAX: usize = 32;

/// A shard's state.
pub(crate) struct Shard {
    pub(super) settings: ShardSettings,
    pub(super) random: Box<dyn Random>,
    pub(super) disk: Disk,
    pub(super) scanner: UnitScanner,
    pub(super) tail: Window,
    pub(super) marks: Marks,
    pub(super) link: Link,
    pub(super) snapshot: Option<Snapshot>,
    /// Writes of snapshots that are not back from the disk, those of a dropped one among them: it still has its file.
    pub(super) spools_out: u32,
    /// The log begins at a snapshot that never became whole: there is nothing here to continue.
    pub(super) unanchored: bool,
    /// The second connection that fetches a snapshot, by number.
    pub(super) fetch: Option<u64>,
    /// Not before this may a snapshot be asked for on a second connection.
    pub(super) snapshot_not_before: Instant,
    /// Histories that were vouched for, and up to where.
    pub(super) vouched: Vec<(ReplicationId, Offset)>,
    pub(super) followers: BTreeMap<FollowerId, Follower>,
    pub(super) counters: Counters,
    pub(super) effects: Vec<Effect>,
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) stopping: Option<oneshot::Sender<()>>,
}

impl Shard {
    /// The state as it was found on disk.
    pub(crate) fn new(
        settings: ShardSettings,
        fs: Arc<dyn LogFs>,
        opened: Opened,
        upstream: Option<Upstream>,
        random: Box<dyn Random>,
        notices: mpsc::Sender<Notice>,
        now: Now,
    ) -> Self {
        let end = opened.end;
        let snapshot = opened.snapshots.last().map(Snapshot::kept);
        let accept = settings.accept_new_history;
        Self {
            disk: Disk::new(fs, opened, settings.log_dir.clone(), now),
            settings,
            random,
            scanner: UnitScanner::new(end, None),
            tail: Window::at(end.get()),
            marks: Marks::default(),
            link: Link::new(upstream, accept, now),
            snapshot,
            spools_out: 0,
            unanchored: false,
            fetch: None,
            snapshot_not_before: now.mono,
            vouched: Vec::new(),
            followers: BTreeMap::new(),
            counters: Counters::default(),
            effects: Vec::new(),
            notices,
            stopping: None,
        }
    }

    /// Starts the first attempt to connect.
    pub(crate) fn start(&mut self, now: Now) {
        self.connect_now();
        self.settle(now);
    }

    /// What the driver shall start.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Whether more bytes from the primary may be taken now: memory is bounded, a slow disk pushes back.
    pub(crate) fn accepts_upstream(&self) -> bool {
        let unwritten = if self.disk.failed() {
            0
        } else {
            self.tail.end() - self.disk.written_end().get()
        };
        let unspooled = self.snapshot.as_ref().map_or(0, Snapshot::unwritten_bytes);
        unwritten < self.settings.tail_bytes.max(UNWRITTEN_BYTES_MIN) && unspooled < 2 * SNAPSHOT_WINDOW_BYTES
    }

    /// Whether everything is written and closed after a `Stop`.
    pub(crate) fn stopped(&mut self) -> Option<oneshot::Sender<()>> {
        let idle = self.disk.settled(self.unit_end()) && self.followers.is_empty();
        if self.stopping.is_some() && idle {
            self.stopping.take()
        } else {
            None
        }
    }

    /// Changes the state for one event and restores the invariants.
    pub(crate) fn apply(&mut self, event: Event, now: Now) {
        match event {
            Event::Source { attempt, event } => self.on_source(attempt, event, now),
            Event::Attach(attach) => self.on_attach(attach, now),
            Event::Follower { id, event } => self.on_follower(id, event, now),
            Event::Log(done) => self.on_log_done(*done, now),
            Event::Spool(done) => self.on_spool_done(*done, now),
            Event::Read(done) => self.on_read_done(*done),
            Event::Tick => self.on_tick(now),
            Event::Command(command) => self.on_command(command, now),
        }
        self.settle(now);
    }

    /// Restores what must hold after every event: decisions that waited for the log are taken, what is due goes to
    /// disk, every follower has as much on its way as it may, and the primary hears what it may hear.
    fn settle(&mut self, now: Now) {
        self.settle_decision(now);
        self.settle_snapshot(now);
        self.settle_log(now);
        self.settle_followers(now);
        self.settle_acks(now);
    }

    fn on_attach(&mut self, attach: Attach, now: Now) {
        if self.stopping.is_none() {
            self.followers.insert(attach.id, Follower::new(attach, now.mono));
        }
    }

    fn on_tick(&mut self, now: Now) {
        self.link.tick(now.mono);
        self.marks.reached(self.unit_end(), now.mono);
        self.tick_followers(now);
    }

    fn on_command(&mut self, command: Command, now: Now) {
        match command {
            Command::Follow {
                epoch,
                upstream,
                done,
            } => {
                let admitted = self.link.admits(epoch);
                if admitted {
                    self.follow(upstream.map(|upstream| *upstream));
                }
                // Whoever asked is gone if this fails.
                let _ = done.send(admitted);
            }
            Command::Handover {
                epoch,
                handover,
                done,
            } => {
                let admitted = self.link.admits(epoch);
                if admitted {
                    self.set_handover(handover, now);
                }
                let _ = done.send(admitted);
            }
            Command::Vouch { id, offset, done } => {
                self.vouched.retain(|(known, _)| *known != id);
                if self.vouched.len() >= VOUCHED_MAX {
                    self.vouched.remove(0);
                }
                self.vouched.push((id, offset));
                let _ = done.send(());
            }
            Command::AcceptNewHistory => self.link.accept_new_history(),
            Command::Stop(done) => {
                self.stopping = Some(done);
                self.disconnect();
                self.close_followers(|_| true, "the gateway stops");
            }
        }
    }

    /// Whether somebody who holds `offset` of history `id` holds a prefix of what is here.
    pub(super) fn covers(&self, id: ReplicationId, offset: Offset) -> bool {
        let vouched = || {
            self.vouched
                .iter()
                .any(|(known, upto)| *known == id && offset <= *upto)
        };
        self.disk.history().covers(id, offset) || vouched()
    }

    /// The last whole unit received: everything up to here may go out.
    pub(super) fn unit_end(&self) -> Offset {
        self.scanner.unit_end()
    }

    /// The oldest offset from which a follower can continue without a snapshot.
    pub(super) fn available_from(&self) -> Offset {
        self.disk.available_from(Offset::new(self.tail.start()))
    }

    /// A wholly new history begins here: nothing that was held continues it.
    pub(super) fn begin_history(&mut self, id: ReplicationId, at: Offset) -> Result<(), DiskError> {
        self.disk.begin(id, at)?;
        // A snapshot of the old history that is still being fetched belongs to nothing now.
        if let Some(attempt) = self.fetch.take() {
            self.effects.push(Effect::Disconnect { attempt });
        }
        self.snapshot = None;
        self.unanchored = false;
        self.restart_tail(at);
        Ok(())
    }

    /// The stream goes on after `at`, whatever part of a unit had been received before.
    pub(super) fn restart_tail(&mut self, at: Offset) {
        let db = self.scanner.selected_db();
        self.scanner = UnitScanner::new(at, db);
        if at.get() == self.tail.end() {
            return;
        }
        self.tail.truncate(at.get());
        if self.tail.end() != at.get() {
            self.tail = Window::at(at.get());
        }
        self.marks.clear();
    }

    /// Tells whoever listens; a full queue loses the notice, not the state.
    pub(super) fn notice(&self, notice: Notice) {
        tracing::info!(shard = %self.settings.name, ?notice, "notice");
        drop(self.notices.try_send(notice));
    }

    /// The status at this moment.
    pub(crate) fn status(&mut self, now: Now) -> Status {
        let end = self.unit_end();
        let (followers, marks) = (&self.followers, &mut self.marks);
        let followers = followers
            .values()
            .map(|follower| follower.status(end, marks, now.mono))
            .collect();
        Status {
            link: self.link_state(),
            primary: self.link.peer().map(str::to_owned),
            history: self.disk.history().current(),
            log_start: self.available_from(),
            log_end: end,
            log_durable: self.disk.durable_end(),
            log_bytes: self.disk.bytes(),
            disk_error: self.disk.error().map(str::to_owned),
            primary_offset: self.link.observed(),
            silent_for: self.link.silent_for(now.mono),
            alive_at: self.link.alive_at(),
            renewed_at: self.link.renewed,
            selected_db: self.scanner.selected_db(),
            handover_waits_at: self.handover_waits_at(),
            followers,
            counters: self.counters,
            memory_bytes: self.tail.len() + self.snapshot.as_ref().map_or(0, Snapshot::memory_bytes),
        }
    }
}
