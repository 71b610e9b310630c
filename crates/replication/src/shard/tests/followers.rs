//! Replica nodes: what each is answered, how it is fed, and when it is let go.

use sterna_log::LogSettings;
use sterna_model::Acknowledge;
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;

use super::node::Reply;
use super::rig::{A, B, Rig, settings};
use super::world::{id, set};
use crate::settings::{IN_FLIGHT_BYTES_MAX, ShardSettings};
use crate::shard::event::{Event, FollowerEvent, FollowerId, LoginLimit, OUTBOX_MESSAGES_MAX};
use crate::status::{FollowerState, Notice};

#[test]
fn a_node_whose_data_is_a_prefix_continues_and_is_given_whole_units_only() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let node = rig.attach_at(id(A), 100);
    assert_eq!(
        (rig.node(node).reply.clone(), rig.node(node).at.get()),
        (Reply::Stream(id(A)), rig.world.end(id(A)))
    );
    let whole = rig.world.end(id(A));
    let command = set(2, 1000);
    rig.world.write(id(A), &command);
    rig.deliver(&command[..500]);
    assert_eq!(rig.node(node).at.get(), whole);
    rig.deliver(&command[500..]);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    let transaction = [
        b"*1\r\n$5\r\nMULTI\r\n".to_vec(),
        set(3, 10),
        b"*1\r\n$4\r\nEXEC\r\n".to_vec(),
    ];
    let whole = rig.world.end(id(A));
    rig.world.write(id(A), &transaction.concat());
    rig.deliver(&transaction[0]);
    rig.deliver(&transaction[1]);
    assert_eq!(rig.node(node).at.get(), whole);
    rig.deliver(&transaction[2]);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

#[test]
fn one_that_is_ahead_waits_with_newlines_for_the_bytes_that_are_to_come() {
    let mut rig = Rig::streaming(settings());
    let ahead = 100 + set(1, 10).len() as u64;
    let node = rig.attach_at(id(A), ahead);
    rig.advance(3000);
    assert_eq!(rig.node(node).reply, Reply::None);
    assert!(
        (3..=4).contains(&rig.node(node).keepalives),
        "{}",
        rig.node(node).keepalives
    );
    assert_eq!(rig.status().followers[0].state, FollowerState::Waiting);
    rig.write(id(A), &set(1, 10));
    assert_eq!(rig.node(node).reply, Reply::Stream(id(A)));
    // From here on a newline would count as a byte of the stream.
    let before = rig.node(node).keepalives;
    rig.ack(node, ahead);
    rig.advance(5000);
    assert_eq!(rig.node(node).keepalives, before);
}

#[test]
fn before_there_is_a_history_everybody_waits() {
    let mut rig = Rig::with(settings());
    let (one, two) = (rig.attach_at(id(A), 100), rig.attach(PsyncRequest::Full));
    rig.advance(2000);
    for node in [one, two] {
        assert_eq!(
            (rig.node(node).reply.clone(), rig.node(node).closed.clone()),
            (Reply::None, None)
        );
    }
    assert!(rig.fetch.is_none());
}

#[test]
fn each_is_fed_at_its_own_pace_and_a_slow_one_has_no_more_on_its_way_than_it_may() {
    let mut rig = Rig::streaming(settings());
    let (fast, slow) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    rig.set_takes(slow, false);
    for key in 0..60 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(50);
        rig.node_event(fast, FollowerEvent::Written(61_000));
        rig.ack(slow, 100);
    }
    assert_eq!(rig.node(fast).at.get(), rig.world.end(id(A)));
    rig.set_takes(slow, true);
    rig.ack(slow, 100);
    let given = rig.node(slow).at.get() - 100;
    assert!(
        (IN_FLIGHT_BYTES_MAX..2 * IN_FLIGHT_BYTES_MAX).contains(&given),
        "{given}"
    );
    let reads_before = rig.status().counters.disk_read_bytes;
    super::link::drain(&mut rig, slow);
    assert_eq!(rig.node(slow).at.get(), rig.world.end(id(A)));
    assert!(
        rig.status().counters.disk_read_bytes > reads_before + 1_000_000,
        "from disk, not from the primary"
    );
    // It keeps up again, and needs no file.
    rig.write(id(A), &set(60, 10));
    assert_eq!(rig.closed, 1, "it is let go of where that may block");
}

#[test]
fn many_small_messages_never_overflow_a_slow_ones_outbox() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.set_takes(node, false);
    for key in 0..3 * OUTBOX_MESSAGES_MAX as u64 {
        rig.write(id(A), &set(key, 1));
    }
    rig.set_takes(node, true);
    rig.ack(node, 100);
    assert_eq!(rig.node(node).closed, None);
    rig.ack(node, 100);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

#[test]
fn an_outbox_that_nobody_empties_ends_its_follower_and_nobody_else() {
    let mut rig = Rig::with(settings());
    let (stuck, other) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    rig.set_takes(stuck, false);
    rig.advance(1000 * (OUTBOX_MESSAGES_MAX as u64 + 10));
    assert!(rig.told(
        |notice| matches!(notice, Notice::FollowerGone { reason, .. } if reason.contains("a fault here"))
    ));
    assert_eq!(rig.status().followers.len(), 1);
    assert_eq!(rig.node(other).closed, None);
    rig.set_takes(stuck, true);
    rig.advance(50);
    assert!(
        rig.node(stuck).closed.is_some(),
        "its connection learns that nothing more comes"
    );
}

#[test]
fn one_that_falls_silent_is_let_go() {
    // With nothing on its way, with bytes that its socket has not reported, and with a socket that takes what it is sent
    // for a node that is gone.
    for (bytes, reported) in [(0, 0), (100, 0), (100, 10)] {
        let mut rig = Rig::streaming(settings());
        let node = rig.attach_at(id(A), 100);
        rig.ack(node, 100);
        for second in 1..=9 {
            if bytes > 0 {
                rig.write(id(A), &set(second, bytes));
            }
            rig.advance(1000);
            rig.node_event(node, FollowerEvent::Written(reported));
        }
        assert_eq!(rig.node(node).closed, None);
        rig.advance(2000);
        let closed = rig.node(node).closed.as_deref();
        assert!(
            closed.is_some_and(|reason| reason.contains("silent for more than 10 s")),
            "{bytes}: {closed:?}"
        );
    }
}

#[test]
fn one_that_loads_may_be_silent_for_longer_and_takes_bytes_or_sends_newlines() {
    let mut rig = Rig::streaming(settings());
    let (says, takes) = (rig.attach(PsyncRequest::Full), rig.attach(PsyncRequest::Full));
    for _ in 0..4 {
        rig.advance(200_000);
        rig.node_event(says, FollowerEvent::Alive);
        rig.node_event(takes, FollowerEvent::Written(1));
    }
    assert!(rig.node(says).closed.is_none() && rig.node(takes).closed.is_none());
    rig.advance(301_000);
    assert!(rig.node(says).closed.is_some() && rig.node(takes).closed.is_some());
}

/// Whoever has a node's secret is at most as many as there are nodes with it.
#[test]
fn no_more_follow_with_one_secret_than_may_and_the_one_that_was_silent_longest_makes_room() {
    let mut rig = Rig::streaming(settings());
    let login = |name: &str| LoginLimit {
        name: name.to_owned(),
        connections_max: 2,
    };
    rig.login = login("ap");
    let other = rig.attach_at(id(A), 100);
    rig.login = login("us");
    let (speaks, mute) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    rig.advance(1000);
    rig.ack(speaks, 100);
    let newest = rig.attach_at(id(A), 100);
    let why = rig.node(mute).closed.as_deref();
    assert!(why.is_some_and(|why| why.contains("a newer one came")), "{why:?}");
    for stays in [other, speaks, newest] {
        assert_eq!(rig.node(stays).closed, None);
    }
}

#[test]
fn a_connection_that_takes_nothing_learns_that_it_was_let_go() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.ack(node, 100);
    rig.set_takes(node, false);
    rig.write(id(A), &set(1, 100));
    rig.advance(11_000);
    let node = rig.nodes.get_mut(&node).expect("known");
    assert!(node.closed.is_none() && node.sees_that_it_is_let_go());
}

/// A silent node holds up `WAIT` at the primary for no longer than the limit.
#[test]
fn one_that_falls_silent_no_longer_holds_up_what_is_acknowledged() {
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge: Acknowledge::Replica,
        ..settings()
    });
    let (silent, other) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    rig.ack(silent, 100);
    rig.write(id(A), &set(1, 100));
    let end = rig.world.end(id(A));
    for second in 1..=12 {
        rig.advance(1000);
        rig.node_event(silent, FollowerEvent::Written(1));
        rig.ack(other, end);
        let expected = if second <= 10 { 100 } else { end };
        assert_eq!(rig.acked.last(), Some(&Offset::new(expected)), "after {second} s");
    }
}

#[test]
fn a_new_connection_of_a_node_replaces_the_one_that_it_lost() {
    let mut rig = Rig::streaming(settings());
    rig.listening_port = Some(6379);
    // It has been gone for a while when the node comes again.
    let lost = rig.attach_at(id(A), 100);
    rig.ack(lost, 100);
    rig.advance(2500);
    let again = rig.attach_at(id(A), 100);
    assert!(rig.node(lost).closed.is_some(), "at once");
    // And it comes again within a second.
    rig.ack(again, 100);
    rig.advance(500);
    let third = rig.attach_at(id(A), 100);
    assert!(rig.node(again).closed.is_none());
    for _ in 0..3 {
        rig.advance(1000);
        rig.ack(third, 100);
    }
    assert!(rig.node(again).closed.is_some() && rig.node(third).closed.is_none());
    assert_eq!(rig.status().followers.len(), 1);
}

/// Each is at the same address and port, as far as can be seen from here, and says something once a second.
#[test]
fn two_nodes_behind_one_address_translation_do_not_evict_each_other() {
    let mut rig = Rig::streaming(settings());
    rig.listening_port = Some(6379);
    let one = rig.attach_at(id(A), 100);
    rig.ack(one, 100);
    let loads = rig.attach(PsyncRequest::Full);
    rig.advance(20_000);
    let other = rig.attach_at(id(A), 100);
    let again = rig.attach_at(id(A), 100);
    for _ in 0..30 {
        rig.advance(1000);
        rig.ack(other, 100);
        rig.ack(again, 100);
    }
    assert!(
        rig.node(loads).closed.is_none(),
        "one that loads says nothing for long"
    );
    assert!(rig.node(other).closed.is_none() && rig.node(again).closed.is_none());
}

#[test]
fn one_that_needs_what_retention_dropped_meanwhile_is_let_go_and_comes_for_a_full_copy() {
    let log = LogSettings {
        segment_bytes: 100_000,
        max_bytes: 400_000,
        ..LogSettings::default()
    };
    let mut rig = Rig::streaming(ShardSettings { log, ..settings() });
    let node = rig.attach_at(id(A), 100);
    rig.set_takes(node, false);
    for key in 0..40 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
        rig.ack(node, 100);
    }
    rig.set_takes(node, true);
    super::link::drain(&mut rig, node);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("retention has dropped")),
        "{closed:?}"
    );
    let reached = rig.node(node).at.get();
    let again = rig.attach_at(id(A), reached);
    assert!(rig.fetch.is_some() && rig.node(again).reply == Reply::None);
}

/// The read is out when retention drops what it wants.
#[test]
fn a_read_that_retention_overtakes_ends_its_follower() {
    let log = LogSettings {
        segment_bytes: 100_000,
        max_bytes: 400_000,
        ..LogSettings::default()
    };
    let mut rig = Rig::streaming(ShardSettings { log, ..settings() });
    for key in 0..4 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
    }
    rig.disk_is_fast = false;
    let node = rig.attach_at(id(A), 100);
    let reads: Vec<_> = std::mem::take(&mut rig.jobs).into();
    assert_eq!(reads.len(), 1);
    rig.disk_is_fast = true;
    for key in 0..30 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
        rig.ack(node, 100);
    }
    rig.jobs.extend(reads);
    rig.do_jobs();
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("no longer holds")),
        "{closed:?}"
    );
}

#[test]
fn a_connection_that_ends_is_told_and_forgotten() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.node_event(node, FollowerEvent::Gone("it closed the connection".to_owned()));
    assert!(rig.status().followers.is_empty());
    assert!(rig.told(|notice| matches!(notice, Notice::FollowerGone { .. })));
    // What it still says counts for nothing.
    for event in [
        FollowerEvent::Acked(Offset::new(5).into()),
        FollowerEvent::Alive,
        FollowerEvent::Written(7),
    ] {
        rig.node_event(node, event);
    }
    let nobody = FollowerId(999);
    rig.event(Event::Follower {
        id: nobody,
        event: FollowerEvent::Gone(String::new()),
    });
    assert!(rig.status().followers.is_empty());
}

#[test]
fn a_read_for_somebody_who_has_left_is_dropped() {
    let mut rig = Rig::streaming(settings());
    for key in 0..4 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
    }
    rig.disk_is_fast = false;
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.jobs.len(), 1);
    rig.node_event(node, FollowerEvent::Gone("gone".to_owned()));
    rig.do_jobs();
    assert_eq!(rig.status().counters.disk_read_bytes, 0);
    assert_eq!(rig.closed, 1, "and its reader is let go of where that may block");
}

#[test]
fn lag_is_that_of_the_last_acknowledgement_and_of_now_when_that_is_long_ago() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.write(id(A), &set(1, 10));
    let one = rig.world.end(id(A));
    rig.ack(node, one);
    rig.write(id(A), &set(2, 10));
    rig.advance(1000);
    assert_eq!(
        rig.status().followers[0].lag_bytes,
        0,
        "it keeps up, as far as it said"
    );
    rig.advance(2000);
    let status = &rig.status().followers[0];
    assert_eq!(status.lag_bytes, rig.world.end(id(A)) - one);
    assert!((2.8..3.2).contains(&status.lag_seconds), "{status:?}");
    // It never goes back.
    rig.ack(node, 100);
    assert_eq!(rig.status().followers[0].acked, Some(Offset::new(one)));
    assert!(rig.status().lag_bytes() > 0);
}

#[test]
fn an_unknown_history_needs_a_full_copy() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(B), 100);
    assert!(matches!(
        rig.node(node).reply,
        Reply::Snapshot(..) | Reply::Stream(_)
    ));
    assert!(!rig.node(node).snapshot.is_empty());
    assert_eq!(rig.status().counters.full_syncs_needless, 0);
}
