//! What the connections to the primary report, and what that means for the shard's parts.

use std::time::Duration;

use bytes::Bytes;
use sterna_model::HoldReason;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::Shard;
use super::changes::Awaits;
use crate::psync_client::PsyncError;
use crate::shard::event::{Change, Now};
use crate::shard::upstream::{Pending, Phase};
use crate::source::{FullResyncAnswer, SourceError, SourceEvent};

impl Shard {
    /// The link to the primary reports.
    pub(super) fn on_link(&mut self, event: SourceEvent, now: Now) {
        match event {
            SourceEvent::Found { peer, lineage, reply } => {
                self.upstream.found(Pending { peer, lineage, reply });
            }
            SourceEvent::Continued { id } => self.on_continued(id, now),
            SourceEvent::FullResync { id, offset, reply } => self.on_full_resync(id, offset, reply),
            SourceEvent::SnapshotStarted(form) => self.copy.announced(form),
            SourceEvent::Snapshot(bytes) => {
                self.upstream.acknowledger().heard(now);
                if let Err(error) = self.copy.push(bytes, &mut self.effects) {
                    self.on_ended(&SourceError::BadData(error.to_string()));
                }
            }
            SourceEvent::SnapshotDone => match self.copy.complete(&mut self.effects, now) {
                Ok(true) => {
                    self.upstream.failures().snapshot_is_right();
                    self.upstream.stream_flows(true, now);
                }
                Ok(false) => {}
                Err(error) => self.on_ended(&SourceError::BadData(error.to_string())),
            },
            SourceEvent::Stream(bytes) => self.on_stream(bytes, now),
            SourceEvent::Observed { offset, asked } => {
                self.upstream.acknowledger().observe(offset, asked, now);
            }
            SourceEvent::Ended(error) => self.on_ended(&error),
        }
    }

    fn on_continued(&mut self, id: Option<ReplicationId>, now: Now) {
        let (at, current) = (self.log.unit_end(), self.log.current());
        let Some(id) = id.filter(|id| Some(*id) != current) else {
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

    /// The primary wants to send everything: a wholly new history begins, if it may.
    fn on_full_resync(
        &mut self,
        id: ReplicationId,
        offset: Offset,
        reply: oneshot::Sender<FullResyncAnswer>,
    ) {
        let held = self.log.held().map(|held| (held.id, held.end));
        if let (Some(held), false) = (held, self.upstream.expected().permits(id)) {
            let reason = HoldReason::UnrelatedHistory {
                held: held.0,
                held_offset: held.1,
                offered: id,
                offered_offset: offset,
            };
            let text = reason.to_string();
            self.upstream.refuse(reason, &mut self.effects);
            // The attempt has ended if this fails, and says so.
            let _ = reply.send(FullResyncAnswer::Refuse(text));
            return;
        }
        let reason = match held {
            None => "nothing is here yet".to_owned(),
            Some(_) if self.orders.accepts_new_history() => "the new history was accepted".to_owned(),
            Some((_, end)) => format!("the primary's backlog no longer reaches back to offset {end}"),
        };
        self.awaits = Some(Awaits::Begun { reason, reply });
        self.log.change(Change::Begin(id, offset));
    }

    fn on_stream(&mut self, bytes: Bytes, now: Now) {
        self.effects.counters.stream_bytes += bytes.len() as u64;
        match self.log.push(bytes, now) {
            Ok(fed) => {
                self.effects.counters.commands += fed.commands;
                self.upstream.acknowledger().stream_came(fed.getack, now);
            }
            Err(error) => {
                self.upstream.acknowledger().stream_came(None, now);
                self.on_ended(&SourceError::BadData(error.to_string()));
            }
        }
    }

    /// The attempt is over. What came and can't be right is dropped, and asked for again from the last whole unit, or as
    /// another snapshot; what repeats is told.
    fn on_ended(&mut self, error: &SourceError) {
        let syncing = self.upstream.phase() == Phase::FullSync;
        let received = self.copy.progress().0;
        let mut reason = error.to_string();
        match error {
            SourceError::BadData(_) | SourceError::Psync(PsyncError::BadData { .. }) => {
                if let SourceError::BadData(what) = error {
                    reason = format!("{} sent bytes that can't be right: {what}", self.upstream.peer());
                }
                let place = (!syncing).then_some(self.log.unit_end());
                let failures = self.upstream.failures();
                failures.corrupt(place, &reason, &mut self.effects);
            }
            SourceError::Psync(PsyncError::Broken { .. }) if syncing && received > 0 => {
                let failures = self.upstream.failures();
                failures.broke_off(received, &reason, &mut self.effects);
            }
            _ => {}
        }
        self.retry(reason, Duration::ZERO);
    }
}
