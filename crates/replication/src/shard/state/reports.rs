//! What the connections to the primary report, and what that means for the shard's parts.

use std::time::Duration;

use bytes::Bytes;
use sterna_model::HoldReason;
use sterna_node::copying::CopyNeeds;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::Shard;
use super::changes::Awaits;
use crate::psync_client::PsyncError;
use crate::shard::event::{Change, Now};
use crate::shard::log::StreamRefused;
use crate::shard::origin::Origin;
use crate::shard::upstream::{Pending, Phase};
use crate::source::{Asking, FullResyncAnswer, SourceError, SourceEvent};

impl Shard {
    /// The link to the primary reports.
    pub(super) fn on_link(&mut self, event: SourceEvent, now: Now) {
        match event {
            SourceEvent::Found {
                peer,
                lineage,
                needs,
                reply,
            } => {
                self.upstream.said(needs);
                self.upstream.found(Pending { peer, lineage, reply });
            }
            SourceEvent::Continued { id } => self.on_continued(id, now),
            SourceEvent::FullResync { reply, .. } => {
                let reason = "its backlog does not hold what was asked for any more";
                // The attempt has ended if this fails, and says so.
                let _ = reply.send(FullResyncAnswer::Refuse(reason.to_owned()));
            }
            // Only the second connection brings a snapshot.
            SourceEvent::Identified { .. }
            | SourceEvent::SnapshotStarted(_)
            | SourceEvent::Snapshot(_)
            | SourceEvent::SnapshotDone => {}
            SourceEvent::Stream(bytes) => self.on_stream(bytes, now),
            SourceEvent::Observed { offset, asked, needs } => {
                self.upstream.said(needs);
                self.upstream.acknowledger().observe(offset, asked, now);
            }
            SourceEvent::ShutsDown => self.lease_links.let_go(&mut self.effects, now),
            SourceEvent::Ended(error) => self.on_ended(&error),
        }
    }

    /// The second connection, which takes a snapshot, reports.
    pub(super) fn on_fetch(&mut self, event: SourceEvent, now: Now) {
        let received = self.copy.progress().map(|progress| progress.received_bytes);
        let event = match event {
            SourceEvent::FullResync { id, offset, reply } if matches!(self.awaits, Some(Awaits::Backlog)) => {
                return self.on_first_copy(id, offset, reply);
            }
            SourceEvent::Found {
                peer, needs, reply, ..
            } => return self.on_fetch_found(peer, needs, reply, now),
            event => event,
        };
        match self.copy.on_fetch(event, &self.log, &mut self.effects, now) {
            None => {}
            Some(Ok(())) => {
                self.upstream.failures().snapshot_is_right();
                // It was given on while it came.
                self.log.given();
            }
            Some(Err(error)) => self.on_copy_failed(&error, received),
        }
    }

    /// The second connection found the primary: it is asked to write what the weakest of those who wait can load. Where
    /// nobody can load what it has, nothing is asked.
    fn on_fetch_found(
        &mut self,
        peer: String,
        needs: CopyNeeds,
        reply: oneshot::Sender<Result<Asking, String>>,
        now: Now,
    ) {
        self.upstream.said(needs.clone());
        self.followers.judge(self.upstream.needs(), &mut self.effects);
        let first = matches!(self.awaits, Some(Awaits::Backlog));
        let weakest = self.followers.weakest_that_waits();
        if weakest.is_none() && !first && self.followers.are_held() {
            return self.copy.fetch_of_no_use(&mut self.effects, now);
        }
        let version = weakest.or_else(|| self.followers.weakest());
        let announced = version.unwrap_or(needs.engine.version);
        let origin = Origin {
            needs: Some(needs),
            announced: Some(announced),
            format: None,
        };
        self.copy.fetch_found(peer, origin);
        let position = PsyncRequest::Full;
        // The attempt has ended if this fails, and says so.
        let _ = reply.send(Ok(Asking { position, version }));
    }

    /// A primary without a backlog offers a snapshot, which gives it one: a wholly new history begins with it, if it may.
    fn on_first_copy(&mut self, id: ReplicationId, offset: Offset, reply: oneshot::Sender<FullResyncAnswer>) {
        let permitted = self.upstream.expected().permits(id);
        if !permitted && self.primary_outlived_what_is_held() {
            // With its backlog it took one more id. It is looked at again, and not held off.
            let reason = "the primary took another replication id as it made a backlog";
            // The attempt has ended if this fails, and says so.
            let _ = reply.send(FullResyncAnswer::Refuse(reason.to_owned()));
            return self.retry(reason.to_owned(), Duration::ZERO);
        }
        if let Some(held) = self.log.held().filter(|_| !permitted) {
            let reason = HoldReason::UnrelatedHistory {
                held: held.id,
                held_offset: held.end,
                offered: id,
                offered_offset: offset,
            };
            let text = reason.to_string();
            self.upstream.refuse(reason, &mut self.effects);
            // The attempt has ended if this fails, and says so.
            let _ = reply.send(FullResyncAnswer::Refuse(text));
            return;
        }
        let reason = self.why_begun();
        self.awaits = Some(Awaits::FirstCopy { reason, reply });
        self.log.change(Change::Begin(id, offset));
    }

    /// The second connection came to nothing after it had `received` so much of a snapshot. What repeats is told.
    fn on_copy_failed(&mut self, error: &SourceError, received: Option<u64>) {
        let (reason, failures) = (error.to_string(), self.upstream.failures());
        match (error, received) {
            (SourceError::BadData(_) | SourceError::Psync(PsyncError::BadData { .. }), _) => {
                failures.corrupt(None, &reason, &mut self.effects);
            }
            (
                SourceError::Psync(PsyncError::Broken { .. }) | SourceError::CopyBroken { .. },
                Some(received),
            ) => {
                failures.broke_off(received, &reason, &mut self.effects);
            }
            _ => {}
        }
        // The primary may have a backlog by now, or be gone.
        if matches!(self.awaits, Some(Awaits::Backlog)) {
            self.retry(reason, Duration::ZERO);
        }
    }

    fn on_continued(&mut self, id: Option<ReplicationId>, now: Now) {
        let (at, current) = (self.log.unit_end(), self.log.current());
        if let Some(beginning) = self.upstream.expected().beginning() {
            if id.is_some_and(|id| id != beginning.id) {
                return self.retry("its history changed in this moment".to_owned(), Duration::ZERO);
            }
            let change = Change::Begin(beginning.id, beginning.offset);
            let (reason, previous) = (beginning.reason.clone(), beginning.previous);
            if let Some((id, last)) = previous {
                self.log.add_alias(id, last);
            }
            self.awaits = Some(Awaits::Begun { reason });
            return self.log.change(change);
        }
        let Some(id) = id.filter(|id| Some(*id) != current) else {
            if matches!(self.awaits.take(), Some(Awaits::FirstStream)) {
                return self.upstream.stream_flows(now);
            }
            return self.upstream.resumed(at, None, &mut self.effects, now);
        };
        // The old id ends where the primary says, which may be ahead of a log that lost its last moments: replica nodes
        // that have those bytes continue when they come again.
        let end = self
            .upstream
            .expected()
            .end_of(current)
            .map_or(at, |last| last.max(at));
        self.awaits = Some(Awaits::Extended);
        self.log.change(Change::Extend(id, end));
    }

    fn on_stream(&mut self, bytes: Bytes, now: Now) {
        self.effects.counters.stream_bytes += bytes.len() as u64;
        let pushed = self.log.push(bytes, now);
        let getack = pushed.as_ref().ok().and_then(|fed| fed.getack);
        self.upstream.acknowledger().stream_came(getack, now);
        match pushed {
            Ok(fed) => self.effects.counters.commands += fed.commands,
            Err(StreamRefused::Bad(error)) => self.on_ended(&SourceError::BadData(error.to_string())),
            Err(too_large @ StreamRefused::UnitTooLarge { .. }) => {
                self.retry(too_large.to_string(), Duration::ZERO);
            }
        }
    }

    /// The attempt is over. What came and can't be right is dropped, and asked for again from the last whole unit; what
    /// repeats is told.
    fn on_ended(&mut self, error: &SourceError) {
        let mut reason = error.to_string();
        if let SourceError::BadData(what) = error {
            reason = format!("{} sent bytes that can't be right: {what}", self.upstream.peer());
            let place = Some(self.log.unit_end());
            let failures = self.upstream.failures();
            failures.corrupt(place, &reason, &mut self.effects);
        }
        if let SourceError::Psync(PsyncError::Broken { by_peer: true, .. }) = error
            && self.upstream.phase() == Phase::Streaming
        {
            self.upstream.acknowledger().closed_by_primary();
        }
        self.retry(reason, Duration::ZERO);
    }
}
