//! Looks at the followed primary on a connection of its own: how far it is, and whether it still is the primary.
//!
//! The stream can't tell: a node that was demoted goes on sending what its own primary sends.

use std::time::Duration;

use sterna_node::{FoundPrimary, Role};
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Reports, SourceError};
use crate::shard::SourceEvent;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(1);

/// Ends the watch when the connection that it belongs to ends.
#[derive(Debug)]
pub(super) struct Watch(AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Watches until the returned guard is dropped, or the primary can't be asked any more: the stream's own end is told
/// by the stream.
pub(super) fn spawn(found: FoundPrimary, peer: &str, reports: Reports) -> Watch {
    let peer = peer.to_owned();
    Watch(tokio::spawn(async move { watch(found, peer, reports).await }).abort_handle())
}

async fn watch(found: FoundPrimary, peer: String, reports: Reports) {
    // A replica that was named on purpose is followed as it is.
    let was_primary = found.replication.role == Role::Primary;
    let mut client = found.client;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Ok(info) = client.info().await else {
            tracing::debug!(%peer, "the primary's INFO can't be asked any more");
            return;
        };
        let Ok(replication) = info.replication() else {
            return;
        };
        let event = match replication.role {
            Role::Primary => SourceEvent::Observed {
                offset: replication.offset,
            },
            Role::Replica if !was_primary => SourceEvent::Observed { offset: replication.offset },
            Role::Replica => SourceEvent::Ended(SourceError::Demoted { peer: peer.clone() }),
        };
        if reports.send(event).await.is_err() {
            return;
        }
    }
}
