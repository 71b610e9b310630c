//! A change of primary as it is told: what the operation's report says, and what the application saw.

use std::time::Duration;

use sterna_model::{Certainty, Operation, Report};

use crate::timeline::Timeline;
use crate::units::{bytes, count, ms};

/// One change of primary, for the summary.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// What happened.
    pub(crate) what: &'static str,
    pub(crate) report: Report,
    /// Acknowledged writes that the new primary does not have, by the clients' count.
    pub(crate) lost: u64,
    /// How many of them were the application's.
    pub(crate) lost_orders: u64,
    /// The longest time between two acknowledged orders of the application.
    pub(crate) gap: Duration,
    /// How the old primary became a replica.
    pub(crate) rejoined: &'static str,
}

/// The report of an operation that changed the primary.
pub(crate) fn report(operation: &Operation) -> anyhow::Result<&Report> {
    let report = operation.report.as_ref();
    report.ok_or_else(|| anyhow::anyhow!("operation {} has no report: {operation:?}", operation.id))
}

/// Prints RPO, RTO and every phase.
pub(crate) fn tell(operation: &Operation, timeline: &Timeline) -> anyhow::Result<()> {
    let report = report(operation)?;
    let phases = report
        .phases
        .iter()
        .map(|phase| format!("{} {}", phase.name, ms(phase.ms)));
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
            phases.collect::<Vec<_>>().join(", "),
            report.partial_resyncs,
            report.full_resyncs,
        ),
    );
    Ok(())
}

/// `0 B known of, at most 3.1 KiB (…)`, `14.2 KiB, 213 commands (counted)`.
pub(crate) fn rpo(report: &Report) -> String {
    let rpo = &report.rpo;
    let commands = rpo
        .commands
        .map_or_else(String::new, |commands| format!(", {} commands", count(commands)));
    let known = bytes(rpo.bytes);
    match (rpo.certainty, rpo.bytes_max) {
        (Certainty::Exact, _) => format!("{known}{commands} (counted)"),
        (Certainty::Estimate, Some(most)) => {
            let most = bytes(most);
            format!("{known} known of, at most {most} (counted when the old primary is back)")
        }
        (Certainty::Estimate, None) => format!("{known} known of (counted when the old primary is back)"),
    }
}
