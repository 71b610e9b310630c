//! The first copy of a primary that never had a replica, and so has no backlog that could be continued.

use std::time::Duration;

use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;

use super::rig::{A, B, Rig, broken, settings};
use super::world::{id, rdb, set};
use crate::source::{FullResyncAnswer, SourceEvent};
use crate::status::Notice;

/// What a first copy of a primary that never had a replica needs: the snapshot's connection gives it its backlog.
#[test]
fn a_primary_without_a_backlog_is_copied_first_and_then_followed() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 0);
    rig.backlog_from = None;
    let mut answer = rig.find(id(A), None);
    assert!(answer.try_recv().is_err(), "there is nothing to be continued");
    let link = rig.link;
    // The name changes when the backlog begins.
    rig.world.begin(id(B), 1);
    assert_eq!(rig.fetch_offer(id(B), 1), FullResyncAnswer::Accept);
    assert!(rig.link > link, "it is looked at again");
    assert_eq!(rig.connections[&rig.link].delay, Duration::ZERO);
    rig.backlog_from = Some(1);
    let node = rig.attach(PsyncRequest::Full);
    rig.fetch_event(SourceEvent::Snapshot(rdb(900).slice(..500)));
    let held = Offset::new(1);
    assert_eq!(rig.asked(id(B), None), PsyncRequest::Resume { id: id(B), held });
    rig.continued(None);
    rig.write(id(B), &set(1, 10));
    assert_eq!(rig.status().copy.map(|copy| copy.received_bytes), Some(500));
    rig.fetch_event(SourceEvent::Snapshot(rdb(900).slice(500..)));
    rig.fetch_event(SourceEvent::SnapshotDone);
    assert_eq!(&rig.node(node).snapshot[..], &rdb(900)[..]);
    rig.ack(node, 1);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(B)));
}

/// It may be another by then, or gone.
#[test]
fn a_primary_whose_first_copy_fails_is_looked_at_again() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 0);
    rig.backlog_from = None;
    drop(rig.find(id(A), None));
    let link = rig.link;
    rig.fetch_event(SourceEvent::Ended(broken()));
    assert!(rig.link > link && rig.connections.contains_key(&rig.link));
    // Not at once again: the primary forks for each.
    let mut answer = rig.find(id(A), None);
    assert!(rig.fetch.is_none());
    rig.advance(1100);
    assert!(rig.fetch.is_some() && answer.try_recv().is_err());
}

/// Nobody followed it for longer than it keeps its backlog; for a new one it takes one more id.
#[test]
fn a_primary_that_took_a_new_id_is_looked_at_again_once_it_has_a_backlog() {
    let mut rig = Rig::streaming(settings());
    rig.attach_at(id(A), 100);
    rig.break_link();
    rig.process = "1".repeat(40).parse().ok();
    rig.asked(id(A), None);
    rig.continued(None);
    rig.advance(11_000);
    rig.break_link();
    rig.backlog_from = None;
    let end = rig.world.end(id(A));
    rig.world.begin(id(B), end);
    drop(rig.find(id(B), None));
    let link = rig.link;
    rig.world.begin(id('c'), end);
    assert!(matches!(
        rig.fetch_offer(id('c'), end),
        FullResyncAnswer::Refuse(_)
    ));
    assert!(!rig.told(|notice| matches!(notice, Notice::Holding(_))));
    assert!(rig.link > link, "it is looked at again");
    rig.backlog_from = Some(end);
    let held = Offset::new(end);
    assert_eq!(
        rig.asked(id('c'), None),
        PsyncRequest::Resume { id: id('c'), held }
    );
    rig.continued(None);
    assert_eq!(rig.status().history, Some(id('c')));
}

/// The replica nodes hold another history; what a primary without a backlog gives is no successor of it.
#[test]
fn a_primary_without_a_backlog_overwrites_nothing() {
    let mut rig = Rig::streaming(settings());
    rig.advance(11_000);
    rig.break_link();
    rig.backlog_from = None;
    drop(rig.find(id(A), None));
    rig.world.begin(id(B), 1);
    assert!(matches!(rig.fetch_offer(id(B), 1), FullResyncAnswer::Refuse(_)));
    assert!(rig.told(|notice| matches!(notice, Notice::Holding(_))));
    assert_eq!(rig.status().history, Some(id(A)));
}
