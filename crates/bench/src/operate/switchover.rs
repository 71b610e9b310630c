//! Planned changes of primary under load, there and back on one group: how long nobody takes writes, what becomes of the
//! writes that wait meanwhile, and that nothing is lost or copied again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{DEADLINE, Gateway};
use sterna_model::{GroupSettings, OperationKind};

use super::campaign::{Campaign, Run};
use super::load::{LOAD_PER_SECOND, follows_within, ms};
use super::nodes::{Node, all_equal, pause};
use super::results::{Losses, Row};
use crate::print;
use crate::stats::{median, quantile};

const SERVICES: [&str; 3] = ["eu", "us", "ap"];
const WARM_UP_WRITES: u64 = 5_000;
const AFTERWARDS: Duration = Duration::from_millis(500);
/// A write that takes so long hangs.
const HANG: Duration = Duration::from_secs(5);
/// Clients give up after this, which must be longer: so a hang is seen as one.
const TIMEOUT: Duration = Duration::from_secs(20);
const FAILED: &str = "nothing: planned switchover";
const DID: &str = "switched over; the old primary and the others continued with partial resyncs";
/// The median that is aimed at, in milliseconds.
const AIM_MS: f64 = 100.0;

/// What a run showed.
#[derive(Debug)]
struct Outcome {
    seen_ms: f64,
    reported_ms: f64,
    slowest: Duration,
    acknowledged: u64,
    refused: BTreeMap<String, u64>,
}

pub(super) fn run(campaign: &Campaign) -> Result<()> {
    let mut standing: Option<(Gateway, Vec<Node>)> = None;
    let mut outcomes = Vec::new();
    let all = campaign.each("planned switchover", |run| {
        match standing.take() {
            Some((site, nodes)) => (run.site, run.nodes) = (Some(site), nodes),
            None => run.stand(&SERVICES, None, &GroupSettings::default(), |_, builder| builder)?,
        }
        let outcome = one(run)?;
        print(&format!("run {:>3}: {}", run.number, line(&outcome)));
        let mut row = Row::new(FAILED, DID, run.number, outcome.seen_ms, Losses::default());
        row.reported_ms = Some(outcome.reported_ms);
        campaign.keep(&row)?;
        outcomes.push(outcome);
        let site = run.site.take().context("it was there")?;
        standing = Some((site, std::mem::take(&mut run.nodes)));
        Ok(())
    });
    summary(&outcomes);
    all
}

fn one(run: &mut Run) -> Result<Outcome> {
    let Run {
        site, nodes, number, ..
    } = run;
    let site = site.as_ref().context("the group stands")?;
    let before = site.wait_healthy()?;
    let primary = before.services.first().context("a primary")?.name.clone();
    let to = SERVICES[usize::from(primary.as_str() == SERVICES[0])];
    // A comparison of ever more data would at last stop the servers for longer than `down_after_ms`.
    let old = nodes.iter().find(|node| node.name == primary.as_str());
    let old = old.context("a node")?;
    old.server.connect()?.cmd(&["FLUSHALL"])?;
    let (full_before, given_before) = copies(nodes)?;
    let prefix = format!("seq-{number}");
    let writer = follows_within(site, &prefix, LOAD_PER_SECOND, TIMEOUT)?;
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    let asked = Instant::now();
    let operation = site.switchover(to)?;
    ensure!(operation.kind == OperationKind::Switchover, "{operation:#?}");
    let new = nodes.iter().find(|node| node.name == to).context("a node")?;
    let new = &new.server;
    writer.wait_acknowledged_by(new.address(), asked, DEADLINE)?;
    pause(AFTERWARDS);
    writer.stop()?;
    site.wait_healthy()?;

    let all = writer.acknowledgements();
    let first = all
        .iter()
        .find(|write| write.by == new.address())
        .context("writes at the new primary")?;
    let last = all
        .iter()
        .rfind(|write| write.by != new.address())
        .context("writes at the old primary")?;
    ensure!(
        last.at < first.at,
        "the old primary took a write {:?} after the first one at the new primary",
        last.at - first.at
    );
    all_equal(new, nodes)?;
    let missing = writer.missing(&mut new.connect()?)?;
    ensure!(missing.is_empty(), "acknowledged writes are lost: {missing:?}");
    let done = writer.done_unanswered(&mut new.connect()?)?;
    ensure!(
        done.is_empty(),
        "writes that failed were done all the same: {done:?}"
    );
    let (full_after, given_after) = copies(nodes)?;
    ensure!(
        full_before == full_after,
        "full copies: {full_before:?}, {full_after:?}"
    );
    ensure!(
        given_before == given_after,
        "sync_full: {given_before:?}, {given_after:?}"
    );
    let report = operation.report.context("a switchover has a report")?;
    ensure!(
        report.full_resyncs == 0 && report.rpo.bytes == 0 && report.rpo.commands == Some(0),
        "{report:#?}"
    );
    let outcome = Outcome {
        seen_ms: ms(first.at - last.at),
        reported_ms: report.rto_ms,
        slowest: writer.slowest(),
        acknowledged: writer.acknowledged(),
        refused: writer.errors(),
    };
    ensure!(outcome.slowest < HANG, "a write hung: {outcome:?}");
    // One that waited ends with its connection when the old primary lets its clients go.
    let clear = |kind: &String| {
        ["READONLY", "NOREPLICAS", ": the server"]
            .iter()
            .any(|word| kind.contains(word))
    };
    ensure!(
        outcome.refused.keys().all(clear),
        "writes ended neither in success nor in a refusal, nor with their connection: {outcome:?}"
    );
    Ok(outcome)
}

/// How often each node was given a full copy, and how many each has given (`sync_full`).
fn copies(nodes: &[Node]) -> Result<(Vec<usize>, Vec<String>)> {
    let given: Result<Vec<String>> = nodes.iter().map(Node::copies_given).collect();
    Ok((nodes.iter().map(Node::full_copies).collect(), given?))
}

fn line(outcome: &Outcome) -> String {
    format!(
        "{:.1} ms without writes as a client saw it, {:.1} ms reported; {} writes succeeded, refused {:?}, slowest {:.0} \
         ms; 0 lost, 0 full syncs",
        outcome.seen_ms,
        outcome.reported_ms,
        outcome.acknowledged,
        outcome.refused,
        ms(outcome.slowest)
    )
}

fn summary(outcomes: &[Outcome]) {
    let seen: Vec<f64> = outcomes.iter().map(|outcome| outcome.seen_ms).collect();
    let reported: Vec<f64> = outcomes.iter().map(|outcome| outcome.reported_ms).collect();
    let slowest = outcomes.iter().map(|outcome| outcome.slowest).max();
    let mut refused: BTreeMap<&str, u64> = BTreeMap::new();
    for (kind, count) in outcomes.iter().flat_map(|outcome| &outcome.refused) {
        *refused.entry(kind).or_default() += count;
    }
    print(&format!(
        "switchover, {LOAD_PER_SECOND} writes/s, {} good runs: without writes median {:.1} ms, max {:.1} ms as a client saw \
         it (aim: median {AIM_MS:.0}); reported median {:.1} ms, max {:.1} ms; slowest write {:.0} ms; refused {refused:?}; \
         0 lost, 0 full syncs",
        outcomes.len(),
        median(&seen),
        quantile(&seen, 1.0),
        median(&reported),
        quantile(&reported, 1.0),
        ms(slowest.unwrap_or_default()),
    ));
}
