//! Changes of history. The disk takes its time for them; the log stands still meanwhile, and the primary's attempt waits
//! for what comes of them, if it is not over before.

use std::time::Duration;

use sterna_log::LogError;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::Shard;
use crate::settings::DISK_RETRY_INTERVAL;
use crate::shard::copy::Announced;
use crate::shard::event::{Change, FilesDone, Impact, LogDone, Now};
use crate::source::FullResyncAnswer;
use crate::status::Notice;

/// What the attempt under way waits for.
#[derive(Debug)]
pub(super) enum Awaits {
    /// The history that its stream begins, for this reason.
    Begun { reason: String },
    /// It continues under another id.
    Extended,
    /// The log could not be cut back for it: it begins anew.
    NewBeginning,
    /// The primary has no backlog before somebody takes a snapshot: the second connection does that first.
    Backlog,
    /// The history that a snapshot on the second connection begins, where that was the first thing to be had.
    FirstCopy {
        reason: String,
        reply: oneshot::Sender<FullResyncAnswer>,
    },
    /// The stream from where that snapshot stands.
    FirstStream,
}

impl Shard {
    /// The log's writer is back, from whatever it was out for.
    pub(super) fn on_log_done(&mut self, done: LogDone, now: Now) {
        let (kept, end) = (done.snapshots.clone(), self.log.unit_end());
        match self.log.on_job_done(done, &mut self.effects, now) {
            None => {}
            Some((Change::Begin(id, offset), result)) => self.on_begun(id, offset, result, now),
            Some((Change::CutBack(to), result)) => self.on_cut_back(to, end, result),
            Some((Change::Extend(id, _), result)) => self.on_extended(id, result, now),
        }
        if let Some(kept) = kept {
            self.copy.log_recovered(&kept, &mut self.effects);
        }
        let in_use = self.followers.use_snapshot();
        self.copy.retire(&self.log, in_use, &mut self.effects);
    }

    /// A wholly new history was begun, or was to be.
    fn on_begun(&mut self, id: ReplicationId, offset: Offset, result: Result<(), LogError>, now: Now) {
        let awaits = self.awaits.take();
        if let Err(error) = result {
            self.log.disk_failed(&error, &mut self.effects, now);
            match awaits {
                Some(Awaits::FirstCopy { reply, .. }) => {
                    // The attempt has ended if this fails, and says so.
                    let _ = reply.send(FullResyncAnswer::Refuse(error.to_string()));
                }
                Some(Awaits::Begun { .. }) => self.retry(error.to_string(), DISK_RETRY_INTERVAL),
                _ => {}
            }
            return;
        }
        // Nothing that was held continues it, and nobody who was fed from that stays.
        self.effects.affect_followers(Impact::Begun);
        self.orders.new_history_taken();
        match awaits {
            Some(Awaits::FirstCopy { reason, reply }) => {
                let announced = Announced {
                    id,
                    offset,
                    reason: reason.clone(),
                    reply,
                };
                self.copy.receive(announced, &mut self.effects);
                self.effects.notify(Notice::Begun { id, offset, reason });
                // What the primary said of itself before it had a backlog is no longer so.
                self.disconnect();
                self.upstream.connect(Duration::ZERO, &mut self.effects);
                self.awaits = Some(Awaits::FirstStream);
                return;
            }
            Some(Awaits::Begun { reason }) => {
                self.effects.notify(Notice::Begun { id, offset, reason });
                self.upstream.stream_flows(now);
            }
            // The attempt is over.
            _ => {}
        }
        self.copy.abort_fetch(&mut self.effects);
        self.copy.drop_snapshot(&mut self.effects);
    }

    /// What a promoted primary never had was dropped, or the disk refused it. The decision is taken again either way.
    fn on_cut_back(&mut self, to: Offset, end: Offset, result: Result<(), LogError>) {
        if let Err(error) = result {
            tracing::warn!(shard = %self.settings.name, %error, %to, "the log can't be cut back, and begins anew");
            self.awaits = self.upstream.is_deciding().then_some(Awaits::NewBeginning);
            return;
        }
        self.effects.affect_followers(Impact::CutBack { to });
        let snapshot = self.copy.snapshot();
        if snapshot.is_some_and(|snapshot| snapshot.offset() > to) {
            self.copy.drop_snapshot(&mut self.effects);
        }
        self.orders.new_history_taken();
        let bytes = end.bytes_since(to);
        self.effects.notify(Notice::CutBack { to, bytes });
    }

    /// The stream has another id, whether the disk took it or not.
    fn on_extended(&mut self, id: ReplicationId, result: Result<(), LogError>, now: Now) {
        if let Err(error) = result {
            self.log.disk_failed(&error, &mut self.effects, now);
        }
        self.effects.affect_followers(Impact::Renamed);
        if let Some(Awaits::Extended) = self.awaits.take() {
            self.upstream
                .resumed(self.log.unit_end(), Some(id), &mut self.effects, now);
        }
    }

    /// There is room for a snapshot that was announced, or the disk refused it: its connection has been told.
    pub(super) fn on_files_done(&mut self, done: FilesDone, now: Now) {
        let random = self.random.as_mut();
        if let Err(error) = self.copy.on_files(done, random, &mut self.effects, now) {
            self.log.disk_failed(&error, &mut self.effects, now);
        }
    }
}
