//! Catch-up: 400 MB of stream wait at the primary; how long until the replica has them?
//!
//! Both sides are stopped the same way (SIGSTOP) while the stream is written, and the time runs from SIGCONT.

use std::time::Instant;

use anyhow::Result;
use sterna_testkit::fill::stream_sets;
use sterna_testkit::{Client, Server};

use crate::gateway::{Gateway, node, offset, primary, wait_equal};
use crate::print;
use crate::stats::{median, ratios, spread};

/// Bytes of stream to catch up.
const STREAM_BYTES: u64 = 400_000_000;
/// Value size that makes a SET 144 bytes of stream.
const VALUE_BYTES: usize = 100;

pub(crate) fn run(runs: usize) -> Result<()> {
    let (mut native, mut ours, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        native.push(native_run()?);
        let (seconds, cpu_per_gib) = gateway_run()?;
        ours.push(seconds);
        cpu.push(cpu_per_gib);
    }
    let pairs = ratios(&ours, &native);
    print("catch-up of 400 MB of 144-byte SETs, seconds: median (min..max)");
    print(&format!("  native   {}", spread(&native)));
    print(&format!("  sterna   {}", spread(&ours)));
    print(&format!(
        "  ratio    {} (pairwise); of medians {:.3}",
        spread(&pairs),
        median(&ours) / median(&native)
    ));
    print(&format!(
        "  gateway  {} s of processor time per GiB",
        spread(&cpu)
    ));
    Ok(())
}

fn native_run() -> Result<f64> {
    let primary = primary()?;
    let replica = Server::builder().replica_of(&primary).start()?;
    let (mut here, mut there) = (primary.client(), replica.client());
    wait_equal(&mut here, &mut there)?;
    replica.pause()?;
    let end = write(&mut here)?;
    let started = Instant::now();
    replica.resume()?;
    reached(&mut there, end)?;
    Ok(started.elapsed().as_secs_f64())
}

fn gateway_run() -> Result<(f64, f64)> {
    let (primary, target) = (primary()?, node()?);
    let gateway = Gateway::start(&primary, &target, &[])?;
    let (mut here, mut there) = (primary.client(), target.client());
    wait_equal(&mut here, &mut there)?;
    gateway.process.pause()?;
    let begin = offset(&mut here)?;
    let end = write(&mut here)?;
    let cpu_before = gateway.process.cpu_seconds()?;
    let started = Instant::now();
    gateway.process.resume()?;
    reached(&mut there, end)?;
    let seconds = started.elapsed().as_secs_f64();
    let cpu = gateway.process.cpu_seconds()? - cpu_before;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a benchmark")]
    let gib = (end - begin) as f64 / f64::from(1 << 30);
    Ok((seconds, cpu / gib))
}

fn write(primary: &mut Client) -> Result<u64> {
    stream_sets(primary, STREAM_BYTES, VALUE_BYTES)?;
    offset(primary)
}

/// Waits by asking the replica itself, so that the wait costs little.
fn reached(replica: &mut Client, end: u64) -> Result<()> {
    let deadline = Instant::now() + crate::gateway::DEADLINE;
    loop {
        if offset(replica)? >= end {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "the replica did not reach offset {end}"
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "the replica can't announce that it reached an offset"
        )]
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
