//! Full copies: from the link and from a second connection, given on while they arrive, kept, damaged, given up.

use bytes::Bytes;
use sterna_log::LogSettings;
use sterna_log::sim::Faults;
use sterna_model::LinkState;
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;

use super::node::Reply;
use super::rig::{A, B, DIR, Rig, broken, other_upstream, settings};
use super::world::{id, rdb, set};
use crate::shard::event::FollowerEvent;
use crate::source::{FullResyncAnswer, SourceEvent};
use crate::status::{FollowerState, Notice};

/// A shard to which a full copy is announced.
fn announced() -> Rig {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.asked(id(A), None);
    rig.offer_full(id(A), 100);
    rig
}

/// A shard that streams and has no snapshot: retention has passed it.
fn without_snapshot() -> Rig {
    let mut settings = settings();
    settings.log = LogSettings {
        segment_bytes: 100_000,
        max_bytes: 400_000,
        ..LogSettings::default()
    };
    let mut rig = Rig::streaming(settings);
    for key in 0..30 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
    }
    assert!(rig.status().log_start.get() > 100);
    let kept = rig
        .fs
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rdb"));
    assert_eq!(kept.count(), 0, "the snapshot is of no use any more");
    rig
}

#[test]
fn a_snapshot_of_known_length_goes_out_while_it_arrives_but_for_its_end() {
    let mut rig = announced();
    let snapshot = rdb(300_000);
    let node = rig.attach(PsyncRequest::Full);
    assert_eq!(rig.node(node).reply, Reply::None);
    rig.link_event(SourceEvent::SnapshotStarted(RdbForm::Length(
        snapshot.len() as u64
    )));
    assert!(matches!(rig.node(node).reply, Reply::Snapshot(_, at, Some(_)) if at.get() == 100));
    for piece in snapshot.chunks(50_000) {
        rig.link_event(SourceEvent::Snapshot(Bytes::copy_from_slice(piece)));
        let sent = rig.status().followers[0].snapshot_sent_bytes;
        let received = rig.status().counters.snapshot_bytes;
        assert_eq!(sent, received - 64, "all but what is held back");
    }
    assert!(
        matches!(rig.node(node).reply, Reply::Snapshot(..)),
        "given whole before it was verified"
    );
    rig.link_event(SourceEvent::SnapshotDone);
    assert_eq!(
        (&rig.node(node).snapshot[..], rig.node(node).reply.clone()),
        (&snapshot[..], Reply::Stream(id(A)))
    );
    // What follows is the stream, and the first acknowledgement says that it was loaded.
    rig.write(id(A), &set(1, 10));
    assert_eq!(rig.status().followers[0].state, FollowerState::FullSync);
    rig.ack(node, rig.world.end(id(A)));
    assert_eq!(rig.status().followers[0].state, FollowerState::Streaming);
    assert!(rig.told(|notice| matches!(notice, Notice::FollowerOnline { .. })));
    assert_eq!(rig.status().counters.full_syncs_down, 1);
}

#[test]
fn a_snapshot_of_unknown_length_ends_with_a_mark_and_then_nothing_until_it_is_loaded() {
    let mut rig = announced();
    let snapshot = rdb(10_000);
    let (node, old) = (
        rig.attach(PsyncRequest::Full),
        rig.attach_as(PsyncRequest::Full, false, false),
    );
    rig.link_event(SourceEvent::SnapshotStarted(RdbForm::Eof));
    assert_eq!(
        rig.node(node).reply,
        Reply::None,
        "its form is not known before its first byte"
    );
    rig.link_event(SourceEvent::Snapshot(snapshot.clone()));
    assert!(matches!(rig.node(node).reply, Reply::Snapshot(..)));
    assert_eq!(rig.node(old).reply, Reply::None, "it takes no mark");
    rig.link_event(SourceEvent::SnapshotDone);
    assert_eq!(
        (&rig.node(node).snapshot[..], &rig.node(old).snapshot[..]),
        (&snapshot[..], &snapshot[..])
    );
    rig.write(id(A), &set(1, 10));
    assert_eq!(
        rig.node(node).at.get(),
        100,
        "bytes right after the mark hang a node that loads from disk"
    );
    rig.node_event(node, FollowerEvent::Alive);
    assert_eq!(rig.node(node).at.get(), 100);
    rig.ack(node, 100);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

#[test]
fn nobody_is_given_the_end_of_a_snapshot_that_is_not_right() {
    for ends_early in [false, true] {
        let mut rig = announced();
        let mut damaged = rdb(10_000).to_vec();
        damaged[5000] ^= 1;
        let len = damaged.len();
        let node = rig.attach(PsyncRequest::Full);
        rig.link_event(SourceEvent::SnapshotStarted(RdbForm::Length(len as u64)));
        rig.link_event(SourceEvent::Snapshot(Bytes::from(damaged)));
        if ends_early {
            rig.break_link();
        } else {
            rig.link_event(SourceEvent::SnapshotDone);
        }
        let closed = rig.node(node).closed.as_deref();
        assert!(
            closed.is_some_and(|reason| reason.contains("broke off")),
            "{closed:?}"
        );
        assert!(rig.node(node).snapshot.is_empty());
        // The log builds on nothing now: the next attempt asks for everything, whatever the primary says.
        assert_eq!(rig.asked(id(A), None), PsyncRequest::Full);
    }
}

#[test]
fn a_snapshot_is_kept_and_served_again_from_disk() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.advance(2000);
    let mut rig = rig.restart(false);
    rig.asked(id(A), None);
    rig.continued(None);
    let node = rig.attach(PsyncRequest::Full);
    assert_eq!(&rig.node(node).snapshot[..], &rdb(1000)[..]);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    assert!(rig.fetch.is_none() && rig.status().counters.full_syncs_up == 0);
}

#[test]
fn a_kept_snapshot_that_the_disk_damaged_is_not_given_whole_and_another_is_fetched() {
    let mut rig = Rig::streaming(settings());
    rig.advance(2000);
    let mut rig = rig.restart(false);
    rig.asked(id(A), None);
    rig.continued(None);
    let path = rig
        .fs
        .paths()
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "rdb"));
    let path = path.expect("a snapshot");
    let mut bytes = rig.fs.contents(&path).expect("there");
    bytes[500] ^= 1;
    rig.fs.put(&path, Some(bytes));
    let node = rig.attach(PsyncRequest::Full);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("damaged on disk")),
        "{closed:?}"
    );
    assert!(rig.node(node).snapshot.is_empty());
    rig.attach(PsyncRequest::Full);
    assert!(rig.fetch.is_some());
}

/// The log may remove one that is ahead of it when it recovers.
#[test]
fn a_snapshot_whose_file_is_gone_is_given_up_and_another_is_fetched() {
    let mut rig = Rig::streaming(settings());
    rig.advance(2000);
    for path in rig.fs.paths() {
        if path.starts_with(format!("{DIR}/snapshots")) {
            rig.fs.put(&path, None);
        }
    }
    let node = rig.attach(PsyncRequest::Full);
    assert!(rig.node(node).closed.is_some());
    rig.attach(PsyncRequest::Full);
    assert!(rig.fetch.is_some());
}

#[test]
fn whoever_the_log_cannot_help_gets_a_snapshot_from_a_second_connection() {
    let mut rig = without_snapshot();
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).reply, Reply::None);
    let at = rig.world.end(id(A));
    // The stream goes on meanwhile, and the other waits for the same snapshot.
    rig.write(id(A), &set(77, 10));
    let other = rig.attach(PsyncRequest::Full);
    assert_eq!(rig.fetch_offer(id(A), at), FullResyncAnswer::Accept);
    let snapshot = rdb(2000);
    rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(
        snapshot.len() as u64
    )));
    rig.fetch_event(SourceEvent::Snapshot(snapshot.clone()));
    rig.fetch_event(SourceEvent::SnapshotDone);
    assert!(rig.fetch.is_none(), "the second connection ends");
    for node in [node, other] {
        assert_eq!(&rig.node(node).snapshot[..], &snapshot[..]);
        assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    }
    assert_eq!(rig.status().link, LinkState::Streaming);
    assert_eq!(
        rig.status().counters.full_syncs_needless,
        1,
        "the first held a part of this history"
    );
}

#[test]
fn a_second_connection_that_fails_is_tried_again_after_a_while() {
    let mut rig = without_snapshot();
    let mut node = rig.attach_at(id(A), 100);
    let ways: [fn(&mut Rig); 6] = [
        |rig| rig.fetch_event(SourceEvent::Ended(broken())),
        |rig| {
            let answer = rig.fetch_offer(id(B), 5);
            assert!(matches!(answer, FullResyncAnswer::Refuse(_)));
            rig.fetch_event(SourceEvent::Ended(broken()));
        },
        |rig| {
            let answer = rig.fetch_offer(id(A), 5);
            assert!(
                matches!(answer, FullResyncAnswer::Refuse(_)),
                "the log no longer reaches back to it"
            );
            rig.fetch_event(SourceEvent::Ended(broken()));
        },
        |rig| {
            rig.fetch_offer(id(A), rig.world.end(id(A)));
            rig.fetch_event(SourceEvent::Snapshot(rdb(500).slice(..300)));
            rig.fetch_event(SourceEvent::Ended(broken()));
        },
        // Not an RDB from its first byte on.
        |rig| {
            rig.fetch_offer(id(A), rig.world.end(id(A)));
            rig.fetch_event(SourceEvent::Snapshot(Bytes::from_static(
                b"-ERR no fork today, sorry",
            )));
        },
        |rig| {
            rig.fetch_offer(id(A), rig.world.end(id(A)));
            let mut damaged = rdb(500).to_vec();
            damaged[300] ^= 1;
            rig.fetch_event(SourceEvent::Snapshot(Bytes::from(damaged)));
            rig.fetch_event(SourceEvent::SnapshotDone);
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let first = rig.fetch.expect("asked");
        way(&mut rig);
        if rig.node(node).closed.is_some() {
            // It had been sent a part.
            node = rig.attach_at(id(A), 100);
        }
        assert!(rig.fetch.is_none(), "{number}: the second connection lives");
        rig.advance(9000);
        assert!(rig.fetch.is_none(), "{number}: the primary forks in a loop");
        rig.advance(1500);
        assert!(
            rig.fetch.is_some_and(|fetch| fetch > first),
            "{number}: never asked again"
        );
        assert_eq!(rig.status().link, LinkState::Streaming, "{number}");
    }
    let snapshot = rdb(500);
    rig.fetch_offer(id(A), rig.world.end(id(A)));
    rig.fetch_event(SourceEvent::Snapshot(snapshot.clone()));
    rig.fetch_event(SourceEvent::SnapshotDone);
    assert_eq!(&rig.node(node).snapshot[..], &snapshot[..]);
}

#[test]
fn a_fetched_snapshot_that_the_disk_refuses_is_asked_for_again() {
    let mut rig = without_snapshot();
    rig.attach_at(id(A), 100);
    let first = rig.fetch.expect("asked");
    rig.fetch_offer(id(A), rig.world.end(id(A)));
    super::disk::refuse(&rig);
    rig.fetch_event(SourceEvent::Snapshot(rdb(1_200_000)));
    assert!(rig.fetch.is_none(), "it goes on though nobody keeps it");
    assert!(rig.status().disk_error.is_some());
    super::disk::allow(&rig);
    rig.advance(11_000);
    let again = rig.attach_at(id(A), 100);
    assert!(rig.fetch.is_some_and(|fetch| fetch > first), "never asked again");
    assert_eq!(rig.node(again).closed, None);
}

#[test]
fn a_snapshot_on_the_link_that_the_disk_refuses_is_asked_for_when_the_disk_is_tried_again() {
    let mut rig = announced();
    super::disk::refuse(&rig);
    let first = rig.link;
    rig.link_event(SourceEvent::Snapshot(rdb(1_200_000)));
    assert!(rig.link > first);
    assert!(rig.connections[&rig.link].delay.as_secs() >= 5);
    assert!(rig.told(|notice| matches!(notice, Notice::DiskFailed { .. })));
    // It can't begin either while the disk refuses.
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Full);
    assert!(matches!(rig.offer_full(id(A), 100), FullResyncAnswer::Refuse(_)));
    rig.break_link();
    super::disk::allow(&rig);
    rig.full_sync(id(A), &rdb(1000));
    assert_eq!(
        (rig.status().link, rig.status().disk_error),
        (LinkState::Streaming, None)
    );
}

/// A node takes a snapshot of one history, and the primary begins another: it must not get the rest from the new one.
#[test]
fn a_node_in_the_middle_of_a_snapshot_is_not_given_the_rest_of_another() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.full_sync(id(A), &rdb(5_000_000));
    let node = rig.attach(PsyncRequest::Full);
    assert!(
        matches!(rig.node(node).reply, Reply::Snapshot(..)),
        "it has not all of it yet"
    );
    rig.break_link();
    rig.asked(id(A), None);
    rig.world.begin(id(A), 9000);
    assert_eq!(rig.offer_full(id(A), 9000), FullResyncAnswer::Accept);
    let other = rdb(6_000_000);
    rig.link_event(SourceEvent::SnapshotStarted(RdbForm::Length(other.len() as u64)));
    rig.link_event(SourceEvent::Snapshot(other));
    rig.link_event(SourceEvent::SnapshotDone);
    super::link::drain(&mut rig, node);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("broke off")),
        "{closed:?}"
    );
    assert!(rig.node(node).snapshot.is_empty());
}

/// An idle primary whose backlog is gone sends everything again, at the offset at which it did before.
#[test]
fn a_full_copy_at_the_offset_of_the_one_before_is_taken() {
    let mut rig = Rig::streaming(settings());
    rig.advance(1100);
    rig.break_link();
    rig.asked(id(A), None);
    assert_eq!(rig.offer_full(id(A), 100), FullResyncAnswer::Accept);
    rig.link_event(SourceEvent::Snapshot(rdb(7)));
    rig.link_event(SourceEvent::SnapshotDone);
    assert_eq!(rig.status().link, LinkState::Streaming);
}

/// The file of a copy that broke off could not be removed, and the next stands at the same offset.
#[test]
fn a_file_that_could_not_be_removed_is_no_hindrance() {
    let mut rig = announced();
    rig.link_event(SourceEvent::Snapshot(rdb(500).slice(..200)));
    rig.fs.set_faults(Faults {
        read_only: true,
        ..Faults::default()
    });
    rig.break_link();
    super::disk::allow(&rig);
    let is_rdb = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "rdb");
    assert!(rig.fs.paths().iter().any(is_rdb), "it is still there");
    rig.full_sync(id(A), &rdb(300));
    assert_eq!(rig.status().link, LinkState::Streaming);
}

#[test]
fn a_snapshot_of_the_primary_before_is_given_up_when_another_is_followed() {
    let mut rig = without_snapshot();
    let node = rig.attach_at(id(A), 100);
    rig.fetch_offer(id(A), rig.world.end(id(A)));
    let len = rdb(5000).len() as u64;
    rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(len)));
    rig.fetch_event(SourceEvent::Snapshot(rdb(5000).slice(..3000)));
    assert!(matches!(rig.node(node).reply, Reply::Snapshot(..)));
    assert!(rig.follow(1, Some(other_upstream())));
    assert!(rig.fetch.is_none() && rig.node(node).closed.is_some());
}

#[test]
fn a_slow_disk_pushes_back_on_a_snapshot() {
    let mut rig = announced();
    rig.disk_is_fast = false;
    let mut taken = 0;
    while rig.shard.accepts_upstream() {
        let bytes = if taken == 0 {
            rdb(262_000)
        } else {
            Bytes::from(vec![7; 262_144])
        };
        taken += bytes.len() as u64;
        rig.link_event(SourceEvent::Snapshot(bytes));
        assert!(taken < 20 << 20, "no end");
    }
    assert!(
        rig.status().memory_bytes <= 9 << 20,
        "{}",
        rig.status().memory_bytes
    );
    rig.do_jobs();
    assert!(rig.shard.accepts_upstream());
    assert!(rig.status().memory_bytes <= 4 << 20);
}

#[test]
fn a_write_of_a_snapshot_that_was_dropped_meanwhile_leaves_no_file() {
    let mut rig = announced();
    rig.disk_is_fast = false;
    let snapshot = rdb(2_000_000);
    rig.link_event(SourceEvent::Snapshot(snapshot));
    rig.link_event(SourceEvent::SnapshotDone);
    assert!(!rig.jobs.is_empty());
    rig.world.begin(id(B), 500);
    rig.follow(1, None);
    while !rig.jobs.is_empty() {
        rig.do_job();
    }
    // What was whole on disk may stay, what was not may not.
    let files = rig
        .fs
        .paths()
        .into_iter()
        .filter(|path| path.starts_with(format!("{DIR}/snapshots")));
    let names: Vec<_> = files.collect();
    assert!(names.len() == 2 || names.is_empty(), "{names:?}");
}

#[test]
fn a_decision_waits_for_a_write_of_a_snapshot_that_was_dropped() {
    let mut rig = announced();
    rig.disk_is_fast = false;
    rig.link_event(SourceEvent::Snapshot(rdb(2_000_000)));
    rig.break_link();
    let mut answer = rig.find(id(A), None);
    assert!(
        answer.try_recv().is_err(),
        "the next snapshot would have the same name"
    );
    rig.do_jobs();
    assert_eq!(answer.try_recv().expect("answered"), Ok(PsyncRequest::Full));
    let left = rig
        .fs
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rdb"));
    assert_eq!(left.count(), 0);
    let mut answer = rig.offer(id(A), 100);
    rig.do_jobs();
    assert_eq!(answer.try_recv(), Ok(FullResyncAnswer::Accept));
    assert_eq!(rig.status().log_end, Offset::new(100));
}
