//! The client that stays with the old primary: it never asks anybody, and sends on without waiting for answers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::BytesMut;
use sterna_node::NodeAddress;
use sterna_protocol::resp::ReplyReader;
use tokio::io::AsyncReadExt as _;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::claim::DEADLINE;
use super::fill::connect;
use super::mix::Batch;

/// The keys that it writes.
pub(super) const PREFIX: &str = "direct:";
/// One write each.
const TICK: Duration = Duration::from_millis(5);
/// So many may be without an answer: they fit into the socket of a server that does not read.
const UNANSWERED_MAX: u64 = 600;

/// What came of its writes.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    /// How many it sent.
    pub(super) sent: u64,
    /// The numbers of those that were acknowledged.
    pub(super) acknowledged: Vec<u64>,
    /// How many were refused.
    pub(super) refused: u64,
    /// The first refusal, in the server's words.
    pub(super) refusal: Option<String>,
}

impl Answers {
    fn answered(&self) -> u64 {
        self.acknowledged.len() as u64 + self.refused
    }

    fn unanswered(&self) -> u64 {
        self.sent - self.answered()
    }
}

/// The running client; it ends when the value goes.
#[derive(Debug)]
pub(super) struct Straggler {
    answers: Arc<watch::Sender<Answers>>,
    link: Arc<OwnedWriteHalf>,
    stop: watch::Sender<bool>,
    tasks: [JoinHandle<anyhow::Result<()>>; 2],
}

impl Straggler {
    /// Connects to a node and begins.
    pub(super) async fn start(node: &NodeAddress) -> anyhow::Result<Self> {
        let (read, write) = connect(node).await?.into_split();
        let (link, answers) = (Arc::new(write), Arc::new(watch::Sender::new(Answers::default())));
        let (stop, stopped) = watch::channel(false);
        let tasks = [
            tokio::spawn(keep_sending(link.clone(), answers.clone(), stopped)),
            tokio::spawn(receive(read, answers.clone())),
        ];
        Ok(Self {
            answers,
            link,
            stop,
            tasks,
        })
    }

    /// Sends so many writes at once. They are in the server's socket when this returns.
    pub(super) fn burst(&self, writes: u64) -> anyhow::Result<()> {
        send(&self.link, &self.answers, writes)
    }

    /// Waits until so many writes in all are acknowledged.
    pub(super) async fn acknowledged(&self, writes: usize) -> anyhow::Result<()> {
        self.wait("the direct client's writes are acknowledged", |answers| {
            answers.acknowledged.len() >= writes
        })
        .await
    }

    /// Sends no more, and waits until everything is answered.
    pub(super) async fn stop(mut self) -> anyhow::Result<Answers> {
        self.stop.send_replace(true);
        (&mut self.tasks[0]).await??;
        self.wait("everything that the direct client sent is answered", |answers| {
            answers.unanswered() == 0
        })
        .await?;
        Ok(self.answers.borrow().clone())
    }

    async fn wait(&self, what: &str, holds: impl FnMut(&Answers) -> bool) -> anyhow::Result<()> {
        let mut answers = self.answers.subscribe();
        let waited = timeout(DEADLINE, answers.wait_for(holds)).await;
        waited
            .with_context(|| {
                format!(
                    "a claim of the demo does not hold: within {} s {what}",
                    DEADLINE.as_secs()
                )
            })?
            .map(drop)
            .context("the direct client has ended, which is a defect of the demo")
    }
}

impl Drop for Straggler {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn keep_sending(
    link: Arc<OwnedWriteHalf>,
    answers: Arc<watch::Sender<Answers>>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        ticks.tick().await;
        if answers.borrow().unanswered() < UNANSWERED_MAX {
            send(&link, &answers, 1)?;
        }
    }
    Ok(())
}

fn send(link: &OwnedWriteHalf, answers: &watch::Sender<Answers>, writes: u64) -> anyhow::Result<()> {
    let mut batch = Batch::default();
    answers.send_modify(|answers| {
        for _ in 0..writes {
            answers.sent += 1;
            batch.words(&format!("SET {PREFIX}{} straggler", answers.sent));
        }
    });
    let written = link
        .try_write(&batch.bytes)
        .context("the direct client can't write to the old primary")?;
    anyhow::ensure!(
        written == batch.bytes.len(),
        "the socket of the direct client is full"
    );
    Ok(())
}

/// Answers come in the order of the writes.
async fn receive(mut from: OwnedReadHalf, answers: Arc<watch::Sender<Answers>>) -> anyhow::Result<()> {
    let mut reader = ReplyReader::new();
    let mut input = BytesMut::new();
    loop {
        while let Some(answer) = reader.feed(&mut input)? {
            answers.send_modify(|answers| {
                let number = answers.answered() + 1;
                match answer.as_error() {
                    None => answers.acknowledged.push(number),
                    Some(error) => {
                        answers.refused += 1;
                        answers.refusal.get_or_insert_with(|| error.into_owned());
                    }
                }
            });
        }
        let read = from.read_buf(&mut input).await?;
        anyhow::ensure!(read > 0, "the old primary closed the direct client's connection");
    }
}
