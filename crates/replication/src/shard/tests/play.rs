//! A shard on the rig with its whole neighbourhood, taken through one step after the other, whichever comes.

use sterna_log::LogSettings;
use sterna_log::sim::Faults;
use sterna_model::Acknowledge;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::node::Reply;
use super::rig::{Rig, broken, settings, upstream};
use super::steps::Step;
use super::world::{getack, id, rdb, set};
use crate::settings::ShardSettings;
use crate::shard::event::{Command, FollowerEvent, FollowerId, Handover};
use crate::source::{Asking, FullResyncAnswer, SourceError, SourceEvent};

/// Where the link is, as its primary sees it.
#[derive(Debug)]
enum Link {
    Connecting,
    Found(oneshot::Receiver<Result<Asking, String>>),
    /// Delivered up to here.
    Stream(u64),
}

pub(super) struct Play {
    rig: Rig,
    link: Link,
    attempt: u64,
    /// The second connection that a snapshot was offered on, and where it is told whether it may be sent.
    fetch: Option<(u64, oneshot::Receiver<FullResyncAnswer>)>,
    primary: ReplicationId,
    previous: Option<(ReplicationId, u64)>,
    /// From where on the primary's backlog holds what comes next. One that never had a replica has none.
    backlog_from: Option<u64>,
    ids: u32,
    /// What was acknowledged as durable of the history that the log is in, and of which: it must survive.
    promised: u64,
    promised_of: Option<ReplicationId>,
    disk_refuses: bool,
}

impl Play {
    pub(super) fn new(acknowledge: Acknowledge, lease: bool) -> Self {
        let log = LogSettings {
            segment_bytes: 60_000,
            max_bytes: 300_000,
            ..LogSettings::default()
        };
        let mut rig = Rig::with(ShardSettings {
            log,
            acknowledge,
            lease,
            ..settings()
        });
        rig.world.begin(id('a'), 100);
        let attempt = rig.link;
        Self {
            rig,
            link: Link::Connecting,
            attempt,
            fetch: None,
            primary: id('a'),
            previous: None,
            backlog_from: None,
            ids: 0,
            promised: 0,
            promised_of: None,
            disk_refuses: false,
        }
    }

    fn next_id(&mut self) -> ReplicationId {
        self.ids += 1;
        format!("{:040x}", self.ids).parse().expect("an id")
    }

    fn end(&self) -> u64 {
        self.rig.world.end(self.primary)
    }

    /// Notices when the shard has begun another attempt.
    fn sync(&mut self) {
        if self.attempt != self.rig.link || !self.rig.connections.contains_key(&self.rig.link) {
            self.attempt = self.rig.link;
            self.link = Link::Connecting;
        }
    }

    fn linked(&self) -> bool {
        self.rig.connections.contains_key(&self.rig.link)
    }

    fn break_link(&mut self) {
        if self.linked() {
            self.rig.break_link();
        }
        self.link = Link::Connecting;
        self.sync();
    }

    /// The primary is another now: its links break.
    fn replace_primary(&mut self, by: ReplicationId, previous: Option<(ReplicationId, u64)>) {
        (self.primary, self.previous) = (by, previous);
        self.break_link();
        if let Some(attempt) = self.rig.fetch {
            let event = SourceEvent::Ended(broken());
            self.rig
                .event(crate::shard::event::Event::Source { attempt, event });
        }
    }

    fn deliver(&mut self, quarters: u8) {
        let Link::Stream(from) = self.link else { return };
        if !self.rig.shard.accepts_stream() {
            return;
        }
        let to = from + (self.end() - from) * u64::from(quarters) / 4;
        let bytes = self.rig.world.bytes(self.primary, from, to).to_vec();
        self.link = Link::Stream(to);
        for piece in bytes.chunks(7001) {
            if self.attempt == self.rig.link {
                self.rig.deliver(piece);
            }
        }
        self.sync();
    }

    fn primary_goes_on(&mut self) {
        if !self.linked() || !self.rig.shard.accepts_stream() {
            return;
        }
        match std::mem::replace(&mut self.link, Link::Connecting) {
            Link::Connecting => {
                self.rig.backlog_from = self.backlog_from;
                let answer = self.rig.find(self.primary, self.previous);
                self.link = Link::Found(answer);
            }
            Link::Found(mut answer) => match answer.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => self.link = Link::Found(answer),
                Err(oneshot::error::TryRecvError::Closed) => self.break_link(),
                Ok(Err(reason)) => self
                    .rig
                    .link_event(SourceEvent::Ended(SourceError::Unwanted(reason))),
                Ok(Ok(asking)) => self.answer_psync(asking.position),
            },
            Link::Stream(at) => {
                self.link = Link::Stream(at);
                self.deliver(4);
            }
        }
        self.sync();
    }

    /// As a server does: it continues what it can, and else wants to send everything.
    fn answer_psync(&mut self, request: PsyncRequest) {
        let PsyncRequest::Resume { id: asked, held } = request else {
            panic!("a snapshot is asked for on the link");
        };
        let mine = asked == self.primary && held.get() <= self.end();
        let before = self
            .previous
            .is_some_and(|(id, last)| id == asked && held.get() <= last);
        if (mine || before) && self.backlog_from.is_some_and(|from| held.get() >= from) {
            self.link = Link::Stream(held.get());
            return self.rig.continued(Some(self.primary));
        }
        let at = self.end();
        let FullResyncAnswer::Refuse(reason) = self.rig.offer_full(self.primary, at) else {
            panic!("a snapshot is taken on the link");
        };
        let error = SourceError::Unwanted(reason);
        self.rig.link_event(SourceEvent::Ended(error));
    }

    /// A snapshot for whoever asks for one. Where that gives the primary its backlog, its history has another name from
    /// then on.
    fn offer_on_fetch(&mut self) -> oneshot::Receiver<FullResyncAnswer> {
        if self.backlog_from.is_none() {
            let (id, at) = (self.next_id(), self.end());
            self.rig.world.begin(id, at);
            (self.primary, self.previous) = (id, None);
            self.backlog_from = Some(at);
        }
        self.rig.offer_on_fetch(self.primary, self.end())
    }

    fn fetch(&mut self, good: bool) {
        let Some(attempt) = self.rig.fetch else {
            return;
        };
        if !self.rig.shard.accepts_snapshot() {
            return;
        }
        let offered = self.fetch.take().filter(|(offered, _)| *offered == attempt);
        let mut answer = match offered {
            Some((_, answer)) => answer,
            None => self.offer_on_fetch(),
        };
        let told = answer.try_recv();
        if told == Err(oneshot::error::TryRecvError::Empty) {
            self.fetch = Some((attempt, answer));
            return;
        }
        if self.rig.fetch.is_none() {
            return;
        }
        if good && told == Ok(FullResyncAnswer::Accept) {
            let snapshot = rdb(6000);
            let form = match self.ids % 2 {
                0 => RdbForm::Length(snapshot.len() as u64),
                _ => RdbForm::Eof,
            };
            self.rig.fetch_event(SourceEvent::SnapshotStarted(form));
            self.rig.fetch_event(SourceEvent::Snapshot(snapshot));
            if self.rig.fetch.is_some() {
                self.rig.fetch_event(SourceEvent::SnapshotDone);
            }
        } else {
            self.rig.fetch_event(SourceEvent::Ended(broken()));
        }
        self.sync();
    }

    fn node(&mut self, number: usize, what: u8) {
        let open: Vec<FollowerId> = self.open_nodes();
        let Some(node) = open.get(number % open.len().max(1)).copied() else {
            return;
        };
        let at = self.rig.node(node).at.get();
        match what {
            // What it loads or waits for it can't acknowledge.
            0 | 1 if matches!(self.rig.node(node).reply, Reply::Stream(_)) => self.rig.ack(node, at),
            0..=2 => self.rig.node_event(node, FollowerEvent::Alive),
            3 => self.rig.node_event(node, FollowerEvent::Written(200_000)),
            _ => {
                self.rig.node_event(node, FollowerEvent::Gone("gone".to_owned()));
                self.rig.nodes.remove(&node);
            }
        }
    }

    fn attach(&mut self, behind: u16, full: bool, failover: bool) {
        if self.open_nodes().len() < 4 {
            let end = self.rig.status().log_end.get();
            let held = Offset::new(end.saturating_sub(u64::from(behind)));
            let history = self.rig.status().history.unwrap_or(self.primary);
            // Whoever holds something of a history holds it up to where a unit ends.
            let held = if self.rig.world.is_boundary(history, held) {
                held
            } else {
                Offset::new(self.rig.world.boundary_before(history, held.get()))
            };
            let resume = PsyncRequest::Resume { id: history, held };
            let request = if full { PsyncRequest::Full } else { resume };
            self.rig
                .attach_as(request, behind.is_multiple_of(2), failover && !full);
        }
    }

    fn open_nodes(&self) -> Vec<FollowerId> {
        let open = self.rig.nodes.iter().filter(|(_, node)| node.closed.is_none());
        open.map(|(id, _)| *id).collect()
    }

    /// Another takes over with so many quarters of what was written last.
    fn fail_over(&mut self, kept: u8) {
        let (old, new, end) = (self.primary, self.next_id(), self.end());
        let start = self.rig.world.start(old);
        let back = (end - start).min(5000) * u64::from(4 - kept) / 4;
        let cut = self.rig.world.boundary_before(old, end - back);
        self.rig.world.fork(new, old, cut);
        self.promised = self.promised.min(cut);
        self.backlog_from = Some(start);
        self.replace_primary(new, Some((old, cut)));
    }

    pub(super) fn step(mut self, step: &Step) -> Self {
        match step {
            Step::Write { bytes, deliver } => {
                self.rig.world.write(self.primary, &set(self.ids.into(), *bytes));
                self.deliver(*deliver);
            }
            Step::Transaction => {
                let unit = [
                    &b"*1\r\n$5\r\nMULTI\r\n"[..],
                    &set(1, 40),
                    &set(2, 90),
                    b"*1\r\n$4\r\nEXEC\r\n",
                ];
                self.rig.world.write(self.primary, &unit.concat());
                self.deliver(3);
            }
            Step::GetAck => {
                self.rig.world.write(self.primary, &getack());
                self.deliver(4);
            }
            Step::Primary => self.primary_goes_on(),
            Step::BreakLink => self.break_link(),
            Step::BadBytes => {
                if matches!(self.link, Link::Stream(_)) && self.linked() {
                    self.rig.deliver(b"\r\n!");
                    self.break_link();
                }
            }
            Step::Failover { kept } => self.fail_over(*kept),
            Step::ForgetTail => {
                let (start, end) = (self.rig.world.start(self.primary), self.end());
                let cut = self
                    .rig
                    .world
                    .boundary_before(self.primary, end - (end - start).min(2000));
                // Nodes that went further hold what is of no history any more.
                for node in self.open_nodes() {
                    if self.rig.node(node).at.get() > cut {
                        self.rig.node_event(node, FollowerEvent::Gone("gone".to_owned()));
                        self.rig.nodes.remove(&node);
                    }
                }
                let id = self.next_id();
                self.rig.world.fork(id, self.primary, cut);
                self.promised = self.promised.min(cut);
                self.backlog_from = Some(cut);
                self.replace_primary(id, Some((self.primary, cut)));
            }
            Step::NewHistory => {
                let (id, at) = (self.next_id(), self.end() + 7919);
                self.rig.world.begin(id, at);
                self.backlog_from = (self.ids.is_multiple_of(2)).then_some(at);
                self.replace_primary(id, None);
            }
            Step::LosesBacklog => self.backlog_from = self.backlog_from.map(|_| self.end()),
            Step::AcceptNewHistory => self.rig.command(Command::AcceptNewHistory),
            Step::Fetch { good } => self.fetch(*good),
            Step::Attach {
                behind,
                full,
                failover,
            } => {
                self.attach(*behind, *full, *failover);
            }
            Step::Node { node, what } => self.node(*node, *what),
            Step::SlowNode(number) => {
                let open = self.open_nodes();
                if let Some(node) = open.get(number % open.len().max(1)) {
                    let takes = self.rig.node(*node).takes;
                    self.rig.set_takes(*node, !takes);
                }
            }
            Step::SlowDisk(slow) => self.rig.disk_is_fast = !slow,
            Step::DoJob => self.rig.do_job(),
            Step::DiskRefuses => {
                self.disk_refuses = true;
                super::disk::refuse(&self.rig);
            }
            Step::DiskRecovers => {
                self.disk_refuses = false;
                self.rig.fs.set_faults(Faults::default());
            }
            Step::Time(ms) => self.rig.advance(u64::from(*ms)),
            Step::Handover(what) => {
                let handover = [Handover::Refuse, Handover::Hold, Handover::Accept][usize::from(*what)];
                self.rig.handover(1, handover);
            }
            Step::Follow => {
                self.rig.follow(1, Some(upstream()));
                self.link = Link::Connecting;
            }
            Step::Restart { power } => self = self.restart(*power),
        }
        self.sync();
        self.note_promise();
        self
    }

    fn note_promise(&mut self) {
        let history = self.rig.status().history;
        if history != self.promised_of {
            // Of another history nothing was promised yet.
            (self.promised, self.promised_of) = (0, history);
            self.rig.acked.clear();
        }
        if self.rig.settings.acknowledge == Acknowledge::Gateway
            && let Some(acked) = self.rig.acked.drain(..).max()
        {
            self.promised = self.promised.max(acked.get());
        }
    }

    fn restart(mut self, power: bool) -> Self {
        self.note_promise();
        let history = self.rig.status().history;
        self.rig.fs.set_faults(Faults::default());
        self.rig = self.rig.restart(power);
        let status = self.rig.status();
        // A disk that refused may have kept an older history, of which nothing was promised.
        if status.history == history && !self.disk_refuses {
            let end = status.log_end.get();
            assert!(
                end >= self.promised.min(self.end()),
                "{} of {} are left",
                end,
                self.promised
            );
        }
        self.promised = self.promised.min(status.log_end.get());
        self.disk_refuses = false;
        self.link = Link::Connecting;
        self.attempt = self.rig.link;
        self.fetch = None;
        self
    }

    /// Time passes, and the primary answers five times a second, if it is followed.
    fn live(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(200) {
            self.rig.advance(200);
            self.sync();
            if matches!(self.link, Link::Stream(_)) {
                let (offset, asked) = (Offset::new(self.end()), self.rig.now.mono);
                let needs = self.rig.needs.clone();
                self.rig
                    .link_event(SourceEvent::Observed { offset, asked, needs });
                self.sync();
            }
        }
    }

    /// With everything well again, the shard catches up and feeds whoever is there.
    pub(super) fn ends_well(mut self) {
        self.rig.fs.set_faults(Faults::default());
        self.rig.disk_is_fast = true;
        self.rig.do_jobs();
        // A primary that was let go is not looked for until somebody says whom to follow.
        self.rig.handover(1, Handover::Refuse);
        self.rig.follow(1, Some(upstream()));
        self.sync();
        self.rig.command(Command::AcceptNewHistory);
        self.rig.advance(20_000);
        self.break_link();
        for _ in 0..200 {
            self.rig.advance(100);
            self.primary_goes_on();
            self.fetch(true);
            self.sync();
            if matches!(self.link, Link::Stream(at) if at == self.end()) {
                break;
            }
            self.rig.command(Command::AcceptNewHistory);
        }
        let end = self.end();
        assert_eq!(
            self.rig.status().log_end.get(),
            end,
            "{:?} {:?}",
            self.link,
            self.rig.status()
        );
        assert_eq!(self.rig.status().history, Some(self.primary));
        self.live(3000);
        assert_eq!(
            self.rig.status().log_durable.get(),
            end,
            "{:?}",
            self.rig.status()
        );
        let node = self.rig.attach_at(self.primary, end);
        let full = self.rig.attach(PsyncRequest::Full);
        for _ in 0..20 {
            self.live(1000);
            self.fetch(true);
            self.rig.node_event(full, FollowerEvent::Written(1 << 20));
            let at = self.rig.node(full).at.get();
            if matches!(self.rig.node(full).reply, Reply::Stream(_)) {
                self.rig.ack(full, at);
            }
            self.rig.ack(node, end);
        }
        for node in [node, full] {
            let node = self.rig.node(node);
            assert_eq!(
                node.at.get(),
                end,
                "{:?} {:?} {:?}",
                node.reply,
                node.closed,
                self.rig.status()
            );
        }
        // A start gives the same back.
        let rig = self.rig.restart(true);
        assert_eq!(rig.status().log_end.get(), end);
    }
}
