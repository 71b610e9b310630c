//! What went wrong with the primary: when to try again, and what repeats and so is no accident.

use std::time::Duration;

use sterna_model::{HoldReason, LinkState};
use sterna_protocol::Offset;

use super::event::Effects;
use crate::backoff::{Backoff, Random};
use crate::status::Notice;

/// While replication holds, the primary is looked at again this often.
const HOLD_LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Bad data at the same place so many times in a row is no accident of the network.
const CORRUPT_MAX: u32 = 3;

/// Something at one place, and how often in a row.
#[derive(Debug)]
struct Repeats<P>(Option<(P, u32)>);

impl<P: PartialEq> Repeats<P> {
    /// Once more; returns whether that is too often.
    fn again(&mut self, place: P) -> bool {
        let times = match self.0.take() {
            Some((at, times)) if at == place => times + 1,
            _ => 1,
        };
        self.0 = Some((place, times));
        times >= CORRUPT_MAX
    }
}

/// Failures since the stream last flowed.
#[derive(Debug)]
pub(super) struct Failures {
    backoff: Backoff,
    hold: Option<HoldReason>,
    last: Option<String>,
    /// The unit at which bad data came; none: in a snapshot, for each stands at another offset, and they count together.
    corrupt: Repeats<Option<Offset>>,
    /// After how many bytes a snapshot broke off.
    broken_off: Repeats<u64>,
}

impl Failures {
    pub(super) fn none() -> Self {
        Self {
            backoff: Backoff::default(),
            hold: None,
            last: None,
            corrupt: Repeats(None),
            broken_off: Repeats(None),
        }
    }

    /// Another primary is followed, or the stream flows: nothing is in the way any more. Bad data at one place counts on,
    /// for the connections to it all begin well.
    pub(super) fn clear(&mut self) {
        self.hold = None;
        self.last = None;
        self.backoff.reset();
    }

    pub(super) fn snapshot_is_right(&mut self) {
        self.broken_off = Repeats(None);
        if let Repeats(Some((None, _))) = self.corrupt {
            self.corrupt = Repeats(None);
        }
    }

    /// The primary is not followed, on purpose.
    pub(super) fn hold(&mut self, reason: HoldReason, effects: &mut Effects) {
        if self.hold.as_ref() != Some(&reason) {
            effects.notify(Notice::Holding(reason.clone()));
        }
        self.hold = Some(reason);
    }

    /// An attempt failed: how long until the next, at least `delay_min`.
    pub(super) fn failed(
        &mut self,
        reason: String,
        delay_min: Duration,
        random: &mut dyn Random,
        effects: &mut Effects,
    ) -> Duration {
        let mut retry_in = self.backoff.failed(random).max(delay_min);
        if self.hold.is_some() {
            retry_in = retry_in.max(HOLD_LOOK_INTERVAL);
        }
        if self.last.as_ref() != Some(&reason) && self.hold.is_none() {
            let reason = reason.clone();
            effects.notify(Notice::Lost { reason, retry_in });
        }
        self.last = Some(reason);
        retry_in
    }

    /// What came can't be right: at `place`, or in a snapshot.
    pub(super) fn corrupt(&mut self, place: Option<Offset>, reason: &str, effects: &mut Effects) {
        if self.corrupt.again(place) {
            let reason = reason.to_owned();
            effects.notify(Notice::Corrupt { reason });
        }
    }

    /// A snapshot ended early. A network breaks off anywhere; always at the same byte is the primary's own doing.
    pub(super) fn broke_off(&mut self, after_bytes: u64, reason: &str, effects: &mut Effects) {
        if self.broken_off.again(after_bytes) {
            let reason = format!("the snapshot breaks off after {after_bytes} bytes: {reason}");
            effects.notify(Notice::Corrupt { reason });
        }
    }

    /// The link's state while nothing arrives.
    pub(super) fn link_state(&self) -> LinkState {
        match (&self.hold, &self.last) {
            (Some(reason), _) => LinkState::Holding(reason.clone()),
            (None, Some(reason)) => LinkState::Retrying {
                error: reason.clone(),
            },
            (None, None) => LinkState::Connecting,
        }
    }
}
