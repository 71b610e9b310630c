//! A full copy under load, beside plain `REPLICAOF` from the same primary: how long it takes, and what clients notice.
//!
//! Three copies in a run: a replica by `REPLICAOF`; the first copy of a group; and, in the group that stands with its fence, one
//! that a loss of the stream makes necessary. The stream is lost by a way that is blocked for a second, with a backlog at the
//! primary that holds less than that.
//!
//! A fenced primary refuses writes as long as no connection of the gateway follows it, whatever comes after. So what the loss
//! of all connections costs by itself is measured too, and the copy from the moment in which the primary is followed again.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{GROUP, Gateway};
use sterna_model::{GroupSettings, GroupState, Operation, OperationState};
use sterna_testkit::fill::fill_keys;
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Client, Proxy, Server, try_wait_until};

use super::load::ms;
use super::nodes::{pause, start_gateway};
use crate::print;
use crate::stats::{median, spread};

const VALUE_BYTES: usize = 1_000;
/// Of a key with its value in a server's memory, about.
const KEY_BYTES: u64 = 1_100;
const WARM_UP_WRITES: u64 = 5_000;
/// No copy takes longer.
const DEADLINE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where it is about when something ends that takes less than that.
const LOOK_OFTEN: Duration = Duration::from_millis(2);
/// Shorter than a lease.
const BLOCKED_FOR: Duration = Duration::from_secs(1);
/// Holds less than is written in that time.
const SMALL_BACKLOG: &str = "16384";

/// How much, and how often.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Size {
    /// Of the data set, in MiB of a server's memory.
    #[arg(long, default_value_t = 2048)]
    mebibytes: u64,
    /// Writes a second, one after the other.
    #[arg(long, default_value_t = 5_000)]
    per_second: u32,
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// What is measured, in this order.
const WHAT: [&str; 5] = [
    "REPLICAOF",
    "first copy of a group",
    "all connections of a fenced group lost, no copy",
    "all connections lost, until a copy begins",
    "copy in a group with its fence",
];

/// What it was for those who write.
struct Seen {
    seconds: f64,
    longest_gap_ms: f64,
    /// Refused or failed.
    failed: u64,
}

pub(super) fn run(size: &Size) -> Result<()> {
    let mut all = WHAT.map(|what| (what, Vec::new()));
    for _ in 0..size.runs {
        for ((_, seen), now) in all.iter_mut().zip(one(size)?) {
            seen.push(now);
        }
    }
    print(&format!(
        "full copy of {} MiB under {} writes/s, median (min..max) of {}",
        size.mebibytes, size.per_second, size.runs
    ));
    print(
        "| what | seconds | longest time without a write, ms | writes refused |\n| --- | --- | --- | ---: |",
    );
    let of = |seen: &[Seen], what: fn(&Seen) -> f64| seen.iter().map(what).collect::<Vec<_>>();
    for (what, seen) in &all {
        let (seconds, gaps) = (
            of(seen, |seen| seen.seconds),
            of(seen, |seen| seen.longest_gap_ms),
        );
        let failed: u64 = seen.iter().map(|seen| seen.failed).sum();
        print(&format!(
            "| {what} | {} | {} | {failed} |",
            spread(&seconds),
            spread(&gaps)
        ));
    }
    let seconds = |index: usize| median(&of(&all[index].1, |seen| seen.seconds));
    print(&format!(
        "first copy beside REPLICAOF: {:.3} of medians; with the fence: {:.3}",
        seconds(1) / seconds(0),
        seconds(4) / seconds(0)
    ));
    Ok(())
}

fn one(size: &Size) -> Result<[Seen; WHAT.len()]> {
    let primary = Server::builder().start()?;
    fill_keys(
        &mut primary.client(),
        (size.mebibytes << 20) / KEY_BYTES,
        VALUE_BYTES,
    )?;
    let options = SequenceOptions::load("seq", size.per_second);
    let writer = SequenceWriter::start(options, primary.connector())?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;

    let replica = Server::builder().start()?;
    let native = watched(&writer, || {
        let port = primary.port().to_string();
        replica.client().cmd(&["REPLICAOF", "127.0.0.1", &port])?;
        let mut client = replica.client();
        try_wait_until(DEADLINE, "the replica to follow", || follows(&mut client))
    })?;
    drop(replica);

    let (gateway, us) = (start_gateway(None)?, Server::builder().start()?);
    let way = Proxy::start(primary.address())?;
    gateway.add_service("eu", way.address())?;
    gateway.add_service("us", us.address())?;
    let first = watched(&writer, || {
        let group = serde_json::json!({
            "name": GROUP, "primary": "eu", "replicas": ["us"], "settings": GroupSettings::default(),
        });
        let made: Operation = gateway.rest.post("/groups", &group)?;
        try_wait_until(DEADLINE, "the group", || -> Result<()> {
            pause(LOOK_EVERY);
            let state = gateway.operation(made.id)?.state;
            ensure!(state == OperationState::Succeeded, "{state:?}");
            Ok(())
        })
    })?;
    wait_state(&gateway, GroupState::Healthy)?;

    let mut client = primary.client();
    let (copies, resumed) = (copies_given(&mut client)?, resyncs(&mut client)?);
    let lost = watched(&writer, || {
        way.cut()?;
        wait_followed(&mut client, |client| {
            ensure!(resyncs(client)? > resumed, "the stream has not gone on");
            Ok(())
        })
    })?;
    wait_state(&gateway, GroupState::Healthy)?;
    ensure!(copies_given(&mut client)? == copies, "a cut alone made a copy");

    client.cmd(&["CONFIG", "SET", "repl-backlog-size", SMALL_BACKLOG])?;
    way.block();
    pause(BLOCKED_FOR);
    way.unblock();
    let before_copy = watched(&writer, || {
        way.cut()?;
        wait_followed(&mut client, |_| is_in(&gateway, GroupState::Copying))
    })?;
    let fenced = watched(&writer, || wait_state(&gateway, GroupState::Healthy))?;
    ensure!(
        copies_given(&mut client)? > copies,
        "nothing was lost: there was no copy"
    );
    writer.stop()?;
    Ok([native, first, lost, before_copy, fenced])
}

/// Waits for something, and for a primary that has a replica good enough to take writes.
fn wait_followed(client: &mut Client, what: impl Fn(&mut Client) -> Result<()>) -> Result<()> {
    try_wait_until(DEADLINE, "the primary to be followed", || -> Result<()> {
        pause(LOOK_OFTEN);
        what(client)?;
        let good = client.info_field("replication", "min_slaves_good_slaves")?;
        ensure!(good != "0", "nobody follows it");
        Ok(())
    })
}

/// What writers notice while something is done.
fn watched(writer: &SequenceWriter, what: impl FnOnce() -> Result<()>) -> Result<Seen> {
    let failed = || writer.errors().values().sum::<u64>();
    let (before, began) = (failed(), Instant::now());
    what()?;
    Ok(Seen {
        seconds: began.elapsed().as_secs_f64(),
        longest_gap_ms: ms(writer.longest_gap_since(began)),
        failed: failed() - before,
    })
}

fn follows(client: &mut Client) -> Result<()> {
    pause(LOOK_EVERY);
    let status = client.info_field("replication", "master_link_status")?;
    ensure!(status == "up", "its link is {status}");
    Ok(())
}

fn wait_state(gateway: &Gateway, state: GroupState) -> Result<()> {
    try_wait_until(DEADLINE, &format!("{state:?}"), || -> Result<()> {
        pause(LOOK_EVERY);
        is_in(gateway, state)
    })
}

fn is_in(gateway: &Gateway, state: GroupState) -> Result<()> {
    let summary = gateway.status()?.summary;
    ensure!(summary.state == state, "{:?}: {}", summary.state, summary.reason);
    Ok(())
}

/// Full copies that it has given, with those that are under way.
fn copies_given(client: &mut Client) -> Result<u64> {
    count(client, "sync_full")
}

/// Streams that it went on with.
fn resyncs(client: &mut Client) -> Result<u64> {
    count(client, "sync_partial_ok")
}

fn count(client: &mut Client, field: &str) -> Result<u64> {
    client.info_field("stats", field)?.parse().context("a number")
}
