//! Five replica services in one group: after a failover and after switchovers all of them continue with partial resyncs.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{DEADLINE, Gateway, look_until};
use sterna_model::{GroupSettings, OperationKind};

use super::campaign::{Campaign, Run};
use super::load::{first_elsewhere, follows, ms};
use super::nodes::{Node, all_equal};
use super::results::{Losses, Row};
use crate::print;

const SERVICES: [&str; 6] = ["eu", "us", "ap", "sa", "af", "me"];
const WRITES_PER_SECOND: u32 = 2_000;
const WARM_UP_WRITES: u64 = 2_000;
const FAILED: &str = "primary node killed (SIGKILL), five replica services";

pub(super) fn run(campaign: &Campaign) -> Result<()> {
    campaign.each("five replica services", |run| {
        run.stand(&SERVICES, None, &GroupSettings::default(), |_, builder| builder)?;
        let (rto_ms, lost, words) = one(run)?;
        print(&format!("run {:>3}: {words}", run.number));
        let losses = Losses {
            lost,
            ..Losses::default()
        };
        campaign.keep(&Row::new(
            FAILED,
            "failed over; the other four continued with partial resyncs, there and at two switchovers after",
            run.number,
            rto_ms,
            losses,
        ))
    })
}

fn one(run: &mut Run) -> Result<(f64, u64, String)> {
    let Run { site, nodes, .. } = run;
    let site = site.as_ref().context("just started")?;
    let copies = |nodes: &[Node]| -> Vec<usize> { nodes.iter().map(Node::full_copies).collect() };
    let before = copies(nodes);
    let writer = follows(site, "seq", WRITES_PER_SECOND)?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;

    let (old, killed) = (nodes[0].server.address(), Instant::now());
    nodes[0].server.kill9();
    let first = first_elsewhere(&writer, old, killed)?;
    let rto_ms = ms(first.at - killed);
    let failover = site.wait_kind(OperationKind::Failover)?;
    // Four, though the fifth is the new primary: they continue behind it.
    wait_following(site, 4)?;
    ensure!(
        copies(nodes)[1..] == before[1..],
        "full copies after the failover: {:?}",
        copies(nodes)
    );
    let report = site.operation(failover.id)?.report.context("a report")?;
    ensure!(report.full_resyncs == 0, "{report:#?}");
    nodes[0].server.restart()?;
    site.wait_kind(OperationKind::Rejoin)?;
    site.wait_healthy()?;

    let mut words = vec![format!(
        "failover {rto_ms:.0} ms, {} partial resyncs",
        report.partial_resyncs
    )];
    // The one that was killed had to be copied; from here on nobody has.
    let rejoined = copies(nodes);
    for to in ["me", "eu"] {
        writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
        let report = site.switchover(to)?.report.context("a report")?;
        site.wait_healthy()?;
        ensure!(report.full_resyncs == 0, "{report:#?}");
        ensure!(
            copies(nodes) == rejoined,
            "full copies after the switchover to {to}: {:?}",
            copies(nodes)
        );
        words.push(format!(
            "switchover to {to} {:.0} ms, {} partial resyncs",
            report.rto_ms, report.partial_resyncs
        ));
    }
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    writer.stop()?;
    let status = site.wait_healthy()?;
    ensure!(
        status.needless_full_syncs() == 0,
        "{} needless full syncs",
        status.needless_full_syncs()
    );
    all_equal(&nodes[0].server, nodes)?;
    let lost = writer.missing(&mut nodes[0].server.connect()?)?.len() as u64;
    words.push(format!(
        "{lost} acknowledged writes lost, 0 needless full syncs, all six equal"
    ));
    Ok((rto_ms, lost, words.join("; ")))
}

/// Waits until so many replica services follow the new primary.
fn wait_following(site: &Gateway, wanted: usize) -> Result<()> {
    look_until("the replica services to follow", || {
        let status = site.status()?;
        let following = status
            .services
            .iter()
            .skip(1)
            .filter(|service| service.ok)
            .count();
        ensure!(
            following >= wanted && status.summary.operation.is_none(),
            "{status:#?}"
        );
        Ok(())
    })
}
