//! A replica node that is away for a long stretch of stream comes back with a partial resync, fed from the gateway's
//! disk, while the gateway's memory stays bounded.

use std::time::Instant;

use anyhow::Result;
use sterna_testkit::fill::stream_sets;

use crate::gateway::{Gateway, node, primary, wait_equal};
use crate::print;

/// The part of the gateway's memory that is configured.
const TAIL: &str = "16MiB";

pub(crate) fn run(bytes: u64) -> Result<()> {
    let (primary, mut target) = (primary()?, node()?);
    let gateway = Gateway::start(&primary, &target, &["--tail-bytes", TAIL])?;
    let (mut here, mut there) = (primary.client(), target.client());
    wait_equal(&mut here, &mut there)?;
    target.stop_gracefully(true)?;
    let filled = stream_sets(&mut here, bytes, 1000)?;
    print(&format!(
        "away for {} bytes of stream, written in {:.1} s",
        filled.bytes,
        filled.took.as_secs_f64()
    ));
    let started = Instant::now();
    target.restart()?;
    let mut there = target.client();
    wait_equal(&mut here, &mut there)?;
    let seconds = started.elapsed().as_secs_f64();
    let full_syncs = here.info_field("stats", "sync_full")?;
    let resident = gateway.process.peak_rss_bytes()?;
    print(&format!(
        "back in {seconds:.1} s; full syncs at the primary in all: {full_syncs} (1 is the first copy)"
    ));
    print(&format!(
        "gateway's peak resident memory: {:.1} MiB, of which the tail may be {TAIL}",
        mib(resident)
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
