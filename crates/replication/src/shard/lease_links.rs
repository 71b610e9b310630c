//! Further connections to the primary that is followed, of which nothing is kept: each counts there as a replica that
//! acknowledges, so that the primary's lease does not depend on replicas of others.
//!
//! `min-replicas-to-write` counts whoever follows. Where `R` others may, `R + 1` connections from here are enough by
//! themselves, and without them the others are too few.

use std::collections::BTreeMap;
use std::time::Duration;

use sterna_protocol::ReplicationId;
use sterna_protocol::psync::PsyncRequest;
use tokio::time::Instant;

use super::event::{Effect, Effects, Now};
use super::upstream::Upstream;
use crate::source::{Asking, FullResyncAnswer, SourceEvent};

/// One that ended is opened again after so long.
const PAUSE: Duration = Duration::from_secs(1);

/// A primary that is about to end does so within a few looks, or tells so again.
const LET_GO: Duration = Duration::from_secs(3);

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// `PSYNC` is on its way; the primary may count it any moment.
    Asked,
    Counted,
}

/// The connections beside the link.
#[derive(Debug)]
pub(super) struct LeaseLinks {
    wanted: usize,
    links: BTreeMap<u64, Stage>,
    not_before: Instant,
}

impl LeaseLinks {
    pub(super) fn none(now: Now) -> Self {
        Self {
            wanted: 0,
            links: BTreeMap::new(),
            not_before: now.mono,
        }
    }

    /// So many are to stand beside the link from now on.
    pub(super) fn want(&mut self, wanted: usize) {
        self.wanted = wanted;
    }

    pub(super) fn is(&self, attempt: u64) -> bool {
        self.links.contains_key(&attempt)
    }

    /// How many the primary counts.
    pub(super) fn counted(&self) -> usize {
        let counted = |stage: &&Stage| **stage == Stage::Counted;
        self.links.values().filter(counted).count()
    }

    /// Whether the primary may begin to count one any moment.
    pub(super) fn is_asking(&self) -> bool {
        self.links.values().any(|stage| *stage == Stage::Asked)
    }

    /// Opens and closes what is too few or too many. They stand and fall with the link, by whose acknowledgements they
    /// send theirs.
    pub(super) fn settle(&mut self, streams: bool, upstream: &mut Upstream, effects: &mut Effects, now: Now) {
        let wanted = if streams { self.wanted } else { 0 };
        while self.links.len() > wanted {
            let Some((attempt, _)) = self.links.pop_last() else {
                break;
            };
            effects.start(Effect::Disconnect { attempt });
        }
        while self.links.len() < wanted && now.mono >= self.not_before {
            let Some(attempt) = upstream.connect_for_lease(effects) else {
                break;
            };
            self.links.insert(attempt, Stage::Connecting);
        }
    }

    /// The primary waits for what they never acknowledge: all are closed for a while.
    pub(super) fn let_go(&mut self, effects: &mut Effects, now: Now) {
        for attempt in std::mem::take(&mut self.links).into_keys() {
            effects.start(Effect::Disconnect { attempt });
        }
        self.not_before = now.mono + LET_GO;
    }

    /// One of them reports; `history` is the one that flows on the link.
    pub(super) fn on_event(
        &mut self,
        attempt: u64,
        event: SourceEvent,
        history: Option<ReplicationId>,
        now: Now,
    ) {
        // The attempt has ended if an answer can't be given, and says so.
        match event {
            SourceEvent::Found {
                peer, lineage, reply, ..
            } if Some(lineage.id) == history => {
                tracing::debug!(%peer, attempt, "one connection more for the lease");
                self.links.insert(attempt, Stage::Asked);
                let position = PsyncRequest::Resume {
                    id: lineage.id,
                    held: lineage.offset,
                };
                // Nothing that is sent here is loaded by anybody.
                let version = None;
                let _ = reply.send(Ok(Asking { position, version }));
            }
            SourceEvent::Found { reply, .. } => {
                let _ = reply.send(Err("it is not the primary that is followed".to_owned()));
            }
            SourceEvent::FullResync { reply, .. } => {
                let reason = "a connection for the lease takes no copy";
                let _ = reply.send(FullResyncAnswer::Refuse(reason.to_owned()));
            }
            SourceEvent::Continued { .. } => {
                self.links.insert(attempt, Stage::Counted);
            }
            SourceEvent::Ended(error) => {
                tracing::debug!(attempt, %error, "a connection for the lease ended");
                self.links.remove(&attempt);
                self.not_before = now.mono + PAUSE;
            }
            // They bring nothing.
            SourceEvent::Identified { .. }
            | SourceEvent::Observed { .. }
            | SourceEvent::ShutsDown
            | SourceEvent::Stream(_)
            | SourceEvent::SnapshotStarted(_)
            | SourceEvent::Snapshot(_)
            | SourceEvent::SnapshotDone => {}
        }
    }
}
