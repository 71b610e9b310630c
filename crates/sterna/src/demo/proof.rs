//! The two proofs: a write made now arrives everywhere, and all nodes hold exactly the same data.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sterna_node::Client;
use tokio::try_join;

use super::cast::Cast;
use super::claim::{claim, until};
use super::mix::SHORT_LIVED_DB;
use super::node::Node;
use super::timeline::took;
use super::writer::{COUNT_KEY, Written};

const MARK_KEY: &str = "demo:mark";
/// Writes on which the time to both replica nodes is measured.
const WAITS: usize = 51;
/// How often it is looked how far each replica node is behind.
const LAG_LOOKS: usize = 25;

/// Writes something new to the primary and waits until these replica nodes show it; how long that took.
pub(super) async fn mark(cast: &Cast, replicas: &[Node], mark: &str) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut primary = cast.primary.client().await?;
    primary.command(&["SET", MARK_KEY, mark]).await?;
    for replica in replicas {
        let what = format!("{} shows what was just written to the primary", replica.name);
        // A node that is down or loading has no answer; each failure costs a new connection.
        let mut client = None;
        until(&what, async || {
            let mut connected = match client.take() {
                Some(connected) => connected,
                None => replica.client().await?,
            };
            let found = connected.command(&["GET", MARK_KEY]).await?;
            client = Some(connected);
            let found = found.as_text().unwrap_or("nothing").to_owned();
            anyhow::ensure!(found == mark, "it shows {found}");
            Ok(())
        })
        .await?;
    }
    Ok(started.elapsed())
}

/// Writes one by one, each with `WAIT 1 10000`: the median time until the gateway has acknowledged it, which by default
/// means that every replica node has applied it.
pub(super) async fn wait_median(cast: &Cast) -> anyhow::Result<Duration> {
    let mut primary = cast.primary.client().await?;
    let mut times = Vec::new();
    for n in 0..WAITS {
        let started = Instant::now();
        primary.command(&["SET", MARK_KEY, &format!("wait {n}")]).await?;
        let acknowledged = primary.command(&["WAIT", "1", "10000"]).await?.as_int();
        claim(
            acknowledged == Some(1),
            "WAIT 1 10000 at the primary is answered with 1",
            format!("{acknowledged:?} after {}", took(started.elapsed())),
        )?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[WAITS / 2])
}

/// The most that a replica node is found behind, in bytes, when the primary is asked for its offset and then the
/// replica node for its own. What the gateway reports is by acknowledgements, which come only once a second.
pub(super) async fn lag_bytes_max(cast: &Cast) -> anyhow::Result<u64> {
    let mut lag_bytes = 0;
    for _ in 0..LAG_LOOKS {
        for replica in &cast.replicas {
            let primary = offset(&cast.primary).await?;
            lag_bytes = lag_bytes.max(primary.saturating_sub(offset(replica).await?));
        }
    }
    Ok(lag_bytes)
}

/// What all nodes agreed on.
#[derive(Debug, Clone)]
pub(super) struct Equality {
    pub(super) offset: u64,
    pub(super) digest: String,
    pub(super) keys: u64,
    pub(super) took: Duration,
}

/// Claims that primary and replica nodes hold the same data at the same offset. Nothing may be writing any more.
pub(super) async fn equal(cast: &Cast) -> anyhow::Result<Equality> {
    let mut primary = cast.primary.client().await?;
    wait_for_expiry(&mut primary).await?;
    // A digest may take longer than it is from one ping to the next, and each ping moves the offset.
    let pings = "repl-ping-replica-period";
    primary.config_set(pings, "3600").await?;
    let equality = until("all nodes rest at one offset", async || compare(cast).await).await?;
    primary.config_set(pings, "10").await?;
    equality
}

/// An outer error: the nodes are not at rest, and nothing is known. An inner one: at rest, they differ.
async fn compare(cast: &Cast) -> anyhow::Result<anyhow::Result<Equality>> {
    let started = Instant::now();
    let before = same_offset(cast).await?;
    let (expected, first, second) = try_join!(
        digest(&cast.primary),
        digest(&cast.replicas[0]),
        digest(&cast.replicas[1])
    )?;
    let took = started.elapsed();
    let offset = same_offset(cast).await?;
    anyhow::ensure!(before == offset, "the offset moved from {before} to {offset}");
    let same = claim(
        expected == first && expected == second,
        "primary and replica nodes have the same DEBUG DIGEST",
        format!("primary {expected}, replica 1 {first}, replica 2 {second}, all at offset {offset}"),
    );
    let keys = cast.primary.info().await?.keyspace().values().sum();
    Ok(same.map(|()| Equality {
        offset,
        digest: expected,
        keys,
        took,
    }))
}

/// Claims that a node has the digest.
pub(super) async fn has_digest(node: &Node, expected: &str) -> anyhow::Result<()> {
    let found = digest(node).await?;
    claim(
        found == expected,
        format!("{} still has the DEBUG DIGEST {expected}", node.name),
        found,
    )
}

/// Claims that every command that the primary acknowledged to the writer is counted on every node.
pub(super) async fn nothing_lost(cast: &Cast, written: &Written) -> anyhow::Result<()> {
    for node in cast.nodes() {
        let answer = node.client().await?.command(&["GET", COUNT_KEY]).await?;
        claim(
            answer.as_int() == i64::try_from(written.commands).ok(),
            format!("{} has counted all {} commands", node.name, written.commands),
            format!("{answer:?}"),
        )?;
    }
    Ok(())
}

/// Claims that a node refuses writes of its own.
pub(super) async fn refuses_writes(node: &Node) -> anyhow::Result<()> {
    let answer = node.client().await?.ask(&["SET", "demo:stray", "1"]).await?;
    claim(
        answer
            .as_error()
            .is_some_and(|error| error.starts_with("READONLY")),
        format!("{} refuses writes", node.name),
        format!("{answer:?}"),
    )
}

/// The one offset of all nodes, whose links are up.
async fn same_offset(cast: &Cast) -> anyhow::Result<u64> {
    let expected = offset(&cast.primary).await?;
    for replica in &cast.replicas {
        let reached = offset(replica).await?;
        anyhow::ensure!(
            reached == expected,
            "the primary is at offset {expected}, {} at {reached}",
            replica.name
        );
    }
    Ok(expected)
}

async fn offset(node: &Node) -> anyhow::Result<u64> {
    let info = node.info().await?;
    let name = match info.get("role") {
        Some("slave") => {
            anyhow::ensure!(
                info.get("master_link_status") == Some("up"),
                "{} has no link",
                node.name
            );
            "slave_repl_offset"
        }
        _ => "master_repl_offset",
    };
    info.parsed(name).with_context(|| format!("INFO has no {name}"))
}

/// The primary alone decides what expires; each such decision moves the offset, so the short-lived keys must go first.
async fn wait_for_expiry(primary: &mut Client) -> anyhow::Result<()> {
    primary.command(&["SELECT", &SHORT_LIVED_DB.to_string()]).await?;
    until("the short-lived keys of the primary expire", async || {
        // By itself the server leaves the last keys of a table that was large alone for seconds; a SCAN removes what
        // it finds expired.
        primary.command(&["SCAN", "0", "COUNT", "1000000"]).await?;
        let left = primary.dbsize().await?;
        anyhow::ensure!(left == 0, "{left} are left");
        Ok(())
    })
    .await
}

async fn digest(node: &Node) -> anyhow::Result<String> {
    let answer = node.client().await?.command(&["DEBUG", "DIGEST"]).await?;
    let digest = answer.as_text().context("DEBUG DIGEST answered without text")?;
    Ok(digest.to_owned())
}
