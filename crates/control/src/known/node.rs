//! A node of a group, as far as it is known.

use std::net::IpAddr;
use std::time::Duration;

use sterna_node::Role;
use sterna_node::adopt::ConfigPersistence;
use sterna_protocol::{Offset, ReplicationId};

use super::server_clock::ServerClock;
use crate::observe::{NodeInfo, NodeKey, Observation, ProbeError, ProbeResult};
use crate::time::Moment;

/// A look that is older than this says nothing any more.
const FRESH: Duration = Duration::from_secs(3);

/// A node that answered so short a time ago is not taken for one that is away; and looks that are further apart say nothing
/// of the time between them. The rarest ones begin a second after the one before, and take a second at the most.
const LATELY: Duration = Duration::from_secs(2);

/// A node that could not be promoted is not tried again sooner.
const NOT_PROMOTED_PAUSE: Duration = Duration::from_secs(60);

/// What is known of a node.
#[derive(Debug, Clone)]
pub(crate) struct NodeState {
    pub(crate) key: NodeKey,
    /// The last answer.
    pub(crate) info: Option<NodeInfo>,
    /// Why the last look failed, if it did.
    pub(crate) error: Option<ProbeError>,
    pub(super) looked_at: Option<Moment>,
    /// When it was last told what may let it take writes again: what it said before counts no more.
    opened_at: Option<Moment>,
    /// Since when every look has had the same result.
    pub(super) result_since: Option<Moment>,
    /// Since when every look has failed: when the first of these began.
    failing_since: Option<Moment>,
    /// When it last answered anything.
    pub(super) answered_at: Option<Moment>,
    /// When it last answered as a primary that serves.
    pub(crate) served_at: Option<Moment>,
    /// `run_id` of the process whose writes we blocked; cleared when we begin anything that unblocks them.
    pub(crate) blocked_run: Option<String>,
    /// How far a primary had come when its writes were blocked: its stream goes on by what is no client's, keys that expire and
    /// pings. With the process and the history.
    shut: Option<(String, ReplicationId, Offset)>,
    /// It was no replica within its service before the group: it stays at the relay.
    pub(crate) has_no_own: bool,
    /// Whether its settings survive its restart.
    pub(crate) kept: Option<ConfigPersistence>,
    /// The address under which it sees us.
    pub(crate) local: Option<IpAddr>,
    /// How long its last answer took.
    pub(crate) round_trip: Option<Duration>,
    /// How long its quickest answer of late took.
    pub(crate) nearest: Option<Duration>,
    /// Its wall clock.
    pub(crate) clock: ServerClock,
    /// When something was last put right at it.
    pub(crate) repaired_at: Option<Moment>,
    /// When a change of primary was given up because it could not be promoted.
    pub(crate) not_promoted_at: Option<Moment>,
    /// Why something could not be put right at it.
    pub(crate) repair_failure: Option<String>,
    /// When somebody else made it a primary, or a replica of another, of late.
    pub(super) taken_away: Vec<Moment>,
}

impl NodeState {
    pub(crate) fn new(key: NodeKey) -> Self {
        Self {
            key,
            info: None,
            error: None,
            looked_at: None,
            opened_at: None,
            result_since: None,
            failing_since: None,
            answered_at: None,
            served_at: None,
            blocked_run: None,
            shut: None,
            has_no_own: false,
            kept: None,
            local: None,
            round_trip: None,
            nearest: None,
            clock: ServerClock::default(),
            repaired_at: None,
            not_promoted_at: None,
            repair_failure: None,
            taken_away: Vec::new(),
        }
    }

    /// It may take writes from now on, whatever it said last.
    pub(crate) fn may_take_writes(&mut self, now: Moment) {
        self.opened_at = Some(now);
        if let Some(info) = &mut self.info {
            info.role = Role::Primary;
        }
    }

    /// Takes in what a look showed.
    pub(crate) fn observed(&mut self, seen: Observation) {
        if self.opened_at.is_some_and(|opened| seen.asked < opened) {
            return;
        }
        let before = self.result();
        let goes_on = self.looked_at.is_some_and(|last| seen.at.since(last) <= LATELY);
        self.looked_at = Some(seen.at);
        self.local = seen.local.or(self.local);
        self.round_trip = seen.round_trip.or(self.round_trip);
        if let Some(trip) = seen.round_trip {
            // A machine that is busy for a moment is no further away.
            let before = self.nearest.map(|nearest| nearest + nearest / 32);
            self.nearest = before.into_iter().chain([trip]).min();
        }
        match seen.result {
            Ok(info) => {
                if let Some(micros) = info.clock_micros {
                    self.clock.shows(micros, seen.asked, seen.at);
                }
                if info.is_primary() && !info.loading {
                    self.served_at = Some(seen.at);
                }
                self.error = None;
                self.failing_since = None;
                self.info = Some(info);
                self.note_shut();
            }
            Err(error) => {
                self.failing_since = self.failing_since.filter(|_| goes_on).or(Some(seen.asked));
                self.error = Some(error);
            }
        }
        if self.result().answers() {
            self.answered_at = Some(seen.at);
        }
        if self.result() != before || !goes_on {
            self.result_since = Some(seen.at);
        }
    }

    /// When it was looked at, since when that has shown the same, when it answered, and since when it has not.
    #[cfg(test)]
    pub(crate) fn moments(&mut self) -> [&mut Option<Moment>; 4] {
        let Self {
            looked_at,
            result_since,
            answered_at,
            failing_since,
            ..
        } = self;
        [looked_at, result_since, answered_at, failing_since]
    }

    /// What the last look showed.
    pub(crate) fn result(&self) -> ProbeResult {
        match (&self.error, &self.info) {
            (Some(ProbeError::Refused(_)), _) => ProbeResult::Refused,
            (Some(ProbeError::Silent(_)), _) => ProbeResult::Silent,
            (Some(ProbeError::Denied(_)), _) => ProbeResult::Denied,
            (None, None) => ProbeResult::NotProbed,
            (None, Some(info)) if info.loading => ProbeResult::Loading,
            (None, Some(info)) if info.role == Role::Replica => ProbeResult::Replica,
            (None, Some(_)) => ProbeResult::Primary,
        }
    }

    /// When it was last looked at.
    pub(crate) fn looked_at(&self) -> Option<Moment> {
        self.looked_at
    }

    /// Since when every look has had this result.
    pub(crate) fn result_began(&self) -> Option<Moment> {
        self.result_since
    }

    /// For how long every look has had this result.
    pub(crate) fn result_for(&self, now: Moment) -> Duration {
        self.result_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// From when until when every look was answered, if it was looked at a moment ago.
    pub(crate) fn answers_during(&self, now: Moment) -> Option<(Moment, Moment)> {
        let answers = self.result().answers();
        self.until_lately(self.result_since.filter(|_| answers), now)
    }

    /// From when until when every look failed, if it was looked at a moment ago.
    pub(crate) fn fails_during(&self, now: Moment) -> Option<(Moment, Moment)> {
        self.until_lately(self.failing_since, now)
    }

    fn until_lately(&self, from: Option<Moment>, now: Moment) -> Option<(Moment, Moment)> {
        from.zip(self.looked_at)
            .filter(|(_, until)| now.since(*until) <= LATELY)
    }

    /// Whether it answers, or did so a moment ago: a promotion closes a node's connections.
    pub(crate) fn answered_lately(&self, now: Moment) -> bool {
        self.answered_at.is_some_and(|at| now.since(at) < LATELY)
    }

    /// Its last answer, if that is of now.
    pub(crate) fn fresh(&self, now: Moment) -> Option<&NodeInfo> {
        let fresh = self.looked_at.is_some_and(|at| now.since(at) < FRESH);
        self.info.as_ref().filter(|_| fresh && self.error.is_none())
    }

    /// Whether it follows somebody, as of now, with its link up.
    pub(crate) fn follows(&self, now: Moment) -> bool {
        self.fresh(now)
            .is_some_and(|info| !info.is_primary() && info.link_up)
    }

    /// Whether we blocked the writes of the process that it is now.
    pub(crate) fn is_blocked(&self) -> bool {
        let run = self.info.as_ref().map(|info| &info.run_id);
        self.blocked_run.is_some() && self.blocked_run.as_ref() == run
    }

    /// How far its data go that clients wrote: of a primary whose writes are blocked as far as it was then.
    pub(crate) fn written_to(&self) -> Option<Offset> {
        let info = self.info.as_ref()?;
        Some(self.shut.as_ref().map_or(info.offset, |(_, _, offset)| *offset))
    }

    fn note_shut(&mut self) {
        let is_blocked = self.is_blocked();
        let Some(info) = &self.info else { return };
        let is_same = |(run, history, offset): &(String, ReplicationId, Offset)| {
            *run == info.run_id && *history == info.history && *offset <= info.offset
        };
        if !is_blocked || !info.is_primary() {
            self.shut = None;
        } else if !self.shut.as_ref().is_some_and(is_same) {
            self.shut = Some((info.run_id.clone(), info.history, info.offset));
        }
    }

    /// Whether it could not be promoted of late: another is chosen meanwhile.
    pub(crate) fn refused_promotion(&self, now: Moment) -> bool {
        self.not_promoted_at
            .is_some_and(|at| now.since(at) < NOT_PROMOTED_PAUSE)
    }

    /// Whether something was put right at it less than `pause` ago.
    pub(crate) fn repaired_within(&self, pause: Duration, now: Moment) -> bool {
        self.repaired_at.is_some_and(|at| now.since(at) < pause)
    }
}
