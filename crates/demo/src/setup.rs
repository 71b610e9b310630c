//! The first acts: two sites, data at one of them, and a group made by the command line.

use std::time::Instant;

use anyhow::ensure;
use sterna_harness::{GROUP, look_until};
use sterna_testkit::fill::fill_mixed;

use crate::assert::assert;
use crate::node::engine_name;
use crate::nodes::Demo;
use crate::script::Options;
use crate::units::{byte_rate, bytes, count, took};
use crate::verify;

/// No failover so soon after a change of primary. The default of 30 s would make the demo wait.
pub(crate) const FAILOVER_PAUSE_SECONDS: u64 = 3;

/// Says who is there, and fills the primary.
pub(crate) fn introduce(demo: &Demo, options: &Options) -> anyhow::Result<()> {
    let Demo {
        nodes,
        gateway,
        timeline,
        ..
    } = demo;
    let engine = engine_name(&options.engine);
    let rows = nodes.all().map(|node| {
        let (name, address, pid) = (node.name, node.address(), node.server.pid());
        format!("{name:<8} {address}  {engine}, pid {pid}")
    });
    timeline.row("start", &rows.join("\n"));
    timeline.row(
        "start",
        &format!(
            "gateway  sterna serve, pid {}: API {}, relay port {}, discovery port {}",
            gateway.process()?.pid(),
            gateway.api_url(),
            gateway.relay_port(),
            gateway.discovery().port()
        ),
    );
    let mut eu = nodes.eu.client()?;
    let filled = fill_mixed(&mut eu, options.megabytes << 20)?;
    let keyspace = verify::keyspace(&mut eu)?;
    timeline.row(
        "fill",
        &format!(
            "{} written to eu in {} ({}): {} keys in {} databases\n\
             strings, hashes, lists, sets, sorted sets, streams, bitmaps, geo sets, expiries…",
            bytes(filled.bytes),
            took(filled.took),
            byte_rate(filled.bytes, filled.took),
            count(keyspace.iter().sum()),
            keyspace.len(),
        ),
    );
    Ok(())
}

/// The operator registers both services and makes them a group; returns when it is healthy.
pub(crate) fn create_group(demo: &Demo) -> anyhow::Result<()> {
    let Demo {
        nodes,
        operator,
        timeline,
        ..
    } = demo;
    timeline.row("operator", &format!("$ {}", operator.exports()));
    let eu = format!("redis://{}", nodes.eu.address());
    let us = format!("redis://{},{}", nodes.us[0].address(), nodes.us[1].address());
    for (name, url, site) in [("eu", &eu, "eu-west"), ("us", &us, "us-east")] {
        operator.show(
            &["service", "add", name, "--url", url, "--site", site],
            0,
            timeline,
        )?;
    }
    let started = Instant::now();
    let pause = FAILOVER_PAUSE_SECONDS.to_string();
    let create = [
        "group",
        "create",
        GROUP,
        "--primary",
        "eu",
        "--replica",
        "us",
        "--failover-pause-seconds",
        &pause,
    ];
    operator.show(&create, 12, timeline)?;
    demo.gateway.wait_healthy()?;
    look_until("the fence to be in place", || {
        let status = demo.gateway.status()?;
        ensure!(status.is_fenced(), "{:?}", status.shards);
        Ok(())
    })?;
    let all = started.elapsed();
    operator.show(&["status", GROUP], 12, timeline)?;
    for node in &nodes.us {
        verify::refuses_writes(node)?;
    }
    let copies = nodes.full_copies()?;
    assert(
        copies.taken == [0, 1, 1] && copies.given == [1, 0, 0],
        "both nodes of us took one full copy each, and eu gave one in all",
        format!("{copies:?}"),
    )?;
    timeline.proven(
        "following",
        &format!(
            "{} after the command both nodes of us follow and refuse other writes\n\
             it cost eu one full copy; eu takes writes only while the gateway hears it (the lease)",
            took(all)
        ),
    );
    Ok(())
}
