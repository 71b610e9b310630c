//! What the controls of a proxy set and its threads read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which way bytes go through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    pub(super) const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// How a connection is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// FIN
    Close = 1,
    /// RST
    Reset = 2,
}

/// What can end a connection from outside.
#[derive(Debug)]
pub(super) struct Handle {
    ending: AtomicU8,
    /// Closing it wakes whoever polls the other end.
    wake: Mutex<Option<UnixStream>>,
}

impl Handle {
    pub(super) fn new(wake: UnixStream) -> Arc<Self> {
        Arc::new(Self {
            ending: AtomicU8::new(0),
            wake: Mutex::new(Some(wake)),
        })
    }

    pub(super) fn end(&self, ending: Ending) {
        // Whoever ends it first says how.
        let _ = self
            .ending
            .compare_exchange(0, ending as u8, Ordering::AcqRel, Ordering::Acquire);
        self.wake.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ending.load(Ordering::Acquire) != 0
    }

    pub(super) fn is_reset(&self) -> bool {
        self.ending.load(Ordering::Acquire) == Ending::Reset as u8
    }
}

/// One direction over all connections.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) passed: u64,
    pub(super) corrupt_after: Option<u64>,
    pub(super) truncate_after: Option<u64>,
    /// When a throttled lane is free for the next bytes.
    free_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) target: SocketAddr,
    /// Where connections to the target come from.
    pub(super) source: Option<IpAddr>,
    pub(super) blocked: [bool; 2],
    pub(super) bytes_per_second: Option<u64>,
    pub(super) delay: Duration,
    pub(super) lanes: [Lane; 2],
    pub(super) accepted: u64,
    pub(super) open: HashMap<u64, Arc<Handle>>,
}

/// The state with the signal that it has changed.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// What a reader needs to know before each read.
#[derive(Clone, Copy)]
pub(super) struct Settings {
    bytes_per_second: Option<u64>,
    pub(super) delayed: bool,
}

impl Settings {
    /// How much to read at once: little on a slow link, which would else go in bursts.
    pub(super) fn chunk_bytes(self, most: usize) -> usize {
        let tenth = self.bytes_per_second.map_or(u64::MAX, |rate| rate / 10);
        usize::try_from(tenth).unwrap_or(most).clamp(1, most)
    }
}

/// What is to happen to a chunk.
pub(super) enum Passage {
    /// Pass all of it.
    Whole,
    /// Pass this many bytes and end the connection.
    Part(usize),
    /// The connection was ended while the chunk waited.
    Ended,
}

impl Shared {
    pub(super) fn new(target: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                target,
                source: None,
                blocked: [false; 2],
                bytes_per_second: None,
                delay: Duration::ZERO,
                lanes: [Lane::default(), Lane::default()],
                accepted: 0,
                open: HashMap::new(),
            }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Settings {
        let state = self.lock();
        Settings {
            bytes_per_second: state.bytes_per_second,
            delayed: !state.delay.is_zero(),
        }
    }

    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.notify_all();
        value
    }

    /// Tells all connections to end, and says which those were.
    pub(super) fn end_all(&self, ending: Ending) -> Vec<u64> {
        self.change(|state| {
            state.open.values().for_each(|handle| handle.end(ending));
            state.open.keys().copied().collect()
        })
    }

    /// Ends one connection, and wakes those of its threads that wait for a turn.
    pub(super) fn end(&self, handle: &Handle, ending: Ending) {
        self.change(|_| handle.end(ending));
    }

    /// Waits while the direction is blocked; false when the connection was ended meanwhile.
    pub(super) fn wait_unblocked(&self, direction: Direction, handle: &Handle) -> bool {
        let blocked = |state: &mut State| state.blocked[direction.index()] && !handle.is_ended();
        drop(
            self.changed
                .wait_while(self.lock(), blocked)
                .unwrap_or_else(PoisonError::into_inner),
        );
        !handle.is_ended()
    }

    /// Waits until a chunk that came in at `came` may go out, damages it when that is due, and counts it.
    pub(super) fn pass(
        &self,
        direction: Direction,
        handle: &Handle,
        came: Instant,
        chunk: &mut [u8],
    ) -> Passage {
        let lane = direction.index();
        let mut state = self.lock();
        let mut turn = None;
        loop {
            if handle.is_ended() {
                return Passage::Ended;
            }
            if state.blocked[lane] {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let now = Instant::now();
            // The turn in the lane is taken once; the settings may change while it is waited for.
            let free = *turn.get_or_insert_with(|| state.take_turn(lane, chunk.len(), now));
            let due = free
                .filter(|_| state.bytes_per_second.is_some())
                .unwrap_or(now)
                .max(came + state.delay);
            if due <= now {
                return state.lanes[lane].deliver(chunk);
            }
            state = self
                .changed
                .wait_timeout(state, due - now)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl State {
    /// Books the time that `bytes` take on a throttled lane; `None` when it isn't.
    fn take_turn(&mut self, lane: usize, bytes: usize, now: Instant) -> Option<Instant> {
        let rate = self.bytes_per_second?.max(1);
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate);
        let free_at = self.lanes[lane].free_at.unwrap_or(now).max(now)
            + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.lanes[lane].free_at = Some(free_at);
        Some(free_at)
    }
}

impl Lane {
    fn deliver(&mut self, chunk: &mut [u8]) -> Passage {
        let mut length = chunk.len() as u64;
        let mut passage = Passage::Whole;
        if let Some(left) = self.truncate_after {
            if left < length {
                length = left;
                self.truncate_after = None;
                passage = Passage::Part(usize::try_from(left).expect("less than the chunk's length"));
            } else {
                self.truncate_after = Some(left - length);
            }
        }
        if let Some(left) = self.corrupt_after {
            if left < length {
                chunk[usize::try_from(left).expect("less than the chunk's length")] ^= 1;
                self.corrupt_after = None;
            } else {
                self.corrupt_after = Some(left - length);
            }
        }
        self.passed += length;
        passage
    }
}
