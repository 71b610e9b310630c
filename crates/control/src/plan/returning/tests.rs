//! What a node needs that comes back, case by case.

use super::*;

fn id(digit: char) -> ReplicationId {
    digit.to_string().repeat(40).parse().expect("forty digits")
}

fn divergence() -> Divergence {
    Divergence {
        history: id('a'),
        offset: Offset::new(100),
        saved: false,
    }
}

fn node(history: char, offset: u64) -> ReturningNode {
    ReturningNode {
        is_primary: true,
        writes_blocked: true,
        follows_us: false,
        holds_ours: false,
        history: id(history),
        offset: Offset::new(offset),
        previous: None,
        empty: false,
    }
}

#[test]
fn it_is_shut_before_anything_else() {
    assert_eq!(
        next(
            &ReturningNode {
                writes_blocked: false,
                ..node('a', 500)
            },
            &divergence()
        ),
        NodeStep::BlockWrites
    );
    assert_eq!(
        next(
            &ReturningNode {
                writes_blocked: false,
                empty: true,
                ..node('b', 0)
            },
            &divergence()
        ),
        NodeStep::BlockWrites
    );
}

/// It follows a node of its own service that follows us, and was looked at later than the log was.
#[test]
fn what_came_by_another_node_is_not_its_own() {
    let ahead = ReturningNode {
        is_primary: false,
        holds_ours: true,
        ..node('a', 130)
    };
    assert_eq!(next(&ahead, &divergence()), NodeStep::Attach(Holds::APrefix));
}

#[test]
fn extra_writes_are_saved_before_it_follows() {
    let (after, to) = (Offset::new(100), Offset::new(130));
    assert_eq!(
        next(&node('a', 130), &divergence()),
        NodeStep::Rescue(RescueScope::Commands { after, to })
    );
    let saved = Divergence {
        saved: true,
        ..divergence()
    };
    assert_eq!(
        next(&node('a', 130), &saved),
        NodeStep::Attach(Holds::SavedWrites)
    );
}

#[test]
fn without_extra_writes_it_follows_at_once() {
    for offset in [100, 99, 0] {
        assert_eq!(
            next(&node('a', offset), &divergence()),
            NodeStep::Attach(Holds::APrefix)
        );
    }
    let restarted = ReturningNode {
        previous: Some((id('a'), Offset::new(90))),
        ..node('b', 90)
    };
    assert_eq!(next(&restarted, &divergence()), NodeStep::Attach(Holds::APrefix));
}

#[test]
fn writes_that_one_took_after_it_was_started_from_a_prefix_are_in_its_own_history() {
    let written_since = ReturningNode {
        previous: Some((id('a'), Offset::new(90))),
        ..node('b', 95)
    };
    let (after, to) = (Offset::new(90), Offset::new(95));
    assert_eq!(
        next(&written_since, &divergence()),
        NodeStep::Rescue(RescueScope::Commands { after, to })
    );
    let saved = Divergence {
        saved: true,
        ..divergence()
    };
    assert_eq!(next(&written_since, &saved), NodeStep::Attach(Holds::SavedWrites));
}

#[test]
fn a_restarted_one_is_saved_whole_where_nobody_can_tell() {
    assert_eq!(
        next(&node('b', 3), &divergence()),
        NodeStep::Rescue(RescueScope::Snapshot)
    );
    let beyond = ReturningNode {
        previous: Some((id('a'), Offset::new(101))),
        ..node('b', 101)
    };
    assert_eq!(
        next(&beyond, &divergence()),
        NodeStep::Rescue(RescueScope::Snapshot)
    );
    assert_eq!(
        next(
            &ReturningNode {
                empty: true,
                ..node('b', 0)
            },
            &divergence()
        ),
        NodeStep::Attach(Holds::Nothing)
    );
}
