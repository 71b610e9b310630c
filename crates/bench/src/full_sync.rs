//! Full sync of a million keys: from the command to a replica that has everything.

use std::time::Instant;

use anyhow::Result;
use sterna_testkit::Server;
use sterna_testkit::fill::fill_keys;

use crate::gateway::{Gateway, node, primary, wait_equal};
use crate::print;
use crate::stats::{median, ratios, spread};

const KEYS: u64 = 1_000_000;
const VALUE_BYTES: usize = 100;

pub(crate) fn run(runs: usize) -> Result<()> {
    let primary = primary()?;
    fill_keys(&mut primary.client(), KEYS, VALUE_BYTES)?;
    let (mut native, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        native.push(native_run(&primary)?);
        ours.push(gateway_run(&primary)?);
    }
    let pairs = ratios(&ours, &native);
    print("full sync of 1,000,000 keys of 100 bytes, seconds: median (min..max)");
    print(&format!("  native   {}   from REPLICAOF", spread(&native)));
    print(&format!(
        "  sterna   {}   from the start of `sterna replicate`, its checks included",
        spread(&ours)
    ));
    print(&format!(
        "  ratio    {} (pairwise); of medians {:.3}",
        spread(&pairs),
        median(&ours) / median(&native)
    ));
    Ok(())
}

fn native_run(primary: &Server) -> Result<f64> {
    let replica = node()?;
    let (mut here, mut there) = (primary.client(), replica.client());
    let started = Instant::now();
    there.cmd(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()])?;
    wait_equal(&mut here, &mut there)?;
    Ok(started.elapsed().as_secs_f64())
}

fn gateway_run(primary: &Server) -> Result<f64> {
    let target = node()?;
    let (mut here, mut there) = (primary.client(), target.client());
    let started = Instant::now();
    let gateway = Gateway::start(primary, &target, &[])?;
    wait_equal(&mut here, &mut there)?;
    let seconds = started.elapsed().as_secs_f64();
    drop(gateway);
    Ok(seconds)
}
