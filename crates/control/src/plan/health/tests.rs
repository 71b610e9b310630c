//! What is made of what was seen of the primary.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn seen(result: ProbeResult, quiet_for: Duration) -> PrimaryObservation {
    PrimaryObservation {
        result,
        quiet_for,
        quiet_beside_others: quiet_for,
        lost_its_data: false,
        follows_us: false,
    }
}

fn usual() -> FailoverPolicy {
    FailoverPolicy {
        down_after: SECOND,
        silence: SECOND,
        sentinel_grace: None,
        local_failover: None,
        automatic: true,
        paused: false,
        since_change: 100 * SECOND,
        pause: 10 * SECOND,
        candidates: 1,
        never_promoted: 0,
        anybody_answers: true,
        store_full: false,
        loss: Some(Duration::ZERO),
        loss_max: 30 * SECOND,
        unfenced: false,
    }
}

#[test]
fn its_own_sentinels_may_go_on_to_replace_a_primary_that_came_back_empty() {
    let empty = PrimaryObservation {
        lost_its_data: true,
        ..seen(ProbeResult::Primary, Duration::ZERO)
    };
    let left = 3 * SECOND;
    let policy = FailoverPolicy {
        local_failover: Some(left),
        ..usual()
    };
    let waits = Verdict::Waiting(Waiting::Sentinel { left });
    assert_eq!(evaluate(&empty, &policy), waits);
    assert_eq!(evaluate(&empty, &usual()), Verdict::FailOver(Cause::LostItsData));
}

#[test]
fn a_primary_that_answers_is_healthy_and_one_that_lost_its_data_is_failed_over_at_once() {
    let answers = seen(ProbeResult::Primary, Duration::ZERO);
    assert_eq!(evaluate(&answers, &usual()), Verdict::Healthy);
    let empty = PrimaryObservation {
        lost_its_data: true,
        ..answers
    };
    assert_eq!(evaluate(&empty, &usual()), Verdict::FailOver(Cause::LostItsData));
    // It answers, so its writes are blocked first: no fence is needed for that.
    let unfenced = FailoverPolicy {
        unfenced: true,
        ..usual()
    };
    assert_eq!(evaluate(&empty, &unfenced), Verdict::FailOver(Cause::LostItsData));
}

#[test]
fn a_lost_primary_is_failed_over_once_it_has_been_away_long_enough() {
    let fresh = evaluate(&seen(ProbeResult::Refused, SECOND / 2), &usual());
    assert!(matches!(fresh, Verdict::Waiting(Waiting::DownAfter { .. })));
    for result in [ProbeResult::Refused, ProbeResult::Silent, ProbeResult::Loading] {
        assert!(
            matches!(evaluate(&seen(result, SECOND), &usual()), Verdict::FailOver(_)),
            "{result:?}"
        );
    }
}

#[test]
fn its_own_sentinels_go_first() {
    let now = FailoverPolicy {
        sentinel_grace: Some(45 * SECOND),
        ..usual()
    };
    let waits = evaluate(&seen(ProbeResult::Silent, 5 * SECOND), &now);
    assert_eq!(waits, Verdict::Waiting(Waiting::Sentinel { left: 40 * SECOND }));
    assert!(matches!(
        evaluate(&seen(ProbeResult::Silent, 45 * SECOND), &now),
        Verdict::FailOver(_)
    ));
}

#[test]
fn nothing_is_decided_where_it_could_be_wrong() {
    let obstacles = [
        FailoverPolicy {
            automatic: false,
            ..usual()
        },
        FailoverPolicy {
            paused: true,
            ..usual()
        },
        FailoverPolicy {
            anybody_answers: false,
            ..usual()
        },
        FailoverPolicy {
            store_full: true,
            ..usual()
        },
        FailoverPolicy {
            candidates: 0,
            ..usual()
        },
        FailoverPolicy {
            unfenced: true,
            ..usual()
        },
        FailoverPolicy {
            loss: Some(31 * SECOND),
            ..usual()
        },
    ];
    for now in obstacles {
        let verdict = evaluate(&seen(ProbeResult::Silent, 60 * SECOND), &now);
        assert!(matches!(verdict, Verdict::LeftToPeople(_)), "{now:?}: {verdict}");
    }
    for result in [ProbeResult::NotProbed, ProbeResult::Denied, ProbeResult::Replica] {
        let verdict = evaluate(&seen(result, 60 * SECOND), &usual());
        assert!(matches!(verdict, Verdict::Impaired(_)), "{result:?}: {verdict}");
    }
}

#[test]
fn a_primary_that_was_just_made_one_is_not_replaced_again_at_once() {
    let now = FailoverPolicy {
        since_change: 4 * SECOND,
        ..usual()
    };
    let verdict = evaluate(&seen(ProbeResult::Refused, 3 * SECOND), &now);
    assert_eq!(verdict, Verdict::Waiting(Waiting::Pause { left: 6 * SECOND }));
}

#[test]
fn a_replica_of_our_own_is_no_primary_that_somebody_demoted() {
    let demoted = seen(ProbeResult::Replica, SECOND);
    assert_eq!(
        evaluate(&demoted, &usual()),
        Verdict::Impaired(Impairment::Demoted)
    );
    let ours = PrimaryObservation {
        follows_us: true,
        ..demoted
    };
    let quiet_for = SECOND;
    assert_eq!(
        evaluate(&ours, &usual()),
        Verdict::FailOver(Cause::NotPromoted { quiet_for })
    );
}

#[test]
fn a_silence_counts_only_while_somebody_else_answers() {
    let cut_off = |result| PrimaryObservation {
        quiet_beside_others: SECOND / 4,
        ..seen(result, 6 * SECOND)
    };
    // The first to be heard again is not the primary.
    assert_eq!(
        evaluate(&cut_off(ProbeResult::Silent), &usual()),
        Verdict::Waiting(Waiting::DownAfter {
            quiet_for: SECOND / 4,
            down_after: SECOND
        })
    );
    assert!(matches!(
        evaluate(&cut_off(ProbeResult::Refused), &usual()),
        Verdict::FailOver(_)
    ));
}
