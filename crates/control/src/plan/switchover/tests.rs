//! The order of a switchover, case by case.

use super::*;

const OLD: NodeId = NodeId(0);
const NEW: NodeId = NodeId(1);

fn input() -> SwitchoverInput {
    SwitchoverInput {
        old_node: Some(OLD),
        old: OldPrimary::TakesWrites(OLD),
        old_lost: false,
        handover: Handover::Refuse,
        streaming: true,
        log_end: Offset::new(100),
        target: Some(target(100)),
        target_seen: true,
        decided: None,
        cancelled: false,
        new: Followed::NotYet,
        unfit_for: Duration::ZERO,
        has_other: true,
        old_is_open: true,
        fence_in_place: false,
        waiting_for: Duration::ZERO,
        waiting_max: Duration::from_secs(5),
    }
}

fn target(applied: u64) -> Target {
    Target {
        node: NEW,
        follows: true,
        applied: Offset::new(applied),
        is_primary: false,
        in_history: true,
    }
}

fn stepped_down(offset: u64) -> OldPrimary {
    OldPrimary::SteppedDown {
        offset: Offset::new(offset),
    }
}

#[test]
fn writes_are_stopped_only_when_the_target_is_close_and_the_log_ready() {
    let mut input = input();
    input.log_end = Offset::new(101 + BEHIND_MAX_BYTES);
    assert!(matches!(next(&input), Next::Wait(Wait::CatchUp { .. })));
    input.log_end = Offset::new(100);
    assert_eq!(next(&input), Next::Do(Step::PrepareHandover(OLD)));
    input.handover = Handover::Hold;
    assert_eq!(next(&input), Next::Do(Step::PauseWrites(OLD)));
    input.old = OldPrimary::Pauses;
    assert_eq!(next(&input), Next::Wait(Wait::StepDown));
}

#[test]
fn it_is_decided_when_the_target_has_the_last_byte_and_not_before() {
    let mut input = input();
    input.old = stepped_down(130);
    for (log_end, applied) in [(100, 100), (130, 129), (129, 129)] {
        (input.log_end, input.target) = (Offset::new(log_end), Some(target(applied)));
        assert!(
            matches!(next(&input), Next::Wait(Wait::Apply { .. })),
            "{log_end} {applied}"
        );
    }
    (input.log_end, input.target) = (Offset::new(130), Some(target(130)));
    input.target_seen = false;
    assert!(matches!(next(&input), Next::Wait(Wait::Apply { .. })));
    input.target_seen = true;
    let decide = Step::Decide {
        node: NEW,
        divergence_offset: Offset::new(130),
    };
    assert_eq!(next(&input), Next::Do(decide));
}

#[test]
fn before_the_decision_it_can_be_taken_back_and_after_it_only_completed() {
    let ready = SwitchoverInput {
        old: stepped_down(100),
        ..input()
    };
    let cancelled = SwitchoverInput {
        cancelled: true,
        ..ready.clone()
    };
    let late = SwitchoverInput {
        waiting_for: Duration::from_secs(6),
        ..ready.clone()
    };
    let alone = SwitchoverInput {
        target: Some(Target {
            follows: false,
            ..target(100)
        }),
        ..ready
    };
    for (input, why) in [
        (cancelled, Abort::Cancelled),
        (late, Abort::TimedOut),
        (alone, Abort::TargetLost),
    ] {
        let old = Some(OLD);
        assert_eq!(next(&input), Next::Do(Step::Abort { old, why }));
        let decided = SwitchoverInput {
            decided: Some(Offset::new(100)),
            ..input
        };
        assert_eq!(next(&decided), Next::Do(Step::Promote(NEW)));
    }
}

#[test]
fn after_the_decision_the_steps_follow_in_order() {
    let mut input = SwitchoverInput {
        decided: Some(Offset::new(100)),
        old: stepped_down(100),
        ..input()
    };
    assert_eq!(next(&input), Next::Do(Step::Promote(NEW)));
    input.target = Some(Target {
        is_primary: true,
        ..target(100)
    });
    assert_eq!(next(&input), Next::Do(Step::Follow(NEW)));
    input.new = Followed::Streams;
    assert_eq!(next(&input), Next::Do(Step::AcceptFormerPrimary));
    input.handover = Handover::Accept;
    assert_eq!(next(&input), Next::Do(Step::PlaceFence(NEW)));
    input.fence_in_place = true;
    assert_eq!(next(&input), Next::Wait(Wait::FormerPrimary));
    input.old = OldPrimary::Follows;
    assert_eq!(next(&input), Next::Done(End::PrimaryChanged));
}

#[test]
fn a_target_that_is_lost_after_the_decision_is_given_up_and_the_old_primary_waits_no_longer() {
    let mut input = SwitchoverInput {
        decided: Some(Offset::new(100)),
        old: stepped_down(100),
        handover: Handover::Hold,
        target: Some(Target {
            in_history: false,
            ..target(0)
        }),
        ..input()
    };
    assert_eq!(next(&input), Next::Wait(Wait::NewPrimary));
    input.unfit_for = UNFIT_MAX;
    assert_eq!(next(&input), Next::Do(Step::BlockWrites(OLD)));
    input.old_is_open = false;
    let why = Abort::TargetLost;
    let old = Some(OLD);
    assert_eq!(next(&input), Next::Do(Step::Abort { old, why }));
    let follows = SwitchoverInput {
        old: OldPrimary::Follows,
        old_is_open: true,
        ..input.clone()
    };
    assert_eq!(next(&follows), Next::Do(Step::Abort { old: None, why }));
    input.handover = Handover::Refuse;
    assert_eq!(next(&input), Next::Done(End::NotPromotable));
    input.has_other = false;
    assert_eq!(next(&input), Next::Wait(Wait::NewPrimary));
    // It was promoted, and came back empty.
    input.target = Some(Target {
        is_primary: true,
        ..target(0)
    });
    input.new = Followed::DoesNotContinue;
    assert_eq!(next(&input), Next::Done(End::NotPromotable));
}

#[test]
fn a_primary_that_is_lost_before_it_hands_over_is_left_to_a_failover_at_once() {
    let mut input = input();
    input.old = OldPrimary::Unknown;
    assert_eq!(next(&input), Next::Wait(Wait::StepDown));
    input.old_lost = true;
    let (old, why) = (Some(OLD), Abort::OldLost);
    assert_eq!(next(&input), Next::Do(Step::Abort { old, why }));
    // One that stepped down has given everything.
    input.old = stepped_down(100);
    assert!(matches!(next(&input), Next::Do(Step::Decide { .. })));
}

#[test]
fn a_stream_that_breaks_once_the_log_is_ready_takes_the_switchover_back() {
    let mut input = input();
    (input.handover, input.streaming) = (Handover::Hold, false);
    let (old, why) = (Some(OLD), Abort::StreamLost);
    assert_eq!(next(&input), Next::Do(Step::Abort { old, why }));
}
