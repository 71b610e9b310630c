//! What the primary service's own Sentinels say.

use std::time::Duration;

use sterna_model::ServiceName;
use sterna_node::NodeAddress;

use crate::time::Moment;

/// They are not asked again sooner.
const ASK_PAUSE: Duration = Duration::from_millis(500);
/// What they said longer ago counts no more.
const FRESH: Duration = Duration::from_secs(3);

/// What the Sentinels with the newest configuration say of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentinelView {
    pub(crate) service: ServiceName,
    /// Whom they hold for its primary.
    pub(crate) primary: NodeAddress,
    /// They take it for down, or are about to replace it.
    pub(crate) fail_over: bool,
}

/// What they said last, and when they were asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sentinels {
    asked: Option<Moment>,
    said: Option<(Moment, SentinelView)>,
}

impl Sentinels {
    /// Whether it is time to ask; if so, they are taken to be asked now.
    pub(crate) fn ask(&mut self, now: Moment) -> bool {
        let due = self.asked.is_none_or(|asked| now.since(asked) >= ASK_PAUSE);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// They answered.
    pub(crate) fn answered(&mut self, view: SentinelView, now: Moment) {
        self.said = Some((now, view));
    }

    /// Whether they hold this node for the primary, as of now.
    pub(crate) fn names(&self, node: &NodeAddress, now: Moment) -> bool {
        self.fresh(now).is_some_and(|view| view.primary == *node)
    }

    /// Whether they are replacing the primary; none where they have not said anything of late.
    pub(crate) fn fail_over(&self, now: Moment) -> Option<bool> {
        self.fresh(now).map(|view| view.fail_over)
    }

    fn fresh(&self, now: Moment) -> Option<&SentinelView> {
        let fresh = |at: &Moment| now.since(*at) < FRESH;
        self.said
            .as_ref()
            .filter(|(at, _)| fresh(at))
            .map(|(_, view)| view)
    }
}
