//! The bytes in flight between a reader and a writer thread, bounded.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes in flight: room for 80 ms at 100 MB/s, and little enough for a slow link to push back.
const BYTES_MAX: usize = 8 << 20;
/// In flight without a delay, when nothing needs to be kept waiting.
const BYTES_MAX_UNDELAYED: usize = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    closed: bool,
}

impl Queue {
    /// Adds a chunk when there is room; false when the queue was closed.
    pub(super) fn push(&self, chunk: Vec<u8>, delayed: bool) -> bool {
        let limit = if delayed { BYTES_MAX } else { BYTES_MAX_UNDELAYED };
        let full = |inner: &mut Inner| inner.bytes >= limit && !inner.closed;
        let mut inner = self
            .changed
            .wait_while(self.lock(), full)
            .unwrap_or_else(PoisonError::into_inner);
        if inner.closed {
            return false;
        }
        inner.bytes += chunk.len();
        inner.chunks.push_back((Instant::now(), chunk));
        self.changed.notify_all();
        true
    }

    /// The next chunk with the time that it came in; `None` at the end.
    pub(super) fn pop(&self) -> Option<(Instant, Vec<u8>)> {
        let empty = |inner: &mut Inner| inner.chunks.is_empty() && !inner.closed;
        let mut inner = self
            .changed
            .wait_while(self.lock(), empty)
            .unwrap_or_else(PoisonError::into_inner);
        let next = inner.chunks.pop_front()?;
        inner.bytes -= next.1.len();
        self.changed.notify_all();
        Some(next)
    }

    /// Nothing more goes in; what is in still comes out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
