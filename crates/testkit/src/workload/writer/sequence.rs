//! A writer that knows of each of its writes when and by whom it was acknowledged: for counting what a failover loses,
//! and how long it takes.
//!
//! It behaves as an application does whose client library follows a change of primary: whatever goes wrong, it asks
//! anew where to connect to, and goes on with the next number. No number is written twice.

mod ledger;
mod sender;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Rate;
use crate::client::Client;
use crate::wait::try_wait_until;
pub use ledger::Acknowledged;
use sender::Shared;

/// Keys that are asked for in one pipeline.
const BATCH: usize = 1000;

/// How a [`SequenceWriter`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceOptions {
    /// What its keys begin with.
    pub prefix: String,
    /// How many numbers become due. Numbers that were due while every connection was waiting are made up for.
    pub rate: Rate,
    /// How many numbers in all.
    pub writes_max: u64,
    /// How many connections share the numbers, each on a thread of its own.
    pub connections: u32,
    /// How many numbers a connection takes and sends at once, if so many are due.
    pub batch_max: u32,
    /// How long a connection waits for an answer before the write counts as failed; none leaves it to what `connect`
    /// has set. A server that hangs is left only after this, so an outage is seen longer by up to as much.
    pub timeout: Option<Duration>,
}

impl SequenceOptions {
    /// One connection that writes number by number, each after the answer to the one before, without end.
    pub fn new(prefix: &str, rate: Rate) -> Self {
        Self {
            prefix: prefix.to_owned(),
            rate,
            writes_max: u64::MAX,
            connections: 1,
            batch_max: 1,
            timeout: None,
        }
    }

    /// Load of so many writes per second, which become due whatever became of the ones before: over four connections,
    /// in batches of what is due (a few, unless it falls behind), with half a second for an answer.
    pub fn load(prefix: &str, per_second: u32) -> Self {
        Self {
            connections: 4,
            batch_max: 64,
            timeout: Some(Duration::from_millis(500)),
            ..Self::new(prefix, Rate::PerSecond(per_second))
        }
    }
}

/// Writes `<prefix>:<n>` = `n` for n from 0 on, each once.
#[derive(Debug)]
pub struct SequenceWriter {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SequenceWriter {
    /// Starts in the background, one number after the other; ends when stopped or after `writes_max`.
    pub fn spawn(
        prefix: &str,
        connect: impl Fn() -> Result<Client> + Send + Sync + 'static,
        rate: Rate,
        writes_max: u64,
    ) -> Result<Self> {
        let options = SequenceOptions {
            writes_max,
            ..SequenceOptions::new(prefix, rate)
        };
        Self::start(options, connect)
    }

    /// Starts in the background. `connect` is called for every connection, and anew after whatever went wrong on one:
    /// a lost connection, no answer in time, a refusal such as `READONLY`. It says where the primary is now.
    pub fn start(
        options: SequenceOptions,
        connect: impl Fn() -> Result<Client> + Send + Sync + 'static,
    ) -> Result<Self> {
        let connections = options.connections.max(1);
        let shared = Arc::new(Shared::new(options));
        let connect = Arc::new(connect);
        // Made first, so that threads end when a later one can't be started.
        let writer = Self {
            shared: Arc::clone(&shared),
            threads: Mutex::default(),
        };
        for number in 0..connections {
            let (shared, connect) = (Arc::clone(&shared), Arc::clone(&connect));
            let thread = thread::Builder::new()
                .name(format!("writer-{number}"))
                .spawn(move || shared.send_all(&*connect))?;
            writer
                .threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
        Ok(writer)
    }

    /// Writes acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.shared.ledger().acknowledged().len() as u64
    }

    /// Every acknowledged write so far, in the order in which the answers came.
    pub fn acknowledgements(&self) -> Vec<Acknowledged> {
        self.shared.ledger().acknowledged().to_vec()
    }

    /// The numbers that were not acknowledged so far, in no order: refused, never sent, or with an unknown end.
    pub fn failed(&self) -> Vec<u64> {
        self.shared.ledger().failed().to_vec()
    }

    /// Waits until so many more writes are acknowledged.
    pub fn wait_acknowledged(&self, more: u64, deadline: Duration) -> Result<()> {
        let wanted = self.acknowledged() + more;
        try_wait_until(deadline, &format!("{wanted} acknowledged writes"), || {
            let ledger = self.shared.ledger();
            let acknowledged = ledger.acknowledged().len() as u64;
            if acknowledged >= wanted {
                return Ok(());
            }
            Err(format!("{acknowledged} and {:?}", ledger.errors()))
        })
    }

    /// Waits for a write that `server` acknowledges after `instant`: with the instant of a fault, `at` less that is the
    /// time to recovery as a client sees it.
    pub fn wait_acknowledged_by(
        &self,
        server: SocketAddr,
        instant: Instant,
        deadline: Duration,
    ) -> Result<Acknowledged> {
        try_wait_until(deadline, &format!("a write acknowledged by {server}"), || {
            let ledger = self.shared.ledger();
            ledger
                .first_after(instant, Some(server))
                .ok_or_else(|| format!("{:?}", ledger.errors()))
        })
    }

    /// The first write acknowledged after `instant`, by whichever server: also by one that has failed since, whose
    /// answer was on its way.
    pub fn first_acknowledged_after(&self, instant: Instant) -> Option<Acknowledged> {
        self.shared.ledger().first_after(instant, None)
    }

    /// What went wrong so far, by the first words of it, with how many writes failed of it.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        self.shared.ledger().errors().clone()
    }

    /// The longest time without an acknowledged write so far: the outage as a client saw it.
    pub fn longest_gap(&self) -> Duration {
        self.shared.ledger().longest_gap(None)
    }

    /// [`SequenceWriter::longest_gap`] among the gaps that ended after `instant`.
    pub fn longest_gap_since(&self, instant: Instant) -> Duration {
        self.shared.ledger().longest_gap(Some(instant))
    }

    /// The longest that a write took to succeed or to fail so far, the time to connect included.
    pub fn slowest(&self) -> Duration {
        self.shared.ledger().slowest()
    }

    /// Stops after the writes under way.
    pub fn stop(&self) -> Result<()> {
        self.shared.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            thread.join().map_err(|_| anyhow!("the writer panicked"))?;
        }
        Ok(())
    }

    /// The acknowledged numbers that this server does not have: the writes that were lost.
    pub fn missing(&self, client: &mut Client) -> Result<Vec<u64>> {
        let acknowledged = self.acknowledgements();
        let numbers: Vec<u64> = acknowledged.iter().map(|write| write.number).collect();
        let held = self.held(&numbers, client)?;
        Ok(numbers
            .into_iter()
            .filter(|number| !held.contains(number))
            .collect())
    }

    /// The numbers that failed and that this server has all the same: writes that were done, and whose answer was lost.
    pub fn done_unanswered(&self, client: &mut Client) -> Result<Vec<u64>> {
        let held = self.held(&self.failed(), client)?;
        Ok(held.into_iter().collect())
    }

    /// Which of these numbers a server has.
    fn held(&self, numbers: &[u64], client: &mut Client) -> Result<BTreeSet<u64>> {
        let prefix = &self.shared.options.prefix;
        let mut held = BTreeSet::new();
        for batch in numbers.chunks(BATCH) {
            let gets: Vec<[String; 2]> = batch
                .iter()
                .map(|number| ["GET".to_owned(), format!("{prefix}:{number}")])
                .collect();
            for (number, reply) in batch.iter().zip(client.pipeline(&gets)?) {
                if reply.text() == number.to_string() {
                    held.insert(*number);
                }
            }
        }
        Ok(held)
    }
}

impl Drop for SequenceWriter {
    fn drop(&mut self) {
        self.shared.stop();
    }
}
