//! What the judgement of the primary stands on, from what is known.

use std::time::Duration;

use sterna_store::Room;

use super::{FailoverPolicy, PrimaryObservation, ProbeResult};
use crate::known::Known;
use crate::plan::{failover, fence, local_promotion, loss};
use crate::time::Moment;

/// The primary, as far as it is seen.
/// `changing`: a change of primary is under way.
pub(crate) fn primary_observation(known: &Known, changing: bool, now: Moment) -> PrimaryObservation {
    let Some(primary) = known.primary() else {
        return PrimaryObservation {
            result: ProbeResult::NotProbed,
            quiet_for: Duration::ZERO,
            quiet_beside_others: Duration::ZERO,
            lost_its_data: false,
            follows_us: false,
        };
    };
    let node = known.node(primary);
    let last = known.primary_showed_at(primary);
    PrimaryObservation {
        result: node.result(),
        quiet_for: now.since(last),
        quiet_beside_others: known.quiet_beside_others(primary, now),
        lost_its_data: known.link.lost_data,
        follows_us: !changing
            && node
                .info
                .as_ref()
                .is_some_and(|info| info.primary.as_ref() == Some(&known.relay_for(primary))),
    }
}

/// What a failover without a person depends on. `decided`: an operation has decided on the group's primary already.
pub(crate) fn failover_policy(known: &Known, decided: bool, now: Moment) -> FailoverPolicy {
    let settings = &known.record.settings;
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    let grace = seconds(settings.sentinel_grace_seconds);
    let service = &known.record.primary;
    let others_answer = known
        .nodes_of(service)
        .any(|(id, node)| Some(id) != known.primary() && node.answered_lately(now));
    let (candidates, never): (Vec<_>, Vec<_>) = failover::candidates(known, decided, now)
        .into_iter()
        .filter(failover::Candidate::is_able)
        .partition(|candidate| candidate.priority != 0);
    FailoverPolicy {
        down_after: Duration::from_millis(settings.down_after_ms),
        silence: known.silence_needed(),
        sentinel_grace: (known.sentinels.watch_over(service) && others_answer).then_some(grace),
        local_failover: (known.sentinels.watch_over(service) && others_answer)
            .then(|| local_promotion::time_left(known, grace, now))
            .flatten(),
        automatic: settings.automatic_failover,
        paused: known.record.paused,
        since_change: known.failed_over_at.map_or(Duration::MAX, |at| now.since(at)),
        pause: seconds(settings.failover_pause_seconds),
        candidates: candidates.len(),
        never_promoted: never.len(),
        store_full: known.store_room == Room::Nothing,
        anybody_answers: known.nodes.iter().any(|node| node.result().answers()),
        loss: loss::least(known, candidates.iter()).time,
        loss_max: seconds(settings.max_lag_on_failover_seconds),
        unfenced: fence::is_not_sure(known),
    }
}
