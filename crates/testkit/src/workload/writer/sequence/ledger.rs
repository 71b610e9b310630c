//! What became of every number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::workload::run::kind_of;

/// A write that a server has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// What was written.
    pub number: u64,
    /// When the answer came.
    pub at: Instant,
    /// Whose answer it was.
    pub by: SocketAddr,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In the order of time.
    acknowledged: Vec<Acknowledged>,
    failed: Vec<u64>,
    errors: BTreeMap<String, u64>,
    slowest: Duration,
    /// From when on nothing is expected.
    ended: Option<Instant>,
}

impl Ledger {
    /// The answers must be told in the order of time.
    pub(super) fn acknowledge(&mut self, write: Acknowledged, took: Duration) {
        self.acknowledged.push(write);
        self.slowest = self.slowest.max(took);
    }

    pub(super) fn fail(&mut self, numbers: Range<u64>, why: &str, took: Duration) {
        *self.errors.entry(kind_of(why)).or_default() += numbers.end - numbers.start;
        self.failed.extend(numbers);
        self.slowest = self.slowest.max(took);
    }

    /// Nothing is expected any more; the first word counts.
    pub(super) fn end(&mut self, at: Instant) {
        self.ended.get_or_insert(at);
    }

    pub(super) fn acknowledged(&self) -> &[Acknowledged] {
        &self.acknowledged
    }

    pub(super) fn failed(&self) -> &[u64] {
        &self.failed
    }

    pub(super) fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    pub(super) fn slowest(&self) -> Duration {
        self.slowest
    }

    pub(super) fn first_after(&self, instant: Instant, by: Option<SocketAddr>) -> Option<Acknowledged> {
        let later = self.acknowledged.partition_point(|write| write.at <= instant);
        let mut later = self.acknowledged[later..].iter();
        later.find(|write| by.is_none_or(|by| write.by == by)).copied()
    }

    /// The longest gap that ended after `since`; the one that lasts still, or lasted at the end, is one of them.
    pub(super) fn longest_gap(&self, since: Option<Instant>) -> Duration {
        let ends = self.acknowledged.iter().skip(1).map(|write| write.at);
        let gaps = self
            .acknowledged
            .iter()
            .zip(ends.chain([self.ended.unwrap_or_else(Instant::now)]));
        gaps.filter(|(_, end)| since.is_none_or(|since| *end > since))
            .map(|(write, end)| end.saturating_duration_since(write.at))
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn server(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    /// Writes acknowledged at these seconds, from two servers in turn.
    fn ledger(start: Instant, seconds: &[u32]) -> Ledger {
        let mut ledger = Ledger::default();
        for (number, (second, port)) in (0..).zip(seconds.iter().zip([1, 2].into_iter().cycle())) {
            let at = start + SECOND * *second;
            ledger.acknowledge(
                Acknowledged {
                    number,
                    at,
                    by: server(port),
                },
                SECOND,
            );
        }
        ledger
    }

    #[test]
    fn the_longest_gap_is_between_answers_or_at_the_end() {
        let start = Instant::now();
        assert_eq!(Ledger::default().longest_gap(None), Duration::ZERO);
        let mut ledger = ledger(start, &[0, 1, 11, 12, 15]);
        ledger.end(start + SECOND * 17);
        ledger.end(start + SECOND * 99);
        assert_eq!(ledger.longest_gap(None), SECOND * 10);
        assert_eq!(
            ledger.longest_gap(Some(start + SECOND * 10)),
            SECOND * 10,
            "it ended later"
        );
        assert_eq!(ledger.longest_gap(Some(start + SECOND * 11)), SECOND * 3);
        assert_eq!(ledger.longest_gap(Some(start + SECOND * 15)), SECOND * 2);
        let late = Ledger {
            ended: Some(start),
            ..ledger
        };
        assert_eq!(
            late.longest_gap(None),
            SECOND * 10,
            "answers may come after the end"
        );
    }

    #[test]
    fn the_first_answer_after_an_instant_is_found_for_any_server() {
        let start = Instant::now();
        let ledger = ledger(start, &[0, 1, 2, 3]);
        let first = |second, port: Option<u16>| {
            let found = ledger.first_after(start + SECOND * second, port.map(server));
            found.map(|write| write.number)
        };
        assert_eq!(first(0, None), Some(1));
        assert_eq!(first(0, Some(1)), Some(2));
        assert_eq!((first(3, None), first(2, Some(1))), (None, None));
    }

    #[test]
    fn failures_are_counted_by_their_first_words() {
        let mut ledger = Ledger::default();
        ledger.fail(
            3..5,
            "READONLY You can't write against a read only replica.",
            SECOND,
        );
        ledger.fail(8..9, "READONLY You can't write against anything", SECOND * 2);
        assert_eq!(ledger.failed(), [3, 4, 8]);
        assert_eq!(ledger.errors().values().sum::<u64>(), 3);
        assert_eq!(ledger.errors().len(), 1);
        assert_eq!(ledger.slowest(), SECOND * 2);
    }
}
