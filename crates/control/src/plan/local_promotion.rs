//! Whether somebody else made another node of the primary service the primary: its own Sentinels, or a person.
//!
//! That is not undone: clients that ask those Sentinels write there already. It is followed as any change of primary is: the
//! old primary is kept from taking writes, and what it alone has is saved.

#[cfg(test)]
mod tests;

use std::time::Duration;

use sterna_protocol::Offset;

use super::NodeId;
use super::health::ProbeResult;
use crate::known::{Known, NodeState};
use crate::time::Moment;

/// Without a word of the Sentinels, a promotion is believed when the old primary has not been one for so long.
const OLD_AWAY_FOR: Duration = Duration::from_millis(500);
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
/// their own, beside a primary that serves, is none.
pub(crate) fn seen(known: &Known, now: Moment) -> Option<Promoted> {
    let promoted = beside_the_primary(known, now)?;
    let old = known.node(known.primary()?);
    let named = || {
        let address = &known.node(promoted.node).key.address;
        known.sentinels.names(address, now)
    };
    let is_meant = match old.result() {
        ProbeResult::NotProbed => false,
        ProbeResult::Primary => known.link.lost_data || named(),
        _ => old.result_for(now) >= OLD_AWAY_FOR || named(),
    };
    is_meant.then_some(promoted)
}

/// Whether its own Sentinels have to be asked whom they hold for the primary of the primary service.
pub(crate) fn is_to_be_asked(known: &Known, now: Moment) -> bool {
    known.sentinels.watch_over(&known.record.primary)
        && (known.link.lost_data || beside_the_primary(known, now).is_some())
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

/// A node of the primary service, other than the group's primary, that takes writes after it followed.
fn beside_the_primary(known: &Known, now: Moment) -> Option<Promoted> {
    let primary = known.primary()?;
    let history = known.history()?;
    let promoted_at = |node: &NodeState| {
        let info = node
            .fresh(now)
            .filter(|info| info.is_primary() && !info.loading)?;
        let shared = info.previous.filter(|(previous, _)| *previous == history);
        let ours = || (info.history == history).then_some(info.offset);
        shared.map(|(_, last)| last).or_else(ours)
    };
    known
        .nodes_of(&known.record.primary)
        // One that took the writes before it comes back.
        .filter(|(id, node)| *id != primary && known.former_node(&node.key).is_none())
        .find_map(|(node, state)| {
            promoted_at(state).map(|divergence_offset| Promoted {
                node,
                divergence_offset,
            })
        })
}
