//! The rest of the fault list: what happens to writes and data when something else than the primary fails, or when it
//! fails in a way that needs another answer.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use sterna_harness::{DEADLINE, Gateway, look_until};
use sterna_model::{GroupSettings, OperationKind};
use sterna_testkit::workload::{SequenceOptions, SequenceWriter};
use sterna_testkit::{Net, SmallDisk};

use super::campaign::{Campaign, Run};
use super::load::{CLIENT_TIMEOUT, first_elsewhere, follows, ms};
use super::nodes::{Node, all_equal, pause, start_gateway};
use super::results::{Losses, Row};
use crate::print;

const SERVICES: [&str; 3] = ["eu", "us", "ap"];
/// A host for clients, apart from the gateway's.
const CLIENTS: &str = "app";
const WRITES_PER_SECOND: u32 = 2_000;
const WARM_UP_WRITES: u64 = 2_000;
/// How long faults last that are not the primary's.
const LASTS: Duration = Duration::from_secs(6);
/// Writes that go on show no longer gap than this.
const GOES_ON: Duration = Duration::from_millis(900);
/// The gateway's disk, where it is a small one.
const DISK_BYTES: u64 = 64 << 20;

/// A fault that is none of the primary's usual ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// The primary node is killed and is back at once, without its data.
    PrimaryEmpty,
    /// The primary node stands still for less than `down_after_ms`.
    PrimaryStalls,
    /// The primary node and the preferred replica service's are killed.
    PrimaryAndReplica,
    /// The primary node is killed, and then the gateway.
    PrimaryAndGateway,
    /// The node of a replica service is killed and comes back.
    ReplicaKilled,
    /// The host of a replica service is cut off.
    ReplicaCutOff,
    /// The gateway is killed and started again.
    GatewayKilled,
    /// The gateway is stopped in good order and started again.
    GatewayStopped,
    /// The gateway reaches nobody for a time.
    GatewayCutOff,
    /// The gateway's disk is full.
    GatewayDiskFull,
}

/// What a scenario showed.
#[derive(Debug)]
struct Seen {
    without_writes: Duration,
    did: String,
}

impl Scenario {
    fn failed(self) -> &'static str {
        match self {
            Self::PrimaryEmpty => "primary node killed and back at once, empty",
            Self::PrimaryStalls => "primary node frozen for 0.5 s",
            Self::PrimaryAndReplica => "primary node and the preferred replica service's node killed at once",
            Self::PrimaryAndGateway => {
                "primary node killed, the gateway 0.7 s later, and started again 1 s after"
            }
            Self::ReplicaKilled => "replica service's node killed, and started again after 6 s, empty",
            Self::ReplicaCutOff => "replica service's host cut off for 6 s",
            Self::GatewayKilled => "gateway killed, and started again after 6 s",
            Self::GatewayStopped => "gateway stopped in good order, and started again after 6 s",
            Self::GatewayCutOff => "gateway cut off from every node for 6 s, clients are not",
            Self::GatewayDiskFull => "gateway's disk full for 6 s",
        }
    }
}

pub(super) fn run(campaign: &Campaign, only: &[Scenario]) -> Result<()> {
    let mut failed = Vec::new();
    for scenario in Scenario::value_variants() {
        if !only.is_empty() && !only.contains(scenario) {
            continue;
        }
        let done = campaign.each(scenario.failed(), |run| {
            let (seen, losses) = one(run, *scenario)?;
            let time = ms(seen.without_writes);
            print(&format!(
                "{}, run {}: {}; {time:.0} ms without writes; {} acknowledged writes lost",
                scenario.failed(),
                run.number,
                seen.did,
                losses.lost
            ));
            campaign.keep(&Row::new(scenario.failed(), &seen.did, run.number, time, losses))
        });
        if let Err(error) = done {
            failed.push(format!("{error:#}"));
        }
    }
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn one(run: &mut Run, scenario: Scenario) -> Result<(Seen, Losses)> {
    let net = match scenario {
        Scenario::ReplicaCutOff | Scenario::GatewayCutOff => {
            Some(Net::new(&[&SERVICES[..], &[CLIENTS]].concat())?)
        }
        _ => None,
    };
    let disk = match scenario {
        Scenario::GatewayDiskFull => {
            let disk = SmallDisk::mount(DISK_BYTES).context("mounting a small disk takes root")?;
            run.site = Some(start_gateway(Some(disk.path().join("data")))?);
            Some(disk)
        }
        _ => None,
    };
    run.stand(
        &SERVICES,
        net.as_ref(),
        &GroupSettings::default(),
        |_, builder| builder,
    )?;
    let writer = match (&net, scenario) {
        (Some(net), Scenario::GatewayCutOff) => {
            let mut options = SequenceOptions::load("seq", WRITES_PER_SECOND);
            options.timeout = Some(CLIENT_TIMEOUT);
            let connect = run.nodes[0]
                .server
                .connector_from(&net.host(CLIENTS), CLIENT_TIMEOUT);
            SequenceWriter::start(options, connect)?
        }
        _ => follows(run.site()?, "seq", WRITES_PER_SECOND)?,
    };
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    let seen = match scenario {
        Scenario::PrimaryEmpty | Scenario::PrimaryAndReplica | Scenario::PrimaryAndGateway => {
            primary_lost(run, &writer, scenario)?
        }
        Scenario::PrimaryStalls => primary_stalls(run, &writer)?,
        Scenario::ReplicaKilled => replica_killed(run, &writer)?,
        Scenario::ReplicaCutOff => replica_cut_off(run, &writer, net.as_ref().context("a network")?)?,
        Scenario::GatewayKilled | Scenario::GatewayStopped => gateway_away(run, &writer, scenario)?,
        Scenario::GatewayCutOff => gateway_cut_off(run, &writer, net.as_ref().context("a network")?)?,
        Scenario::GatewayDiskFull => disk_full(run, &writer, disk.as_ref().context("a disk")?)?,
    };
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    writer.stop()?;
    let status = run.site()?.wait_healthy()?;
    let primary = status.services.first().context("a primary")?.name.to_string();
    let primary = run
        .nodes
        .iter()
        .find(|node| node.name == primary)
        .context("a node")?;
    all_equal(&primary.server, &run.nodes)?;
    let missing = writer.missing(&mut primary.server.connect_locally()?)?;
    let losses = Losses {
        lost: missing.len() as u64,
        ..Losses::default()
    };
    Ok((seen, losses))
}

fn primary_lost(run: &mut Run, writer: &SequenceWriter, scenario: Scenario) -> Result<Seen> {
    let Run { site, nodes, .. } = run;
    let site = site.as_mut().context("just started")?;
    let (old, at) = (nodes[0].server.address(), Instant::now());
    nodes[0].server.kill9();
    match scenario {
        Scenario::PrimaryEmpty => nodes[0].server.restart()?,
        Scenario::PrimaryAndReplica => nodes[1].server.kill9(),
        _ => {
            pause(Duration::from_millis(700));
            site.kill();
            pause(Duration::from_secs(1));
            site.start_again()?;
        }
    }
    let first = first_elsewhere(writer, old, at)?;
    let new = nodes.iter().find(|node| node.server.address() == first.by);
    let name = new.context("a node of the group")?.name.clone();
    let expected = if scenario == Scenario::PrimaryAndReplica {
        "ap"
    } else {
        "us"
    };
    ensure!(name == expected, "{name} took over, not {expected}");
    site.wait_kind(OperationKind::Failover)?;
    for node in nodes.iter_mut() {
        if !node.server.is_running() {
            node.server.restart()?;
        }
    }
    site.wait_kind(OperationKind::Rejoin)?;
    Ok(Seen {
        without_writes: first.at - at,
        did: match scenario {
            Scenario::PrimaryEmpty => {
                "failed over; nothing was emptied; the empty node was given a full copy"
            }
            Scenario::PrimaryAndReplica => {
                "failed over to the second replica service; both nodes came back as replicas"
            }
            _ => "failed over, by the gateway that was started again; the old primary rejoined",
        }
        .to_owned(),
    })
}

fn primary_stalls(run: &Run, writer: &SequenceWriter) -> Result<Seen> {
    let at = Instant::now();
    run.nodes[0].server.pause()?;
    pause(Duration::from_millis(500));
    run.nodes[0].server.resume()?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    unchanged(run.site()?)?;
    Ok(Seen {
        without_writes: writer.longest_gap_since(at),
        did: "nothing: it was not away for `down_after_ms`".to_owned(),
    })
}

fn replica_killed(run: &mut Run, writer: &SequenceWriter) -> Result<Seen> {
    let at = Instant::now();
    run.nodes[1].server.kill9();
    pause(LASTS);
    run.nodes[1].server.restart()?;
    run.site()?.wait_healthy()?;
    let others = run.nodes[2].full_copies();
    ensure!(others == 1, "the other replica service was copied {others} times");
    unchanged(run.site()?)?;
    went_on(
        writer,
        at,
        "writes went on; the node was given a full copy when it was back",
    )
}

fn replica_cut_off(run: &Run, writer: &SequenceWriter, net: &Net) -> Result<Seen> {
    let copies: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    let at = Instant::now();
    net.isolate(&net.host(SERVICES[1]), &[])?;
    pause(LASTS);
    net.heal_all()?;
    run.site()?.wait_healthy()?;
    let after: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    ensure!(copies == after, "full copies: {copies:?}, {after:?}");
    unchanged(run.site()?)?;
    went_on(
        writer,
        at,
        "writes went on; the node continued with a partial resync",
    )
}

fn gateway_away(run: &mut Run, writer: &SequenceWriter, scenario: Scenario) -> Result<Seen> {
    let copies: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    let site = run.site.as_mut().context("just started")?;
    let at = Instant::now();
    match scenario {
        Scenario::GatewayKilled => site.kill(),
        _ => site.stop()?,
    }
    pause(LASTS);
    site.start_again()?;
    site.wait_healthy()?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    unchanged(site)?;
    let after: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    ensure!(copies == after, "full copies: {copies:?}, {after:?}");
    if scenario == Scenario::GatewayStopped {
        return went_on(
            writer,
            at,
            "lifted the fence before it ended: writes went on; the replica services continued with partial resyncs",
        );
    }
    Ok(Seen {
        without_writes: writer.longest_gap_since(at),
        did: "the primary shut itself at once, since its connection to the gateway ended, until the gateway was back; \
              the replica services continued with partial resyncs"
            .to_owned(),
    })
}

fn gateway_cut_off(run: &Run, writer: &SequenceWriter, net: &Net) -> Result<Seen> {
    let copies: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    let at = Instant::now();
    let hosts = SERVICES.map(|name| net.host(name));
    let hosts: Vec<_> = hosts.iter().collect();
    net.split(&[&net.test_host()], &hosts)?;
    pause(LASTS);
    net.heal_all()?;
    run.site()?.wait_healthy()?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    unchanged(run.site()?)?;
    let after: Vec<usize> = run.nodes.iter().map(Node::full_copies).collect();
    ensure!(copies == after, "full copies: {copies:?}, {after:?}");
    Ok(Seen {
        without_writes: writer.longest_gap_since(at),
        did: "no failover, since nobody answered; the primary shut itself when the lease was over, until the gateway \
              was back; the replica services continued with partial resyncs"
            .to_owned(),
    })
}

fn disk_full(run: &Run, writer: &SequenceWriter, disk: &SmallDisk) -> Result<Seen> {
    let at = Instant::now();
    disk.fill_up()?;
    let alerts = look_until("an alert about the disk", || {
        let status = run.site()?.status()?;
        ensure!(status.shards[0].disk_error.is_some(), "{:?}", status.shards);
        Ok(status.alerts)
    })?;
    pause(LASTS);
    disk.free()?;
    look_until("the log to be on disk again", || {
        let status = run.site()?.status()?;
        ensure!(status.shards[0].disk_error.is_none(), "{:?}", status.shards);
        Ok(())
    })?;
    unchanged(run.site()?)?;
    ensure!(!alerts.is_empty(), "no alert told of the full disk");
    went_on(
        writer,
        at,
        "writes and replication went on from memory, with an alert; the log went back to the disk when there was space",
    )
}

/// The primary is still the one that it was.
fn unchanged(site: &Gateway) -> Result<()> {
    let epoch = site.status()?.summary.epoch;
    ensure!(epoch.0 == 1, "the primary was changed: {:#?}", site.operations()?);
    Ok(())
}

fn went_on(writer: &SequenceWriter, since: Instant, did: &str) -> Result<Seen> {
    let without_writes = writer.longest_gap_since(since);
    ensure!(
        without_writes < GOES_ON,
        "writes did not go on: {without_writes:?} without any; {:?}",
        writer.errors()
    );
    Ok(Seen {
        without_writes,
        did: did.to_owned(),
    })
}
