//! Whether somebody else made another node of the primary service the primary: its own Sentinels, or a person.
//!
//! That is not undone: clients that ask those Sentinels write there already. It is followed as any change of primary is: the
//! old primary is kept from taking writes, and what it alone has is saved.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sterna_protocol::Offset;

use super::health::ProbeResult;
use super::{NodeId, loss};
use crate::known::{Known, NodeState};
use crate::time::Moment;

/// Without a word of the Sentinels, a promotion is believed when the old primary has not been one for so long...
const OLD_AWAY_FOR: Duration = Duration::from_millis(500);
/// ...and the other node has not been one since long before that: whoever promotes it does so because the old one is lost.
const PROMOTED_BEFORE_MAX: Duration = Duration::from_secs(10);
/// How long the Sentinels' first answer is waited for, where a primary came back without its data.
const FIRST_ANSWER_MAX: Duration = Duration::from_millis(1500);

/// A node of the primary service that took over without us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Promoted {
    /// Which.
    pub(crate) node: NodeId,
    /// The last offset that it has of the history in which it followed.
    pub(crate) divergence_offset: Offset,
}

/// The node that took over, where it is sure that it is meant to. A local replica that somebody made a primary for purposes of
/// their own is none: neither beside a primary that serves, nor if that is lost later.
pub(crate) fn seen(known: &Known, now: Moment) -> Option<Promoted> {
    let mut promoted = beside_the_primary(known, now);
    let service = &known.record.primary;
    let named = known.sentinels.names(now);
    // They may know its nodes by other names.
    if let Some(named) = named.filter(|named| known.find(service, named).is_some()) {
        return promoted.find(|promoted| known.node(promoted.node).key.address == *named);
    }
    let only = promoted.next().filter(|_| promoted.next().is_none())?;
    let old = known.node(known.primary()?);
    let is_lost = match old.result() {
        ProbeResult::NotProbed => false,
        ProbeResult::Primary => known.link.lost_data,
        _ => old.result_for(now) >= OLD_AWAY_FOR,
    };
    (is_lost && followed_until_then(known, only, old)).then_some(only)
}

/// Whether the node followed until the old primary was lost, or shortly before, and lacks no more than the group's limit.
fn followed_until_then(known: &Known, promoted: Promoted, old: &NodeState) -> bool {
    let was_promoted = known.node(promoted.node).result_began();
    let in_time = was_promoted
        .zip(old.served_at)
        .is_none_or(|(promoted, served)| served.since(promoted) <= PROMOTED_BEFORE_MAX);
    let limit = u64::from(known.record.settings.max_lag_on_failover_seconds);
    in_time && !loss::of(known, promoted.divergence_offset).exceeds(Duration::from_secs(limit))
}

/// Whether its own Sentinels have to be asked whom they hold for the primary of the primary service.
pub(crate) fn is_to_be_asked(known: &Known, now: Moment) -> bool {
    known.sentinels.watch_over(&known.record.primary)
        && (known.link.lost_data || beside_the_primary(known, now).next().is_some())
}

/// For how long the Sentinels may still replace a primary that came back without its data by a node that has them: they began
/// while it was away. None where they do not.
pub(crate) fn time_left(known: &Known, grace: Duration, now: Moment) -> Option<Duration> {
    let back_for = known.node(known.primary()?).result_for(now);
    let may_act = known
        .sentinels
        .fail_over(now)
        .unwrap_or(back_for < FIRST_ANSWER_MAX);
    (known.link.lost_data && may_act && back_for < grace).then(|| grace.saturating_sub(back_for))
}

/// The nodes of the primary service, other than the group's primary, that take writes after they followed.
fn beside_the_primary(known: &Known, now: Moment) -> impl Iterator<Item = Promoted> {
    let (primary, history) = (known.primary(), known.history());
    let shared = move |node: &NodeState| {
        let info = node
            .fresh(now)
            .filter(|info| info.is_primary() && !info.loading)?;
        let history = history?;
        let previous = info.previous.filter(|(previous, _)| *previous == history);
        let ours = || (info.history == history).then_some(info.offset);
        previous.map(|(_, last)| last).or_else(ours)
    };
    known
        .nodes_of(&known.record.primary)
        // One that took the writes before it comes back, unless that was in another history.
        .filter(move |(id, node)| primary.is_some_and(|primary| primary != *id) && !comes_back(known, node))
        .filter_map(move |(node, state)| {
            shared(state).map(|divergence_offset| Promoted {
                node,
                divergence_offset,
            })
        })
}

/// Whether it took the writes before, and is in that history still.
fn comes_back(known: &Known, node: &NodeState) -> bool {
    let its_own = node.info.as_ref().map(|info| info.history);
    known
        .former_node(&node.key)
        .is_some_and(|former| [known.history(), its_own].contains(&Some(former.history)))
}
