//! Looks at the followed primary on a connection of its own: how far it is, and whether it still is the primary.
//!
//! The stream can't tell: a node that was demoted goes on sending what its own primary sends. And Sentinel demotes an
//! old primary only about 10 s after it has named the new one; what is written to the old one until then is lost.

use std::time::Duration;

use sterna_node::{Client, FoundPrimary, NodeAddress, ReplicationInfo, Role, Upstream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::{Reports, SourceError};
use crate::shard::SourceEvent;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often where its lease depends on its answers...
const LEASE_INTERVAL: Duration = Duration::from_millis(200);
/// ...and every how many answers the Sentinels are asked then.
const LOOKS_PER_SENTINEL: u64 = 5;

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
pub(super) fn spawn(
    found: FoundPrimary,
    upstream: Upstream,
    peer: &str,
    lease: bool,
    reports: Reports,
) -> Watch {
    let peer = peer.to_owned();
    Watch(tokio::spawn(async move { watch(found, upstream, peer, lease, reports).await }).abort_handle())
}

async fn watch(found: FoundPrimary, upstream: Upstream, peer: String, lease: bool, reports: Reports) {
    let (address, run_id) = (found.address, found.info.server().run_id);
    // A replica that was named on purpose is followed as it is.
    let was_primary = found.replication.role == Role::Primary;
    let mut client = found.client;
    let (every, looks_per_sentinel) = if lease {
        (LEASE_INTERVAL, LOOKS_PER_SENTINEL)
    } else {
        (INTERVAL, 1)
    };
    let mut looks = 0;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        let seen = look(&mut client).await;
        let took = asked.elapsed();
        looks += 1;
        let demoted = match &seen {
            Some(replication) if was_primary && replication.role == Role::Replica => true,
            _ => looks % looks_per_sentinel == 0 && has_moved(&upstream, &address, run_id.as_deref()).await,
        };
        let event = match seen {
            _ if demoted => SourceEvent::Ended(SourceError::Demoted { peer: peer.clone() }),
            Some(replication) => SourceEvent::Observed {
                offset: replication.offset,
                took,
            },
            None => {
                tracing::debug!(%peer, "the primary does not answer INFO");
                if let Ok(another) = Client::connect(&found.dialer).await {
                    client = another;
                }
                continue;
            }
        };
        if reports.send(event).await.is_err() {
            return;
        }
    }
}

async fn look(client: &mut Client) -> Option<ReplicationInfo> {
    client.info().await.ok()?.replication().ok()
}

/// Whether the Sentinels name another primary that is there. The same process under another name is none.
async fn has_moved(upstream: &Upstream, address: &NodeAddress, run_id: Option<&str>) -> bool {
    match upstream.named_primary().await {
        Ok(Some(named)) if named != *address => {}
        _ => return false,
    }
    let Ok(other) = upstream.find_primary().await else {
        return false;
    };
    other.replication.role == Role::Primary && other.info.server().run_id.as_deref() != run_id
}
