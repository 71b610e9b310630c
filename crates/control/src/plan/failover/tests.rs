//! The order of a failover, case by case.

use super::*;

const OLD: NodeId = NodeId(9);

fn candidate(node: usize, preference: usize, applied: u64) -> Candidate {
    Candidate {
        node: NodeId(node),
        preference,
        answers: true,
        in_history: true,
        applied: Offset::new(applied),
        loses_little: true,
        priority: 100,
        is_primary: false,
        is_former: false,
    }
}

fn seen(candidates: Vec<Candidate>) -> FailoverInput {
    FailoverInput {
        old_node: OLD,
        old: OldPrimary::Silent,
        fence: Fence::Lease { left: Duration::ZERO },
        open_beside: Vec::new(),
        following_old: false,
        must_learn_what_is_held: false,
        unreceived_bytes: 0,
        log_end: Offset::new(1000),
        gives_from: Offset::ZERO,
        candidates,
        promoted: None,
        promoted_is_missed: false,
        only: None,
        forced: false,
        by_person: false,
        old_recovered: false,
        old_is_only_blocked: false,
        decided: None,
        new: Followed::NotYet,
        fence_in_place: false,
        running_for: Duration::ZERO,
    }
}

fn decided(node: usize) -> Decided {
    Decided {
        node: NodeId(node),
        divergence_offset: Offset::new(1000),
        since: Duration::ZERO,
        held: None,
        unfit_for: Duration::ZERO,
    }
}

#[test]
fn a_node_that_others_promoted_is_decided_on_once_the_old_primary_is_shut() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    seen.promoted = Some(Promoted {
        node: NodeId(1),
        divergence_offset: Offset::new(900),
    });
    (seen.old, seen.following_old, seen.old_recovered) = (OldPrimary::Answers, true, true);
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(OLD)));
    (seen.old, seen.unreceived_bytes) = (OldPrimary::Blocked, 7);
    assert_eq!(next(&seen), Next::Wait(Wait::LastBytes { bytes: 7 }));
    seen.unreceived_bytes = 0;
    assert_eq!(next(&seen), Next::Do(Step::StopFollowing));
    (seen.following_old, seen.open_beside) = (false, vec![NodeId(1)]);
    assert_eq!(next(&seen), decides(1, 900));
    // No lease protects anybody from a node that takes writes already.
    (seen.old, seen.fence) = (OldPrimary::Silent, Fence::NotInPlace);
    assert_eq!(next(&seen), decides(1, 900));
    // A person's word goes first.
    (seen.only, seen.old, seen.by_person) = (Some(0), OldPrimary::Blocked, true);
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(NodeId(1))));
    seen.open_beside.clear();
    assert_eq!(next(&seen), decides(0, 1000));
}

#[test]
fn an_old_primary_that_was_shut_for_nobody_takes_writes_again() {
    let mut seen = seen(Vec::new());
    (seen.old, seen.old_is_only_blocked) = (OldPrimary::Blocked, true);
    seen.promoted_is_missed = true;
    assert_eq!(next(&seen), Next::Wait(Wait::NewPrimary));
    seen.promoted_is_missed = false;
    assert_eq!(next(&seen), Next::Done(End::PrimaryRecovered));
    seen.by_person = true;
    assert_eq!(next(&seen), Next::Wait(Wait::Candidate));
}

#[test]
fn every_node_of_the_old_service_that_takes_writes_is_shut() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    (seen.old, seen.open_beside) = (OldPrimary::Answers, vec![NodeId(7)]);
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(OLD)));
    seen.old = OldPrimary::Blocked;
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(NodeId(7))));
    seen.open_beside.clear();
    assert_eq!(next(&seen), decides(0, 1000));
}

#[test]
fn what_the_log_holds_beyond_the_decision_is_saved_before_it_is_cut_back() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    seen.candidates[0].is_primary = true;
    let (after, to) = (Offset::new(1000), Offset::new(1200));
    let mut decided = Decided {
        held: Some((after, to)),
        ..decided(0)
    };
    seen.decided = Some(decided);
    assert_eq!(next(&seen), Next::Do(Step::RescueFromLog { after, to }));
    decided.held = None;
    seen.decided = Some(decided);
    assert_eq!(next(&seen), Next::Do(Step::Follow(NodeId(0))));
    (decided.held, decided.since) = (Some((after, to)), SAVE_MAX);
    seen.decided = Some(decided);
    assert_eq!(
        next(&seen),
        Next::Do(Step::Follow(NodeId(0))),
        "a full disk does not hold it up for ever"
    );
}

#[test]
fn a_decided_node_that_lost_what_it_had_is_not_promoted() {
    let mut seen = seen(vec![candidate(0, 0, 990)]);
    seen.decided = Some(decided(0));
    assert_eq!(
        next(&seen),
        Next::Wait(Wait::Apply {
            bytes: 10,
            writes_paused: false
        })
    );
    seen.candidates[0].in_history = false;
    assert_eq!(next(&seen), Next::Wait(Wait::NewPrimary));
    seen.candidates[0].answers = false;
    assert_eq!(next(&seen), Next::Wait(Wait::NewPrimary));
    let unfit_for = UNFIT_MAX;
    seen.decided = Some(Decided {
        unfit_for,
        ..decided(0)
    });
    // While nobody else could take over it is waited for.
    assert_eq!(next(&seen), Next::Wait(Wait::NewPrimary));
    seen.candidates.push(candidate(1, 1, 1000));
    assert_eq!(next(&seen), Next::Done(End::NotPromotable));
}

#[test]
fn a_decided_node_that_refuses_its_promotion_is_given_up_where_another_could_take_over() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    let unfit_for = UNFIT_MAX;
    seen.decided = Some(Decided {
        unfit_for,
        ..decided(0)
    });
    assert_eq!(next(&seen), Next::Do(Step::Promote(NodeId(0))));
    seen.candidates.push(candidate(1, 1, 1000));
    assert_eq!(next(&seen), Next::Done(End::NotPromotable));
}

#[test]
fn the_old_primary_is_left_alone_while_nobody_could_take_over() {
    let mut seen = seen(Vec::new());
    (seen.old, seen.by_person, seen.following_old) = (OldPrimary::Answers, true, true);
    assert_eq!(next(&seen), Next::Wait(Wait::Candidate));
}

fn decides(node: usize, divergence_offset: u64) -> Next {
    Next::Do(Step::Decide {
        node: NodeId(node),
        divergence_offset: Offset::new(divergence_offset),
    })
}

#[test]
fn nobody_is_promoted_while_the_lease_may_run() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    let left = Duration::from_millis(1);
    seen.fence = Fence::Lease { left };
    assert_eq!(next(&seen), Next::Wait(Wait::Lease { left }));
    seen.fence = Fence::NotInPlace;
    assert_eq!(next(&seen), Next::Wait(Wait::Force));
    for free in [
        FailoverInput {
            fence: Fence::None,
            ..seen.clone()
        },
        FailoverInput {
            forced: true,
            ..seen.clone()
        },
        FailoverInput {
            old: OldPrimary::Gone,
            ..seen.clone()
        },
        FailoverInput {
            old: OldPrimary::Blocked,
            ..seen.clone()
        },
        FailoverInput {
            fence: Fence::Lease { left: Duration::ZERO },
            ..seen.clone()
        },
    ] {
        assert_eq!(next(&free), decides(0, 1000), "{free:?}");
    }
}

#[test]
fn an_old_primary_that_answers_is_shut_first_even_where_a_person_forces_it() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    (seen.old, seen.forced, seen.by_person) = (OldPrimary::Answers, true, true);
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(OLD)));
}

#[test]
fn an_old_primary_that_answers_sends_its_last_bytes_before_it_is_let_go() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    (seen.by_person, seen.following_old, seen.unreceived_bytes) = (true, true, 70);
    seen.old = OldPrimary::Answers;
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(OLD)));
    seen.old = OldPrimary::Blocked;
    assert_eq!(next(&seen), Next::Wait(Wait::LastBytes { bytes: 70 }));
    seen.unreceived_bytes = 0;
    assert_eq!(next(&seen), Next::Do(Step::StopFollowing));
    (seen.unreceived_bytes, seen.running_for) = (70, RECEIVE_MAX);
    assert_eq!(next(&seen), Next::Do(Step::StopFollowing));
}

#[test]
fn it_is_called_off_when_the_primary_is_back_unless_a_person_asked_or_it_was_decided() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    (seen.old, seen.old_recovered) = (OldPrimary::Answers, true);
    assert_eq!(next(&seen), Next::Done(End::PrimaryRecovered));
    seen.by_person = true;
    assert_eq!(next(&seen), Next::Do(Step::BlockWrites(OLD)));
    (seen.by_person, seen.decided) = (false, Some(decided(0)));
    assert_eq!(next(&seen), Next::Do(Step::Promote(NodeId(0))));
}

#[test]
fn the_highest_offset_wins_and_preference_decides_among_equals() {
    let far = 50 * EQUAL_WITHIN_BYTES;
    let mut seen = seen(vec![candidate(0, 0, 10), candidate(1, 1, far)]);
    seen.log_end = Offset::new(far);
    assert_eq!(next(&seen), decides(1, far));
    seen.candidates = vec![
        candidate(0, 1, far),
        candidate(1, 0, far - 5),
        candidate(2, 2, far),
    ];
    assert_eq!(
        next(&seen),
        Next::Wait(Wait::Apply {
            bytes: 5,
            writes_paused: false
        })
    );
    seen.candidates[1].applied = Offset::new(far);
    assert_eq!(next(&seen), decides(1, far));
    seen.only = Some(2);
    assert_eq!(next(&seen), decides(2, far));
}

#[test]
fn one_that_holds_more_than_the_log_is_taken_before_a_preferred_one_that_could_never_get_it() {
    let seen = seen(vec![candidate(0, 0, 1000), candidate(1, 1, 1010)]);
    assert_eq!(next(&seen), decides(1, 1010));
}

/// The log can't give it what it lacks, and that is more than the group's limit.
#[test]
fn one_that_is_too_far_behind_is_promoted_by_a_person_alone() {
    let mut seen = seen(vec![Candidate {
        loses_little: false,
        ..candidate(0, 0, 400)
    }]);
    seen.gives_from = Offset::new(900);
    assert_eq!(next(&seen), Next::Wait(Wait::Candidate));
    seen.by_person = true;
    assert_eq!(next(&seen), decides(0, 400));
}

#[test]
fn who_has_another_history_or_is_silent_is_no_candidate() {
    let mut others = vec![candidate(0, 0, 1000), candidate(1, 0, 1000)];
    others[0].in_history = false;
    others[1].answers = false;
    assert_eq!(next(&seen(others)), Next::Wait(Wait::Candidate));
}

#[test]
fn after_the_decision_every_step_leads_to_the_end() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    seen.decided = Some(decided(0));
    assert_eq!(next(&seen), Next::Do(Step::Promote(NodeId(0))));
    seen.candidates[0].is_primary = true;
    assert_eq!(next(&seen), Next::Do(Step::Follow(NodeId(0))));
    seen.new = Followed::Streams;
    assert_eq!(next(&seen), Next::Do(Step::PlaceFence(NodeId(0))));
    seen.fence_in_place = true;
    assert_eq!(next(&seen), Next::Done(End::PrimaryChanged));
}

#[test]
fn while_nobody_can_take_over_a_primary_that_serves_is_followed() {
    let mut seen = FailoverInput {
        old: OldPrimary::Answers,
        old_recovered: true,
        by_person: true,
        following_old: false,
        ..seen(Vec::new())
    };
    assert_eq!(next(&seen), Next::Do(Step::Follow(OLD)));
    seen.following_old = true;
    assert_eq!(next(&seen), Next::Wait(Wait::Candidate));
}

/// Nobody went on from what it has: it takes writes again, whoever else lacks some of them.
#[test]
fn a_former_primary_in_the_same_history_takes_over_again() {
    let former = Candidate {
        is_primary: true,
        is_former: true,
        ..candidate(1, 1, 5_000_000)
    };
    let mut seen = seen(vec![candidate(0, 0, 100), former]);
    seen.old = OldPrimary::Gone;
    seen.following_old = false;
    assert_eq!(next(&seen), decides(1, 5_000_000));
    seen.candidates[1].is_former = false;
    assert_ne!(next(&seen), decides(1, 5_000_000));
}

#[test]
fn a_new_primary_that_came_back_without_its_data_is_left_to_the_next_failover() {
    let mut seen = seen(vec![candidate(0, 0, 1000)]);
    seen.decided = Some(decided(0));
    seen.candidates[0].is_primary = true;
    seen.new = Followed::DoesNotContinue;
    assert_eq!(next(&seen), Next::Done(End::PrimaryChanged));
}

#[test]
fn what_the_log_can_not_give_is_not_waited_for() {
    let mut seen = seen(vec![candidate(0, 0, 400)]);
    let waits = Next::Wait(Wait::Apply {
        bytes: 600,
        writes_paused: false,
    });
    seen.gives_from = Offset::new(400);
    assert_eq!(next(&seen), waits);
    // A full copy that broke off left a log that begins beyond what anybody has.
    seen.gives_from = Offset::new(900);
    assert_eq!(
        next(&seen),
        Next::Do(Step::Decide {
            node: NodeId(0),
            divergence_offset: Offset::new(400),
        })
    );
}
