//! How far the primary's stream is known to have come, and when: from its own answers, which no slow way holds up as it
//! does the stream.

use std::collections::VecDeque;
use std::time::Duration;

use sterna_protocol::{Offset, ReplicationId};
use sterna_replication::OffsetTimeline;

use crate::time::Moment;

/// So many of its last answers tell how fast it grows.
const ANSWERS: usize = 32;
/// What came between two answers closer than this says little of how fast that was.
const SPAN_MIN: Duration = Duration::from_millis(100);

/// For how long something of the stream has been missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nothing that it is known to have.
    Nothing,
    /// So long, as of when the primary was last asked.
    For(Duration),
    /// Since before the first that this process heard of the stream.
    Forgotten,
}

/// The stream of the node that is the group's primary, while it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct PrimaryStream {
    /// The history that it last named.
    history: Option<ReplicationId>,
    reached: OffsetTimeline<Moment>,
    /// Its last answers: how far it was, and when it was asked.
    answers: VecDeque<(Offset, Moment)>,
}

impl PrimaryStream {
    /// It was asked at this moment, and had come so far in this history.
    pub(crate) fn answered(&mut self, history: ReplicationId, offset: Offset, asked: Moment) {
        if self.answers.back().is_some_and(|(_, last)| asked < *last) {
            return;
        }
        if self.history != Some(history) {
            // A new name for a stream that goes on, or another stream.
            if self.end().is_some_and(|end| offset < end) {
                self.reached.clear();
            }
            self.answers.clear();
            self.history = Some(history);
        }
        self.reached.reached(offset, asked);
        self.answers.push_back((offset, asked));
        if self.answers.len() > ANSWERS {
            self.answers.pop_front();
        }
    }

    /// As far as it is known to have come.
    pub(crate) fn end(&self) -> Option<Offset> {
        self.answers.back().map(|(offset, _)| *offset)
    }

    /// When it was last asked, of what it answered.
    pub(crate) fn asked(&self) -> Option<Moment> {
        self.answers.back().map(|(_, asked)| *asked)
    }

    /// For how long somebody with this has been missing the byte after it.
    pub(crate) fn missing(&self, offset: Offset) -> Missing {
        match self.answers.back() {
            Some((end, _)) if *end <= offset => Missing::Nothing,
            None => Missing::Forgotten,
            Some(_) if !self.reached.remembers(offset) => Missing::Forgotten,
            Some((_, asked)) => {
                // The newest may have no mark yet.
                let passed = self.reached.first_beyond(offset);
                Missing::For(passed.map_or(Duration::ZERO, |(_, passed)| asked.since(passed)))
            }
        }
    }

    /// As far as it may have come until then, if it went on no faster than at its fastest of late. None where nobody can tell how
    /// fast it is.
    pub(crate) fn may_have_reached(&self, until: Moment) -> Option<Offset> {
        let (end, asked) = self.answers.back()?;
        let since = until.since(*asked);
        if since.is_zero() {
            return Some(*end);
        }
        let more = self.bytes_per_second()? * since.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float beyond 64 bits becomes the largest number"
        )]
        Some(*end + more.ceil() as u64)
    }

    /// What decisions depend on, without times: in the model it is always the same moment.
    #[cfg(test)]
    pub(crate) fn fingerprint<H: std::hash::Hasher>(&self, hasher: &mut H) {
        use std::hash::Hash;
        let oldest = self.reached.first_beyond(Offset::ZERO);
        (self.history, self.end(), self.reached.remembers(Offset::ZERO)).hash(hasher);
        oldest.map(|(offset, _)| offset).hash(hasher);
    }

    /// The fastest that it grew between two of its last answers.
    fn bytes_per_second(&self) -> Option<f64> {
        let mut fastest: Option<f64> = None;
        let mut answers = self.answers.iter();
        let mut from = answers.next()?;
        for to in answers {
            let span = to.1.since(from.1);
            if span >= SPAN_MIN {
                #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                let bytes = to.0.bytes_since(from.0) as f64;
                let pace = bytes / span.as_secs_f64();
                fastest = Some(fastest.map_or(pace, |fastest| fastest.max(pace)));
                from = to;
            }
        }
        fastest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: &str) -> ReplicationId {
        digit.repeat(40).parse().expect("forty hexadecimal digits")
    }

    fn at(millis: u64) -> Moment {
        Moment::at(Duration::from_millis(1_000_000 + millis))
    }

    fn steady() -> PrimaryStream {
        let mut stream = PrimaryStream::default();
        for step in 0..10 {
            stream.answered(id("a"), Offset::new(step * 1_000), at(step * 1_000));
        }
        stream
    }

    #[test]
    fn what_it_may_have_written_since_grows_with_its_fastest_pace() {
        let mut stream = steady();
        assert_eq!(stream.may_have_reached(at(9_000)), Some(Offset::new(9_000)));
        assert_eq!(stream.may_have_reached(at(11_000)), Some(Offset::new(11_000)));
        stream.answered(id("a"), Offset::new(14_000), at(9_500));
        assert_eq!(stream.may_have_reached(at(10_500)), Some(Offset::new(24_000)));
        assert_eq!(PrimaryStream::default().may_have_reached(at(0)), None);
    }

    #[test]
    fn one_answer_is_no_pace() {
        let mut stream = PrimaryStream::default();
        stream.answered(id("a"), Offset::new(5_000), at(0));
        assert_eq!(stream.may_have_reached(at(0)), Some(Offset::new(5_000)));
        assert_eq!(stream.may_have_reached(at(1)), None);
    }

    #[test]
    fn two_answers_next_to_each_other_are_no_pace() {
        let mut stream = steady();
        stream.answered(id("a"), Offset::new(9_100), at(9_001));
        assert_eq!(stream.may_have_reached(at(10_001)), Some(Offset::new(10_100)));
    }

    #[test]
    fn a_new_name_goes_on_and_another_stream_begins_anew() {
        let mut stream = steady();
        stream.answered(id("b"), Offset::new(9_500), at(9_900));
        let missing = |stream: &PrimaryStream| stream.missing(Offset::new(8_000));
        assert_eq!(missing(&stream), Missing::For(Duration::from_millis(900)));
        stream.answered(id("c"), Offset::new(10), at(10_900));
        assert_eq!(stream.end(), Some(Offset::new(10)));
        assert_eq!(missing(&stream), Missing::Nothing);
        assert_eq!(stream.missing(Offset::new(9)), Missing::Forgotten);
    }

    #[test]
    fn an_answer_that_comes_late_changes_nothing() {
        let mut stream = steady();
        stream.answered(id("a"), Offset::new(8_500), at(8_500));
        assert_eq!(stream.end(), Some(Offset::new(9_000)));
    }
}
