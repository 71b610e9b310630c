//! What the model needs of the state: to let time pass without a clock that runs, and to tell states apart.
//!
//! In the model it is always the same moment. Time passes by moving what happened back, and nothing further than it
//! matters: what lies back longer than any rule asks for is all the same.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use super::GroupState;
use crate::known::Known;
use crate::plan::NodeId;
use crate::run::{Course, Run};
use crate::time::Moment;

/// How far back each kind of moment matters; each is a tick of the model longer than the longest rule.
const LOOK: Duration = Duration::from_secs(4);
const SHORT: Duration = Duration::from_secs(2);
const LEASE: Duration = Duration::from_secs(6);
const AWAY: Duration = Duration::from_secs(12);
const NEVER: Duration = Duration::ZERO;
/// What lies back further than this was always so.
const ALWAYS: Duration = Duration::from_secs(60);

/// Moves moments back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ageing {
    pub(crate) now: Moment,
    pub(crate) by: Duration,
    /// Whether it is noticed that nobody has been fit to take over for long.
    pub(crate) of_fitness: bool,
}

impl Ageing {
    /// Moves one back, to at most `horizon` before now.
    fn age(self, moment: &mut Moment, horizon: Duration) {
        if self.now.since(*moment) >= ALWAYS {
            return;
        }
        *moment = moment.minus(self.by).max(self.now.minus(horizon));
    }

    fn age_some(self, moment: &mut Option<Moment>, horizon: Duration) {
        if let Some(moment) = moment {
            self.age(moment, horizon);
        }
    }
}

impl GroupState {
    /// Lets time pass.
    pub(crate) fn age(&mut self, ageing: Ageing) {
        let rejoins = matches!(
            self.run.as_ref().map(|run| &run.course),
            Some(Course::Rejoin { .. })
        );
        let primary = self.known.primary();
        let known = &mut self.known;
        for (place, node) in known.nodes.iter_mut().enumerate() {
            let since = if rejoins && !node.result().answers() {
                AWAY
            } else {
                SHORT
            };
            let [looked_at, result_since, answered_at, failing_since] = node.moments();
            ageing.age_some(looked_at, LOOK);
            ageing.age_some(result_since, since);
            ageing.age_some(failing_since, SHORT);
            // There are no Sentinels to wait for.
            *answered_at = None;
            node.served_at = node.served_at.filter(|_| Some(NodeId(place)) == primary);
            ageing.age_some(&mut node.served_at, SHORT);
            ageing.age_some(&mut node.repaired_at, LEASE);
            if !node.repaired_within(LEASE, ageing.now) {
                node.repaired_at = None;
            }
            ageing.age_some(&mut node.not_promoted_at, LEASE);
            node.not_promoted_at = node.not_promoted_at.filter(|at| ageing.now.since(*at) < LEASE);
        }
        ageing.age_some(&mut known.link.signs.alive, SHORT);
        ageing.age_some(&mut known.link.signs.renewed, LEASE);
        ageing.age(&mut known.gateway_started, LEASE);
        if known
            .link
            .signs
            .renewed
            .is_some_and(|renewed| renewed >= known.gateway_started)
        {
            known.gateway_started = ageing.now.minus(LEASE);
        }
        // A tick is long enough, and while the primary changes nothing depends on it.
        let changes = self.run.as_ref().is_some_and(Run::changes_primary);
        let unfit = if changes || !ageing.of_fitness {
            NEVER
        } else {
            LEASE
        };
        known.fit_at = Some(ageing.now.minus(unfit));
        let waits_since = self
            .run
            .as_ref()
            .is_some_and(|run| matches!(run.course, Course::Switchover { .. }) && run.operation.committed);
        ageing.age(&mut known.primary_since, if waits_since { LEASE } else { NEVER });
        let pause = known.record.settings.failover_pause_seconds > 0;
        ageing.age_some(&mut known.failed_over_at, if pause { LEASE } else { NEVER });
        if let Some(run) = &mut self.run {
            // Only for the last bytes of an old primary is waited so long.
            let receives = run.changes_primary() && known.link.following && !run.operation.committed;
            ageing.age(&mut run.began, if receives { AWAY } else { NEVER });
            ageing.age_some(&mut run.unfit_since, LEASE);
            if let Course::Switchover { paused_at, .. } = &mut run.course {
                ageing.age(&mut run.began, NEVER);
                ageing.age_some(paused_at, LEASE);
            }
        }
        self.retry_at = self
            .retry_at
            .map(|at| at.minus(ageing.by))
            .filter(|at| *at > ageing.now);
        self.old_rescues_at = ageing.now.plus(AWAY);
    }

    /// What is known, to be changed behind the state's back: a gateway that is wrong in one thing.
    pub(crate) fn tamper(&mut self) -> &mut Known {
        &mut self.known
    }

    /// Everything that decisions depend on, and nothing that is only there for people.
    pub(crate) fn fingerprint<H: Hasher>(&self, hasher: &mut H) {
        let known = &self.known;
        known.record.epoch.hash(hasher);
        known.shard().primary_node.hash(hasher);
        known.shard().fence_in_place.hash(hasher);
        for node in &known.nodes {
            let mut node = node.clone();
            node.moments().hash(hasher);
            (node.served_at, node.repaired_at, node.not_promoted_at).hash(hasher);
            node.blocked_run.hash(hasher);
            (node.result() as u8).hash(hasher);
            if let Some(info) = &node.info {
                (
                    &info.run_id,
                    info.is_primary(),
                    info.history,
                    info.offset,
                    info.previous,
                )
                    .hash(hasher);
                (info.link_up, info.syncing, info.keys).hash(hasher);
                for replica in &info.replicas {
                    (&replica.address, &replica.state, replica.lag_s).hash(hasher);
                }
                let lease = info
                    .lease
                    .map(|lease| (lease.min_replicas, lease.max_lag_seconds));
                (&info.primary, lease).hash(hasher);
            }
        }
        let link = &known.link;
        (
            link.signs.alive,
            link.signs.renewed,
            link.following,
            link.lost_data,
        )
            .hash(hasher);
        (link.handover as u8).hash(hasher);
        known.primary_stream.fingerprint(hasher);
        (known.gateway_started, known.primary_since, self.retry_at).hash(hasher);
        (known.failed_over_at, known.fit_at, known.kept_open_by_others).hash(hasher);
        if let Some(run) = &self.run {
            (run.operation.kind as u8, run.operation.committed, run.is_over()).hash(hasher);
            (run.began, run.cancelled, run.unfit_since, &run.course).hash(hasher);
            run.promotion_refused.hash(hasher);
        }
        self.asked_next.is_some().hash(hasher);
        self.work.active().hash(hasher);
    }
}
