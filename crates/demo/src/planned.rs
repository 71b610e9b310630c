//! The planned way back: a switchover under load, without a lost write and without a copy.

use std::time::Instant;

use sterna_harness::GROUP;
use sterna_model::{Certainty, OperationKind};
use sterna_testkit::workload::SequenceWriter;

use crate::assert::{DEADLINE, assert};
use crate::change::{self, Change};
use crate::nodes::Demo;
use crate::units::{count, took};

/// The operator hands over to eu while the application writes.
pub(crate) fn switch_back(demo: &Demo, application: &SequenceWriter) -> anyhow::Result<Change> {
    let Demo {
        nodes,
        gateway,
        operator,
        timeline,
        ..
    } = demo;
    let before = nodes.full_copies()?;
    application.wait_acknowledged(300, DEADLINE)?;
    let asked = Instant::now();
    operator.show(&["switchover", GROUP, "--to", "eu", "--yes"], 20, timeline)?;
    application.wait_acknowledged_by(nodes.eu.server.address(), asked, DEADLINE)?;
    application.wait_acknowledged(300, DEADLINE)?;
    let gap = application.longest_gap_since(asked);
    let switchover = gateway.wait_kind(OperationKind::Switchover)?;
    gateway.wait_healthy()?;
    change::tell(&switchover, timeline)?;
    let report = change::report(&switchover)?.clone();
    assert(
        report.rpo.bytes == 0 && report.rpo.certainty == Certainty::Exact && report.full_resyncs == 0,
        "a switchover loses nothing and copies nothing, by its report",
        format!("{report:?}"),
    )?;
    let after = nodes.full_copies()?;
    assert(
        after == before,
        "a switchover copies nothing, by what the nodes say",
        format!("{before:?} before, {after:?} after"),
    )?;
    let acknowledged = application.acknowledged();
    let missing = application.missing(&mut nodes.eu.client()?)?;
    assert(
        missing.is_empty(),
        "a switchover loses no acknowledged order",
        format!("{missing:?} are missing at eu"),
    )?;
    timeline.proven(
        "counted",
        &format!(
            "0 of {} acknowledged orders are missing at eu; the application's longest gap: {}\n\
             0 full syncs: us-1 became a replica, and us-2 went on, with partial resyncs",
            count(acknowledged),
            took(gap),
        ),
    );
    Ok(Change {
        what: "switchback",
        report,
        lost: 0,
        lost_orders: 0,
        gap,
        rejoined: "with a partial resync",
    })
}
