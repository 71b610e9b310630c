//! Which services have Sentinels of their own, and what those of the primary service say.

use std::collections::BTreeMap;
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

/// Services with Sentinels of their own. Those of the primary service are asked: what they said last, and when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sentinels {
    /// The names under which they watch each service.
    watched: BTreeMap<ServiceName, String>,
    asked: Option<Moment>,
    said: Option<(Moment, SentinelView)>,
}

impl Sentinels {
    /// These services are watched now, each under this name.
    pub(super) fn watch(&mut self, watched: BTreeMap<ServiceName, String>) {
        self.watched = watched;
    }

    /// Another service is the primary service: what was said of the one before counts no more.
    pub(super) fn forget(&mut self) {
        (self.asked, self.said) = (None, None);
    }

    /// Whether a service has Sentinels of its own.
    pub(crate) fn watch_over(&self, service: &ServiceName) -> bool {
        self.watched.contains_key(service)
    }

    /// The name under which Sentinels of its own watch a service.
    pub(crate) fn name_of(&self, service: &ServiceName) -> Option<&str> {
        self.watched.get(service).map(String::as_str)
    }

    /// Whether it is time to ask; if so, they are taken to be asked now.
    pub(crate) fn ask(&mut self, now: Moment) -> bool {
        let due = self.asked.is_none_or(|asked| now.since(asked) >= ASK_PAUSE);
        if due {
            self.asked = Some(now);
        }
        due
    }

    /// They answered; what comes late, of a service that is no longer the primary service, is left aside.
    pub(crate) fn answered(&mut self, view: SentinelView, primary: &ServiceName, now: Moment) {
        if view.service == *primary {
            self.said = Some((now, view));
        }
    }

    /// Whom they hold for the primary; none where they have not said anything of late.
    pub(crate) fn names(&self, now: Moment) -> Option<&NodeAddress> {
        self.fresh(now).map(|view| &view.primary)
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
