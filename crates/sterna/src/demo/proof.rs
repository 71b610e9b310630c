//! The proofs: what was acknowledged is there, a write made now arrives, and all nodes hold exactly the same data.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use sterna_node::Client;
use tokio::try_join;

use super::cast::Cast;
use super::claim::{claim, until};
use super::mix::SHORT_LIVED_DB;
use super::node::Node;

const MARK_KEY: &str = "demo:mark";
/// So many keys are looked for with one command.
const KEYS_AT_ONCE: usize = 500;

/// Writes something new to the primary and waits until these replica nodes show it.
pub(super) async fn mark(primary: &Node, replicas: &[&Node], mark: &str) -> anyhow::Result<()> {
    primary.client().await?.command(&["SET", MARK_KEY, mark]).await?;
    for replica in replicas {
        let what = format!("{} shows what was just written to {}", replica.name, primary.name);
        let mut client = replica.client().await?;
        until(&what, async || {
            let found = client.command(&["GET", MARK_KEY]).await?;
            let found = found.as_text().unwrap_or("nothing").to_owned();
            anyhow::ensure!(found == mark, "it shows {found}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// The numbers whose keys a node does not have.
pub(super) async fn missing(node: &Node, prefix: &str, numbers: &[u64]) -> anyhow::Result<Vec<u64>> {
    let mut client = node.client().await?;
    let mut missing = Vec::new();
    for numbers in numbers.chunks(KEYS_AT_ONCE) {
        let keys = numbers.iter().map(|number| format!("{prefix}{number}"));
        let command: Vec<_> = std::iter::once("EXISTS".to_owned()).chain(keys).collect();
        let found = client.command(&command).await?.as_int();
        if found == i64::try_from(numbers.len()).ok() {
            continue;
        }
        for number in numbers {
            let answer = client.command(&["EXISTS", &format!("{prefix}{number}")]).await?;
            if answer.as_int() != Some(1) {
                missing.push(*number);
            }
        }
    }
    Ok(missing)
}

/// What all nodes agreed on.
#[derive(Debug, Clone)]
pub(super) struct Equality {
    pub(super) offset: u64,
    pub(super) digest: String,
    pub(super) keys: u64,
    pub(super) took: Duration,
}

/// Claims that all nodes hold the same data at the same offset. Nothing may be writing any more.
pub(super) async fn equal(cast: &Cast, primary: &Node) -> anyhow::Result<Equality> {
    let mut client = primary.client().await?;
    wait_for_expiry(&mut client).await?;
    // A digest may take longer than it is from one ping to the next, and each ping moves the offset.
    let pings = "repl-ping-replica-period";
    client.config_set(pings, "3600").await?;
    let equality = until("all nodes rest at one offset", async || {
        compare(cast, primary).await
    })
    .await?;
    client.config_set(pings, "10").await?;
    equality
}

/// An outer error: the nodes are not at rest, and nothing is known. An inner one: at rest, they differ.
async fn compare(cast: &Cast, primary: &Node) -> anyhow::Result<anyhow::Result<Equality>> {
    let started = Instant::now();
    let before = same_offset(cast, primary).await?;
    let [eu, one, two] = cast.nodes();
    let (expected, first, second) = try_join!(digest(eu), digest(one), digest(two))?;
    let took = started.elapsed();
    let offset = same_offset(cast, primary).await?;
    anyhow::ensure!(before == offset, "the offset moved from {before} to {offset}");
    let same = claim(
        expected == first && expected == second,
        "all nodes have the same DEBUG DIGEST",
        format!("eu {expected}, us-1 {first}, us-2 {second}, all at offset {offset}"),
    );
    let keys = primary.info().await?.keyspace().values().sum();
    Ok(same.map(|()| Equality {
        offset,
        digest: expected,
        keys,
        took,
    }))
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
async fn same_offset(cast: &Cast, primary: &Node) -> anyhow::Result<u64> {
    let expected = offset(primary, "master").await?;
    for replica in cast.others(primary) {
        let reached = offset(replica, "slave").await?;
        anyhow::ensure!(
            reached == expected,
            "{} is at offset {expected}, {} at {reached}",
            primary.name,
            replica.name
        );
    }
    Ok(expected)
}

async fn offset(node: &Node, role: &str) -> anyhow::Result<u64> {
    let info = node.info().await?;
    anyhow::ensure!(info.get("role") == Some(role), "{} is no {role}", node.name);
    let name = if role == "slave" {
        anyhow::ensure!(
            info.get("master_link_status") == Some("up"),
            "{} has no link",
            node.name
        );
        "slave_repl_offset"
    } else {
        "master_repl_offset"
    };
    info.parsed(name).with_context(|| format!("INFO has no {name}"))
}

/// The primary alone decides what expires; each such decision moves the offset, so the short-lived keys must go first.
pub(super) async fn wait_for_expiry(primary: &mut Client) -> anyhow::Result<()> {
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
