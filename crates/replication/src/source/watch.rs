//! Looks at the followed primary on a connection of its own: how far it is, and whether it still is the primary.
//!
//! The stream can't tell: a node that was demoted goes on sending what its own primary sends. And Sentinel demotes an
//! old primary only about 10 s after it has named the new one; what is written to the old one until then is lost.

use std::sync::Arc;
use std::time::Duration;

use sterna_node::copying::CopyNeeds;
use sterna_node::{FoundPrimary, NodeAddress, Probe, ReplicationInfo, Role, Upstream};
use sterna_protocol::ReplicationId;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{Reports, SourceError, SourceEvent};
use crate::status::PrimaryLook;

/// How often it is asked, and the Sentinels are.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often where its lease depends on its answers.
const LEASE_INTERVAL: Duration = Duration::from_millis(250);
/// Where its lease depends on its answers, one that takes longer is none.
const LEASE_ANSWER_MAX: Duration = Duration::from_secs(1);
/// What it answers is shown to others so often, and at once where it is not what it was.
const SHOWN_INTERVAL: Duration = Duration::from_secs(1);
/// How often it is asked at the most because something was acknowledged.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(100);

/// What a watch needs.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) peer: String,
    pub(super) upstream: Upstream,
    /// The primary's lease depends on its answers.
    pub(super) lease: bool,
    /// Asks for a look at once: an acknowledgement went out, and an answer tells that it arrived.
    pub(super) look_now: Arc<Notify>,
    pub(super) reports: Reports,
    /// Where what it answers is shown as well: nobody else needs to ask it then.
    pub(super) looks: watch::Sender<Option<PrimaryLook>>,
}

/// Ends the watch when the connection that it belongs to ends.
#[derive(Debug)]
pub(super) struct Guard(AbortHandle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Watch {
    /// Watches until the returned guard is dropped, or the primary can't be asked any more: the stream's own end is told
    /// by the stream.
    pub(super) fn spawn(self, found: FoundPrimary) -> Guard {
        Guard(tokio::spawn(self.run(found)).abort_handle())
    }

    async fn run(self, found: FoundPrimary) {
        let (address, run_id) = (found.address.clone(), found.info.server().run_id);
        // Beside each other: a Sentinel that does not answer must not keep the primary from being asked.
        let demoted = tokio::select! {
            demoted = self.look_on(found) => demoted,
            demoted = self.ask_sentinels(address, run_id) => demoted,
        };
        if demoted {
            let peer = self.peer.clone();
            drop(
                self.reports
                    .send(SourceEvent::Ended(SourceError::Demoted { peer }))
                    .await,
            );
        }
    }

    /// Asks the node how far it is. Ends with whether it has become a replica; otherwise nobody listens any more.
    async fn look_on(&self, found: FoundPrimary) -> bool {
        // A replica that was named on purpose is followed as it is.
        let was_primary = found.replication.role == Role::Primary;
        let timeout = if self.lease {
            LEASE_ANSWER_MAX
        } else {
            self.upstream.command_timeout
        };
        let mut probe = Probe::over(found.client, found.engine, found.dialer, timeout);
        let mut ticks = interval(if self.lease { LEASE_INTERVAL } else { INTERVAL });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut confirmed = None;
        let mut shown = Shown::new(self.looks.clone());
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.acknowledged(confirmed), if self.lease => {
                    confirmed = Some(Instant::now());
                    ticks.reset();
                }
            }
            let look = PrimaryLook {
                address: found.address.clone(),
                asked: Instant::now(),
                answer: probe.ask().await.map(Arc::new).map_err(Arc::new),
            };
            let answer = look.answer.as_ref().ok();
            if answer.is_some_and(|answer| answer.info.shuts_down()) {
                self.reports.tell(SourceEvent::ShutsDown);
            }
            let seen = answer.and_then(|answer| {
                let needs = CopyNeeds::of(answer.engine, &answer.info);
                Some((answer.asked, answer.info.replication().ok()?, needs))
            });
            shown.show(look, seen.as_ref().map(|(_, replication, _)| replication));
            let Some((asked, replication, needs)) = seen else {
                tracing::debug!(peer = %self.peer, "the primary does not answer INFO");
                continue;
            };
            if was_primary && replication.role == Role::Replica {
                return true;
            }
            let offset = replication.offset;
            let observed = SourceEvent::Observed { offset, asked, needs };
            let seen = self.reports.send_beside(observed);
            if seen.await.is_err() {
                return false;
            }
        }
    }

    /// Waits until an acknowledgement is to be confirmed; with clients that `WAIT` there are thousands a second.
    async fn acknowledged(&self, confirmed: Option<Instant>) {
        self.look_now.notified().await;
        if let Some(confirmed) = confirmed {
            sleep_until(confirmed + CONFIRM_INTERVAL).await;
        }
    }

    /// Asks the Sentinels, if there are any, and ends when they name another primary that is there.
    async fn ask_sentinels(&self, address: NodeAddress, run_id: Option<String>) -> bool {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if has_moved(&self.upstream, &address, run_id.as_deref()).await {
                return true;
            }
        }
    }
}

/// What of an answer stays the same as long as nothing happens: its role, its history, and who follows it.
type Substance = (Role, ReplicationId, Vec<(NodeAddress, String)>);

/// Looks as others are shown them: at once where something is new, else once a second.
#[derive(Debug)]
struct Shown {
    looks: watch::Sender<Option<PrimaryLook>>,
    /// The last one, where there was an answer, and when.
    last: Option<(Option<Substance>, Instant)>,
}

impl Shown {
    fn new(looks: watch::Sender<Option<PrimaryLook>>) -> Self {
        Self { looks, last: None }
    }

    fn show(&mut self, look: PrimaryLook, answer: Option<&ReplicationInfo>) {
        let substance = answer.map(|seen| {
            let replicas = seen.replicas.iter();
            let replicas = replicas.map(|replica| (replica.address.clone(), replica.state.clone()));
            (seen.role, seen.replid, replicas.collect())
        });
        let now = Instant::now();
        let is_known = self
            .last
            .as_ref()
            .is_some_and(|(seen, at)| *seen == substance && now.duration_since(*at) < SHOWN_INTERVAL);
        if !is_known {
            self.looks.send_replace(Some(look));
            self.last = Some((substance, now));
        }
    }
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
