//! What a node that is to follow says of itself, and where its history and the group's part.

use super::{Divergence, ReturningNode};
use crate::known::Known;
use crate::plan::NodeId;
use crate::time::Moment;

/// The node as it is now, and its divergence; none while it does not answer, or while no history is known.
pub(crate) fn observe(known: &Known, node: NodeId, now: Moment) -> Option<(ReturningNode, Divergence)> {
    let state = known.node(node);
    let info = state.fresh(now).filter(|info| !info.loading)?;
    let saved = known.is_saved(node);
    let divergence = if let Some(former) = known.former_primary(&state.key.service) {
        Divergence {
            history: former.history,
            offset: former.divergence_offset,
            saved,
        }
    } else {
        let history = known.history()?;
        let shared = info.previous.filter(|(previous, _)| *previous == history);
        Divergence {
            history,
            offset: shared.map_or(known.log_end(), |(_, last)| last),
            saved,
        }
    };
    let node = ReturningNode {
        is_primary: info.is_primary(),
        writes_blocked: state.is_blocked(),
        follows_us: !info.is_primary() && info.primary.as_ref() == Some(&known.relay_for(node)),
        history: info.history,
        offset: info.offset,
        previous: info.previous,
        empty: info.keys == 0,
    };
    Some((node, divergence))
}
