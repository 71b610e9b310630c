//! How often time passes for a group, and how often its nodes are looked at.

use std::time::Duration;

use sterna_model::OperationKind;

use crate::observe::{LOOK_INTERVAL, LOOK_INTERVAL_CALM, LOOK_INTERVAL_CHANGE, LOOK_INTERVAL_URGENT};
use crate::plan::NodeId;
use crate::plan::health::Verdict;
use crate::state::GroupState;

/// How soon time passes where something is under way...
const TICK: Duration = Duration::from_millis(20);
/// ...and where nothing is.
const TICK_CALM: Duration = Duration::from_millis(250);

/// How soon time passes, if nothing else happens.
pub(super) fn tick(state: &GroupState) -> Duration {
    let calm = state.is_idle() && *state.verdict() == Verdict::Healthy;
    if calm { TICK_CALM } else { TICK }
}

/// How often a node is to be looked at: those whose state decides about the next step all the time.
pub(super) fn look_interval(state: &GroupState, node: NodeId) -> Duration {
    match state.run().map(|run| run.operation.kind) {
        Some(OperationKind::Switchover) => LOOK_INTERVAL_URGENT,
        Some(OperationKind::Failover) => LOOK_INTERVAL_CHANGE,
        Some(_) => LOOK_INTERVAL,
        // Whether the primary is silent or we are cut off is seen by whether the others answer.
        None if matches!(state.verdict(), Verdict::Waiting(_)) => LOOK_INTERVAL,
        // Otherwise the shard looks at it, and passes on what it sees.
        None if Some(node) == state.known().primary() && !is_seen_by_shard(state) => LOOK_INTERVAL,
        None => LOOK_INTERVAL_CALM,
    }
}

fn is_seen_by_shard(state: &GroupState) -> bool {
    state.known().link.is_whole() && *state.verdict() == Verdict::Healthy
}
