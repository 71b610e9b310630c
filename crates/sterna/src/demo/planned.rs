//! The planned way back: a switchover under load, without a lost write and without a copy.

use sterna_model::{Certainty, GroupState, Operation, OperationKind};

use super::cast::Cast;
use super::change::{self, Change};
use super::claim::claim;
use super::copies::Copies;
use super::operator::GROUP;
use super::proof;
use super::timeline::{Timeline, took};
use super::writer::{PREFIX, Writer};
use crate::words;

/// The operator hands over to eu while the application writes.
pub(super) async fn switch_back(cast: &Cast, writer: &Writer, timeline: &Timeline) -> anyhow::Result<Change> {
    let operator = &cast.operator;
    let newest = operator.newest().await?;
    let before = Copies::of(cast).await?;
    writer.more(300).await?;
    writer.reset_gap();
    operator
        .show(&["switchover", GROUP, "--to", "eu", "--yes"], 20, timeline)
        .await?;
    writer.acknowledged_elsewhere(&cast.us[0].address()).await?;
    writer.more(300).await?;
    let gap = writer.progress().longest_gap;
    let switchover: Operation = operator.next_operation(OperationKind::Switchover, newest).await?;
    operator
        .wait_for_status("the group is healthy again", |status| {
            status.state == GroupState::Healthy && status.operation.is_none()
        })
        .await?;
    change::tell(&switchover, timeline)?;
    let report = change::report(&switchover)?.clone();
    claim(
        report.rpo.bytes == 0 && report.rpo.certainty == Certainty::Exact && report.full_resyncs == 0,
        "a switchover loses nothing and copies nothing, by its report",
        format!("{report:?}"),
    )?;
    let after = Copies::of(cast).await?;
    claim(
        after == before,
        "a switchover copies nothing, by what the nodes say",
        format!("{before:?} before, {after:?} after"),
    )?;
    let progress = writer.progress();
    let missing = proof::missing(&cast.eu, PREFIX, &progress.acknowledged).await?;
    claim(
        missing.is_empty(),
        "a switchover loses no acknowledged order",
        format!("{missing:?} are missing at eu"),
    )?;
    timeline.proven(
        "counted",
        &format!(
            "0 of {} acknowledged orders are missing at eu; the application's longest gap: {}\n\
             0 full syncs: us-1 became a replica, and us-2 went on, with partial resyncs",
            words::count(progress.acknowledged.len() as u64),
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
