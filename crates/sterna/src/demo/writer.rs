//! An application that goes on writing to the primary while things break.
//!
//! It knows nothing of replication. It sends a batch every few milliseconds, waits for all its answers, and counts
//! what was acknowledged, here and in a key of the primary: what replicas hold can be compared with both. It stops
//! when it is told to, or by itself after a while.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use sterna_node::NodeAddress;
use sterna_protocol::resp::ReplyReader;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::fill::{check, connect};
use super::mix::{Batch, Live};

/// The key in which it counts.
pub(super) const COUNT_KEY: &str = "demo:commands";
/// It aims at so many commands a second.
pub(super) const COMMANDS_PER_SECOND: u64 = 5000;
/// It stops by itself after this.
const LONGEST: Duration = Duration::from_secs(90);
const TICK: Duration = Duration::from_millis(10);
const PER_TICK: u64 = COMMANDS_PER_SECOND / 100;

/// What it has done so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// Commands acknowledged by the primary.
    pub(super) commands: u64,
    /// The longest that the primary took to acknowledge a batch.
    pub(super) slowest: Duration,
    /// For how long it has been writing.
    pub(super) took: Duration,
}

/// The running writer; it ends when the value goes.
#[derive(Debug)]
pub(super) struct Writer {
    written: watch::Receiver<Written>,
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Writer {
    /// Connects and begins.
    pub(super) async fn start(primary: &NodeAddress) -> anyhow::Result<Self> {
        let stream = connect(primary).await?;
        let (publish, written) = watch::channel(Written::default());
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(write(stream, publish, stopped));
        Ok(Self { written, stop, task })
    }

    /// What it has written so far.
    pub(super) fn written(&self) -> Written {
        *self.written.borrow()
    }

    /// Waits until so many more commands were acknowledged.
    pub(super) async fn more(&mut self, commands: u64) -> anyhow::Result<()> {
        let goal = self.written().commands + commands;
        self.written
            .wait_for(|written| written.commands >= goal)
            .await
            .map(drop)
            .context("the writer has stopped, because of an error or because the demo takes too long")
    }

    /// Stops it after the batch under way.
    pub(super) async fn stop(mut self) -> anyhow::Result<Written> {
        self.stop.send_replace(true);
        (&mut self.task).await??;
        Ok(self.written())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(
    mut stream: TcpStream,
    publish: watch::Sender<Written>,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut data = Live::new();
    let mut batch = Batch::default();
    let mut reader = ReplyReader::new();
    let mut input = BytesMut::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() && started.elapsed() < LONGEST {
        ticks.tick().await;
        batch.clear();
        while batch.commands < PER_TICK {
            data.push(&mut batch);
        }
        let commands = batch.commands + 1;
        batch.words(&format!("INCRBY {COUNT_KEY} {commands}"));
        let sent = Instant::now();
        stream.write_all(&batch.bytes).await?;
        for _ in 0..commands {
            check(&next(&mut stream, &mut reader, &mut input).await?)?;
        }
        publish.send_modify(|written| {
            written.commands += commands;
            written.slowest = written.slowest.max(sent.elapsed());
            written.took = started.elapsed();
        });
    }
    Ok(())
}

async fn next(
    stream: &mut TcpStream,
    reader: &mut ReplyReader,
    input: &mut BytesMut,
) -> anyhow::Result<sterna_protocol::resp::Value> {
    loop {
        if let Some(answer) = reader.feed(input)? {
            return Ok(answer);
        }
        let read = stream.read_buf(input).await?;
        anyhow::ensure!(read > 0, "the primary closed the connection");
    }
}
