//! What the primary does: it is found, answers `PSYNC`, offers copies, sends its stream.

use std::time::Duration;

use bytes::Bytes;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::{Rig, broken};
use crate::lineage::Lineage;
use crate::shard::event::{Event, FollowerEvent};
use crate::source::{Asking, FullResyncAnswer, SourceEvent};

impl Rig {
    pub(in super::super) fn link_event(&mut self, event: SourceEvent) {
        let attempt = self.link;
        self.event(Event::Source { attempt, event });
    }

    pub(in super::super) fn fetch_event(&mut self, event: SourceEvent) {
        let attempt = self.fetch.expect("a second connection");
        self.event(Event::Source { attempt, event });
    }

    /// A primary that has been up for an hour is found; returns the way on which it is told how it is followed.
    pub(in super::super) fn find(
        &mut self,
        name: ReplicationId,
        previous: Option<(ReplicationId, u64)>,
    ) -> oneshot::Receiver<Result<Asking, String>> {
        let end = if self.world.knows(name) {
            self.world.end(name)
        } else {
            0
        };
        self.find_aged(name, end, previous, Duration::from_secs(3600))
    }

    pub(in super::super) fn find_aged(
        &mut self,
        id: ReplicationId,
        offset: u64,
        previous: Option<(ReplicationId, u64)>,
        uptime: Duration,
    ) -> oneshot::Receiver<Result<Asking, String>> {
        let (reply, answer) = oneshot::channel();
        let lineage = Lineage {
            id,
            offset: Offset::new(offset),
            previous: previous.map(|(id, last)| (id, Offset::new(last))),
            process: self.process,
            uptime,
            backlog_from: self.backlog_from.map(Offset::new),
        };
        let peer = "10.0.0.1:6379".to_owned();
        let needs = self.needs.clone();
        self.link_event(SourceEvent::Found {
            peer,
            lineage,
            needs,
            reply,
        });
        answer
    }

    /// A primary is found and told at once after which offset it is asked to continue.
    pub(in super::super) fn asked(
        &mut self,
        name: ReplicationId,
        previous: Option<(ReplicationId, u64)>,
    ) -> PsyncRequest {
        let answer = self.find(name, previous).try_recv();
        answer.expect("answered at once").expect("followed").position
    }

    /// A primary is found, asked for the stream from where it is, and gives it.
    pub(in super::super) fn begin(&mut self, name: ReplicationId) {
        let held = Offset::new(self.world.end(name));
        assert_eq!(self.asked(name, None), PsyncRequest::Resume { id: name, held });
        self.continued(Some(name));
        assert_eq!(
            (self.status().history, self.status().log_start),
            (Some(name), held)
        );
    }

    /// The primary continues the history, under a new id if one is given.
    pub(in super::super) fn continued(&mut self, id: Option<ReplicationId>) {
        self.link_event(SourceEvent::Continued { id });
    }

    /// The primary wants to send everything; returns what it is told.
    pub(in super::super) fn offer_full(&mut self, id: ReplicationId, offset: u64) -> FullResyncAnswer {
        let (reply, mut answer) = oneshot::channel();
        let offset = Offset::new(offset);
        self.link_event(SourceEvent::FullResync { id, offset, reply });
        answer.try_recv().expect("answered at once")
    }

    pub(in super::super) fn fetch_offer(&mut self, id: ReplicationId, offset: u64) -> FullResyncAnswer {
        let answer = self.offer_on_fetch(id, offset).try_recv();
        answer.expect("answered at once")
    }

    pub(in super::super) fn offer_on_fetch(
        &mut self,
        id: ReplicationId,
        offset: u64,
    ) -> oneshot::Receiver<FullResyncAnswer> {
        let mut found = self.find_on_fetch(id, offset);
        let asking = found.try_recv().expect("answered at once").expect("wanted");
        assert_eq!(asking.position, PsyncRequest::Full);
        let (reply, answer) = oneshot::channel();
        let offset = Offset::new(offset);
        self.fetch_event(SourceEvent::FullResync { id, offset, reply });
        answer
    }

    /// The second connection finds the primary; returns the way on which it is told how it is asked.
    pub(in super::super) fn find_on_fetch(
        &mut self,
        id: ReplicationId,
        offset: u64,
    ) -> oneshot::Receiver<Result<Asking, String>> {
        let (reply, found) = oneshot::channel();
        let lineage = Lineage {
            id,
            offset: Offset::new(offset),
            previous: None,
            process: self.process,
            uptime: Duration::ZERO,
            backlog_from: None,
        };
        let peer = "10.0.0.1:6379".to_owned();
        let needs = self.needs.clone();
        self.fetch_event(SourceEvent::Found {
            peer,
            lineage,
            needs,
            reply,
        });
        found
    }

    /// The whole way of a first full copy: the stream begins, a node asks for everything, and gets the snapshot.
    pub(in super::super) fn full_sync(&mut self, name: ReplicationId, rdb: &Bytes) {
        self.begin(name);
        let node = self.attach(PsyncRequest::Full);
        self.copy(name, rdb);
        self.node_event(node, FollowerEvent::Gone("gone".to_owned()));
        self.nodes.remove(&node);
    }

    /// A snapshot comes whole on the second connection, from where the primary is now.
    pub(in super::super) fn copy(&mut self, name: ReplicationId, rdb: &Bytes) {
        let at = self.world.end(name);
        assert_eq!(self.fetch_offer(name, at), FullResyncAnswer::Accept);
        self.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(rdb.len() as u64)));
        self.fetch_event(SourceEvent::Snapshot(rdb.clone()));
        self.fetch_event(SourceEvent::SnapshotDone);
    }

    /// Writes a command at the primary and delivers it, in pieces of `piece` bytes.
    pub(in super::super) fn write_in(&mut self, name: ReplicationId, command: &[u8], piece: usize) {
        self.world.write(name, command);
        for piece in command.chunks(piece) {
            self.deliver(piece);
        }
    }

    pub(in super::super) fn write(&mut self, name: ReplicationId, command: &[u8]) {
        self.write_in(name, command, 16 * 1024);
    }

    pub(in super::super) fn deliver(&mut self, bytes: &[u8]) {
        self.chunk_bytes_max = self.chunk_bytes_max.max(bytes.len() as u64);
        self.link_event(SourceEvent::Stream(Bytes::copy_from_slice(bytes)));
    }

    pub(in super::super) fn break_link(&mut self) {
        self.link_event(SourceEvent::Ended(broken()));
    }
}
