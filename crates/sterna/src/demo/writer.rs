//! The application: it writes numbered orders one by one, and follows the primary through discovery.
//!
//! It knows nothing of sites. After any error it asks discovery again, as a Sentinel-aware client library does, and it
//! never sends an order a second time: each is acknowledged, refused, or was never answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sterna_node::{Client, NodeAddress};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::claim::DEADLINE;
use super::discovery;

/// The keys that it writes.
pub(super) const PREFIX: &str = "order:";
/// It aims at one order each...
const TICK: Duration = Duration::from_millis(1);
/// ...and after an error it tries again after this.
const RETRY: Duration = Duration::from_millis(10);
const VALUE_BYTES: usize = 200;

/// What it has done so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The numbers of acknowledged orders.
    pub(super) acknowledged: Vec<u64>,
    /// Orders that a server refused, as a replica does.
    pub(super) refused: u64,
    /// Orders that were sent and never answered: nobody knows.
    pub(super) unanswered: u64,
    /// The longest time between two acknowledgements since it was last set to zero.
    pub(super) longest_gap: Duration,
    /// The last acknowledgement: when, and by whom.
    pub(super) last: Option<(Instant, NodeAddress)>,
}

/// The running application; it ends when the value goes.
#[derive(Debug)]
pub(super) struct Writer {
    progress: Arc<watch::Sender<Progress>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Writer {
    /// Begins.
    pub(super) fn start(discovery: &NodeAddress) -> Self {
        let progress = Arc::new(watch::Sender::new(Progress::default()));
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(write(discovery.clone(), progress.clone(), stopped));
        Self { progress, stop, task }
    }

    /// What it has done so far.
    pub(super) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Measures the longest gap anew.
    pub(super) fn reset_gap(&self) {
        self.progress
            .send_modify(|progress| progress.longest_gap = Duration::ZERO);
    }

    /// Waits until so many more orders are acknowledged.
    pub(super) async fn more(&self, orders: usize) -> anyhow::Result<()> {
        let goal = self.progress.borrow().acknowledged.len() + orders;
        self.wait(&format!("{orders} more orders are acknowledged"), |progress| {
            progress.acknowledged.len() >= goal
        })
        .await
    }

    /// Waits for the first order that another node acknowledges; returns when that was.
    pub(super) async fn acknowledged_elsewhere(&self, than: &NodeAddress) -> anyhow::Result<Instant> {
        self.wait("an order is acknowledged by another node", |progress| {
            progress.last.as_ref().is_some_and(|(_, node)| node != than)
        })
        .await?;
        let progress = self.progress.borrow();
        Ok(progress.last.as_ref().context("it was there")?.0)
    }

    async fn wait(&self, what: &str, holds: impl FnMut(&Progress) -> bool) -> anyhow::Result<()> {
        let mut progress = self.progress.subscribe();
        let waited = timeout(DEADLINE, progress.wait_for(holds)).await;
        waited
            .with_context(|| {
                format!(
                    "a claim of the demo does not hold: within {} s {what}",
                    DEADLINE.as_secs()
                )
            })?
            .map(drop)
            .context("the application has ended, which is a defect of the demo")
    }

    /// Stops it after the order under way.
    pub(super) async fn stop(mut self) -> anyhow::Result<Progress> {
        self.stop.send_replace(true);
        (&mut self.task).await?;
        Ok(self.progress())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(
    discovery: NodeAddress,
    progress: Arc<watch::Sender<Progress>>,
    stopped: watch::Receiver<bool>,
) {
    let mut link: Option<Client> = None;
    let mut number = 0;
    let value = "x".repeat(VALUE_BYTES);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        ticks.tick().await;
        let connected = match link.take() {
            Some(client) => Ok(client),
            None => discovery::connect(&discovery).await,
        };
        let Ok(mut client) = connected else {
            sleep(RETRY).await;
            continue;
        };
        number += 1;
        let key = format!("{PREFIX}{number}");
        let answer = client.ask(&["SET", &key, &value]).await;
        let now = Instant::now();
        match answer {
            Ok(answer) if answer.as_text() == Some("OK") => {
                let node = client.address().clone();
                link = Some(client);
                progress.send_modify(|progress| {
                    if let Some((before, _)) = progress.last {
                        progress.longest_gap = progress.longest_gap.max(now - before);
                    }
                    progress.acknowledged.push(number);
                    progress.last = Some((now, node));
                });
            }
            Ok(_) => {
                progress.send_modify(|progress| progress.refused += 1);
                sleep(RETRY).await;
            }
            Err(_) => progress.send_modify(|progress| progress.unanswered += 1),
        }
    }
}
