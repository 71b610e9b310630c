//! The first acts: two sites, data at one of them, and a group made by the command line.

use std::time::Instant;

use sterna_model::GroupState;

use super::cast::Cast;
use super::claim::claim;
use super::copies::Copies;
use super::fill::fill;
use super::node::ServerProgram;
use super::operator::GROUP;
use super::proof;
use super::timeline::{Timeline, byte_rate, took};
use crate::words;

/// No failover so soon after a change of primary. The default of 30 s would make the demo wait.
pub(super) const FAILOVER_PAUSE_SECONDS: u64 = 3;

/// Says who is there, and fills the primary.
pub(super) async fn introduce(
    cast: &Cast,
    program: &ServerProgram,
    megabytes: u64,
    timeline: &Timeline,
) -> anyhow::Result<()> {
    let nodes: Vec<_> = cast
        .nodes()
        .map(|node| {
            let pid = node.pid().unwrap_or_default();
            format!("{:<8} {}  {}, pid {pid}", node.name, node.address(), program.name)
        })
        .into();
    timeline.row("start", &nodes.join("\n"));
    let gateway = &cast.gateway;
    timeline.row(
        "start",
        &format!(
            "gateway  sterna serve, pid {}: API {}, relay port {}, discovery port {}",
            gateway.pid(),
            gateway.api,
            gateway.relay_port,
            gateway.discovery.port
        ),
    );
    let filled = fill(&cast.eu.address(), megabytes << 20).await?;
    let keyspace = cast.eu.info().await?.keyspace();
    timeline.row(
        "fill",
        &format!(
            "{} written to eu in {} ({}): {} keys in {} databases\n\
             strings, hashes, lists, sets, sorted sets, streams, bitmaps, geo sets, expiries…",
            words::bytes(filled.bytes),
            took(filled.took),
            byte_rate(filled.bytes, filled.took),
            words::count(keyspace.values().sum()),
            keyspace.len(),
        ),
    );
    Ok(())
}

/// The operator registers both services and makes them a group; returns when it is healthy.
pub(super) async fn create_group(cast: &Cast, timeline: &Timeline) -> anyhow::Result<()> {
    let operator = &cast.operator;
    timeline.row("operator", &format!("$ {}", operator.exports()));
    let eu = cast.eu.url();
    operator
        .show(
            &["service", "add", "eu", "--url", &eu, "--site", "eu-west"],
            0,
            timeline,
        )
        .await?;
    let us = format!("{},{}", cast.us[0].url(), cast.us[1].address());
    operator
        .show(
            &["service", "add", "us", "--url", &us, "--site", "us-east"],
            0,
            timeline,
        )
        .await?;
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
    operator.show(&create, 12, timeline).await?;
    operator
        .wait_for_status("the group is healthy", |status| {
            status.state == GroupState::Healthy && status.operation.is_none() && status.fence.in_place
        })
        .await?;
    let all = started.elapsed();
    operator.show(&["status", GROUP], 12, timeline).await?;
    for node in &cast.us {
        proof::refuses_writes(node).await?;
    }
    let copies = Copies::of(cast).await?;
    claim(
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
