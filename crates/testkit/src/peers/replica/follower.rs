//! A scripted replica that goes on in the background.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use super::{Pace, Received, ScriptedReplica};
use crate::wait::{pause_for, try_wait_until};

/// How often a replica acknowledges by itself.
const ACK_EVERY: Duration = Duration::from_secs(1);
/// How soon a follower notices what it is told.
const TICK: Duration = Duration::from_millis(5);
/// `REPLCONF GETACK *` is answered at once.
const GETACK: &[u8] = b"GETACK";

/// What a follower acknowledges, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// What it holds, once a second and when asked, as a real replica does.
    Real,
    /// Always the same offset, once a second and when asked.
    Fixed(u64),
    /// Nothing.
    Silent,
}

/// A replica that reads in the background.
#[derive(Debug)]
pub struct Follower {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<(ScriptedReplica, Result<()>)>>,
}

#[derive(Debug)]
struct Shared {
    offset: AtomicU64,
    stop: AtomicBool,
    acks: Mutex<Acks>,
    bytes_per_second: Mutex<Option<u64>>,
}

impl Follower {
    pub(super) fn start(replica: ScriptedReplica, acks: Acks, bytes_per_second: Option<u64>) -> Self {
        let shared = Arc::new(Shared {
            offset: AtomicU64::new(replica.offset()),
            stop: AtomicBool::new(false),
            acks: Mutex::new(acks),
            bytes_per_second: Mutex::new(bytes_per_second),
        });
        let inner = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let mut replica = replica;
            let outcome = follow(&mut replica, &inner);
            (replica, outcome)
        });
        Self {
            shared,
            thread: Some(thread),
        }
    }

    /// The offset that it holds.
    pub fn offset(&self) -> u64 {
        self.shared.offset.load(Ordering::Acquire)
    }

    /// Waits until it holds `offset`.
    pub fn wait_offset(&self, offset: u64, deadline: Duration) -> Result<()> {
        try_wait_until(deadline, &format!("the follower to hold offset {offset}"), || {
            let held = self.offset();
            if held >= offset {
                Ok(())
            } else {
                Err(format!("offset {held}"))
            }
        })
    }

    /// Acknowledges otherwise from now on.
    pub fn set_acks(&self, acks: Acks) {
        *lock(&self.shared.acks) = acks;
    }

    /// Reads at another pace from now on; `Some(0)` is not at all.
    pub fn set_pace(&self, bytes_per_second: Option<u64>) {
        *lock(&self.shared.bytes_per_second) = bytes_per_second;
    }

    /// Whether it is still connected and reading.
    pub fn is_following(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops reading and hands the connection back, with all it has received; an error when it was cut.
    pub fn stop(self) -> Result<ScriptedReplica> {
        let (replica, outcome) = self.end()?;
        outcome.map(|()| replica)
    }

    /// Stops reading; all that has come, also when the connection was cut.
    pub fn received(self) -> Result<Received> {
        Ok(self.end()?.0.received)
    }

    fn end(mut self) -> Result<(ScriptedReplica, Result<()>)> {
        self.shared.stop.store(true, Ordering::Release);
        let thread = self.thread.take().context("it was stopped")?;
        thread.join().map_err(|_| anyhow!("the follower panicked"))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
    }
}

fn follow(replica: &mut ScriptedReplica, shared: &Shared) -> Result<()> {
    let mut pace = (None, Pace::new(None), 0);
    let mut acked = Instant::now();
    while !shared.stop.load(Ordering::Acquire) {
        let rate = *lock(&shared.bytes_per_second);
        if rate != pace.0 {
            pace = (rate, Pace::new(rate), replica.received.stream.len());
        }
        let mut wanted = false;
        let ahead = pace.1.ahead(replica.received.stream.len() - pace.2);
        if rate == Some(0) || !ahead.is_zero() {
            pause_for(ahead.max(Duration::from_millis(1)).min(TICK));
        } else {
            wanted = read(replica, &pace.1)?;
            shared.offset.store(replica.offset(), Ordering::Release);
        }
        if wanted || acked.elapsed() >= ACK_EVERY {
            acked = Instant::now();
            match *lock(&shared.acks) {
                Acks::Real => replica.ack(replica.offset())?,
                Acks::Fixed(offset) => replica.ack(offset)?,
                Acks::Silent => {}
            }
        }
    }
    Ok(())
}

/// Reads once; whether an acknowledgement was asked for.
fn read(replica: &mut ScriptedReplica, pace: &Pace) -> Result<bool> {
    if replica.wire.pending().is_empty() {
        replica.fill_stream(TICK)?;
    }
    // The word may have come in two parts.
    let before = replica.received.stream.len().saturating_sub(GETACK.len() - 1);
    let bytes = replica.wire.take(pace.chunk_bytes());
    replica.received.stream.extend_from_slice(&bytes);
    Ok(replica.received.stream[before..]
        .windows(GETACK.len())
        .any(|window| window == GETACK))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
