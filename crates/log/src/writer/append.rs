//! Appending: blocks are cut to size, checksummed and written, many of them with one call for the bytes and one for
//! their index records.

use std::io::IoSlice;

use bytes::Bytes;
use sterna_protocol::Offset;

use super::{AppendReport, Block};
use crate::LogError;
use crate::context::LogContext;
use crate::fs::write_all_at;
use crate::index::{IndexRecord, record_position};
use crate::segment::ActiveSegment;
use crate::segments::Segments;

impl Segments {
    pub(crate) fn append(
        &mut self,
        context: &LogContext,
        blocks: &[Block],
    ) -> Result<AppendReport, LogError> {
        let mut report = AppendReport::default();
        let mut batch = Batch::after(&self.active);
        for block in blocks {
            let mut rest = Pieces {
                chunks: &block.bytes,
                next: Bytes::new(),
            };
            let mut rest_bytes = byte_count(block);
            while rest_bytes > 0 {
                let len = rest_bytes.min(u64::from(context.settings.block_bytes_max));
                if batch.is_segment_full(&self.active, len, context) {
                    self.flush(context, &batch, &mut report)?;
                    self.roll(context)?;
                    report.rolled += 1;
                    batch = Batch::after(&self.active);
                }
                rest_bytes -= len;
                batch.push(
                    &mut rest,
                    len,
                    block.wall_ms,
                    block.ends_on_unit && rest_bytes == 0,
                );
            }
        }
        self.flush(context, &batch, &mut report)?;
        report.end = self.end();
        Ok(report)
    }

    /// Writes a batch: the bytes, then the records that vouch for them.
    fn flush(
        &mut self,
        context: &LogContext,
        batch: &Batch,
        report: &mut AppendReport,
    ) -> Result<(), LogError> {
        if batch.count == 0 {
            return Ok(());
        }
        let active = &mut self.active;
        let start = active.start();
        active.all_synced = false;

        let position = active.end.bytes_since(start);
        let mut slices: Vec<IoSlice<'_>> = batch.chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
        write_all_at(&*active.data, &mut slices, position)
            .map_err(|error| LogError::io("write", &context.layout.data(start), error))?;
        write_all_at(
            &*active.index,
            &mut [IoSlice::new(&batch.records)],
            record_position(active.records),
        )
        .map_err(|error| LogError::io("write", &context.layout.index(start), error))?;

        report.bytes += batch.end.bytes_since(active.end);
        report.blocks += batch.count;
        active.end = batch.end;
        active.records += batch.count;
        active.last_ms = batch.last_ms;
        active.data_len = active.data_len.max(batch.end.bytes_since(start));
        self.unit_end = batch.unit_end.unwrap_or(self.unit_end);
        Ok(())
    }
}

/// Blocks that go to the same segment with the same calls.
struct Batch {
    segment_start: Offset,
    end: Offset,
    chunks: Vec<Bytes>,
    records: Vec<u8>,
    count: u64,
    last_ms: u64,
    unit_end: Option<Offset>,
    after_sync: bool,
}

impl Batch {
    fn after(active: &ActiveSegment) -> Self {
        Self {
            segment_start: active.start(),
            end: active.end,
            chunks: Vec::new(),
            records: Vec::new(),
            count: 0,
            last_ms: 0,
            unit_end: None,
            after_sync: active.all_synced,
        }
    }

    /// Whether a further block of `len` bytes belongs into the next segment.
    fn is_segment_full(&self, active: &ActiveSegment, len: u64, context: &LogContext) -> bool {
        let records = active.records + self.count;
        let bytes = self.end.bytes_since(self.segment_start) + len;
        records > 0
            && (bytes > context.settings.segment_bytes
                || records >= u64::from(context.settings.segment_blocks_max))
    }

    fn push(&mut self, from: &mut Pieces<'_>, len: u64, wall_ms: u64, ends_on_unit: bool) {
        let mut missing = len;
        let mut crc = 0;
        while missing > 0 {
            let chunk = from.take(missing);
            crc = crc32c::crc32c_append(crc, &chunk);
            missing -= chunk.len() as u64;
            self.chunks.push(chunk);
        }
        self.end += len;
        let record = IndexRecord {
            end: self.end,
            wall_ms,
            len: u32::try_from(len).expect("a piece is no longer than block_bytes_max, a u32"),
            crc,
            ends_on_unit,
            after_sync: std::mem::take(&mut self.after_sync),
        };
        self.records.extend_from_slice(&record.encode(self.segment_start));
        self.count += 1;
        self.last_ms = wall_ms;
        if ends_on_unit {
            self.unit_end = Some(self.end);
        }
    }
}

/// The bytes of a block that are still to be taken.
struct Pieces<'a> {
    chunks: &'a [Bytes],
    next: Bytes,
}

impl Pieces<'_> {
    /// At most `max` bytes, and at least one as long as the block has any left.
    fn take(&mut self, max: u64) -> Bytes {
        while self.next.is_empty() {
            let (first, rest) = self
                .chunks
                .split_first()
                .expect("the caller counted the block's bytes");
            self.next = first.clone();
            self.chunks = rest;
        }
        let len = usize::try_from(max).unwrap_or(usize::MAX).min(self.next.len());
        self.next.split_to(len)
    }
}

pub(super) fn byte_count(block: &Block) -> u64 {
    block.bytes.iter().map(|chunk| chunk.len() as u64).sum()
}
