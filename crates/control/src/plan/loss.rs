//! What would be lost, or was, if a node takes over from the primary: counted from what the node itself has to the last
//! that is known of the primary, and what it may have written since at the most.

use std::time::Duration;

use sterna_protocol::Offset;

use super::failover::{Candidate, OldPrimary, lease_over, old_primary};
use crate::known::{Known, Missing};
use crate::time::Moment;

/// Writes that the primary has, or may have, and somebody else lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Loss {
    /// What the primary is known to have of it, in bytes of stream.
    pub(crate) bytes: u64,
    /// For how long the first of these has been missing, as of when the primary was last asked. None where that is longer
    /// than this process has known the stream.
    pub(crate) time: Option<Duration>,
}

impl Loss {
    const NONE: Self = Self {
        bytes: 0,
        time: Some(Duration::ZERO),
    };

    /// Whether it is more than so much time.
    pub(crate) fn exceeds(&self, limit: Duration) -> bool {
        self.time.is_none_or(|time| time > limit)
    }
}

/// What of the primary's writes is not in the log.
pub(crate) fn of_the_log(known: &Known) -> Loss {
    of(known, known.log_end())
}

/// What a node lacks of the primary's writes and can't be given from here.
pub(crate) fn of_a_node(known: &Known, applied: Offset) -> Loss {
    if known.log_is_empty() {
        // What came here before it was lost is known to nobody.
        return Loss { bytes: 0, time: None };
    }
    if applied >= known.link.gives_from() {
        of(known, applied.max(known.log_end()))
    } else {
        of(known, applied)
    }
}

/// The least that would be lost, if one of these took over; nothing where there are none.
pub(crate) fn least<'a>(known: &Known, candidates: impl Iterator<Item = &'a Candidate>) -> Loss {
    let losses = candidates.map(|candidate| of_a_node(known, candidate.applied));
    // What nobody can tell is more than anything.
    losses
        .min_by_key(|loss| (loss.time.unwrap_or(Duration::MAX), loss.bytes))
        .unwrap_or(Loss::NONE)
}

/// What is missing beyond this.
pub(crate) fn of(known: &Known, reached: Offset) -> Loss {
    let log_end = known.log_end();
    let end = known.primary_stream.end().map_or(log_end, |end| end.max(log_end));
    if end <= reached {
        return Loss::NONE;
    }
    let is_bridged = reached >= log_end;
    let time = match known.primary_stream.missing(reached) {
        // What arrived here since it was last asked.
        Missing::Nothing => Some(Duration::ZERO),
        Missing::For(time) => Some(time),
        // What the log had when this process began is as new as anybody can tell.
        Missing::Forgotten if is_bridged => {
            let asked = known.primary_stream.asked();
            asked.map(|asked| asked.since(known.gateway_started))
        }
        Missing::Forgotten => None,
    };
    Loss {
        bytes: end.bytes_since(reached),
        time,
    }
}

/// What the old primary may have written at the most that somebody with this lacks, in bytes. None where nobody can tell.
pub(crate) fn at_most(known: &Known, reached: Offset, now: Moment) -> Option<u64> {
    let until = last_write(known, now)?;
    let end = known.primary_stream.may_have_reached(until)?.max(known.log_end());
    Some(end.bytes_since(reached))
}

/// For how long the old primary may have written what somebody with this lacks. None where nobody can tell.
pub(crate) fn at_most_for(known: &Known, reached: Offset, now: Moment) -> Option<Duration> {
    let alone = last_write(known, now)?.since(known.primary_stream.asked()?);
    Some(alone + of(known, reached).time?)
}

/// When the old primary can have taken its last write, if there is such a time.
fn last_write(known: &Known, now: Moment) -> Option<Moment> {
    let primary = known.primary()?;
    match old_primary(known, primary, now) {
        OldPrimary::Gone => known.node(primary).result_began(),
        OldPrimary::Blocked | OldPrimary::Answers => Some(now),
        // It may lie ahead where the lease is not waited for.
        OldPrimary::Silent | OldPrimary::NotSeen => lease_over(known),
    }
}
