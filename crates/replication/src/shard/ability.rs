//! What a replica node can load: asked of the nodes themselves when one needs a full copy, or known from what it announced.
//! And what of that stands against a copy for it.

use std::borrow::Cow;
use std::time::Duration;

use sterna_model::CopyObstacle;
use sterna_node::Version;
use sterna_node::copying::{self, CopyNeeds, CopyTarget};
use tokio::time::Instant;

use super::origin::Origin;
use super::snapshot::Snapshot;
use crate::status::Asked;

/// A node that is not given a copy is asked again this often: it may have been upgraded, or given a module.
const ASK_AGAIN_INTERVAL: Duration = Duration::from_secs(5);
/// One that did not answer is asked again after this...
const ASK_FAILED_INTERVAL: Duration = Duration::from_millis(250);
/// ...and after so many times in a row, that is told: its clients are let go when it begins to follow, this question too.
const ASK_FAILURES_MAX: u32 = 3;
/// Valkey announces its version from 8.0 on: whoever announces none is older, or no Valkey, which goes by it in nothing.
const VERSION_UNANNOUNCED: Version = Version::new(7, 2, 0);

/// Whether a replica node may be given a full copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// It may.
    Free,
    /// What it can load is being asked.
    Pending,
    /// It may not: it could not load it.
    Held(CopyObstacle),
}

/// What is known of what one node can load, and how it stands with that, as it was judged last.
#[derive(Debug)]
pub(super) struct Ability {
    /// The version that it announced.
    announced: Option<Version>,
    /// There are nodes that can be asked.
    asks: bool,
    asked: Option<Asked>,
    /// How often in a row there was no answer.
    failures: u32,
    /// A question is out.
    is_out: bool,
    next_ask: Instant,
    standing: Standing,
    /// It can't load the copy at hand, which was written for others.
    refuses_copy_at_hand: bool,
}

impl Ability {
    pub(super) fn new(announced: Option<Version>, asks: bool, now: Instant) -> Self {
        Self {
            announced,
            asks,
            asked: None,
            failures: 0,
            is_out: false,
            next_ask: now,
            standing: Standing::Free,
            refuses_copy_at_hand: false,
        }
    }

    /// Whether the nodes are to be asked now, which counts as done.
    pub(super) fn asks(&mut self, now: Instant) -> bool {
        let unknown = self.asked.is_none() || self.held().is_some();
        let due = self.asks && !self.is_out && unknown && now >= self.next_ask;
        self.is_out |= due;
        due
    }

    /// There are nodes that can be asked from now on.
    pub(super) fn may_ask(&mut self) {
        self.asks = true;
    }

    /// The nodes were asked.
    pub(super) fn answered(&mut self, asked: Asked, now: Instant) {
        self.is_out = false;
        self.failures = if asked.is_err() { self.failures + 1 } else { 0 };
        if asked.is_err() && self.failures < ASK_FAILURES_MAX {
            self.next_ask = now + ASK_FAILED_INTERVAL;
            return;
        }
        self.asked = Some(asked);
        self.next_ask = now + ASK_AGAIN_INTERVAL;
    }

    /// The lowest version that it may be of.
    pub(super) fn version(&self) -> Version {
        let asked = self.targets().iter().map(|target| target.engine.version).min();
        asked.unwrap_or(VERSION_UNANNOUNCED)
    }

    /// Judges whether it may be given a copy of a data set with these needs, and the one at hand. Returns what stands against
    /// it, where that is new.
    pub(super) fn judge(
        &mut self,
        at_hand: Option<&Origin>,
        needs: Option<&CopyNeeds>,
    ) -> Option<CopyObstacle> {
        let mut standing = self.standing_with(needs);
        let against = at_hand.filter(|_| standing == Standing::Free);
        let against = against.and_then(|origin| Some((origin, self.obstacle_of(origin)?)));
        self.refuses_copy_at_hand = against.is_some();
        if let Some((origin, obstacle)) = against {
            // What was asked for in words that it can load would come out the same again.
            let asked_for_it = origin
                .announced
                .is_none_or(|announced| announced <= self.version());
            if asked_for_it && origin.needs.as_ref() == needs {
                standing = Standing::Held(obstacle);
            }
        }
        let news = (standing != self.standing).then(|| standing.clone());
        self.standing = standing;
        match news {
            Some(Standing::Held(obstacle)) => Some(obstacle),
            _ => None,
        }
    }

    pub(super) fn is_free(&self) -> bool {
        self.standing == Standing::Free
    }

    /// What stands against any copy for it.
    pub(super) fn held(&self) -> Option<&CopyObstacle> {
        match &self.standing {
            Standing::Held(obstacle) => Some(obstacle),
            Standing::Free | Standing::Pending => None,
        }
    }

    pub(super) fn refuses_copy_at_hand(&self) -> bool {
        self.refuses_copy_at_hand
    }

    /// Whether it may be given this copy, which it was judged with.
    pub(super) fn takes(&self, snapshot: &Snapshot) -> bool {
        // What it is written in is in its header, which must be here.
        let is_known = snapshot.is_complete() || snapshot.origin().format.is_some();
        self.is_free() && !self.refuses_copy_at_hand && (is_known || self.targets().is_empty())
    }

    /// How it stands with a copy that is made for it.
    fn standing_with(&self, needs: Option<&CopyNeeds>) -> Standing {
        match &self.asked {
            None if self.asks => return Standing::Pending,
            Some(Err(error)) => {
                let error = error.clone();
                return Standing::Held(CopyObstacle::NotAsked { error });
            }
            _ => {}
        }
        let Some(needs) = needs else {
            return Standing::Free;
        };
        let targets = self.targets();
        let obstacle = targets.iter().find_map(|target| copying::obstacle(needs, target));
        obstacle.map_or(Standing::Free, Standing::Held)
    }

    /// What stands against a copy that is at hand.
    fn obstacle_of(&self, origin: &Origin) -> Option<CopyObstacle> {
        let targets = self.targets();
        let mut targets = targets.iter();
        targets.find_map(|target| copying::obstacle_of_copy(origin.needs.as_ref(), origin.format, target))
    }

    /// Which node it is may not be clear behind an address translation: what any of them can't load is not sent.
    fn targets(&self) -> Cow<'_, [CopyTarget]> {
        match &self.asked {
            Some(Ok(targets)) => Cow::Borrowed(targets),
            _ => self.announced.map(CopyTarget::announced).into_iter().collect(),
        }
    }
}
