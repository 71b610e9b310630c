//! The one owner of all of a shard's state: `apply` changes it for one event, `settle` restores the invariants.
//!
//! The state lies in parts that know nothing of each other: the [`Upstream`] (the primary), the [`ShardLog`] (memory and
//! disk), the [`FullCopy`], the [`Followers`]. What one of them means for another is decided here and nowhere else.
//! Nothing here waits or does I/O of its own. What must be started outside is left as effects for the driver. What the
//! connections to the primary report is in `reports`; what comes of changes of history, which the disk takes its time for,
//! in `changes`.

mod changes;
mod reports;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sterna_log::{LogFs, Opened};
use sterna_model::Acknowledge;
use sterna_protocol::psync::{Ack, PsyncRequest};
use tokio::sync::oneshot;

use super::acknowledger::AckRule;
use super::copy::FullCopy;
use super::disk::WriteRequest;
use super::event::{Change, Command, Effect, Effects, Event, Handover, Now};
use super::followers::{Damage, Followers};
use super::lease_links::LeaseLinks;
use super::log::ShardLog;
use super::orders::Orders;
use super::snapshot::Snapshot;
use super::upstream::{Beginning, Phase, Upstream};
use crate::backoff::Random;
use crate::lineage::{Assessment, Held, Lineage};
use crate::settings::ShardSettings;
use crate::source::SourceEvent;
use crate::status::Status;
use changes::Awaits;

/// A shard's state.
pub(crate) struct Shard {
    settings: ShardSettings,
    random: Box<dyn Random>,
    orders: Orders,
    upstream: Upstream,
    log: ShardLog,
    copy: FullCopy,
    lease_links: LeaseLinks,
    /// Under which numbers the primary lists our connections, by the attempt.
    clients: BTreeMap<u64, u64>,
    followers: Followers,
    effects: Effects,
    /// What the primary's attempt waits for while the history changes.
    awaits: Option<Awaits>,
    /// Nobody is followed or taken in any more.
    stopping: bool,
    /// Who waits until everything is written and closed.
    stop_asked: Option<oneshot::Sender<()>>,
}

impl Shard {
    /// The state as it was found on disk; the first attempt to connect is among its effects.
    pub(crate) fn new(
        settings: ShardSettings,
        fs: Arc<dyn LogFs>,
        opened: Opened,
        upstream: Option<sterna_node::Upstream>,
        random: Box<dyn Random>,
        now: Now,
    ) -> Self {
        let mut shard = Self {
            orders: Orders::new(settings.accept_new_history),
            upstream: Upstream::new(upstream, now),
            copy: FullCopy::new(opened.snapshots.last(), now),
            log: ShardLog::new(&settings, fs, opened, now),
            lease_links: LeaseLinks::none(now),
            clients: BTreeMap::new(),
            followers: Followers::none(settings.silence),
            effects: Effects::default(),
            awaits: None,
            stopping: false,
            stop_asked: None,
            settings,
            random,
        };
        shard.upstream.connect(Duration::ZERO, &mut shard.effects);
        shard.settle(now);
        shard
    }

    /// What the driver shall start.
    pub(crate) fn take_effects(&mut self) -> Vec<Effect> {
        self.effects.take()
    }

    /// Whether more of the primary's stream may be taken now: memory is bounded, a slow disk pushes back.
    pub(crate) fn accepts_stream(&self) -> bool {
        self.log.has_room()
    }

    /// Whether more of a snapshot may be taken now. It never holds up the stream.
    pub(crate) fn accepts_snapshot(&self) -> bool {
        self.copy.has_room() && !self.log.is_changing()
    }

    /// Changes the state for one event and restores the invariants.
    pub(crate) fn apply(&mut self, event: Event, now: Now) {
        let effects = &mut self.effects;
        match event {
            Event::Source {
                attempt,
                event: SourceEvent::Identified { client },
            } => self.identified(attempt, client),
            Event::Source { attempt, event } if self.copy.is_fetch(attempt) => self.on_fetch(event, now),
            Event::Source { attempt, event } if self.lease_links.is(attempt) => {
                let asked = self.lease_links.is_asking();
                self.lease_links.on_event(attempt, event, self.log.current(), now);
                if asked {
                    // It counts, or counted until a moment ago.
                    self.upstream.acknowledger().may_be_counted(now);
                }
            }
            Event::Source { attempt, event } if self.upstream.is_attempt(attempt) => self.on_link(event, now),
            Event::Attach(attach) if !self.stopping => self.followers.attach(attach, effects, now),
            // Of an attempt that is over, or while it stops.
            Event::Source { .. } | Event::Attach(_) => {}
            Event::Follower { id, event } => self.followers.on_event(id, event, &self.log, effects, now),
            Event::Log(done) => self.on_log_done(*done, now),
            Event::Spool(done) => {
                // It is asked for again after a pause, and not in a loop of forks.
                if let Err(error) = self.copy.on_spooled(*done, effects, now) {
                    self.log.disk_failed(&error, effects, now);
                }
            }
            Event::Files(done) => self.on_files_done(*done, now),
            Event::Read(done) => match self.followers.on_read(*done, effects) {
                Damage::None => {}
                Damage::Log(at) => self.log.lose_up_to(at + 1),
                Damage::Snapshot => self.copy.drop_snapshot(effects),
            },
            Event::Asked { id, asked } => self.followers.asked(id, asked, now),
            Event::Tick { late } => {
                self.upstream.acknowledger().tick(late, now);
                self.log.tick(now);
                self.followers.tick(effects, now);
            }
            Event::Command(command) => self.on_command(command, now),
        }
        self.settle(now);
    }

    /// Restores what must hold after every event: decisions that waited for the log are taken, what is due goes to
    /// disk, every follower has as much on its way as it may, and the primary hears what it may hear.
    fn settle(&mut self, now: Now) {
        self.followers.adapt(&mut self.effects);
        self.settle_decision(now);
        self.settle_writes(now);
        self.followers.adapt(&mut self.effects);
        // While the history changes nobody is given what may no longer be part of it.
        if !self.log.is_changing() {
            let (copy, handover) = (
                (self.copy.snapshot(), self.upstream.needs()),
                self.orders.handover(),
            );
            self.followers
                .settle(&self.log, copy, handover, &mut self.effects, now);
        }
        if self.followers.follow() {
            self.log.given();
        }
        self.settle_acks(now);
        self.settle_lease_links(now);
        let idle = self.log.is_settled() && self.copy.is_settled() && self.followers.is_empty();
        if let Some(asked) = self.stop_asked.take_if(|_| idle) {
            self.effects.start(Effect::Stopped(asked));
        }
        self.log.assert_ordered();
    }

    /// Whether nothing is due before the next acknowledgement, as long as nothing comes.
    pub(crate) fn is_calm(&self) -> bool {
        self.upstream.phase() == Phase::Streaming
            && self.upstream.awaited().is_none()
            && self.log.is_settled()
            && !self.copy.is_under_way()
            && !self.copy.is_writing()
            && !self.upstream.hands_over()
            && !self.stopping
    }

    fn on_command(&mut self, command: Command, now: Now) {
        // Whoever asked is gone if an answer can't be given.
        match command {
            Command::Follow {
                epoch,
                upstream,
                decided,
                held_by_nodes,
                done,
            } => {
                let admitted = !self.stopping && self.orders.admits(epoch);
                if admitted {
                    self.orders.follows_another(decided, held_by_nodes);
                    self.follow(upstream.map(|upstream| *upstream));
                }
                let _ = done.send(admitted);
            }
            Command::Handover {
                epoch,
                handover,
                done,
            } => {
                let admitted = !self.stopping && self.orders.admits(epoch);
                if admitted {
                    self.set_handover(handover, now);
                }
                let _ = done.send(admitted);
            }
            Command::AddHistoryAlias { id, offset, done } => {
                self.log.add_alias(id, offset);
                let _ = done.send(());
            }
            Command::KnowNodes(nodes) => {
                self.followers.know_nodes();
                self.effects.start(Effect::KnowNodes(nodes));
            }
            Command::EndCopy { node, done } => {
                self.followers.end_copy(&node, &mut self.effects);
                let _ = done.send(());
            }
            Command::KeepLinks(links) => self.lease_links.want(links.saturating_sub(1)),
            Command::AcceptNewHistory => self.orders.accept_new_history(),
            Command::Stop(done) => {
                self.stopping = true;
                self.stop_asked = Some(done);
                self.disconnect();
                self.upstream.follow(None);
                self.copy.abort_fetch(&mut self.effects);
                self.followers.close_all("the gateway stops", &mut self.effects);
            }
        }
    }

    /// Follows another primary, or none, from now on; the one that is followed already simply goes on. The connection is reset, not closed: an acknowledgement that is
    /// still on its way would renew the old primary's lease when it arrives.
    fn follow(&mut self, target: Option<sterna_node::Upstream>) {
        if self.upstream.follows(target.as_ref()) && !self.upstream.hands_over() {
            // A copy that is under way goes on.
            return;
        }
        self.disconnect();
        self.copy.abort_fetch(&mut self.effects);
        self.log.forget_obstacle();
        self.upstream.follow(target);
        self.upstream.connect(Duration::ZERO, &mut self.effects);
    }

    fn set_handover(&mut self, handover: Handover, now: Now) {
        let before = self.orders.set_handover(handover);
        self.upstream.expect_handover(handover == Handover::Hold, now);
        let called_off = (before, handover) == (Handover::Hold, Handover::Refuse);
        if called_off && self.upstream.phase() == Phase::Connecting {
            self.disconnect();
            self.upstream.connect(Duration::ZERO, &mut self.effects);
        }
    }

    /// Ends the attempt under way, if there is one: of a unit that had not come whole nothing is kept. A full copy on the
    /// second connection goes on.
    fn disconnect(&mut self) {
        self.log.restart();
        self.awaits = None;
        self.upstream.disconnect(&mut self.effects);
    }

    /// Ends the attempt under way and tries again after the next step of the backoff, and not before `delay_min`.
    fn retry(&mut self, reason: String, delay_min: Duration) {
        self.disconnect();
        let (failures, random) = (self.upstream.failures(), self.random.as_mut());
        let delay = failures.failed(reason, delay_min, random, &mut self.effects);
        self.effects.counters.reconnects += 1;
        self.upstream.connect(delay, &mut self.effects);
    }

    /// Takes the decision that a primary which was found waits for, once the log stands still at a unit boundary.
    fn settle_decision(&mut self, now: Now) {
        if !self.upstream.is_deciding() || !self.log.is_settled() {
            return;
        }
        let Some(offered) = self.upstream.offered() else {
            return;
        };
        self.upstream.announces(self.followers.weakest());
        let (held, nodes) = (self.log.held(), self.orders.held_by_nodes());
        let may_be_overwritten = held.or_else(|| offered.most_held(nodes));
        let decided = self.orders.decided();
        let nobody_holds_it = !self.log.is_given() && nodes.is_empty();
        let accepted = self.orders.accepts_new_history() || nobody_holds_it;
        let refused = matches!(self.awaits, Some(Awaits::NewBeginning));
        let assessment = self.upstream.assess(may_be_overwritten, decided, accepted, now);
        match (assessment, held) {
            (None, _) => {}
            (Some(Assessment::Hold(reason)), _) => self.upstream.refuse(reason, &mut self.effects),
            (Some(Assessment::Resume), Some(held))
                if offered.continues_from(held.end) && self.log.obstacle().is_none() =>
            {
                let (id, held) = (held.id, held.end);
                self.upstream
                    .answer(PsyncRequest::Resume { id, held }, &mut self.effects, now);
            }
            // Followers that went past it need a full copy then, the others do not. Once that is done, what is left is
            // assessed again.
            (Some(Assessment::CutBack { to }), Some(_))
                if to >= self.log.available_from() && offered.continues_from(to) && !refused =>
            {
                self.log.change(Change::CutBack(to));
            }
            (Some(_), _) if offered.backlog_from.is_some() => {
                let beginning = Beginning {
                    id: offered.id,
                    offset: match held {
                        None => offered.first_of_use(nodes),
                        Some(_) => offered.offset,
                    },
                    previous: offered.previous.filter(|_| held.is_none()),
                    reason: self.why_begun(),
                };
                self.upstream.begin(beginning, &mut self.effects, now);
            }
            (Some(_), _) => {
                self.awaits = Some(Awaits::Backlog);
                self.fetch_snapshot(now);
            }
        }
    }

    /// Whether the primary that was found is the process that all of what is held came from, under another id.
    fn primary_outlived_what_is_held(&self) -> bool {
        let outlived = |(held, offered): (Held, Lineage)| offered.outlived(&held);
        self.log.held().zip(self.upstream.offered()).is_some_and(outlived)
    }

    /// Why the log does not go on with what it holds.
    fn why_begun(&self) -> String {
        if !self.log.is_given() {
            return "nothing is here yet".to_owned();
        }
        if self.primary_outlived_what_is_held() {
            return "the primary's process went on, and took a new replication id while nobody followed it \
                    (repl-backlog-ttl): it has what is held here, and more"
                .to_owned();
        }
        if self.orders.accepts_new_history() {
            return "the new history was accepted".to_owned();
        }
        if let Some(obstacle) = self.log.obstacle() {
            return obstacle.to_string();
        }
        let end = self.log.unit_end();
        format!("the primary's backlog does not reach back to offset {end}, where the log ends")
    }

    /// Opens the second connection for a snapshot, if that may be now.
    fn fetch_snapshot(&mut self, now: Now) {
        if self.copy.may_fetch(now)
            && let Some(attempt) = self.upstream.connect_for_snapshot(&mut self.effects)
        {
            self.copy.fetch_begins(attempt, &mut self.effects);
        }
    }

    /// Asks for a snapshot when a follower can't go on without one; sends to disk what is due.
    fn settle_writes(&mut self, now: Now) {
        let serves = |log: &ShardLog| {
            let snapshot = self.copy.snapshot();
            snapshot.is_some_and(|snapshot| log.continues_from(snapshot.id(), snapshot.offset()))
        };
        let phase = self.upstream.phase();
        if phase == Phase::Streaming && self.followers.want_snapshot(serves(&self.log)) {
            self.fetch_snapshot(now);
        }
        if let Some(job) = self.copy.next_job(now.wall_ms) {
            self.effects.start(Effect::Spool(Box::new(job)));
        }
        if let Some(job) = self.copy.files_job(self.log.disk()) {
            self.effects.start(Effect::Files(Box::new(job)));
        }
        let on_disk = self.settings.acknowledge == Acknowledge::Gateway || self.upstream.hands_over();
        let request = (phase != Phase::Asked).then(|| WriteRequest {
            sync_now: self.upstream.is_deciding() || self.stopping,
            awaited: self.upstream.awaited().filter(|_| on_disk),
            process: self.upstream.process(),
            keep_from: self.copy.keep_from(self.followers.use_snapshot()),
        });
        if let Some(job) = self.log.settle(request, now) {
            self.effects.start(Effect::Log(Box::new(job)));
        }
    }

    /// Acknowledges what the setting allows, when it is due (I6).
    fn settle_acks(&mut self, now: Now) {
        let hands_over = self.upstream.hands_over();
        let rule = AckRule {
            safe: match self.settings.acknowledge {
                Acknowledge::Replica if !hands_over => Ack {
                    applied: self.followers.applied(),
                    synced: self.followers.synced(),
                },
                Acknowledge::Gateway | Acknowledge::Replica => {
                    let durable = self.log.disk().durable();
                    Ack {
                        applied: durable,
                        synced: Some(durable),
                    }
                }
            },
            handover_at: hands_over.then(|| self.log.unit_end()),
            lease: self.settings.lease,
        };
        if self.upstream.acknowledge(rule, now) {
            let reason = "it shows no sign of life, and an acknowledgement is on its way to it";
            self.retry(reason.to_owned(), Duration::ZERO);
        }
    }

    /// Opens and closes connections for the lease.
    fn settle_lease_links(&mut self, now: Now) {
        let streams = self.upstream.phase() == Phase::Streaming;
        // Before one is let go, too: what it asked may still arrive.
        if self.lease_links.is_asking() {
            self.upstream.acknowledger().may_be_counted(now);
        }
        self.lease_links
            .settle(streams, &mut self.upstream, &mut self.effects, now);
    }

    /// The primary lists one of our connections under this number.
    fn identified(&mut self, attempt: u64, client: u64) {
        self.clients.retain(|attempt, _| {
            self.upstream.is_attempt(*attempt)
                || self.copy.is_fetch(*attempt)
                || self.lease_links.is(*attempt)
        });
        self.clients.insert(attempt, client);
    }

    /// The status at this moment.
    pub(crate) fn status(&self, now: Now) -> Status {
        let (disk, tail) = (self.log.disk(), self.log.tail());
        let whole = self
            .copy
            .snapshot()
            .filter(|snapshot| snapshot.on_disk().is_some());
        let mut status = Status {
            history: self.log.current(),
            log_start: self.log.available_from(),
            has_snapshot: whole
                .is_some_and(|snapshot| self.log.continues_from(snapshot.id(), snapshot.offset())),
            log_end: tail.unit_end(),
            log_durable: disk.durable(),
            log_bytes: disk.bytes(),
            disk_error: disk.error().map(str::to_owned),
            selected_db: tail.selected_db(),
            handovers_wait_at: self.followers.handovers_wait_at(),
            followers: self.followers.status(&self.log, now),
            counters: self.effects.counters,
            memory_bytes: tail.memory_bytes() + self.copy.snapshot().map_or(0, Snapshot::memory_bytes),
            copy: self.copy.progress(),
            copy_error: self.copy.error().map(str::to_owned),
            lease_links: self.lease_links.counted(),
            clients: self.clients.values().copied().collect(),
            ..Status::default()
        };
        self.upstream.show(&mut status);
        status
    }
}
