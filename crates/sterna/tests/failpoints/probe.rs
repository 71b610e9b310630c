//! A client that stays with one node, whatever its role: it tries to write all the time, and notes when the node let it.
//!
//! Every write takes the node's own clock with it, in one transaction: all nodes of a test share that clock, so writes
//! at different nodes can be ordered by when they were executed, however late their answers came.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sterna_testkit::{Client, Reply};

/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(10);
/// It waits so long for an answer: longer than any node is frozen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A write that a node acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Write {
    /// When it was executed, in microseconds of the node's clock.
    pub(crate) at_us: u64,
    /// What was written.
    pub(crate) number: u64,
}

/// The client, in the background. Keys are `<prefix>:<n>` with the value n.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) prefix: String,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    stopping: Mutex<bool>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct Seen {
    writes: Vec<Write>,
    /// How often the node answered that `witness` is not there.
    without_witness: u64,
}

impl Probe {
    /// Starts. The key `witness` is looked for as often as a write is tried.
    pub(crate) fn start(name: &str, node: SocketAddr, witness: &str) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let prefix = format!("at-{name}");
        let (known, own_prefix, witness) = (Arc::clone(&shared), prefix.clone(), witness.to_owned());
        let thread = std::thread::Builder::new()
            .name(prefix.clone())
            .spawn(move || known.run(&own_prefix, node, &witness))?;
        Ok(Self {
            prefix,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Ends it after the write under way.
    pub(crate) fn stop(&self) -> Result<()> {
        self.shared.stop();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            Some(thread) => thread.join().map_err(|_| anyhow!("{} panicked", self.prefix)),
            None => Ok(()),
        }
    }

    /// What was acknowledged.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.shared.seen().writes.clone()
    }

    /// How often the node was seen without its data.
    pub(crate) fn without_witness(&self) -> u64 {
        self.shared.seen().without_witness
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self) {
        *self.stopping.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stopped.notify_all();
    }

    fn pause(&self) -> bool {
        let stopping = self.stopping.lock().unwrap_or_else(PoisonError::into_inner);
        let (stopping, _) = self
            .stopped
            .wait_timeout_while(stopping, PAUSE, |stopping| !*stopping)
            .unwrap_or_else(PoisonError::into_inner);
        *stopping
    }

    fn run(&self, prefix: &str, node: SocketAddr, witness: &str) {
        let mut client = None;
        for number in 0.. {
            if self.pause() {
                return;
            }
            let connected = match client.take() {
                Some(client) => Ok(client),
                None => Client::connect_within(node, PATIENCE),
            };
            client = connected
                .and_then(|mut client| {
                    self.try_once(&mut client, prefix, number, witness)?;
                    Ok(client)
                })
                .ok();
        }
    }

    fn try_once(&self, client: &mut Client, prefix: &str, number: u64, witness: &str) -> Result<()> {
        let (key, value) = (format!("{prefix}:{number}"), number.to_string());
        let commands: [&[&str]; 5] = [
            &["MULTI"],
            &["SET", &key, &value],
            &["TIME"],
            &["EXEC"],
            &["EXISTS", witness],
        ];
        let replies = client.pipeline(&commands)?;
        let (done, there) = (&replies[3], &replies[4]);
        let mut seen = self.seen();
        if there.int() == Some(0) {
            seen.without_witness += 1;
        }
        if let [Reply::Simple(_), time] = done.array() {
            let at_us = microseconds(time).with_context(|| format!("{time:?}"))?;
            seen.writes.push(Write { at_us, number });
        }
        Ok(())
    }
}

fn microseconds(time: &Reply) -> Option<u64> {
    let [seconds, micros] = time.array() else {
        return None;
    };
    let seconds: u64 = seconds.text().parse().ok()?;
    Some(seconds * 1_000_000 + micros.text().parse::<u64>().ok()?)
}
