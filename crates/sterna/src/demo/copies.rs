//! What was copied in full, by what the nodes themselves say: the evidence that all else was only continued.

use anyhow::Context as _;

use super::cast::Cast;

/// Full copies at one moment, of the nodes in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copies {
    /// Taken as a replica, by each node's log.
    pub(super) taken: [usize; 3],
    /// Given as a primary since its start: `sync_full` in `INFO`.
    pub(super) given: [u64; 3],
}

impl Copies {
    /// Asks all nodes.
    pub(super) async fn of(cast: &Cast) -> anyhow::Result<Self> {
        let nodes = cast.nodes();
        let taken = nodes.map(super::node::Node::full_copies_taken);
        let mut given = [0; 3];
        for (node, given) in nodes.iter().zip(&mut given) {
            *given = node
                .info()
                .await?
                .parsed("sync_full")
                .context("INFO has no sync_full")?;
        }
        Ok(Self { taken, given })
    }
}
