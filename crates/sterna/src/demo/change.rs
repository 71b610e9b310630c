//! A change of primary as it is told: what the operation's report says, and what the application saw.

use std::time::Duration;

use sterna_model::{Certainty, Operation, Report};

use super::timeline::{Timeline, took};
use crate::words;

/// One change of primary, for the summary.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// What happened.
    pub(super) what: &'static str,
    pub(super) report: Report,
    /// Acknowledged writes that the new primary does not have, by the clients' count.
    pub(super) lost: u64,
    /// How many of them were the application's.
    pub(super) lost_orders: u64,
    /// The longest time between two acknowledged orders of the application.
    pub(super) gap: Duration,
    /// How the old primary became a replica.
    pub(super) rejoined: &'static str,
}

/// The report of an operation that changed the primary.
pub(super) fn report(operation: &Operation) -> anyhow::Result<&Report> {
    let report = operation.report.as_ref();
    report.ok_or_else(|| anyhow::anyhow!("operation {} has no report: {operation:?}", operation.id))
}

/// Prints RPO, RTO and every phase.
pub(super) fn tell(operation: &Operation, timeline: &Timeline) -> anyhow::Result<()> {
    let report = report(operation)?;
    timeline.row(
        "report",
        &format!(
            "operation {}: {} → {} ({}), epoch {}: {}\nRPO {}\nRTO {} by phase: {}\n\
             replica nodes: {} partial resyncs, {} full",
            operation.id,
            report.from,
            report.to,
            report.to_node,
            report.epoch,
            report.reason,
            rpo(report),
            ms(report.rto_ms),
            phases(report),
            report.partial_resyncs,
            report.full_resyncs,
        ),
    );
    Ok(())
}

/// `0 B (estimate)`, `14.2 KiB, 213 commands (counted)`.
pub(super) fn rpo(report: &Report) -> String {
    let rpo = &report.rpo;
    let commands = rpo.commands.map_or_else(String::new, |commands| {
        format!(", {} commands", words::count(commands))
    });
    let sure = match rpo.certainty {
        Certainty::Exact => "counted",
        Certainty::Estimate => "estimated from what the old primary last said",
    };
    format!("{}{commands} ({sure})", words::bytes(rpo.bytes))
}

/// `1.31 s`
pub(super) fn ms(ms: f64) -> String {
    took(Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default())
}

fn phases(report: &Report) -> String {
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|phase| format!("{} {}", phase.name, ms(phase.ms)))
        .collect();
    phases.join(", ")
}
