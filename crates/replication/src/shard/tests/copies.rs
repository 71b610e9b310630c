//! Full copies: from the link and from a second connection, given on while they arrive, kept, damaged, given up.

use bytes::Bytes;
use sterna_log::LogSettings;
use sterna_log::sim::Faults;
use sterna_model::LinkState;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;

use super::node::Reply;
use super::rig::{A, B, DIR, Rig, broken, other_upstream, settings};
use super::world::{id, rdb, set};
use crate::shard::event::FollowerEvent;
use crate::source::{FullResyncAnswer, SourceEvent};
use crate::status::{FollowerState, Notice};

/// A shard to which a full copy is announced, for a node that has gone since.
fn announced() -> Rig {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    let node = rig.attach(PsyncRequest::Full);
    assert_eq!(rig.fetch_offer(id(A), 100), FullResyncAnswer::Accept);
    rig.node_event(node, FollowerEvent::Gone("gone".to_owned()));
    rig.nodes.remove(&node);
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
    rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(
        snapshot.len() as u64
    )));
    assert!(matches!(rig.node(node).reply, Reply::Snapshot(_, at, Some(_)) if at.get() == 100));
    for piece in snapshot.chunks(50_000) {
        rig.fetch_event(SourceEvent::Snapshot(Bytes::copy_from_slice(piece)));
        let sent = rig.status().followers[0].snapshot_sent_bytes;
        let received = rig.status().counters.snapshot_bytes;
        assert_eq!(sent, received - 64, "all but what is held back");
    }
    assert!(
        matches!(rig.node(node).reply, Reply::Snapshot(..)),
        "given whole before it was verified"
    );
    rig.fetch_event(SourceEvent::SnapshotDone);
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
    rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Eof));
    assert_eq!(
        rig.node(node).reply,
        Reply::None,
        "its form is not known before its first byte"
    );
    rig.fetch_event(SourceEvent::Snapshot(snapshot.clone()));
    assert!(matches!(rig.node(node).reply, Reply::Snapshot(..)));
    assert_eq!(rig.node(old).reply, Reply::None, "it takes no mark");
    rig.fetch_event(SourceEvent::SnapshotDone);
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
        rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(len as u64)));
        rig.fetch_event(SourceEvent::Snapshot(Bytes::from(damaged)));
        let (link, first) = (rig.link, rig.fetch);
        if ends_early {
            rig.fetch_event(SourceEvent::Ended(broken()));
        } else {
            rig.fetch_event(SourceEvent::SnapshotDone);
        }
        let closed = rig.node(node).closed.as_deref();
        assert!(
            closed.is_some_and(|reason| reason.contains("broke off")),
            "{closed:?}"
        );
        assert!(rig.node(node).snapshot.is_empty());
        assert!(rig.status().copy.is_none() && rig.status().copy_error.is_some());
        assert!(rig.told(|notice| matches!(notice, Notice::CopyFailed { .. })));
        // Only the snapshot is taken again: the stream was never lost.
        assert_eq!((rig.link, rig.status().link), (link, LinkState::Streaming));
        let again = rig.attach(PsyncRequest::Full);
        rig.advance(1000);
        assert!(rig.fetch.is_some() && rig.fetch != first);
        rig.copy(id(A), &rdb(500));
        assert_eq!(&rig.node(again).snapshot[..], &rdb(500)[..]);
        assert_eq!(rig.status().copy_error, None);
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
    rig.advance(10_000);
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
    rig.advance(10_000);
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
        let pause = 10_000.min(1000 << number);
        rig.advance(pause - 100);
        assert!(rig.fetch.is_none(), "{number}: the primary forks in a loop");
        rig.advance(300);
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
    rig.world.begin(id(A), 9000);
    rig.backlog_from = Some(9000);
    rig.begin(id(A));
    rig.attach(PsyncRequest::Full);
    rig.advance(11_000);
    rig.copy(id(A), &rdb(6_000_000));
    super::link::drain(&mut rig, node);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("new full copy")),
        "{closed:?}"
    );
    assert!(rig.node(node).snapshot.is_empty());
}

/// An idle primary stands where it stood: the next snapshot has the name of the one before.
#[test]
fn a_full_copy_at_the_offset_of_the_one_before_is_taken() {
    let mut rig = announced();
    rig.fetch_event(SourceEvent::Snapshot(rdb(7)));
    rig.fetch_event(SourceEvent::Ended(broken()));
    let node = rig.attach(PsyncRequest::Full);
    rig.advance(1100);
    rig.copy(id(A), &rdb(9));
    assert_eq!(&rig.node(node).snapshot[..], &rdb(9)[..]);
}

/// The file of a copy that broke off could not be removed, and the next stands at the same offset.
#[test]
fn a_file_that_could_not_be_removed_is_no_hindrance() {
    let mut rig = announced();
    rig.fetch_event(SourceEvent::Snapshot(rdb(500).slice(..200)));
    rig.fs.set_faults(Faults {
        read_only: true,
        ..Faults::default()
    });
    rig.fetch_event(SourceEvent::Ended(broken()));
    super::disk::allow(&rig);
    let is_rdb = |path: &std::path::PathBuf| path.extension().is_some_and(|end| end == "rdb");
    assert!(rig.fs.paths().iter().any(is_rdb), "it is still there");
    let node = rig.attach(PsyncRequest::Full);
    rig.advance(1100);
    rig.copy(id(A), &rdb(300));
    assert_eq!(&rig.node(node).snapshot[..], &rdb(300)[..]);
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
    while rig.shard.accepts_snapshot() {
        let bytes = if taken == 0 {
            rdb(262_000)
        } else {
            Bytes::from(vec![7; 262_144])
        };
        taken += bytes.len() as u64;
        rig.fetch_event(SourceEvent::Snapshot(bytes));
        assert!(taken < 20 << 20, "no end");
    }
    assert!(rig.shard.accepts_stream(), "it holds up the stream");
    assert!(
        rig.status().memory_bytes <= 9 << 20,
        "{}",
        rig.status().memory_bytes
    );
    rig.do_jobs();
    assert!(rig.shard.accepts_snapshot());
    assert!(rig.status().memory_bytes <= 4 << 20);
}

#[test]
fn a_write_of_a_snapshot_that_was_dropped_meanwhile_leaves_no_file() {
    let mut rig = announced();
    rig.disk_is_fast = false;
    let snapshot = rdb(2_000_000);
    rig.fetch_event(SourceEvent::Snapshot(snapshot));
    rig.fetch_event(SourceEvent::SnapshotDone);
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
fn another_copy_waits_for_a_write_of_a_snapshot_that_was_dropped() {
    let mut rig = announced();
    rig.disk_is_fast = false;
    let first = rig.fetch;
    rig.fetch_event(SourceEvent::Snapshot(rdb(2_000_000)));
    rig.fetch_event(SourceEvent::Ended(broken()));
    let node = rig.attach(PsyncRequest::Full);
    rig.advance(2000);
    assert_eq!(rig.fetch, None, "the next snapshot would have the same name");
    rig.do_jobs();
    rig.advance(50);
    assert!(rig.fetch.is_some() && rig.fetch != first);
    let left = rig
        .fs
        .paths()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "rdb"));
    assert_eq!(left.count(), 0);
    rig.disk_is_fast = true;
    rig.copy(id(A), &rdb(70));
    assert_eq!(&rig.node(node).snapshot[..], &rdb(70)[..]);
}

/// The stream and the snapshot are of two connections; one may break without the other.
#[test]
fn a_copy_goes_on_while_the_link_is_away() {
    let mut rig = announced();
    let node = rig.attach(PsyncRequest::Full);
    rig.fetch_event(SourceEvent::Snapshot(rdb(900).slice(..500)));
    rig.break_link();
    rig.fetch_event(SourceEvent::Snapshot(rdb(900).slice(500..)));
    rig.fetch_event(SourceEvent::SnapshotDone);
    rig.asked(id(A), None);
    rig.continued(None);
    rig.write(id(A), &set(1, 10));
    rig.ack(node, 100);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    assert_eq!(rig.status().counters.full_syncs_up, 1);
}
