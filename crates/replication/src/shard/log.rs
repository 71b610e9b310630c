//! The stream as a shard holds it: the recent part in memory, and all that was kept of it on disk.

use std::fmt::Display;
use std::sync::Arc;

use thiserror::Error;

use bytes::Bytes;
use sterna_log::{LogError, LogFs, Opened};
use sterna_protocol::stream::{Fed, StreamError};
use sterna_protocol::{Offset, ReplicationId};
use tokio::time::Instant;

use super::disk::{Disk, WriteRequest};
use super::event::{Change, Effects, LogDone, LogJob, Now};
use super::tail::Tail;
use crate::lineage::Held;
use crate::settings::{ShardSettings, UNWRITTEN_BYTES_MIN};
use crate::timeline::Lag;

/// Aliases of this history that are known at a time.
const HISTORY_ALIASES_MAX: usize = 32;

/// Bytes of the stream that the log does not take.
#[derive(Debug, Error)]
pub(super) enum StreamRefused {
    /// They can't be right.
    #[error(transparent)]
    Bad(#[from] StreamError),
    /// A unit is larger than it may be.
    #[error(
        "the command or transaction after offset {after} is larger than unit_bytes_max ({bytes_max} bytes): it is not \
         taken, and the replica nodes need a full copy in its place"
    )]
    UnitTooLarge {
        /// Where it begins.
        after: Offset,
        /// The limit.
        bytes_max: u64,
    },
}

/// The stream in memory and on disk.
///
/// After every event:
///
/// ```text
/// log start <= durable <= written <= unit end <= tail end      written <= appended <= tail end
/// ```
///
/// - the log on disk begins after *log start*;
/// - *durable* survives a loss of power: what is acknowledged as being on disk is not beyond it;
/// - *written* can be read back from disk for a follower;
/// - *unit end* is the end of the last whole unit received: nothing beyond it goes out;
/// - *tail end* is the last byte received;
/// - *appended* is beyond *unit end* only while a unit arrives that is too large to wait in memory for its end. Memory
///   may begin inside of it: what is before that is on disk, or is lost with a disk that refuses it.
#[derive(Debug)]
pub(super) struct ShardLog {
    disk: Disk,
    tail: Tail,
    tail_bytes_max: u64,
    unit_bytes_max: u64,
    /// The unit after this offset is larger than that: the log can't go on through it.
    too_large_after: Option<Offset>,
    /// Replica nodes may hold what is here, or what was here before: what comes must continue that (I4).
    is_given: bool,
    /// Ids that the log never lived through, and up to where whoever is in them holds a prefix of what is here.
    aliases: Vec<(ReplicationId, Offset)>,
}

impl ShardLog {
    pub(super) fn new(settings: &ShardSettings, fs: Arc<dyn LogFs>, opened: Opened, now: Now) -> Self {
        Self {
            tail: Tail::at(opened.end),
            // An earlier run may have given it.
            is_given: opened.history.current().is_some(),
            disk: Disk::new(fs, opened, settings.log_dir.clone(), now),
            tail_bytes_max: settings.tail_bytes,
            unit_bytes_max: settings.unit_bytes_max,
            too_large_after: None,
            aliases: Vec::new(),
        }
    }

    pub(super) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The end of the last whole unit received.
    pub(super) fn unit_end(&self) -> Offset {
        self.tail.unit_end()
    }

    /// The id that the stream has now.
    pub(super) fn current(&self) -> Option<ReplicationId> {
        self.disk.history().current()
    }

    /// What is here, if there is anything.
    pub(super) fn held(&self) -> Option<Held> {
        Some(Held {
            id: self.current()?,
            end: self.unit_end(),
            process: self.disk.history().process(),
        })
    }

    /// Whether a primary must continue what is here. Before anybody was given anything, nothing is lost by beginning anew.
    pub(super) fn is_given(&self) -> bool {
        self.is_given
    }

    /// The oldest offset from which a follower can continue without a snapshot.
    pub(super) fn available_from(&self) -> Offset {
        self.disk.available_from(self.tail.start())
    }

    /// Whether somebody who holds `offset` of history `id` holds a prefix of what is here.
    pub(super) fn covers(&self, id: ReplicationId, offset: Offset) -> bool {
        let alias = |(known, upto): &(ReplicationId, Offset)| *known == id && offset <= *upto;
        self.disk.history().covers(id, offset) || self.aliases.iter().any(alias)
    }

    /// Whether a follower that loads a snapshot of this place can continue from here.
    pub(super) fn continues_from(&self, id: ReplicationId, offset: Offset) -> bool {
        self.disk.history().covers(id, offset) && offset >= self.available_from()
    }

    /// Takes note of an id that is covered up to `offset`; of too many, the oldest is forgotten.
    pub(super) fn add_alias(&mut self, id: ReplicationId, offset: Offset) {
        self.aliases.retain(|(known, _)| *known != id);
        if self.aliases.len() >= HISTORY_ALIASES_MAX {
            self.aliases.remove(0);
        }
        self.aliases.push((id, offset));
    }

    /// Whether the history can be changed: the log stands still at a unit boundary.
    pub(super) fn is_settled(&self) -> bool {
        self.disk.settled(self.unit_end())
    }

    /// Whether more may be received: memory is bounded, a slow disk pushes back, and what comes after a change of history
    /// waits until that is durable.
    pub(super) fn has_room(&self) -> bool {
        let unwritten = self.tail.end().bytes_since(self.disk.appended());
        let room = self.disk.error().is_some() || unwritten < self.tail_bytes_max.max(UNWRITTEN_BYTES_MIN);
        room && !self.disk.is_changing()
    }

    /// Bytes of the stream came.
    pub(super) fn push(&mut self, bytes: Bytes, now: Now) -> Result<Fed, StreamRefused> {
        let fed = self.tail.push(bytes, now.mono)?;
        let after = self.unit_end();
        if self.tail.end().bytes_since(after) > self.unit_bytes_max {
            self.too_large_after = Some(after);
        }
        self.obstacle().map_or(Ok(fed), Err)
    }

    /// Another primary is followed, which may never have had the unit that was too large.
    pub(super) fn forget_obstacle(&mut self) {
        self.too_large_after = None;
    }

    /// Why the log can't go on from where it ends, if it is so.
    pub(super) fn obstacle(&self) -> Option<StreamRefused> {
        let after = self.too_large_after.filter(|after| *after == self.unit_end())?;
        let bytes_max = self.unit_bytes_max;
        Some(StreamRefused::UnitTooLarge { after, bytes_max })
    }

    pub(super) fn tick(&mut self, now: Now) {
        self.tail.tick(now.mono);
    }

    /// Asks for a change of history; what came of it is told when the log's next job is done. The log must be settled.
    pub(super) fn change(&mut self, change: Change) {
        self.disk.change(change);
    }

    /// Whether a change of history is under way.
    pub(super) fn is_changing(&self) -> bool {
        self.disk.is_changing()
    }

    /// Replica nodes may hold what is here from now on.
    pub(super) fn given(&mut self) {
        self.is_given |= self.current().is_some();
    }

    /// The stream goes on after the last whole unit, whatever part of the next had been received.
    pub(super) fn restart(&mut self) {
        self.restart_at(self.unit_end());
    }

    fn restart_at(&mut self, at: Offset) {
        self.tail.restart(at);
        self.disk.drop_part(at);
    }

    /// The disk can't give back what is before this offset.
    pub(super) fn lose_up_to(&mut self, offset: Offset) {
        self.disk.lose_up_to(offset);
    }

    /// Bounds memory, and gives what is due on disk. Without a request nothing is written: the log must stand still while
    /// the answer to a `PSYNC` may change it; a change that was asked for goes out all the same.
    pub(super) fn settle(&mut self, request: Option<WriteRequest>, now: Now) -> Option<LogJob> {
        // What is on disk, or what the disk won't take, leaves memory: also the beginning of a unit that is not whole.
        let keep_from = match self.disk.error() {
            Some(_) => self.tail.end(),
            None => self.disk.appended(),
        };
        self.tail.shrink(self.tail_bytes_max, keep_from);
        self.disk.next_job(&self.tail, request, now)
    }

    /// The writer is back; gives the change of history that it was out for, and what came of it.
    pub(super) fn on_job_done(
        &mut self,
        done: LogDone,
        effects: &mut Effects,
        now: Now,
    ) -> Option<(Change, Result<(), LogError>)> {
        let changed = self.disk.on_done(done, &self.tail, effects, now)?;
        match changed {
            (Change::Begin(_, at), Ok(())) => {
                // Not a byte of what was before may stand for one of the new history, even where their offsets are the same.
                self.tail = Tail::at(at);
                self.too_large_after = None;
            }
            (Change::CutBack(to), Ok(())) => self.restart_at(to),
            (Change::Extend(..), _) | (_, Err(_)) => {}
        }
        Some(changed)
    }

    /// The disk refused something; the log goes on in memory only until it is tried again.
    pub(super) fn disk_failed(&mut self, error: &dyn Display, effects: &mut Effects, now: Now) {
        self.disk.failed(error, effects, now);
    }

    /// How far somebody who has applied `applied` is behind.
    pub(super) fn lag(&self, applied: Offset, now: Instant) -> Lag {
        Lag {
            bytes: self.unit_end().bytes_since(applied),
            time: self.tail.lag(applied, now),
            at: now,
        }
    }

    /// Asserts the ordering that always holds.
    pub(super) fn assert_ordered(&self) {
        let (disk, tail) = (&self.disk, &self.tail);
        let units = [
            disk.start(),
            disk.durable(),
            disk.written(),
            tail.unit_end(),
            tail.end(),
        ];
        let parts = [disk.written(), disk.appended(), tail.end()];
        debug_assert!(
            units.is_sorted() && parts.is_sorted(),
            "log start, durable, written, unit end, tail end are {units:?}; written, appended, tail end {parts:?}"
        );
    }
}
