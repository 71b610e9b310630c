//! Signs of life of the primary, and when it last heard from here: what its lease runs by.

use std::time::Duration;

use tokio::time::Instant;

/// The lease is renewed at a sign of life, which is when it is likeliest that the primary is there to hear it.
const RENEW_WINDOW: Duration = Duration::from_millis(20);
/// What the primary waits for is acknowledged when it is safe here, so long after a sign of life.
const RENEW_WINDOW_WAIT: Duration = Duration::from_millis(100);
/// An acknowledgement that nobody has confirmed is given up with its connection when no sign of life has come for so
/// long, beside two round trips.
const UNCONFIRMED_MAX: Duration = Duration::from_millis(400);
/// A tick that comes so late tells that this process stood still, and not who else did.
const STALL_MIN: Duration = Duration::from_millis(100);
/// No network is slower than this for the purpose.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// What is known of whether the primary lives, and whether it knows that we do.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// The last byte of the stream.
    heard: Option<Instant>,
    /// The last sign of life: a byte, or an answer.
    alive: Option<Instant>,
    /// When the latest question was asked that the primary has answered.
    answered: Option<Instant>,
    /// When the primary last heard, or may have heard, that this replica is there.
    renewed: Option<Instant>,
    round_trip: Duration,
    /// The connection was closed from its side, and it was asked for no other since.
    closed: bool,
    /// When this process last went on after it had stood still.
    resumed_at: Option<Instant>,
}

impl Liveness {
    /// Bytes came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.alive = Some(now);
        self.closed = false;
    }

    /// The connection was closed from the primary's side.
    pub(super) fn closed(&mut self) {
        self.closed = true;
    }

    /// It is asked for a connection, which it may have taken whatever is heard of that.
    pub(super) fn asks(&mut self) {
        self.closed = false;
    }

    /// Whether it was, and it was asked for no other since.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The primary answered what it was asked at `asked`.
    pub(super) fn answered(&mut self, asked: Instant, now: Instant) {
        self.round_trip = now.saturating_duration_since(asked).min(ROUND_TRIP_MAX);
        self.answered = Some(asked);
        self.alive = Some(now);
    }

    /// The primary may hear of us about now.
    pub(super) fn renewed(&mut self, now: Instant) {
        self.renewed = Some(now);
    }

    /// Time passes, `late` later than it was meant to. Whoever stood still has not listened: silence counts from when it
    /// went on.
    pub(super) fn tick(&mut self, late: Duration, now: Instant) {
        if late > STALL_MIN {
            self.resumed_at = Some(now);
        }
    }

    /// Whether the primary may hear of us now, and so have its lease renewed: it has just shown a sign of life.
    /// Acknowledgements to one that no longer answers would only lengthen the wait until another may take over.
    pub(super) fn may_renew(&self, somebody_waits: bool, now: Instant) -> bool {
        let limit = if somebody_waits {
            RENEW_WINDOW_WAIT
        } else {
            RENEW_WINDOW
        };
        self.alive
            .is_some_and(|alive| now.saturating_duration_since(alive) <= limit)
    }

    /// Whether an acknowledgement may be on its way for long: nothing that was asked after it was answered, and no sign
    /// of life came either. It would arrive for as long as the connection lasts, and renew the lease of a primary that
    /// is about to be replaced.
    pub(super) fn is_unconfirmed(&self, now: Instant) -> bool {
        let limit = UNCONFIRMED_MAX + 2 * self.round_trip;
        let silent = |alive: Instant| now.saturating_duration_since(alive) > limit;
        self.renewed > self.answered && self.alive.max(self.resumed_at).is_some_and(silent)
    }

    /// When the primary last showed a sign of life.
    pub(super) fn alive_at(&self) -> Option<Instant> {
        self.alive
    }

    /// When the primary last heard, or may have heard, from here.
    pub(super) fn renewed_at(&self) -> Option<Instant> {
        self.renewed
    }

    /// When the last byte came.
    pub(super) fn heard_at(&self) -> Option<Instant> {
        self.heard
    }

    /// For how long no byte has come.
    pub(super) fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.heard.map(|heard| now.saturating_duration_since(heard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A primary that was acknowledged to at the returned time, just after a sign of life.
    fn acknowledged() -> (Liveness, Instant) {
        let (mut liveness, start) = (Liveness::default(), Instant::now());
        liveness.heard(start);
        liveness.renewed(start);
        (liveness, start)
    }

    #[test]
    fn an_acknowledgement_that_nobody_confirms_is_given_up() {
        let (liveness, start) = acknowledged();
        assert!(!liveness.is_unconfirmed(start + 400 * MS));
        assert!(liveness.is_unconfirmed(start + 401 * MS));
    }

    #[test]
    fn an_answer_confirms_only_what_went_out_before_its_question() {
        let (mut liveness, start) = acknowledged();
        // On its way already when the acknowledgement went out.
        liveness.answered(start - 10 * MS, start + 10 * MS);
        assert!(liveness.is_unconfirmed(start + 500 * MS));
        liveness.answered(start + 10 * MS, start + 11 * MS);
        assert!(!liveness.is_unconfirmed(start + 5000 * MS));
    }

    #[test]
    fn bytes_confirm_nothing_but_show_that_it_lives() {
        let (mut liveness, start) = acknowledged();
        liveness.heard(start + 300 * MS);
        assert!(!liveness.is_unconfirmed(start + 700 * MS));
        assert!(liveness.is_unconfirmed(start + 701 * MS));
    }

    #[test]
    fn a_lease_is_renewed_at_a_sign_of_life_and_who_waits_gets_a_moment_more() {
        let (liveness, start) = acknowledged();
        assert!(liveness.may_renew(false, start + 20 * MS) && !liveness.may_renew(false, start + 21 * MS));
        assert!(liveness.may_renew(true, start + 100 * MS) && !liveness.may_renew(true, start + 101 * MS));
    }

    #[test]
    fn silence_counts_from_when_this_process_listens_again() {
        let (mut liveness, start) = acknowledged();
        liveness.tick(1950 * MS, start + 2000 * MS);
        assert!(!liveness.is_unconfirmed(start + 2400 * MS));
        liveness.tick(Duration::ZERO, start + 2050 * MS);
        assert!(liveness.is_unconfirmed(start + 2401 * MS));
    }

    #[test]
    fn a_far_primary_has_two_round_trips_more() {
        let (mut liveness, start) = acknowledged();
        liveness.answered(start - 200 * MS, start);
        assert!(!liveness.is_unconfirmed(start + 800 * MS));
        assert!(liveness.is_unconfirmed(start + 801 * MS));
    }
}
