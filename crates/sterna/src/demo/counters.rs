//! What the primary itself counts: the evidence for what was copied and what was only continued.

use anyhow::Context as _;

use super::claim::claim;
use super::node::Node;

/// The primary's `INFO stats`, as far as replication goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    /// `sync_full`: full copies that it has given.
    pub(super) full: u64,
    /// `sync_partial_ok`: links that it continued where they had stopped.
    pub(super) partial: u64,
    /// `total_net_repl_output_bytes`: what it has sent for replication; Redis 7.0 and later. Valkey 8.0 has the field
    /// and leaves it at what full copies took.
    pub(super) sent_bytes: Option<u64>,
}

impl Counters {
    /// Asks the primary.
    pub(super) async fn of(primary: &Node) -> anyhow::Result<Self> {
        let info = primary.info().await?;
        let count = |name: &str| info.parsed(name).with_context(|| format!("INFO has no {name}"));
        Ok(Self {
            full: count("sync_full")?,
            partial: count("sync_partial_ok")?,
            sent_bytes: info.parsed("total_net_repl_output_bytes"),
        })
    }

    /// Claims that between then and now it gave no full copy, and continued `links` links.
    pub(super) fn claim_continued(&self, then: &Self, links: u64) -> anyhow::Result<()> {
        claim(
            self.full == then.full,
            "the primary gives no second full copy",
            format!("its sync_full went from {} to {}", then.full, self.full),
        )?;
        claim(
            self.partial == then.partial + links,
            format!("the primary continues {links} links with a partial resync"),
            format!(
                "its sync_partial_ok went from {} to {}",
                then.partial, self.partial
            ),
        )
    }

    /// `sync_full 1 → 1, sync_partial_ok 0 → 1`
    pub(super) fn since(&self, then: &Self) -> String {
        format!(
            "sync_full {} → {}, sync_partial_ok {} → {}",
            then.full, self.full, then.partial, self.partial
        )
    }

    /// What it has sent for replication since then, where it counts that.
    pub(super) fn sent_since(&self, then: &Self) -> Option<u64> {
        let sent = self.sent_bytes?.saturating_sub(then.sent_bytes?);
        Some(sent).filter(|bytes| *bytes > 0)
    }
}
