//! The thread behind a writer: pace, counters, end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Rate;
use crate::wait::try_wait_until;
use crate::workload::run::kind_of;

/// Pause after a refusal or a lost connection.
const RETRY_AFTER: Duration = Duration::from_millis(5);

/// What became of a step.
pub(super) enum Outcome {
    Acknowledged,
    Refused(String),
    Lost(String),
}

#[derive(Debug)]
pub(super) struct Background {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    counters: Mutex<Counters>,
    /// Wakes the thread out of a pause when it is to stop.
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct Counters {
    acknowledged: u64,
    errors: BTreeMap<String, u64>,
    last: Option<Instant>,
    longest_gap: Duration,
}

impl Background {
    /// Calls `step` at the given rate until it is stopped or `steps_max` is reached.
    pub(super) fn start(
        mut step: impl FnMut() -> Outcome + Send + 'static,
        rate: Rate,
        steps_max: u64,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let inner = Arc::clone(&shared);
        let thread = thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let start = Instant::now();
            for number in 0..steps_max {
                if let Rate::PerSecond(rate) = rate {
                    let due = Duration::from_micros(number * 1_000_000 / u64::from(rate.max(1)));
                    inner.pause(due.saturating_sub(start.elapsed()));
                }
                if inner.stop.load(Ordering::Acquire) {
                    return;
                }
                if !inner.count(step()) {
                    inner.pause(RETRY_AFTER);
                }
            }
        })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.shared.lock().acknowledged
    }

    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.lock().errors.clone()
    }

    pub(super) fn longest_gap(&self) -> Duration {
        let counters = self.shared.lock();
        counters
            .longest_gap
            .max(counters.last.map(|last| last.elapsed()).unwrap_or_default())
    }

    pub(super) fn wait_acknowledged(&self, more: u64, deadline: Duration) -> Result<()> {
        let wanted = self.acknowledged() + more;
        try_wait_until(deadline, &format!("{wanted} acknowledged writes"), || {
            let counters = self.shared.lock();
            if counters.acknowledged >= wanted {
                return Ok(());
            }
            Err(format!("{} and {:?}", counters.acknowledged, counters.errors))
        })
    }

    pub(super) fn stop(&self) -> Result<()> {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.stopped.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        // From here on nothing is expected, so the gap ends here.
        let gap = self.longest_gap();
        self.shared.lock().longest_gap = gap;
        let joined = thread.join().map_err(|_| anyhow!("the writer panicked"));
        self.shared.lock().last = None;
        joined
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.stopped.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pause(&self, time: Duration) {
        let running = |_: &mut Counters| !self.stop.load(Ordering::Acquire);
        drop(
            self.stopped
                .wait_timeout_while(self.lock(), time, running)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Whether the step was acknowledged.
    fn count(&self, outcome: Outcome) -> bool {
        let mut counters = self.lock();
        match outcome {
            Outcome::Acknowledged => {
                let now = Instant::now();
                let gap = counters.last.map(|last| now - last).unwrap_or_default();
                counters.longest_gap = counters.longest_gap.max(gap);
                counters.last = Some(now);
                counters.acknowledged += 1;
                true
            }
            Outcome::Refused(text) | Outcome::Lost(text) => {
                *counters.errors.entry(kind_of(&text)).or_default() += 1;
                false
            }
        }
    }
}
