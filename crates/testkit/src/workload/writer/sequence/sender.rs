//! The threads behind the writer: which numbers are due, and one connection each to send them on.

use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::ledger::{Acknowledged, Ledger};
use super::{Rate, SequenceOptions};
use crate::client::{Client, Reply};
use crate::workload::writer::is_refusal;

/// Pause of a connection after anything went wrong on it.
const RETRY_AFTER: Duration = Duration::from_millis(5);
/// A connection looks for due numbers this often at most, so that fast writers wake up for a few numbers and not for
/// each.
const TICK: Duration = Duration::from_millis(2);

/// What the connections of a writer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) options: SequenceOptions,
    start: Instant,
    /// The next number that nobody has taken.
    next: Mutex<u64>,
    ledger: Mutex<Ledger>,
    stopping: Mutex<bool>,
    /// Wakes connections out of a pause when they are to stop.
    stopped: Condvar,
}

impl Shared {
    pub(super) fn new(options: SequenceOptions) -> Self {
        Self {
            options,
            start: Instant::now(),
            next: Mutex::default(),
            ledger: Mutex::default(),
            stopping: Mutex::default(),
            stopped: Condvar::new(),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        self.ledger().end(Instant::now());
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }

    /// The life of a connection, or of as many as it takes: sends numbers until there are no more.
    pub(super) fn send_all(&self, connect: &impl Fn() -> Result<Client>) {
        let mut client = None;
        while let Some(numbers) = self.take() {
            let taken = Instant::now();
            let connected = match client.take() {
                Some(connected) => Ok(connected),
                None => self.connect(connect),
            };
            let answered = connected
                .map_err(|error| {
                    self.fail(numbers.clone(), &error, taken);
                })
                .and_then(|connected| self.send(connected, numbers, taken));
            match answered {
                Ok(connected) => client = Some(connected),
                Err(()) => drop(self.pause(RETRY_AFTER)),
            }
        }
    }

    /// Waits for numbers that are due; none when it is over.
    fn take(&self) -> Option<Range<u64>> {
        let mut wait = Duration::ZERO;
        while !self.pause(wait) {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            if *next >= self.options.writes_max {
                self.ledger().end(Instant::now());
                return None;
            }
            let elapsed = self.start.elapsed();
            let due = self.due(elapsed).min(self.options.writes_max);
            let count = due
                .saturating_sub(*next)
                .min(self.options.batch_max.max(1).into());
            if count > 0 {
                let first = *next;
                *next += count;
                return Some(first..*next);
            }
            wait = self.due_at(*next).saturating_sub(elapsed).max(TICK);
        }
        None
    }

    /// How many numbers are due by then.
    fn due(&self, elapsed: Duration) -> u64 {
        let Rate::PerSecond(rate) = self.options.rate else {
            return u64::MAX;
        };
        let due = elapsed.as_micros() * u128::from(rate.max(1)) / 1_000_000 + 1;
        u64::try_from(due).unwrap_or(u64::MAX)
    }

    fn due_at(&self, number: u64) -> Duration {
        let Rate::PerSecond(rate) = self.options.rate else {
            return Duration::ZERO;
        };
        let micros = u128::from(number) * 1_000_000 / u128::from(rate.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn connect(&self, connect: &impl Fn() -> Result<Client>) -> Result<Client> {
        let client = connect()?;
        if let Some(timeout) = self.options.timeout {
            client.set_timeout(timeout)?;
        }
        Ok(client)
    }

    /// Writes the numbers; the connection, when it may be used further.
    fn send(&self, mut client: Client, numbers: Range<u64>, taken: Instant) -> Result<Client, ()> {
        let by = client.peer();
        for number in numbers.clone() {
            let value = number.to_string();
            client.send(&["SET", &format!("{}:{value}", self.options.prefix), &value]);
        }
        if let Err(error) = client.flush() {
            self.fail(numbers, &error, taken);
            return Err(());
        }
        let mut usable = true;
        for number in numbers.clone() {
            let rest = number..numbers.end;
            match client.receive() {
                Ok(Reply::Simple(_)) => {
                    // The time is taken under the lock: so answers stand in its order.
                    let mut ledger = self.ledger();
                    let at = Instant::now();
                    ledger.acknowledge(Acknowledged { number, at, by }, at - taken);
                }
                // A server that refuses may have become a replica: the next connection may lead elsewhere. The rest of
                // the batch has an answer too.
                Ok(Reply::Error(text)) if is_refusal(&text) => {
                    self.ledger().fail(number..number + 1, &text, taken.elapsed());
                    usable = false;
                }
                Ok(reply) => {
                    self.fail(rest, &anyhow!("odd reply {reply:?}"), taken);
                    return Err(());
                }
                Err(error) => {
                    self.fail(rest, &error, taken);
                    return Err(());
                }
            }
        }
        if usable { Ok(client) } else { Err(()) }
    }

    fn fail(&self, numbers: Range<u64>, error: &anyhow::Error, taken: Instant) {
        self.ledger()
            .fail(numbers, &format!("{error:#}"), taken.elapsed());
    }

    /// Waits so long, or until it is to stop: whether it is.
    fn pause(&self, time: Duration) -> bool {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopping, _) = self
            .stopped
            .wait_timeout_while(stopping, time, |stopping| !*stopping)
            .unwrap_or_else(PoisonError::into_inner);
        *stopping
    }
}
