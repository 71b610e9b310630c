//! The log is lost, and what the replica nodes hold stands for it.

use sterna_model::{HoldReason, LinkState};
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot;

use super::node::Reply;
use super::rig::{A, B, Rig, settings, upstream};
use super::world::{id, set};
use crate::lineage::NodePosition;
use crate::shard::event::Command;

/// A shard that follows, with nodes that hold this.
fn follows(nodes: &[(ReplicationId, u64)]) -> Rig {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    for number in 0..10 {
        rig.world.write(id(A), &set(number, 10));
    }
    let (done, _answer) = oneshot::channel();
    let held = |&(id, offset): &(ReplicationId, u64)| NodePosition {
        id,
        offset: Offset::new(offset),
    };
    rig.follow(1, None);
    rig.command(Command::Follow {
        epoch: 1,
        upstream: Some(Box::new(upstream())),
        decided: None,
        held_by_nodes: nodes.iter().map(held).collect(),
        done,
    });
    rig
}

#[test]
fn the_stream_is_taken_from_where_the_node_is_that_holds_least() {
    let mut rig = follows(&[(id(A), 100), (id(A), 130)]);
    let first = PsyncRequest::Resume {
        id: id(A),
        held: Offset::new(100),
    };
    assert_eq!(rig.asked(id(A), None), first);
    rig.continued(Some(id(A)));
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(A)));
    let end = rig.world.end(id(A));
    let missing = rig.world.bytes(id(A), 100, end).to_vec();
    rig.deliver(&missing);
    assert_eq!(rig.node(node).at.get(), end);
}

/// One that the primary's backlog does not reach back to needs a copy, and keeps none from going on without.
#[test]
fn a_node_that_needs_a_copy_anyway_is_not_waited_for() {
    let mut rig = follows(&[(id(A), 100), (id(A), 130)]);
    rig.backlog_from = Some(120);
    let from = PsyncRequest::Resume {
        id: id(A),
        held: Offset::new(130),
    };
    assert_eq!(rig.asked(id(A), None), from);
}

#[test]
fn nodes_that_hold_the_history_before_continue_too() {
    let mut rig = follows(&[(id(A), 100)]);
    let end = rig.world.end(id(A));
    rig.world.fork(id(B), id(A), end);
    let first = PsyncRequest::Resume {
        id: id(B),
        held: Offset::new(100),
    };
    assert_eq!(rig.asked(id(B), Some((id(A), end))), first);
    rig.continued(Some(id(B)));
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(B)));
}

#[test]
fn a_primary_that_does_not_continue_what_they_hold_is_not_followed() {
    let mut rig = follows(&[(id(A), 100)]);
    rig.world.begin(id(B), 0);
    assert!(rig.find(id(B), None).try_recv().expect("an answer").is_err());
    let link = rig.status().link;
    assert!(
        matches!(link, LinkState::Holding(HoldReason::UnrelatedHistory { .. })),
        "{link:?}"
    );
    rig.command(Command::AcceptNewHistory);
    rig.advance(10_000);
    assert!(matches!(rig.asked(id(B), None), PsyncRequest::Resume { .. }));
}

/// It lost what a node has, though another node has less.
#[test]
fn a_primary_that_went_back_behind_one_of_them_is_not_followed() {
    let mut rig = follows(&[(id(A), 100), (id(A), 10_000)]);
    assert!(rig.find(id(A), None).try_recv().expect("an answer").is_err());
    let link = rig.status().link;
    assert!(
        matches!(link, LinkState::Holding(HoldReason::WentBack { .. })),
        "{link:?}"
    );
}

#[test]
fn with_no_nodes_whatever_a_primary_has_is_taken() {
    let mut rig = follows(&[]);
    let held = Offset::new(rig.world.end(id(A)));
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
}
