//! A primary that hands over with `FAILOVER`: refused, held, accepted.

use sterna_model::{Acknowledge, LinkState};
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;

use super::node::Reply;
use super::rig::{A, B, Rig, other_upstream, settings};
use super::world::{id, set};
use crate::settings::ShardSettings;
use crate::shard::event::Handover;

fn hands_over(rig: &mut Rig, held: u64) -> crate::shard::event::FollowerId {
    let held = Offset::new(held);
    rig.attach_as(PsyncRequest::Resume { id: id(A), held }, true, true)
}

#[test]
fn one_that_nobody_asked_for_is_refused_and_takes_writes_again() {
    let mut rig = Rig::streaming(settings());
    let node = hands_over(&mut rig, 100);
    assert!(matches!(&rig.node(node).reply, Reply::Error(line) if line.starts_with("-ERR")));
    assert!(rig.node(node).closed.is_some());
    assert!(rig.status().followers.is_empty());
}

#[test]
fn one_that_is_expected_waits_until_the_stream_has_the_new_primarys_id() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    assert!(rig.handover(1, Handover::Hold));
    rig.advance(50);
    let end = rig.world.end(id(A));
    assert_eq!(
        rig.acked.last().map(|acked| acked.get()),
        Some(end),
        "it sees the last byte arrive"
    );
    // It steps down: its connection ends, and it is not looked for.
    let link = rig.link;
    rig.break_link();
    assert_eq!((rig.link, rig.connections.len()), (link, 0));
    let node = hands_over(&mut rig, end);
    rig.advance(2000);
    assert_eq!(
        (rig.node(node).reply.clone(), rig.status().handovers_wait_at),
        (Reply::None, vec![Offset::new(end)])
    );
    assert!(rig.node(node).keepalives >= 2);
    // The new primary is promoted and followed.
    assert!(rig.handover(1, Handover::Accept));
    assert!(rig.follow(2, Some(other_upstream())));
    assert_eq!(
        rig.node(node).reply,
        Reply::None,
        "its own id is what it shall give up"
    );
    rig.world.fork(id(B), id(A), end);
    rig.asked(id(B), Some((id(A), end)));
    rig.continued(Some(id(B)));
    assert_eq!(rig.node(node).reply, Reply::Stream(id(B)));
    assert_eq!(rig.status().handovers_wait_at, []);
}

#[test]
fn one_that_is_taken_back_is_refused_and_followed_again() {
    let mut rig = Rig::streaming(settings());
    assert!(rig.handover(1, Handover::Hold));
    let end = rig.world.end(id(A));
    rig.break_link();
    let node = hands_over(&mut rig, end);
    let link = rig.link;
    assert!(rig.handover(1, Handover::Refuse));
    assert!(rig.link > link, "it is looked for again at once");
    assert!(matches!(rig.node(node).reply, Reply::Error(_)));
    rig.asked(id(A), None);
    rig.continued(None);
    rig.write(id(A), &set(1, 10));
    assert_eq!(rig.status().link, LinkState::Streaming);
}

#[test]
fn taking_back_while_the_stream_still_flows_changes_nothing() {
    let mut rig = Rig::streaming(settings());
    rig.handover(1, Handover::Hold);
    let link = rig.link;
    rig.handover(1, Handover::Refuse);
    assert_eq!((rig.link, rig.status().link), (link, LinkState::Streaming));
    // And it is an ordinary primary again: when it goes, it is looked for.
    rig.break_link();
    assert!(rig.link > link);
}

#[test]
fn taking_back_while_it_is_looked_for_leaves_one_attempt() {
    let mut rig = Rig::with(settings());
    rig.handover(1, Handover::Hold);
    rig.handover(1, Handover::Refuse);
    // More than one link fails the rig's own checks.
    assert_eq!(rig.connections.len(), 1);
}

#[test]
fn an_older_term_is_refused() {
    let mut rig = Rig::streaming(settings());
    assert!(rig.handover(5, Handover::Refuse));
    assert!(!rig.handover(4, Handover::Hold));
    rig.break_link();
    assert!(!rig.connections.is_empty(), "it is looked for: nothing is held");
    assert!(rig.handover(5, Handover::Hold));
    assert!(rig.handover(6, Handover::Hold));
    assert!(!rig.follow(5, None));
}

#[test]
fn what_it_waits_for_is_on_disk_whatever_the_setting_says() {
    let acknowledge = Acknowledge::Replica;
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge,
        ..settings()
    });
    rig.write(id(A), &set(1, 10));
    rig.advance(2000);
    assert_eq!(
        rig.acked.last().map(|acked| acked.get()),
        Some(0),
        "no node has applied anything"
    );
    rig.handover(1, Handover::Hold);
    rig.write(id(A), &set(2, 10));
    assert_eq!(
        rig.acked.last().map(|acked| acked.get()),
        Some(rig.world.end(id(A)))
    );
}

#[test]
fn a_replica_is_served_as_ever_while_a_primary_hands_over() {
    let mut rig = Rig::streaming(settings());
    rig.handover(1, Handover::Hold);
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(A)));
    assert_eq!(rig.status().handovers_wait_at, []);
}

/// What its clients wait for is settled before that: a primary that follows refuses it.
#[test]
fn one_that_is_held_waits_until_it_is_accepted_whatever_the_stream_has() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    assert!(rig.handover(1, Handover::Hold));
    rig.advance(50);
    let end = rig.world.end(id(A));
    rig.break_link();
    let node = hands_over(&mut rig, end);
    assert!(rig.follow(2, Some(other_upstream())));
    rig.world.fork(id(B), id(A), end);
    rig.asked(id(B), Some((id(A), end)));
    rig.continued(Some(id(B)));
    assert_eq!(rig.node(node).reply, Reply::None);
    assert!(rig.handover(2, Handover::Accept));
    assert_eq!(rig.node(node).reply, Reply::Stream(id(B)));
}
