//! The middle acts: three things break, one after the other, while the application writes.
//!
//! A recovery is measured from the outside: a write that was made after the fault (or after the restart, where
//! something was killed) is there on both replica nodes. That it was a partial resync is what the primary's own
//! counters say, and what the gateway counted.

use std::time::{Duration, Instant};

use super::cast::Cast;
use super::claim::{claim, until};
use super::copying::Copied;
use super::counters::Counters;
use super::proof;
use super::timeline::{Timeline, took};
use super::writer::{COMMANDS_PER_SECOND, Writer};
use crate::words;

/// What came of a fault.
#[derive(Debug, Clone)]
pub(super) struct Recovery {
    pub(super) what: &'static str,
    /// Until a new write was on both replica nodes.
    pub(super) took: Duration,
    /// What was sent in place of a full copy.
    pub(super) sent_bytes: Option<u64>,
    /// The primary's counters afterwards.
    pub(super) counters: Counters,
}

impl Recovery {
    /// `connection cut 64 ms, 11.3 KiB`
    pub(super) fn summary(&self) -> String {
        let sent = self
            .sent_bytes
            .map_or_else(String::new, |bytes| format!(", {}", words::bytes(bytes)));
        format!("{} {}{sent}", self.what, took(self.took))
    }
}

/// The primary drops the gateway.
pub(super) async fn cut_connection(
    cast: &mut Cast,
    copied: &Copied,
    timeline: &Timeline,
) -> anyhow::Result<Recovery> {
    timeline.act("Fault 1 of 3: the connection between primary and gateway is cut");
    let then = Counters::of(&cast.primary).await?;
    let followed = cast.gateway()?.followed()?;
    let mut primary = cast.primary.client().await?;
    let started = Instant::now();
    let killed = primary
        .command(&["CLIENT", "KILL", "TYPE", "replica"])
        .await?
        .as_int();
    timeline.row("cut", "CLIENT KILL TYPE replica, at the primary");
    claim(
        killed == Some(1),
        "the primary has one replica, the gateway",
        format!("{killed:?} connections"),
    )?;
    proof::mark(cast, &cast.replicas, "after the cut").await?;
    let took = started.elapsed();
    cast.gateway()?.wait_until_it_follows(followed + 1).await?;
    let counters = Counters::of(&cast.primary).await?;
    counters.claim_continued(&then, 1)?;
    let resumed = cast.gateway()?.wait_for("resumed", 1).await?;
    let recovery = Recovery {
        what: "connection cut",
        took,
        sent_bytes: counters.sent_since(&then),
        counters,
    };
    let offset = resumed["offset"].as_u64().unwrap_or_default();
    let remark = format!("the gateway went on at offset {}", words::count(offset));
    tell(&recovery, &then, copied, &remark, timeline);
    Ok(recovery)
}

/// The gateway is killed while the application writes, and started again by the same command.
pub(super) async fn kill_gateway(
    cast: &mut Cast,
    writer: &mut Writer,
    copied: &Copied,
    timeline: &Timeline,
) -> anyhow::Result<Recovery> {
    timeline.act("Fault 2 of 3: the gateway is killed");
    let then = Counters::of(&cast.primary).await?;
    let pid = cast.gateway()?.pid();
    let written = writer.written().commands;
    cast.kill9_gateway();
    timeline.row("kill", &format!("kill -9 of the gateway, pid {pid}"));
    writer.more(COMMANDS_PER_SECOND).await?;
    let meanwhile = writer.written().commands - written;
    let started = Instant::now();
    cast.start_gateway()?;
    let pid = cast.gateway()?.pid();
    timeline.row(
        "restart",
        &format!(
            "the same command again, pid {pid}; meanwhile the primary took {} commands",
            words::count(meanwhile)
        ),
    );
    cast.gateway()?.wait_until_it_follows(1).await?;
    let upstream = started.elapsed();
    proof::mark(cast, &cast.replicas, "after the restart of the gateway").await?;
    let all = started.elapsed();
    let counters = Counters::of(&cast.primary).await?;
    counters.claim_continued(&then, 1)?;
    let replicas = u64::try_from(cast.replicas.len())?;
    claim_gateway_continued(cast, (1, replicas)).await?;
    let recovery = Recovery {
        what: "gateway killed",
        took: all,
        sent_bytes: counters.sent_since(&then),
        counters,
    };
    let remark = format!(
        "the gateway followed the primary after {}; replica nodes look for it once a second",
        took(upstream)
    );
    tell(&recovery, &then, copied, &remark, timeline);
    Ok(recovery)
}

/// A replica node is killed and restarted: it loads what it had saved and asks the gateway for the rest.
pub(super) async fn kill_replica(
    cast: &mut Cast,
    writer: &mut Writer,
    copied: &Copied,
    timeline: &Timeline,
) -> anyhow::Result<Recovery> {
    timeline.act("Fault 3 of 3: a replica node is killed");
    save(cast, timeline).await?;
    let then = Counters::of(&cast.primary).await?;
    let (_, gateway_then) = cast.gateway()?.events.status()?;
    let node = &mut cast.replicas[1];
    let pid = node.pid().unwrap_or_default();
    node.kill9();
    timeline.row("kill", &format!("kill -9 of {}, pid {pid}", node.name));
    writer.more(COMMANDS_PER_SECOND).await?;
    let arrived = proof::mark(cast, &cast.replicas[..1], "while a replica node is down").await?;
    timeline.row(
        "meanwhile",
        &format!("a new write is on replica 1 after {}", took(arrived)),
    );
    let started = Instant::now();
    let node = &mut cast.replicas[1];
    node.launch()?;
    timeline.row(
        "restart",
        &format!("{}, pid {}", node.name, node.pid().unwrap_or_default()),
    );
    node.loaded().await?;
    let loaded = started.elapsed();
    proof::mark(cast, &cast.replicas, "after the restart of a replica node").await?;
    let all = started.elapsed();
    let counters = Counters::of(&cast.primary).await?;
    counters.claim_continued(&then, 0)?;
    let links = (gateway_then.partial_syncs_up, gateway_then.partial_syncs_down + 1);
    claim_gateway_continued(cast, links).await?;
    // The process is new, so all that it counts it got since its restart.
    let sent_bytes = cast.replicas[1]
        .info()
        .await?
        .parsed("total_net_repl_input_bytes");
    let recovery = Recovery {
        what: "node killed",
        took: all,
        sent_bytes,
        counters,
    };
    let remark = format!(
        "{} to load its own data from disk; the rest came out of the gateway's log",
        took(loaded)
    );
    tell(&recovery, &then, copied, &remark, timeline);
    Ok(recovery)
}

/// Has the node write the RDB from which it will restart. It holds the replication offset, unlike an AOF.
async fn save(cast: &Cast, timeline: &Timeline) -> anyhow::Result<()> {
    let node = &cast.replicas[1];
    let started = Instant::now();
    let mut client = node.client().await?;
    client.command(&["BGSAVE"]).await?;
    until(&format!("{} has saved its data", node.name), async || {
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
            "{} saves its data first: BGSAVE, {} in {}",
            node.name,
            words::bytes(node.rdb_bytes()),
            took(started.elapsed())
        ),
    );
    Ok(())
}

/// Claims that the gateway has continued so many links with the primary, and with replica nodes, and has neither taken
/// nor given a full copy since it was started.
async fn claim_gateway_continued(cast: &mut Cast, (up, down): (u64, u64)) -> anyhow::Result<()> {
    let what = format!("the gateway has continued {up} links to the primary and {down} to replica nodes");
    let status = cast.gateway()?.wait_for_status(&what, |status| {
        status.partial_syncs_up >= up && status.partial_syncs_down >= down
    });
    let status = status.await?;
    claim(
        status.full_syncs_up + status.full_syncs_down + status.full_syncs_needless == 0,
        "the restarted gateway neither takes nor gives a full copy",
        format!("{status:?}"),
    )
}

fn tell(recovery: &Recovery, then: &Counters, copied: &Copied, remark: &str, timeline: &Timeline) {
    let sent = recovery.sent_bytes.map_or_else(String::new, |bytes| {
        format!(
            "; {} sent, not {}",
            words::bytes(bytes),
            words::bytes(copied.bytes)
        )
    });
    timeline.proven(
        "recovered",
        &format!(
            "after {} a new write is on both replica nodes\npartial resync: {}{sent}\n{remark}",
            took(recovery.took),
            recovery.counters.since(then)
        ),
    );
}
