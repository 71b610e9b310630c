//! The first acts: data, the full copy of it, and replication at rest.

use std::time::{Duration, Instant};

use super::cast::Cast;
use super::claim::claim;
use super::counters::Counters;
use super::events::GatewayStatus;
use super::fill::fill;
use super::proof;
use super::timeline::{Timeline, byte_rate, per_second, took};
use super::writer::{COMMANDS_PER_SECOND, Writer};
use crate::words;

/// The full copy, which must stay the only one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    /// Size of the snapshot.
    pub(super) bytes: u64,
    /// How long it took to arrive at the gateway.
    pub(super) took: Duration,
    /// From the start of the gateway until both replica nodes followed.
    pub(super) all: Duration,
}

/// Replication while nothing is broken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    pub(super) commands_per_second: u64,
    pub(super) bytes_per_second: u64,
    /// The most that a replica node was found behind the primary.
    pub(super) lag_bytes_max: u64,
    /// Median of a write with `WAIT`.
    pub(super) wait: Duration,
}

/// Fills the primary, starts the gateway, waits until both replica nodes follow.
pub(super) async fn fill_and_replicate(
    cast: &mut Cast,
    megabytes: u64,
    timeline: &Timeline,
) -> anyhow::Result<Copied> {
    let filled = fill(&cast.primary.address(), megabytes << 20).await?;
    let keyspace = cast.primary.info().await?.keyspace();
    timeline.row(
        "fill",
        &format!(
            "{} written to the primary in {} ({}): {} keys in {} databases\n\
             strings, hashes, lists, sets, sorted sets, streams, bitmaps, geo sets, expiries…",
            words::bytes(filled.bytes),
            took(filled.took),
            byte_rate(filled.bytes, filled.took),
            words::count(keyspace.values().sum()),
            keyspace.len(),
        ),
    );

    timeline.act("One full copy");
    let started = Instant::now();
    cast.start_gateway()?;
    let targets: Vec<_> = cast
        .replicas
        .iter()
        .map(|node| format!("--to {}", node.url()))
        .collect();
    let command = format!(
        "sterna replicate --from {} \\\n  {}",
        cast.primary.url(),
        targets.join(" ")
    );
    timeline.row("replicate", &command);
    let replicas = cast.replicas.len();
    let gateway = cast.gateway()?;
    let received = gateway.wait_for("full-sync-received", 1).await?;
    let bytes = received["bytes"].as_u64().unwrap_or_default();
    let seconds = received["seconds"].as_f64().unwrap_or_default();
    let copy_took = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    // A small copy has arrived before the replica nodes have asked for it.
    let passed_on = match gateway
        .events
        .count_before("replica-full-sync", "full-sync-received")?
    {
        begun if begun == replicas => ", passed on to both while it came in",
        _ => "",
    };
    timeline.row(
        "copy",
        &format!(
            "{} from the primary in {} ({}){passed_on}",
            words::bytes(bytes),
            took(copy_took),
            byte_rate(bytes, copy_took)
        ),
    );
    gateway.wait_for("replica-online", replicas).await?;
    let all = started.elapsed();
    proof::mark(cast, &cast.replicas, "copied").await?;
    for replica in &cast.replicas {
        proof::refuses_writes(replica).await?;
    }
    let counters = Counters::of(&cast.primary).await?;
    claim(
        counters.full == 1 && counters.partial == 0,
        "two replica nodes cost the primary one full copy",
        format!(
            "sync_full {}, sync_partial_ok {}",
            counters.full, counters.partial
        ),
    )?;
    timeline.proven(
        "following",
        &format!(
            "after {} both replica nodes hold everything, follow the stream and refuse other writes\n\
             it cost the primary one full copy: sync_full 0 → {}",
            took(all),
            counters.full
        ),
    );
    Ok(Copied {
        bytes,
        took: copy_took,
        all,
    })
}

/// Measures replication between two statuses of the gateway, which come once a second.
pub(super) async fn steady(
    cast: &mut Cast,
    writer: &mut Writer,
    timeline: &Timeline,
) -> anyhow::Result<Steady> {
    timeline.row(
        "write",
        &format!(
            "an application sends {} commands a second from now on, whatever happens:\n\
             overwrites, removals, transactions, scripts, expiries…",
            words::count(COMMANDS_PER_SECOND)
        ),
    );
    writer.more(COMMANDS_PER_SECOND / 5).await?;
    let gateway = cast.gateway()?;
    let any = |_: &GatewayStatus| true;
    let first = gateway
        .wait_for_status("the gateway says its status", any)
        .await?;
    let started = Instant::now();
    let wait = proof::wait_median(cast).await?;
    writer.more(COMMANDS_PER_SECOND).await?;
    let last = cast
        .gateway()?
        .wait_for_status("the gateway says its status", any)
        .await?;
    let between = started.elapsed();
    let lag_bytes_max = proof::lag_bytes_max(cast).await?;
    let steady = Steady {
        commands_per_second: per_second(last.commands.saturating_sub(first.commands), between),
        bytes_per_second: per_second(last.stream_bytes.saturating_sub(first.stream_bytes), between),
        lag_bytes_max,
        wait,
    };
    timeline.proven(
        "in step",
        &format!(
            "the stream carries {} commands/s, {}/s, expiries included; lag {} at most\n\
             SET, then WAIT 1 10000: both have applied it after {} (median)",
            words::count(steady.commands_per_second),
            words::bytes(steady.bytes_per_second),
            words::bytes(steady.lag_bytes_max),
            took(steady.wait)
        ),
    );
    Ok(steady)
}
