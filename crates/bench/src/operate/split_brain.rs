//! A hunt for two writers: random faults, one after the other and at once, with a client at every server that never goes
//! elsewhere and one that follows.
//!
//! After each run everything is healed. Then: no two services took writes in one epoch, but for what a frozen process took
//! when it woke up; every acknowledged write is at the primary or in a rescue file, but for what was in the memory of a
//! killed process alone; all nodes are equal; the group is healthy.

mod check;
mod plan;
mod runner;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{DEADLINE, look_until};
use sterna_model::{Fencing, GroupSettings};
use sterna_testkit::Net;

use super::campaign::{Campaign, Run};
use super::kept::Kept;
use super::load::{follows, ms, stays};
use super::nodes::all_equal;
use super::results::{Losses, Row};
use crate::print;
use check::{Clocks, Counted};
use plan::Plan;
use runner::Runner;

const SERVICES: [&str; 3] = ["eu", "us", "ap"];
const FOLLOWING_PER_SECOND: u32 = 1_000;
const STAYING_PER_SECOND: u32 = 100;
const WARM_UP_WRITES: u64 = 500;
/// The last fault's consequences are visible by then.
const SETTLED_AFTER: Duration = Duration::from_secs(3);
const FAILED: &str = "1 to 3 random faults of the primary, overlapping or in turn: host cut off both ways or one way, \
                      process frozen, killed and back with or without data; gateway killed or stopped meanwhile";
const DID: &str = "failed over where it had to; never two writers in one epoch, but for writes queued in a frozen \
                   process, which were rescued; old primaries rejoined, all nodes equal";

/// `unfenced` has no lease: then this must find two writers, or it could find nothing.
pub(super) fn run(campaign: &Campaign, unfenced: bool) -> Result<()> {
    let net = Net::new(&SERVICES)?;
    let (mut changes, mut total, mut runs) = (0, Losses::default(), 0);
    let (mut queued, mut queued_until) = (0, Duration::ZERO);
    let all = campaign.each("split brain", |run| {
        net.heal_all()?;
        let plan = Plan::of(run.number);
        run.story.push(plan.to_string());
        let (epoch, longest, counted) = one(run, &plan, &net, unfenced).with_context(|| {
            format!("seed {}: {plan}", run.number)
        })?;
        print(&format!(
            "run {:>3}: {} changes of primary, {:.0} ms without writes at most; {} acknowledged writes lost, {} of them \
             rescued; {} queued in a frozen process, the last {:.0} ms after it woke up",
            run.number,
            epoch - 1,
            ms(longest),
            counted.losses.lost,
            counted.losses.rescued,
            counted.queued,
            ms(counted.queued_until),
        ));
        (changes, runs) = (changes + epoch - 1, runs + 1);
        (total.lost, total.rescued) = (
            total.lost + counted.losses.lost,
            total.rescued + counted.losses.rescued,
        );
        (queued, queued_until) = (queued + counted.queued, queued_until.max(counted.queued_until));
        campaign.keep(&Row::new(FAILED, DID, run.number, ms(longest), counted.losses))
    });
    print(&format!(
        "split brain: {runs} good runs, {changes} changes of primary; never two writers in one epoch, but {queued} writes \
         that a frozen process took when it woke up, the last {:.0} ms after; {} acknowledged writes lost, {} of them in \
         rescue files, the rest in the memory of killed processes",
        ms(queued_until),
        total.lost,
        total.rescued
    ));
    all
}

fn one(run: &mut Run, plan: &Plan, net: &Net, unfenced: bool) -> Result<(u64, Duration, Counted)> {
    let settings = GroupSettings {
        // Faults follow each other within seconds.
        failover_pause_seconds: 2,
        fencing: if unfenced { Fencing::None } else { Fencing::Lease },
        ..GroupSettings::default()
    };
    let clocks = Clocks::now();
    let services = &SERVICES[..plan.kept.len()];
    run.stand(services, Some(net), &settings, |index, builder| {
        match plan.kept[index] {
            Kept::AppendOnlyFile => builder.config("appendonly", "yes"),
            Kept::Nothing | Kept::OlderFile => builder,
        }
    })?;
    let mut writers = vec![(
        "seq".to_owned(),
        follows(run.site()?, "seq", FOLLOWING_PER_SECOND)?,
    )];
    for node in &run.nodes {
        let prefix = format!("at-{}", node.name);
        let writer = stays(&prefix, &node.server, STAYING_PER_SECOND)?;
        writers.push((prefix, writer));
    }
    writers[0].1.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;

    let began = Instant::now();
    let Run {
        site, nodes, story, ..
    } = run;
    let site = site.as_mut().context("just started")?;
    let mut runner = Runner::new(site, nodes, story, net, &plan.kept);
    runner.play(&plan.actions)?;
    let (frozen, killed) = (runner.frozen, runner.killed);

    let settled = jiff::Timestamp::now() + SETTLED_AFTER;
    look_until("the group to settle", || {
        let status = site.wait_healthy()?;
        ensure!(status.at > settled, "the last look is too long ago: {status:#?}");
        Ok(())
    })?;
    writers[0].1.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    for (_, writer) in &writers {
        writer.stop()?;
    }
    let status = site.wait_healthy()?;
    let name = status.services.first().context("a primary")?.name.to_string();
    let primary = nodes.iter().find(|node| node.name == name).context("a node")?;
    all_equal(&primary.server, nodes)?;

    let terms = check::terms(site, nodes, clocks)?;
    let mut counted = Counted::default();
    for (prefix, writer) in &writers {
        let done = writer.acknowledgements();
        check::one_writer(nodes, &terms, &frozen, &done, &mut counted)
            .with_context(|| format!("the writer {prefix}"))?;
    }
    check::no_silent_loss(site, nodes, &primary.server, &killed, &writers, &mut counted)?;
    ensure!(
        status.needless_full_syncs() == 0,
        "{} needless full syncs",
        status.needless_full_syncs()
    );
    Ok((
        status.summary.epoch.0,
        writers[0].1.longest_gap_since(began),
        counted,
    ))
}
