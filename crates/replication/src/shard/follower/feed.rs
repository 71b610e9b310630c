//! What a follower is fed from: memory, or the disk where that no longer has it.

use bytes::Bytes;
use sterna_protocol::Offset;

use super::{Follower, ReadOutcome, Stage};
use crate::settings::IN_FLIGHT_BYTES_MAX;
use crate::shard::event::{Effect, Effects, FollowerId, ReadDone, ReadFailure, ReadJob, Reader};
use crate::shard::followers::Supply;
use crate::shard::outbox::ReaderSlot;
use crate::shard::snapshot::Snapshot;

impl Follower {
    pub(super) fn feed_stream(
        &mut self,
        id: FollowerId,
        supply: Supply<'_>,
        sent: Offset,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let (log, end) = (supply.log, supply.log.unit_end());
        if sent >= end {
            return Ok(());
        }
        if let Some(slices) = log.tail().slices(sent, end, IN_FLIGHT_BYTES_MAX) {
            let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
            self.outbox.send(slices);
            self.stage = Stage::Streaming { sent: sent + bytes };
            self.reader.close(effects);
            return Ok(());
        }
        if sent < log.available_from() {
            return Err(format!(
                "it needs the log from offset {sent}, which retention has dropped: it needs a full copy"
            ));
        }
        let upto = log.disk().written().min(end).get();
        if sent.get() >= upto {
            // The last part of a large unit is on its way to the disk.
            return Ok(());
        }
        let reader = match self.reader.send_out() {
            Some(Reader::Log(reader)) => reader,
            _ => log.disk().reader(),
        };
        effects.start(Effect::Read(Box::new(ReadJob {
            follower: id,
            reader: Reader::Log(reader),
            from: sent.get(),
            upto,
            generation: supply.generation,
            whole: None,
        })));
        Ok(())
    }

    pub(super) fn feed_snapshot(
        &mut self,
        id: FollowerId,
        supply: Supply<'_>,
        (position, eof): (u64, bool),
        effects: &mut Effects,
    ) -> Result<(), String> {
        let Some(snapshot) = supply.snapshot else {
            return Err("the full copy broke off and will be sent again".to_owned());
        };
        let safe_end = snapshot.safe_end();
        if position >= safe_end {
            if snapshot.is_complete() {
                self.end_snapshot(snapshot, eof, effects);
            }
            return Ok(());
        }
        if let Some(slices) = snapshot.window().slices(position, safe_end, IN_FLIGHT_BYTES_MAX) {
            let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
            self.outbox.send(slices);
            self.stage = Stage::Snapshot {
                position: position + bytes,
                eof,
            };
            return Ok(());
        }
        let reader = match self.reader.send_out() {
            Some(Reader::Snapshot(reader)) => reader,
            _ => supply.log.disk().snapshot_feed(snapshot.path()),
        };
        effects.start(Effect::Read(Box::new(ReadJob {
            follower: id,
            reader: Reader::Snapshot(reader),
            from: position,
            upto: snapshot.written().min(safe_end),
            generation: supply.generation,
            whole: snapshot.is_complete().then(|| snapshot.received()),
        })));
        Ok(())
    }

    fn end_snapshot(&mut self, snapshot: &Snapshot, eof: bool, effects: &mut Effects) {
        let offset = snapshot.offset();
        self.reader.close(effects);
        self.needs_snapshot = false;
        if eof {
            self.outbox.send(vec![Bytes::copy_from_slice(&snapshot.mark)]);
            self.stage = Stage::Loading {
                snapshot_offset: offset,
            };
        } else {
            self.stage = Stage::Streaming { sent: offset };
        }
    }

    /// Its reader is back. What was read of a history that has changed since counts for nothing, and is read again.
    pub(in super::super) fn on_read(
        &mut self,
        done: ReadDone,
        generation: u64,
        effects: &mut Effects,
    ) -> ReadOutcome {
        self.reader = ReaderSlot::Home(done.reader);
        let from_log = matches!(self.stage, Stage::Streaming { .. });
        if from_log && done.generation != generation {
            return ReadOutcome::Fed;
        }
        let bytes = match done.result {
            Ok(bytes) => bytes,
            Err(ReadFailure { reason, lasting }) => {
                return match (lasting, from_log) {
                    (false, _) => ReadOutcome::Leaves(reason),
                    // It comes back and asks for the same, which only a full copy can give it,
                    (true, true) => ReadOutcome::LogDamaged(reason, Offset::new(done.from)),
                    // or another one.
                    (true, false) => ReadOutcome::SnapshotDamaged(reason),
                };
            }
        };
        let len = bytes.len() as u64;
        effects.counters.disk_read_bytes += len;
        match &mut self.stage {
            Stage::Streaming { sent } if sent.get() == done.from => *sent += len,
            Stage::Snapshot { position, .. } if *position == done.from => *position += len,
            _ => return ReadOutcome::Fed,
        }
        self.outbox.send(vec![bytes]);
        ReadOutcome::Fed
    }
}
