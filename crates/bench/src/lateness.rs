//! Lateness: at 10,000 writes a second, how much later than a native replica does a replica behind the gateway see a
//! write?
//!
//! One primary has both at once. Every tenth write is a PUBLISH, which travels in the replication stream; a
//! subscriber at each replica notes when it arrives. The difference is taken message by message.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sterna_testkit::{Client, Server};

use crate::gateway::{Gateway, node, primary, wait_equal};
use crate::print;
use crate::stats::quantile;

const WRITES_PER_SECOND: u32 = 10_000;
const SECONDS: u32 = 10;
/// One write in so many is a PUBLISH.
const PUBLISH_EVERY: u32 = 10;
/// Writes are sent in bursts of this, paced by the clock.
const BURST: u32 = 10;

pub(crate) fn run(runs: usize) -> Result<()> {
    let (mut medians, mut tails, mut natives) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let (native, differences) = measure()?;
        natives.push(quantile(&native, 0.5));
        medians.push(quantile(&differences, 0.5));
        tails.push(quantile(&differences, 0.999));
    }
    print("lateness at 10,000 writes/s, milliseconds after the native replica: median of runs (min..max)");
    print(&format!(
        "  native's own delay from the write, median   {}",
        crate::stats::spread(&natives)
    ));
    print(&format!(
        "  sterna later by, median                     {}",
        crate::stats::spread(&medians)
    ));
    print(&format!(
        "  sterna later by, p99.9                      {}",
        crate::stats::spread(&tails)
    ));
    Ok(())
}

/// Delays of the native replica, and by how much the other one was later, in milliseconds.
fn measure() -> Result<(Vec<f64>, Vec<f64>)> {
    let (primary, target) = (primary()?, node()?);
    let native = Server::builder().replica_of(&primary).start()?;
    let _gateway = Gateway::start(&primary, &target, &[])?;
    let mut writer = primary.client();
    wait_equal(&mut writer, &mut target.client())?;
    wait_equal(&mut writer, &mut native.client())?;
    let count = WRITES_PER_SECOND * SECONDS / PUBLISH_EVERY;
    let epoch = Instant::now();
    let listeners = [&native, &target].map(|server| listen(server.client(), count, epoch));
    let listeners = listeners.into_iter().collect::<Result<Vec<_>>>()?;
    let sent = write(&mut writer, epoch)?;
    let mut arrived = Vec::new();
    for listener in listeners {
        arrived.push(
            listener
                .join()
                .map_err(|_| anyhow::anyhow!("a subscriber panicked"))??,
        );
    }
    let delays = arrived[0]
        .iter()
        .zip(&sent)
        .map(|(seen, sent)| seen - sent)
        .collect();
    let differences = arrived[1]
        .iter()
        .zip(&arrived[0])
        .map(|(ours, native)| ours - native)
        .collect();
    Ok((delays, differences))
}

fn listen(mut client: Client, count: u32, epoch: Instant) -> Result<thread::JoinHandle<Result<Vec<f64>>>> {
    client.set_timeout(Duration::from_secs(60))?;
    client.cmd(&["SUBSCRIBE", "bench"])?;
    Ok(thread::spawn(move || {
        (0..count)
            .map(|_| {
                client.receive().context("a published message")?;
                Ok(epoch.elapsed().as_secs_f64() * 1e3)
            })
            .collect()
    }))
}

/// When each message was published, in milliseconds since the epoch of the run.
fn write(client: &mut Client, epoch: Instant) -> Result<Vec<f64>> {
    let mut sent = Vec::new();
    let begin = Instant::now();
    let value = "x".repeat(100);
    for write in 0..WRITES_PER_SECOND * SECONDS {
        if write % BURST == 0 {
            client.flush()?;
            for _ in 0..BURST.min(write) {
                client.receive()?;
            }
            let due = begin + Duration::from_secs(1) / WRITES_PER_SECOND * write;
            #[expect(clippy::disallowed_methods, reason = "a paced load")]
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        if write % PUBLISH_EVERY == 0 {
            client.send(&["PUBLISH", "bench", "x"]);
            sent.push(epoch.elapsed().as_secs_f64() * 1e3);
        } else {
            client.send(&["SET", &format!("key:{}", write % 50_000), &value]);
        }
    }
    client.flush()?;
    for _ in 0..BURST {
        client.receive()?;
    }
    Ok(sent)
}
