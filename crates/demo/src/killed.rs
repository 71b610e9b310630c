//! The primary is killed: failover without a person, and the return of the old primary.

use std::time::Instant;

use sterna_model::OperationKind;
use sterna_testkit::workload::SequenceWriter;

use crate::assert::{DEADLINE, assert, until};
use crate::change::{self, Change};
use crate::nodes::Demo;
use crate::units::{bytes, count, took};
use crate::verify;

/// kill -9 of the primary while the application writes.
pub(crate) fn fail_over(demo: &mut Demo, application: &SequenceWriter) -> anyhow::Result<Change> {
    save(demo)?;
    let before = demo.nodes.full_copies()?;
    application.wait_acknowledged(500, DEADLINE)?;
    let pid = demo.nodes.eu.server.pid();
    let killed = Instant::now();
    demo.nodes.eu.server.kill9();
    let Demo {
        nodes,
        gateway,
        timeline,
        ..
    } = demo;
    let [new, sibling] = &nodes.us;
    timeline.row(
        "kill",
        &format!("kill -9 of eu, pid {pid}, while orders are written"),
    );
    let back = application.wait_acknowledged_by(new.server.address(), killed, DEADLINE)?;
    timeline.proven(
        "followed",
        &format!(
            "{} after the kill the first order is acknowledged by {}: the application asked discovery, nothing else",
            took(back.at - killed),
            new.name
        ),
    );
    application.wait_acknowledged(500, DEADLINE)?;
    let gap = application.longest_gap_since(killed);
    let failover = gateway.wait_kind(OperationKind::Failover)?;
    change::tell(&failover, timeline)?;
    let report = change::report(&failover)?.clone();
    let copied = sibling.full_copies_taken() - before.taken[2];
    assert(
        copied == 0 && report.full_resyncs == 0,
        "us-2 continues with a partial resync when us-1 is promoted",
        format!(
            "{copied} full copies by its log, {} by the report",
            report.full_resyncs
        ),
    )?;
    let acknowledged = application.acknowledged();
    let lost = application.missing(&mut new.client()?)?.len() as u64;
    timeline.proven(
        "counted",
        &format!(
            "{} of {} acknowledged orders are missing at us-1; {} attempts failed meanwhile\n\
             the application's longest gap: {}",
            count(lost),
            count(acknowledged),
            application.failed().len(),
            took(gap),
        ),
    );
    Ok(Change {
        what: "primary killed",
        report,
        lost,
        lost_orders: lost,
        gap,
        rejoined: rejoin(demo, application)?,
    })
}

/// The old primary starts again with what it had saved to disk.
fn rejoin(demo: &mut Demo, application: &SequenceWriter) -> anyhow::Result<&'static str> {
    let copies = demo.nodes.eu.full_copies_taken();
    let started = Instant::now();
    demo.nodes.eu.server.restart()?;
    let Demo {
        nodes,
        gateway,
        timeline,
        ..
    } = demo;
    let eu = &nodes.eu;
    timeline.row(
        "restart",
        &format!(
            "eu, pid {}, from its own configuration file, with the data that it had saved before",
            eu.server.pid()
        ),
    );
    let rejoin = gateway.wait_kind(OperationKind::Rejoin)?;
    gateway.wait_healthy()?;
    let all = started.elapsed();
    verify::refuses_writes(eu)?;
    verify::write_arrives(&nodes.us[0], &[eu, &nodes.us[1]], "after the rejoin")?;
    let how = how_it_came_back(eu.full_copies_taken() - copies);
    let mut steps: Vec<_> = rejoin.steps.iter().map(|step| step.name.as_str()).collect();
    steps.dedup();
    timeline.proven(
        "rejoined",
        &format!(
            "{} after its start eu is a replica of us, {how}: it refuses writes, and shows new ones of us-1\n\
             operation {}: {}\n\
             a restarted primary begins a history of its own; the gateway knows where that left the old one",
            took(all),
            rejoin.id,
            steps.join(", "),
        ),
    );
    application.wait_acknowledged(200, DEADLINE)?;
    Ok(how)
}

/// By how many full copies it took.
pub(crate) fn how_it_came_back(full_copies: usize) -> &'static str {
    if full_copies == 0 {
        "with a partial resync"
    } else {
        "with a full copy"
    }
}

/// Has eu write the RDB from which it will restart, as servers do by themselves now and then.
fn save(demo: &Demo) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut eu = demo.nodes.eu.client()?;
    // Keys that expire while it is down would be writes of its own.
    verify::wait_for_expiry(&mut eu)?;
    eu.cmd(&["BGSAVE"])?;
    until("eu has saved its data", || {
        let info = eu.info("persistence")?;
        let field = |name: &str| info.get(name).map(String::as_str);
        anyhow::ensure!(field("rdb_bgsave_in_progress") == Some("0"), "it is saving");
        let outcome = field("rdb_last_bgsave_status");
        anyhow::ensure!(outcome == Some("ok"), "the last save ended with {outcome:?}");
        Ok(())
    })?;
    demo.timeline.row(
        "save",
        &format!(
            "eu saves its data to disk: BGSAVE, {} in {}",
            bytes(demo.nodes.eu.rdb_bytes()),
            took(started.elapsed())
        ),
    );
    Ok(())
}
