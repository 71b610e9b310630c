//! What the planner is shown, made from what the owner knows.

use std::time::Duration;

use sterna_model::{Fencing, FormerPrimary, Operation, ServiceName};
use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::{LinkState, Status};
use tokio::time::Instant;

use super::node::NodeState;
use super::owner::Owner;
use crate::plan::health::{Circumstances, Sight, Sign};
use crate::plan::{NodeId, failover, rejoin, switchover};

/// A server closes itself between `min-replicas-max-lag` and so much later: it counts whole seconds, once a second
/// (measured: at most 1.8 s).
const LEASE_SLACK: Duration = Duration::from_millis(2100);
/// What our clock and the way of the last acknowledgement may add.
const LEASE_MARGIN: Duration = Duration::from_millis(150);
/// A host that refuses connections for so long has no process there: one refusal may be a full queue.
const REFUSED_FOR: Duration = Duration::from_millis(250);

impl Owner {
    pub(super) fn shard_now(&self) -> Status {
        self.shard_status.borrow().clone()
    }

    /// The primary, for the judge.
    pub(super) fn sight(&self, now: Instant) -> Sight {
        let Some(primary) = self.primary() else {
            return Sight {
                sign: Sign::Unknown,
                quiet_for: Duration::ZERO,
                lost_its_data: false,
            };
        };
        let node = &self.nodes[primary.0];
        let stream = self.shard_status.borrow().alive_at.filter(|_| self.following);
        let last = [node.served_at, stream, Some(self.common.started)]
            .into_iter()
            .flatten()
            .max();
        Sight {
            sign: node.sign(),
            quiet_for: last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last)),
            lost_its_data: self.lost_data,
        }
    }

    /// What a failover without a person depends on.
    pub(super) fn circumstances(&self, now: Instant) -> Circumstances {
        let settings = &self.group.settings;
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let answers = |node: &NodeState| node.sign().answers();
        let primary = &self.group.primary;
        let has_sentinels = self
            .access
            .get(primary)
            .is_some_and(|access| access.service.spec.sentinel.is_some());
        let others_answer = self
            .nodes_of(primary)
            .any(|(id, node)| Some(id) != self.primary() && node.answered_lately(now));
        let candidates = self.candidates(now);
        let (_, at_risk) = self.at_risk();
        Circumstances {
            down_after: Duration::from_millis(settings.down_after_ms),
            sentinel_grace: (has_sentinels && others_answer)
                .then(|| seconds(settings.sentinel_grace_seconds)),
            automatic: settings.automatic_failover,
            paused: self.group.paused,
            since_change: self.group.failed_over_at.map_or(Duration::MAX, since),
            pause: seconds(settings.failover_pause_seconds),
            candidates: candidates
                .iter()
                .filter(|candidate| candidate.answers && candidate.in_history)
                .count(),
            anybody_answers: self.nodes.iter().any(answers),
            loss: at_risk,
            loss_max: seconds(settings.max_lag_on_failover_seconds),
            unfenced: settings.fencing == Fencing::Lease && !self.group.fence_in_place,
        }
    }

    /// Writes that would be lost with the primary now: bytes, and for how long nothing of them has come.
    pub(super) fn at_risk(&self) -> (u64, Duration) {
        let status = self.shard_status.borrow();
        let bytes = status
            .primary_offset
            .map_or(0, |offset| offset.bytes_since(status.log_end));
        let streams = status.link == LinkState::Streaming;
        let time = match status.silent_for {
            Some(silent) if bytes > 0 || !streams => match self.primary() {
                // A primary that does not answer takes no more writes that we know of.
                Some(primary) if self.nodes[primary.0].sign().answers() || streams => silent,
                _ => Duration::ZERO,
            },
            _ => Duration::ZERO,
        };
        (bytes, time)
    }

    /// The history that the replica services hold.
    pub(super) fn history(&self) -> Option<ReplicationId> {
        self.shard_status.borrow().history
    }

    /// The nodes that could take over.
    pub(super) fn candidates(&self, now: Instant) -> Vec<failover::Candidate> {
        let history = self.history();
        let mut candidates = Vec::new();
        // After the decision the decided service is the group's primary already.
        let services = self.group.replicas.iter().chain([&self.group.primary]);
        for (preference, service) in services.enumerate() {
            if self.former_primary(service).is_some() {
                continue;
            }
            for (node, state) in self.nodes_of(service) {
                if Some(node) == self.primary() && !self.is_decided() {
                    continue;
                }
                let Some(facts) = state.fresh(now) else { continue };
                candidates.push(failover::Candidate {
                    node,
                    preference,
                    answers: state.trouble.is_none() && !facts.loading,
                    in_history: history == Some(facts.history) && !facts.syncing,
                    applied: facts.offset,
                    is_primary: facts.is_primary(),
                });
            }
        }
        candidates
    }

    pub(super) fn is_decided(&self) -> bool {
        self.operation
            .as_ref()
            .is_some_and(|operation| operation.committed)
    }

    pub(super) fn former_primary(&self, service: &ServiceName) -> Option<&FormerPrimary> {
        self.group
            .former_primaries
            .iter()
            .find(|former| former.service == *service)
    }

    /// How the old primary's lease stands.
    pub(super) fn fence(&self, now: Instant) -> failover::Fence {
        if self.group.settings.fencing == Fencing::None {
            return failover::Fence::None;
        }
        if !self.group.fence_in_place {
            return failover::Fence::NotArmed;
        }
        let status = self.shard_status.borrow();
        // Another process of this gateway may have renewed it just before this one began.
        let renewed = status
            .renewed_at
            .unwrap_or(self.common.started)
            .max(self.common.started);
        let lag = self
            .primary()
            .and_then(|primary| self.nodes[primary.0].facts.as_ref()?.lease);
        let lag = lag
            .map_or(0, |lease| lease.max_lag_seconds)
            .max(self.group.settings.lease_seconds);
        let over = renewed + Duration::from_secs(u64::from(lag)) + LEASE_SLACK + LEASE_MARGIN;
        failover::Fence::Lease {
            left: over.saturating_duration_since(now),
        }
    }

    fn old_primary(node: &NodeState, now: Instant) -> failover::OldPrimary {
        match node.sign() {
            Sign::Refused if node.sign_for(now) >= REFUSED_FOR => failover::OldPrimary::Gone,
            Sign::Replica => failover::OldPrimary::Shut,
            Sign::Primary | Sign::Loading if node.is_shut() => failover::OldPrimary::Shut,
            Sign::Primary | Sign::Loading => failover::OldPrimary::Answers,
            Sign::Refused | Sign::Silent | Sign::Denied | Sign::Unknown => failover::OldPrimary::Silent,
        }
    }

    /// What a failover sees.
    pub(super) fn failover_world(&self, operation: &Operation, now: Instant) -> failover::World {
        let decided = operation.committed.then(|| self.primary()).flatten();
        let old = match decided {
            None => self
                .primary()
                .map(|primary| Self::old_primary(&self.nodes[primary.0], now)),
            Some(_) => None,
        };
        let status = self.shard_status.borrow();
        let by_person = !operation.requested_by.is_gateway();
        let recovered = old == Some(failover::OldPrimary::Answers)
            && self
                .primary()
                .is_some_and(|primary| self.nodes[primary.0].sign() == Sign::Primary)
            && !self.lost_data;
        failover::World {
            old: old.unwrap_or(failover::OldPrimary::Gone),
            fence: self.fence(now),
            following_old: self.following && decided.is_none(),
            unreceived_bytes: self.unreceived_bytes(status.log_end),
            log_end: status.log_end,
            candidates: self.candidates(now),
            only: operation
                .service
                .as_ref()
                .and_then(|service| self.group.replicas.iter().position(|name| name == service)),
            forced: operation.force,
            by_person,
            old_recovered: recovered,
            decided: decided.map(|node| failover::Decided {
                node,
                cut: Self::decided_cut(operation),
                unfit_for: self
                    .unfit_since
                    .map_or(Duration::ZERO, |since| now.saturating_duration_since(since)),
            }),
            following_new: decided.is_some_and(|node| self.following && self.streams_from(node, &status)),
            armed: self.group.fence_in_place || self.group.settings.fencing == Fencing::None,
            running_for: since(operation.created_at),
        }
    }

    /// What the new primary must have, as it was decided.
    fn decided_cut(operation: &Operation) -> Offset {
        operation
            .report
            .as_ref()
            .map_or(Offset::ZERO, |report| report.divergence_offset)
    }

    /// Whether it is known that the decided node can't be promoted: no process listens there, or it came back without
    /// what it had.
    pub(super) fn is_unfit(&self, node: NodeId, now: Instant) -> bool {
        let state = &self.nodes[node.0];
        match state.fresh(now) {
            Some(facts) => !facts.is_primary() && !facts.loading && self.history() != Some(facts.history),
            None => state.sign() == Sign::Refused,
        }
    }

    /// What the primary has of our history beyond the log's end, as it said last.
    fn unreceived_bytes(&self, log_end: Offset) -> u64 {
        let facts = self
            .primary()
            .and_then(|primary| self.nodes[primary.0].facts.as_ref());
        let history = self.shard_status.borrow().history;
        facts
            .filter(|facts| history == Some(facts.history))
            .map_or(0, |facts| facts.offset.bytes_since(log_end))
    }

    /// Whether the shard's stream comes from this node.
    pub(super) fn streams_from(&self, node: NodeId, status: &Status) -> bool {
        status.link == LinkState::Streaming
            && status.primary.as_deref() == Some(self.nodes[node.0].key.address.to_string().as_str())
    }

    /// What a switchover sees. `target` and `old` are the two nodes.
    pub(super) fn switchover_world(
        &self,
        operation: &Operation,
        target: Option<NodeId>,
        old: Option<NodeId>,
        now: Instant,
    ) -> switchover::World {
        let status = self.shard_now();
        let facts = |node: Option<NodeId>| node.and_then(|node| self.nodes[node.0].fresh(now));
        let relay = old.map(|old| self.relay_for(old).address);
        let stepped_down = status.handover_waits_at;
        let old_state = match (facts(old), stepped_down) {
            (_, Some(offset)) if !operation.committed => switchover::OldPrimary::SteppedDown { offset },
            (None, _) => switchover::OldPrimary::Unknown,
            (Some(facts), _) if !facts.is_primary() && facts.link_up && facts.primary == relay => {
                switchover::OldPrimary::Follows
            }
            (Some(facts), _) if !facts.is_primary() => switchover::OldPrimary::Pauses,
            (Some(_), _) if self.paused_at.is_some() => switchover::OldPrimary::Pauses,
            // Its handover broke off with the gateway that led it, so it never follows by itself: a rejoin brings it back.
            (Some(_), _) if operation.committed => switchover::OldPrimary::Unknown,
            (Some(_), _) => switchover::OldPrimary::TakesWrites,
        };
        let target_facts = facts(target);
        switchover::World {
            old: old_state,
            ready: self.handover == sterna_replication::Handover::Hold,
            streaming: status.link == LinkState::Streaming,
            log_end: status.log_end,
            target_follows: target_facts.is_some_and(|facts| facts.is_primary() || facts.link_up),
            target_applied: target_facts.map_or(Offset::ZERO, |facts| facts.offset),
            target_is_primary: target_facts.is_some_and(crate::observe::Facts::is_primary),
            decided: operation.committed.then(|| Self::decided_cut(operation)),
            target_in_history: target_facts.is_some_and(|facts| status.history == Some(facts.history)),
            cancelled: self.cancelled,
            following_new: operation.committed
                && target.is_some_and(|node| self.following && self.streams_from(node, &status)),
            accepted: self.handover == sterna_replication::Handover::Accept,
            armed: self.group.fence_in_place || self.group.settings.fencing == Fencing::None,
            waiting_for: match self.paused_at {
                Some(at) => now.saturating_duration_since(at),
                // The gateway began anew since: what is left is to see the old primary follow.
                None if operation.committed => since(self.group.primary_since),
                None => since(operation.created_at).saturating_sub(CATCH_UP_MAX),
            },
            waiting_max: Duration::from_millis(self.group.settings.switchover_timeout_ms),
        }
    }

    /// What a node that is to follow looks like to the planner, and where its history was left.
    pub(super) fn returning(&self, node: NodeId, now: Instant) -> Option<(rejoin::Node, rejoin::Cut)> {
        let state = &self.nodes[node.0];
        let facts = state.fresh(now).filter(|facts| !facts.loading)?;
        let relay = self.relay_for(node).address;
        let saved = self.is_saved(node);
        let cut = if let Some(former) = self.former_primary(&state.key.service) {
            rejoin::Cut {
                history: former.history,
                offset: former.divergence_offset,
                saved,
            }
        } else {
            let history = self.history()?;
            let common = facts.previous.filter(|(previous, _)| *previous == history);
            rejoin::Cut {
                history,
                offset: common.map_or(self.shard_status.borrow().log_end, |(_, last)| last),
                saved,
            }
        };
        let node = rejoin::Node {
            is_primary: facts.is_primary(),
            shut: state.is_shut(),
            follows_us: !facts.is_primary() && facts.primary.as_ref() == Some(&relay),
            history: facts.history,
            offset: facts.offset,
            previous: facts.previous,
            empty: facts.keys == 0,
        };
        Some((node, cut))
    }
}

/// Before writes are stopped, the target has so long to come close.
const CATCH_UP_MAX: Duration = Duration::from_secs(600);

/// How long ago a moment was; zero for one in the future.
pub(super) fn since(moment: jiff::Timestamp) -> Duration {
    jiff::Timestamp::now()
        .duration_since(moment)
        .try_into()
        .unwrap_or(Duration::ZERO)
}
