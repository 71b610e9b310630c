//! Which offset was reached when: turns a lag in bytes into a lag in seconds.

use std::collections::VecDeque;
use std::time::Duration;

use sterna_protocol::Offset;
use tokio::time::Instant;

/// A point in time, of whichever clock.
pub trait TimePoint: Copy {
    /// How long `earlier` lies back; zero for what is not over yet.
    fn since(self, earlier: Self) -> Duration;
}

impl TimePoint for Instant {
    fn since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

/// A mark is taken at most this often.
const INTERVAL: Duration = Duration::from_millis(50);
/// Marks kept: older ones are thinned out to twice the interval, and so on.
const MARKS_MAX: usize = 4096;

/// How far somebody is behind, and when that was so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lag {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
    pub(crate) at: Instant,
}

/// `(offset, when it had been received)`, ascending in both.
#[derive(Debug, Clone)]
pub struct OffsetTimeline<T = Instant> {
    marks: VecDeque<(Offset, T)>,
}

impl<T> Default for OffsetTimeline<T> {
    fn default() -> Self {
        Self {
            marks: VecDeque::new(),
        }
    }
}

impl<T: TimePoint> OffsetTimeline<T> {
    /// Notes that `end` was reached at `now`.
    pub fn reached(&mut self, end: Offset, now: T) {
        if let Some((last, when)) = self.marks.back()
            && (*last >= end || now.since(*when) < INTERVAL)
        {
            return;
        }
        if self.marks.len() >= MARKS_MAX {
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
        }
        self.marks.push_back((end, now));
    }

    /// Forgets everything: a new history, or a log that was cut.
    pub fn clear(&mut self) {
        self.marks.clear();
    }

    /// For how long a follower that has applied `applied` has been missing the byte after it; zero when it misses none
    /// up to `end`.
    pub(crate) fn lag(&self, applied: Offset, end: Offset, now: T) -> Duration {
        if applied >= end {
            return Duration::ZERO;
        }
        self.first_beyond(applied)
            .map_or(Duration::ZERO, |(_, when)| now.since(when))
    }

    /// Whether what was reached then is as far back as is remembered, or later.
    pub fn remembers(&self, applied: Offset) -> bool {
        self.marks.front().is_some_and(|(oldest, _)| *oldest <= applied)
    }

    /// The first mark beyond `applied`.
    pub fn first_beyond(&self, applied: Offset) -> Option<(Offset, T)> {
        let place = self.marks.partition_point(|(offset, _)| *offset <= applied);
        self.marks.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_first_missed_byte() {
        let (mut timeline, start) = (OffsetTimeline::default(), Instant::now());
        for second in 0..10_000_u64 {
            timeline.reached(Offset::new(second * 100), start + Duration::from_secs(second));
        }
        let (end, now) = (Offset::new(999_900), start + Duration::from_secs(10_000));
        assert_eq!(timeline.lag(end, end, now), Duration::ZERO);
        assert_eq!(
            timeline.lag(Offset::new(999_800), end, now),
            Duration::from_secs(1)
        );
        let old = timeline.lag(Offset::new(1_000), end, now).as_secs();
        assert!((9_960..=9_990).contains(&old), "{old}");
        assert!(timeline.marks.len() <= MARKS_MAX);
    }
}
