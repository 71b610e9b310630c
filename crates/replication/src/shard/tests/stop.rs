//! The end: asked for in every state, it comes, and leaves the log synced.

use sterna_protocol::psync::PsyncRequest;
use tokio::sync::oneshot;

use super::rig::{A, B, Rig, settings};
use super::world::{id, rdb, set};
use crate::shard::event::{Command, Handover};
use crate::source::{Purpose, SourceError, SourceEvent};

#[test]
fn stop_ends_in_every_phase() {
    type Reach = (&'static str, fn(&mut Rig));
    let phases: [Reach; 8] = [
        ("connecting", |_| {}),
        ("found", |rig| {
            rig.disk_is_fast = false;
            rig.write(id(A), &set(1, 10));
            rig.advance(100);
            rig.break_link();
            drop(rig.find(id(A), None));
        }),
        ("asked", |rig| {
            rig.break_link();
            rig.asked(id(A), None);
        }),
        ("full copy", |rig| {
            rig.write(id(A), &set(1, 10));
            rig.advance(11_000);
            rig.break_link();
            rig.world.begin(id(A), 900);
            rig.backlog_from = Some(900);
            rig.begin(id(A));
            rig.attach(PsyncRequest::Full);
            rig.fetch_offer(id(A), 900);
            rig.fetch_event(SourceEvent::Snapshot(rdb(100).slice(..50)));
        }),
        ("holding", |rig| {
            rig.break_link();
            drop(rig.find(id(B), None));
            rig.link_event(SourceEvent::Ended(SourceError::Unwanted("no".to_owned())));
        }),
        ("streaming", |rig| {
            rig.disk_is_fast = false;
            rig.write(id(A), &set(1, 10));
            rig.attach_at(id(A), 100);
            rig.attach(PsyncRequest::Full);
        }),
        ("inside a large unit", |rig| {
            for piece in set(2, 3 * 1024 * 1024)[..2 * 1024 * 1024].chunks(64 * 1024) {
                rig.deliver(piece);
            }
        }),
        ("handing over", |rig| assert!(rig.handover(1, Handover::Hold))),
    ];
    for (phase, reach) in phases {
        let mut rig = Rig::streaming(settings());
        reach(&mut rig);
        let (done, _stopped) = oneshot::channel();
        rig.command(Command::Stop(done));
        // Nobody is taken in any more.
        let late = rig.attach(PsyncRequest::Full);
        let closed = rig.node(late).closed.as_deref();
        assert_eq!(closed, Some("without a word"), "{phase}");
        for _ in 0..100 {
            rig.do_jobs();
            rig.advance(50);
        }
        assert!(rig.stopped.is_some(), "{phase}: it does not stop");
        assert!(
            rig.connections
                .values()
                .all(|connection| connection.purpose != Purpose::Follow),
            "{phase}"
        );
        assert!(rig.nodes.values().all(|node| node.closed.is_some()), "{phase}");
        assert_eq!(rig.status().log_durable, rig.status().log_end, "{phase}");
    }
}

#[test]
fn stop_waits_no_longer_for_a_disk_that_refuses() {
    let mut rig = Rig::streaming(settings());
    super::disk::refuse(&rig);
    rig.write(id(A), &set(1, 10));
    rig.advance(1100);
    assert!(rig.status().disk_error.is_some());
    let (done, _stopped) = oneshot::channel();
    rig.command(Command::Stop(done));
    assert!(rig.stopped.is_some());
}
