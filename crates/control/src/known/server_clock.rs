//! A node's wall clock beside our monotonic one. Its lease runs on it: set back, it lengthens the lease by as much; set
//! forward, it may end it.

use std::time::Duration;

use crate::time::Moment;

/// A clock that is put right little by little, or read late, seems to step by no more than this.
const STEP_MIN: Duration = Duration::from_millis(250);
/// Two clocks run apart by less than one part in so many.
const DRIFT: u32 = 1000;
/// A step is spoken of for so long.
const TOLD_FOR: Duration = Duration::from_secs(3600);

/// The clock of one node, as its answers show it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerClock {
    last: Option<Reading>,
    step: Option<(Moment, i64)>,
}

/// What it showed, between two moments here.
#[derive(Debug, Clone, Copy)]
struct Reading {
    micros: u64,
    asked: Moment,
    answered: Moment,
}

impl ServerClock {
    /// It showed so many microseconds, at some moment between these.
    pub(crate) fn shows(&mut self, micros: u64, asked: Moment, answered: Moment) {
        let now = Reading {
            micros,
            asked,
            answered,
        };
        if let Some(step) = self.last.replace(now).and_then(|last| now.step_since(last)) {
            self.step = Some((answered, step));
        }
    }

    /// By how many milliseconds it was set forward or, below zero, back of late.
    pub(crate) fn step_millis(&self, now: Moment) -> Option<i64> {
        let (at, millis) = self.step?;
        (now.since(at) < TOLD_FOR).then_some(millis)
    }
}

impl Reading {
    /// By how many milliseconds the clock was set since, if it was.
    fn step_since(self, last: Self) -> Option<i64> {
        let micros = |span: Duration| i128::try_from(span.as_micros()).unwrap_or(i128::MAX);
        let shown = i128::from(self.micros) - i128::from(last.micros);
        let measured = self.answered.since(last.answered);
        let unsure = self.answered.since(self.asked) + last.answered.since(last.asked);
        let step = shown - micros(measured);
        let is_step = step.abs() > micros(unsure + STEP_MIN + measured / DRIFT);
        is_step.then(|| i64::try_from(step / 1000).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(1_000_000 + millis))
    }

    /// Readings at these moments here, by what the clock showed, in milliseconds.
    fn seen(readings: &[(u64, u64)]) -> Option<i64> {
        let mut clock = ServerClock::default();
        for &(shown, here) in readings {
            clock.shows((5_000_000 + shown) * 1000, at(here), at(here + 10));
        }
        clock.step_millis(at(readings.last().map_or(0, |last| last.1) + 10))
    }

    #[test]
    fn a_clock_that_runs_like_ours_does_not_step() {
        assert_eq!(seen(&[(0, 0)]), None);
        assert_eq!(seen(&[(0, 0), (1000, 1000), (2000, 2000)]), None);
        // Read late, put right little by little, and not read for a day.
        assert_eq!(seen(&[(0, 0), (1250, 1000)]), None);
        assert_eq!(seen(&[(0, 0), (86_400_000, 86_430_000)]), None);
    }

    #[test]
    fn it_is_seen_in_both_directions_and_told_for_an_hour() {
        assert_eq!(seen(&[(0, 0), (1000, 1000), (0, 2000)]), Some(-2000));
        assert_eq!(seen(&[(0, 0), (31_000, 1000), (32_000, 2000)]), Some(30_000));
        let later = 3_600_000 + 1000;
        assert_eq!(seen(&[(0, 0), (31_000, 1000), (later + 30_000, later)]), None);
    }

    #[test]
    fn an_answer_that_took_long_says_little() {
        let mut clock = ServerClock::default();
        clock.shows(1_000_000, at(0), at(0));
        clock.shows(1_500_000, at(0), at(2_000));
        assert_eq!(clock.step_millis(at(2_000)), None);
    }
}
