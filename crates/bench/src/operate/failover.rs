//! The primary node is killed, frozen or cut off under load: how long nobody takes writes, and what is lost.
//!
//! Every run has a new group with the default settings on new servers. The time runs from the fault to the first write
//! that the new primary acknowledges to a client that follows by discovery. Then the old primary comes back; what it
//! held alone is compared with the report of the failover, write by write.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use sterna_harness::{DEADLINE, Gateway, Rescues, keys};
use sterna_model::{Certainty, GroupSettings, OperationKind, Report, RescueKind, StepName};
use sterna_testkit::workload::SequenceWriter;
use sterna_testkit::{Net, Rng, Server};

use super::campaign::{Campaign, Run};
use super::kept::Kept;
use super::load::{LOAD_PER_SECOND, first_elsewhere, follows, ms, stays};
use super::nodes::{Node, all_equal, pause};
use super::results::{Losses, Row};
use crate::print;
use crate::stats::{median, quantile};

/// Services, the primary first.
const SERVICES: [&str; 3] = ["eu", "us", "ap"];
/// Writes before the fault.
const WARM_UP_WRITES: u64 = 5_000;
/// Writes a second of a client that stays with a silent primary.
const STAYING_PER_SECOND: u32 = 500;
/// How long the load goes on at the new primary.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// What happens to the primary node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and later SIGCONT.
    Freeze,
    /// All packets from and to its host are dropped (nftables), and later no more.
    Drop,
}

/// What the old primary comes back with after it was killed.
fn kept_in(run: u64) -> Kept {
    match run % 3 {
        0 => Kept::AppendOnlyFile,
        1 => Kept::Nothing,
        _ => Kept::OlderFile,
    }
}

impl Fault {
    fn failed(self) -> &'static str {
        match self {
            Self::Kill => "primary node killed (SIGKILL)",
            Self::Freeze => "primary node frozen (SIGSTOP)",
            Self::Drop => "primary node's host cut off (packets dropped)",
        }
    }

    /// The most that it may take, in milliseconds: 3 s where the process is known to be gone, the lease and 3 s where it
    /// is not.
    fn limit_ms(self) -> f64 {
        let lease = GroupSettings::default().lease_seconds;
        match self {
            Self::Kill => 3_000.0,
            Self::Freeze | Self::Drop => f64::from(lease + 3) * 1e3,
        }
    }
}

/// What a run showed.
#[derive(Debug)]
struct Outcome {
    rto_ms: f64,
    report: Report,
    losses: Losses,
    came_back: String,
    rejoined: String,
}

pub(super) fn run(campaign: &Campaign, fault: Fault) -> Result<()> {
    let net = match fault {
        Fault::Drop => Some(Net::new(&SERVICES)?),
        Fault::Kill | Fault::Freeze => None,
    };
    let mut outcomes = Vec::new();
    let all = campaign.each(fault.failed(), |run| {
        if let Some(net) = &net {
            net.heal_all()?;
        }
        let outcome = one(run, fault, net.as_ref())?;
        let line = format!("run {:>3}: {}", run.number, line(&outcome));
        print(&line);
        let did = format!(
            "failed over; the old primary came back {} and {}",
            outcome.came_back, outcome.rejoined
        );
        let mut row = Row::new(fault.failed(), &did, run.number, outcome.rto_ms, outcome.losses);
        row.reported_ms = Some(outcome.report.rto_ms);
        campaign.keep(&row)?;
        let rto_ms = outcome.rto_ms;
        outcomes.push(outcome);
        ensure!(
            rto_ms <= fault.limit_ms(),
            "{rto_ms:.0} ms without a primary are more than {:.0}",
            fault.limit_ms()
        );
        Ok(())
    });
    summary(fault, &outcomes);
    all
}

fn one(run: &mut Run, fault: Fault, net: Option<&Net>) -> Result<Outcome> {
    let mut rng = Rng::new(run.number);
    let kept = (fault == Fault::Kill).then(|| kept_in(run.number));
    run.stand(&SERVICES, net, &GroupSettings::default(), |index, builder| {
        if index == 0 && kept == Some(Kept::AppendOnlyFile) {
            builder.config("appendonly", "yes")
        } else {
            builder
        }
    })?;
    let Run { site, nodes, .. } = run;
    let site = site.as_ref().context("just started")?;
    let copies_before: Vec<usize> = nodes.iter().map(Node::full_copies).collect();

    let old = nodes[0].server.address();
    let writer = follows(site, "seq", LOAD_PER_SECOND)?;
    let staying = match fault {
        Fault::Kill => None,
        _ => Some(stays("old", &nodes[0].server, STAYING_PER_SECOND)?),
    };
    writer.wait_acknowledged(WARM_UP_WRITES, DEADLINE)?;
    if kept == Some(Kept::OlderFile) {
        nodes[0].server.connect()?.cmd(&["SAVE"])?;
    }
    // Faults come at any moment of the gateway's rounds.
    pause(Duration::from_millis(rng.below(1_000)));
    let fault_at = Instant::now();
    strike(fault, &mut nodes[0].server, net)?;
    let first = first_elsewhere(&writer, old, fault_at)?;
    let rto_ms = ms(first.at - fault_at);
    pause(AFTERWARDS);
    writer.stop()?;
    let failover = site.wait_kind(OperationKind::Failover)?;

    mend(fault, &mut nodes[0].server, net)?;
    let rejoin = site.wait_kind(OperationKind::Rejoin)?;
    if let Some(staying) = &staying {
        staying.stop()?;
    }
    site.wait_healthy()?;
    let new = nodes.iter().find(|node| node.server.address() == first.by);
    let new = &new.context("a node of the group answered")?.server;
    all_equal(new, nodes)?;
    for (node, before) in nodes.iter().zip(copies_before).skip(1) {
        let after = node.full_copies();
        ensure!(
            after == before,
            "{} was copied {} times more",
            node.name,
            after - before
        );
    }
    let report = site
        .operation(failover.id)?
        .report
        .context("a failover has a report")?;
    ensure!(report.full_resyncs == 0, "full copies are reported: {report:#?}");
    // Before anybody could count, it said how much it may be at the most.
    let at_first = failover.report.and_then(|first| first.rpo.bytes_max);
    ensure!(
        report.rpo.certainty == Certainty::Estimate || at_first.is_some_and(|most| most >= report.rpo.bytes),
        "at most {at_first:?} bytes were said to be left behind: {report:#?}"
    );
    let writers: Vec<(&str, &SequenceWriter)> = [("seq", &writer)]
        .into_iter()
        .chain(staying.as_ref().map(|staying| ("old", staying)))
        .collect();
    let losses = compare(site, &report, &writers, new, kept)?;
    let copied = nodes[0].full_copies() > 0;
    let saved = rejoin.steps.iter().any(|step| step.name == StepName::Rescue);
    let rejoined = format!(
        "rejoined with a {} resync{}",
        if copied { "full" } else { "partial" },
        if saved { " after its data were saved" } else { "" }
    );
    let came_back = match kept {
        Some(kept) => kept.words().to_owned(),
        None if fault == Fault::Freeze => "awake".to_owned(),
        None => "reachable".to_owned(),
    };
    Ok(Outcome {
        rto_ms,
        report,
        losses,
        came_back,
        rejoined,
    })
}

fn strike(fault: Fault, primary: &mut Server, net: Option<&Net>) -> Result<()> {
    match (fault, net) {
        (Fault::Kill, _) => primary.kill9(),
        (Fault::Freeze, _) => primary.pause()?,
        (Fault::Drop, net) => {
            let (net, host) = (
                net.context("a network")?,
                primary.host().context("a host")?.clone(),
            );
            net.isolate(&host, &[])?;
        }
    }
    Ok(())
}

fn mend(fault: Fault, primary: &mut Server, net: Option<&Net>) -> Result<()> {
    match fault {
        Fault::Kill => primary.restart(),
        Fault::Freeze => primary.resume(),
        Fault::Drop => net.context("a network")?.heal_all(),
    }
}

/// Holds what the clients know against the report and the rescue files.
fn compare(
    site: &Gateway,
    report: &Report,
    writers: &[(&str, &SequenceWriter)],
    new: &Server,
    kept: Option<Kept>,
) -> Result<Losses> {
    let rescued = Rescues::load(site)?;
    let mut losses = Losses::default();
    for (prefix, writer) in writers {
        let lost = writer.missing(&mut new.connect()?)?;
        let nowhere = rescued.without(&keys(prefix, &lost))?;
        losses.lost += lost.len() as u64;
        losses.rescued += (lost.len() - nowhere.len()) as u64;
        // What a killed process held in its memory alone is gone; everything else must have been saved.
        if matches!(kept, None | Some(Kept::AppendOnlyFile)) {
            ensure!(
                nowhere.is_empty(),
                "{} acknowledged writes are in no rescue file: {nowhere:?}",
                nowhere.len()
            );
        }
        let in_files = rescued.numbers(prefix)?;
        let failed: std::collections::BTreeSet<u64> = writer.failed().into_iter().collect();
        let extra: Vec<u64> = in_files
            .into_iter()
            .filter(|number| lost.binary_search(number).is_err())
            .collect();
        // Executed by the old primary after their client had given up.
        let odd: Vec<&u64> = extra.iter().filter(|number| !failed.contains(number)).collect();
        ensure!(
            odd.is_empty(),
            "writes in a rescue file that are not lost: {prefix}:{odd:?}"
        );
        losses.unacknowledged += extra.len() as u64;
    }
    let by_commands = rescued.has_kind(RescueKind::Commands);
    match report.rpo.certainty {
        Certainty::Exact => ensure!(
            report.rpo.commands == Some(losses.lost + losses.unacknowledged),
            "the report counts {:?} writes left behind; the clients count {losses:?}",
            report.rpo.commands
        ),
        Certainty::Estimate => ensure!(
            !by_commands,
            "the extra writes were fetched, and the report still calls them an estimate: {report:#?}"
        ),
    }
    ensure!(
        rescued.commands() == report.rpo.commands.unwrap_or(0),
        "{report:#?}"
    );
    Ok(losses)
}

fn line(outcome: &Outcome) -> String {
    let rpo = &outcome.report.rpo;
    let phases: Vec<String> = outcome
        .report
        .phases
        .iter()
        .map(|phase| format!("{} {:.0}", phase.name, phase.ms))
        .collect();
    let reported = match rpo.commands {
        Some(commands) => format!("{commands} writes"),
        None => format!("about {} bytes", rpo.bytes),
    };
    format!(
        "{:.0} ms (reported {:.0}: {}); lost {} acknowledged, {} of them rescued, and {} nobody was told of; report: \
         {reported}, {:?}; came back {} and {}",
        outcome.rto_ms,
        outcome.report.rto_ms,
        phases.join(", "),
        outcome.losses.lost,
        outcome.losses.rescued,
        outcome.losses.unacknowledged,
        rpo.certainty,
        outcome.came_back,
        outcome.rejoined,
    )
}

fn summary(fault: Fault, outcomes: &[Outcome]) {
    let times: Vec<f64> = outcomes.iter().map(|outcome| outcome.rto_ms).collect();
    let lost: u64 = outcomes.iter().map(|outcome| outcome.losses.lost).sum();
    let rescued: u64 = outcomes.iter().map(|outcome| outcome.losses.rescued).sum();
    print(&format!(
        "{}, {LOAD_PER_SECOND} writes/s, {} runs: without a primary median {:.0} ms, max {:.0} ms (at most {:.0}); lost \
         {lost} acknowledged writes, {rescued} of them in rescue files",
        fault.failed(),
        outcomes.len(),
        median(&times),
        quantile(&times, 1.0),
        fault.limit_ms(),
    ));
    let mut names: Vec<StepName> = Vec::new();
    for phase in outcomes.iter().flat_map(|outcome| &outcome.report.phases) {
        if !names.contains(&phase.name) {
            names.push(phase.name);
        }
    }
    for name in names {
        let phases = outcomes.iter().flat_map(|outcome| &outcome.report.phases);
        let times: Vec<f64> = phases
            .filter(|phase| phase.name == name)
            .map(|phase| phase.ms)
            .collect();
        print(&format!(
            "  {name:<15} median {:>7.1} ms, max {:>7.1} ms, in {} runs",
            median(&times),
            quantile(&times, 1.0),
            times.len()
        ));
    }
}
