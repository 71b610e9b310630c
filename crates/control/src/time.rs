//! Time as the group's state knows it: handed in with every event, never read.
//!
//! Durations are measured on the monotonic clock alone. The wall clock is for records that people read, and for what
//! another process of this gateway left behind; where such a time is needed for a duration, it is turned into a
//! [`Moment`] once, when it is read.

use std::time::Duration;

use jiff::Timestamp;
use sterna_replication::TimePoint;
use tokio::time::Instant;

/// How long before the process began the monotonic clock is taken to have begun: what a former process measured lies
/// before this one began.
const BEFORE_START: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// A point on this process's monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(Duration);

impl Moment {
    /// So much after the clock's origin.
    #[cfg(test)]
    pub(crate) const fn at(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long `earlier` lies back; zero for what is not over yet.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// Later by so much.
    pub(crate) fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// Earlier by so much, or the clock's origin.
    pub(crate) fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(span))
    }
}

impl TimePoint for Moment {
    fn since(self, earlier: Self) -> Duration {
        Self::since(self, earlier)
    }
}

/// Both clocks, read once for an event.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    /// For durations.
    pub(crate) at: Moment,
    /// For records.
    pub(crate) wall: Timestamp,
}

impl Now {
    /// The moment of something that was noted by the wall clock, by this process or an earlier one. One that seems to
    /// lie in the future is taken for now: the clock was set back since.
    pub(crate) fn moment_of(&self, noted: Timestamp) -> Moment {
        let ago = self
            .wall
            .duration_since(noted)
            .try_into()
            .unwrap_or(Duration::ZERO);
        self.at.minus(ago)
    }

    /// What the wall clock would have shown at a moment.
    pub(crate) fn wall_of(&self, moment: Moment) -> Timestamp {
        let ago = jiff::SignedDuration::try_from(self.at.since(moment)).unwrap_or_default();
        self.wall.checked_sub(ago).unwrap_or(self.wall)
    }
}

/// Reads the clocks. Drivers have one; what they drive has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
}

impl Clock {
    /// One whose readings begin now.
    pub(crate) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    /// Both clocks.
    pub(crate) fn now(&self) -> Now {
        Now {
            at: self.moment(Instant::now()),
            wall: Timestamp::now(),
        }
    }

    /// A reading of the runtime's clock.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        match instant.checked_duration_since(self.began) {
            Some(after) => Moment(BEFORE_START + after),
            None => Moment(BEFORE_START.saturating_sub(self.began.duration_since(instant))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_was_set_back_makes_nothing_wait_for_it() {
        let now = Now {
            at: Moment::at(Duration::from_secs(1000)),
            wall: "2026-01-02T00:00:00Z".parse().expect("a time"),
        };
        let day_ahead = "2026-01-03T00:00:00Z".parse().expect("a time");
        assert_eq!(now.moment_of(day_ahead), now.at);
        let minute_ago = "2026-01-01T23:59:00Z".parse().expect("a time");
        assert_eq!(now.at.since(now.moment_of(minute_ago)), Duration::from_secs(60));
        assert_eq!(now.wall_of(now.at.minus(Duration::from_secs(60))), minute_ago);
    }
}
