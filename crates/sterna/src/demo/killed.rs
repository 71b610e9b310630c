//! The primary is killed: failover without a person, and the return of the old primary.

use std::time::Instant;

use sterna_model::{GroupState, OperationKind};

use super::cast::Cast;
use super::change::{self, Change};
use super::claim::{claim, until};
use super::copies::Copies;
use super::proof;
use super::timeline::{Timeline, took};
use super::writer::{PREFIX, Writer};
use crate::words;

/// kill -9 of the primary while the application writes.
pub(super) async fn fail_over(
    cast: &mut Cast,
    writer: &Writer,
    timeline: &Timeline,
) -> anyhow::Result<Change> {
    save(cast, timeline).await?;
    let newest = cast.operator.newest().await?;
    let before = Copies::of(cast).await?;
    writer.more(500).await?;
    writer.reset_gap();
    let (old, pid) = (cast.eu.address(), cast.eu.pid().unwrap_or_default());
    let killed = Instant::now();
    cast.eu.kill9();
    timeline.row(
        "kill",
        &format!("kill -9 of eu, pid {pid}, while orders are written"),
    );
    let back = writer.acknowledged_elsewhere(&old).await?;
    timeline.proven(
        "followed",
        &format!(
            "{} after the kill the first order is acknowledged by {}: the application asked discovery, nothing else",
            took(back - killed),
            cast.us[0].name
        ),
    );
    writer.more(500).await?;
    let gap = writer.progress().longest_gap;
    let failover = cast
        .operator
        .next_operation(OperationKind::Failover, newest)
        .await?;
    change::tell(&failover, timeline)?;
    let report = change::report(&failover)?.clone();
    let copied = cast.us[1].full_copies_taken() - before.taken[2];
    claim(
        copied == 0 && report.full_resyncs == 0,
        "us-2 continues with a partial resync when us-1 is promoted",
        format!(
            "{copied} full copies by its log, {} by the report",
            report.full_resyncs
        ),
    )?;
    let progress = writer.progress();
    let missing = proof::missing(&cast.us[0], PREFIX, &progress.acknowledged).await?;
    let lost = missing.len() as u64;
    timeline.proven(
        "counted",
        &format!(
            "{} of {} acknowledged orders are missing at us-1; {} never got an answer\n\
             the application's longest gap: {}",
            words::count(lost),
            words::count(progress.acknowledged.len() as u64),
            progress.unanswered,
            took(gap),
        ),
    );
    Ok(Change {
        what: "primary killed",
        report,
        lost,
        lost_orders: lost,
        gap,
        rejoined: rejoin(cast, writer, timeline).await?,
    })
}

/// The old primary starts again with what it had saved to disk.
async fn rejoin(cast: &mut Cast, writer: &Writer, timeline: &Timeline) -> anyhow::Result<&'static str> {
    let newest = cast.operator.newest().await?;
    let copies = cast.eu.full_copies_taken();
    let started = Instant::now();
    cast.eu.launch()?;
    timeline.row(
        "restart",
        &format!(
            "eu, pid {}, from its own configuration file, with the data that it had saved before",
            cast.eu.pid().unwrap_or_default()
        ),
    );
    let rejoin = cast
        .operator
        .next_operation(OperationKind::Rejoin, newest)
        .await?;
    cast.operator
        .wait_for_status("the group is healthy again", |status| {
            status.state == GroupState::Healthy && status.operation.is_none()
        })
        .await?;
    let all = started.elapsed();
    proof::refuses_writes(&cast.eu).await?;
    proof::mark(&cast.us[0], &[&cast.eu, &cast.us[1]], "after the rejoin").await?;
    let how = how_it_came_back(cast.eu.full_copies_taken() - copies);
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
    writer.more(200).await?;
    Ok(how)
}

/// By how many full copies it took.
pub(super) fn how_it_came_back(full_copies: usize) -> &'static str {
    if full_copies == 0 {
        "with a partial resync"
    } else {
        "with a full copy"
    }
}

/// Has eu write the RDB from which it will restart, as servers do by themselves now and then.
async fn save(cast: &Cast, timeline: &Timeline) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut client = cast.eu.client().await?;
    // Keys that expire while it is down would be writes of its own.
    proof::wait_for_expiry(&mut client).await?;
    client.command(&["BGSAVE"]).await?;
    until("eu has saved its data", async || {
        let info = client.info().await?;
        anyhow::ensure!(!info.persistence().rdb_bgsave_in_progress, "it is saving");
        let outcome = info.get("rdb_last_bgsave_status");
        anyhow::ensure!(outcome == Some("ok"), "the last save ended with {outcome:?}");
        Ok(())
    })
    .await?;
    timeline.row(
        "save",
        &format!(
            "eu saves its data to disk: BGSAVE, {} in {}",
            words::bytes(cast.eu.rdb_bytes()),
            took(started.elapsed())
        ),
    );
    Ok(())
}
