//! The last act: the proof of equality, the promotion, and the summary.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::Value;

use super::cast::Cast;
use super::claim::{claim, until};
use super::copying::{Copied, Steady};
use super::faults::Recovery;
use super::node::Node;
use super::process::{Afterwards, Process};
use super::proof::{self, Equality};
use super::timeline::{Timeline, byte_rate, took};
use super::writer::Written;
use crate::words;

/// How it ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    equality: Equality,
    promoted: String,
    /// From the start of the command to its end.
    promotion_took: Duration,
}

/// Compares all nodes, then promotes the first replica node and looks at it and at the other again.
pub(super) async fn compare_and_promote(
    cast: &mut Cast,
    written: &Written,
    timeline: &Timeline,
) -> anyhow::Result<End> {
    timeline.row(
        "stop",
        &format!(
            "{} commands in {}, none refused; the slowest answer came after {}",
            words::count(written.commands),
            took(written.took),
            took(written.slowest)
        ),
    );
    let equality = proof::equal(cast).await?;
    proof::nothing_lost(cast, written).await?;
    timeline.proven(
        "equal",
        &format!(
            "DEBUG DIGEST of {} keys, all at offset {} ({}):\nprimary    {digest}\nreplica 1  {digest}\n\
             replica 2  {digest}\nall {} commands are counted on each of them",
            words::count(equality.keys),
            words::count(equality.offset),
            took(equality.took),
            words::count(written.commands),
            digest = equality.digest,
        ),
    );
    let started = Instant::now();
    let promoted = cast.replicas[0].url();
    timeline.row("promote", &format!("sterna promote --to {promoted}"));
    let answer = promote(cast).await?;
    let promotion_took = started.elapsed();
    let node = &cast.replicas[0];
    claim(
        answer["missing_bytes"] == 0,
        "the promoted node misses nothing",
        &answer,
    )?;
    proof::has_digest(node, &equality.digest).await?;
    first_write(node).await?;
    proof::refuses_writes(&cast.replicas[1]).await?;
    timeline.proven(
        "promoted",
        &format!(
            "in {}, at offset {}, 0 bytes missing\n\
             its digest is still the same, and it takes writes; replica 2 goes on as a replica",
            took(promotion_took),
            words::count(answer["offset"].as_u64().unwrap_or_default()),
        ),
    );
    Ok(End {
        equality,
        promoted: node.address().to_string(),
        promotion_took,
    })
}

/// Runs `sterna promote` to its end; returns what it said.
async fn promote(cast: &Cast) -> anyhow::Result<Value> {
    let data_dir = cast.recipe.data_dir.display().to_string();
    let url = cast.replicas[0].url();
    let args = [
        "promote",
        "--to",
        &url,
        "--data-dir",
        &data_dir,
        "--output",
        "json",
    ];
    let said = |name| cast.recipe.data_dir.with_file_name(name);
    let (stdout, stderr) = (said("promote.json"), said("promote.err"));
    let mut process = Process::spawn(&cast.recipe.sterna, &args, (&stdout, &stderr), Afterwards::Die)?;
    let status = until("sterna promote ends", async || {
        process.ended()?.context("it runs")
    })
    .await?;
    let read = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    claim(
        status.success(),
        "sterna promote succeeds",
        format!("{status}: {}", read(&stderr).trim()),
    )?;
    let text = read(&stdout);
    serde_json::from_str(&text).with_context(|| format!("sterna promote printed {text:?}"))
}

async fn first_write(node: &Node) -> anyhow::Result<()> {
    let answer = node.client().await?.ask(&["SET", "demo:promoted", "yes"]).await?;
    let found = format!("{answer:?}");
    claim(
        answer.as_text() == Some("OK"),
        format!("{} takes writes once it is promoted", node.name),
        found,
    )
}

/// Everything that the summary tells.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) copied: Copied,
    pub(super) steady: Steady,
    pub(super) recoveries: [Recovery; 3],
    pub(super) written: Written,
    pub(super) end: End,
}

impl Told {
    /// What the person saw, in a few lines.
    pub(super) fn summary(&self, timeline: &Timeline) {
        let Self {
            copied,
            steady,
            recoveries,
            written,
            end,
        } = self;
        timeline.act("What you saw");
        timeline.line(
            "copied",
            &format!(
                "{} in {} ({}), once; two replica nodes followed after {}",
                words::bytes(copied.bytes),
                took(copied.took),
                byte_rate(copied.bytes, copied.took),
                took(copied.all)
            ),
        );
        timeline.line(
            "streamed",
            &format!(
                "{} commands/s, {}/s, lag {}; a write was on both after {}",
                words::count(steady.commands_per_second),
                words::bytes(steady.bytes_per_second),
                words::bytes(steady.lag_bytes_max),
                took(steady.wait)
            ),
        );
        let recovered: Vec<_> = recoveries.iter().map(Recovery::summary).collect();
        timeline.line("recovered", &recovered.join("; "));
        let last = recoveries[2].counters;
        timeline.line(
            "recopied",
            &format!(
                "nothing: sync_full {}, sync_partial_ok {} at the primary; a copy would have been {}",
                last.full,
                last.partial,
                words::bytes(copied.bytes)
            ),
        );
        timeline.line(
            "lost",
            &format!(
                "nothing: {0} of {0} commands are on every node",
                words::count(written.commands)
            ),
        );
        timeline.line(
            "equal",
            &format!(
                "{} at offset {}, on all nodes",
                end.equality.digest,
                words::count(end.equality.offset)
            ),
        );
        timeline.line(
            "promoted",
            &format!(
                "{} in {}, 0 bytes missing",
                end.promoted,
                took(end.promotion_took)
            ),
        );
    }
}
