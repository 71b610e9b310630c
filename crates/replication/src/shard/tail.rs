//! The recent part of the stream in memory: where its units end, its bytes, and when they came.

use std::time::Duration;

use bytes::Bytes;
use sterna_protocol::Offset;
use sterna_protocol::stream::{Fed, StreamError, UnitScanner};
use tokio::time::Instant;

use crate::timeline::OffsetTimeline;
use crate::window::Window;

/// The hot tail. `start <= end` and `unit_end <= end`; a unit that goes on beyond the start may have begun before it.
#[derive(Debug)]
pub(super) struct Tail {
    scanner: UnitScanner,
    window: Window,
    timeline: OffsetTimeline,
}

impl Tail {
    /// An empty one after a unit boundary.
    pub(super) fn at(boundary: Offset) -> Self {
        Self {
            scanner: UnitScanner::new(boundary, None),
            window: Window::at(boundary.get()),
            timeline: OffsetTimeline::default(),
        }
    }

    /// Memory begins after this offset.
    pub(super) fn start(&self) -> Offset {
        Offset::new(self.window.start())
    }

    /// The last byte received.
    pub(super) fn end(&self) -> Offset {
        Offset::new(self.window.end())
    }

    /// The end of the last whole unit received: everything up to here may go out.
    pub(super) fn unit_end(&self) -> Offset {
        self.scanner.unit_end()
    }

    pub(super) fn memory_bytes(&self) -> u64 {
        self.window.len()
    }

    /// The database that is selected at the end, where that is known.
    pub(super) fn selected_db(&self) -> Option<u32> {
        self.scanner.selected_db()
    }

    pub(super) fn push(&mut self, bytes: Bytes, now: Instant) -> Result<Fed, StreamError> {
        let fed = self.scanner.feed(&bytes);
        self.window.push(bytes);
        if fed.is_ok() {
            self.tick(now);
        }
        fed
    }

    /// Notes that the end was reached by now.
    pub(super) fn tick(&mut self, now: Instant) {
        self.timeline.reached(self.scanner.unit_end(), now);
    }

    /// The stream goes on after the boundary `at`, whatever had been received beyond it.
    pub(super) fn restart(&mut self, at: Offset) {
        self.scanner = UnitScanner::new(at, self.scanner.selected_db());
        if at == self.end() {
            return;
        }
        self.window.truncate(at.get());
        if self.end() != at {
            self.window = Window::at(at.get());
        }
        self.timeline.clear();
    }

    /// Bytes after `from` up to `upto`; `None` where memory no longer reaches back to `from`.
    pub(super) fn slices(&self, from: Offset, upto: Offset, bytes_max: u64) -> Option<Vec<Bytes>> {
        self.window.slices(from.get(), upto.get(), bytes_max)
    }

    /// Drops the oldest chunks while more than `bytes_max` are held, but nothing that reaches past `keep_from`.
    pub(super) fn shrink(&mut self, bytes_max: u64, keep_from: Offset) {
        self.window.shrink(bytes_max, keep_from.get());
    }

    /// For how long somebody who has applied `applied` has been missing the byte after it.
    pub(super) fn lag(&self, applied: Offset, now: Instant) -> Duration {
        self.timeline.lag(applied, self.unit_end(), now)
    }
}
