//! The link to the primary: every way in which an attempt goes on or ends, in each of its phases.

use std::time::Duration;

use bytes::Bytes;
use sterna_model::{CopyProgress, HoldReason, LinkState};
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;
use sterna_protocol::rdb::RdbForm;

use super::rig::{A, B, Rig, broken, other_upstream, settings};
use super::world::{id, rdb, set};
use crate::shard::event::{Command, Event};
use crate::source::{FullResyncAnswer, SourceError, SourceEvent};
use crate::status::Notice;

#[test]
fn a_first_contact_is_the_stream_from_now_on_and_a_copy_beside_it() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    assert_eq!(rig.status().link, LinkState::Connecting);
    rig.begin(id(A));
    assert_eq!(rig.status().link, LinkState::Streaming);
    assert!(rig.told(|notice| matches!(notice, Notice::Begun { .. })));
    assert!(rig.fetch.is_none(), "nobody needs a copy yet");
    let node = rig.attach(PsyncRequest::Full);
    rig.write(id(A), &set(1, 10));
    let at = rig.world.end(id(A));
    assert_eq!(rig.fetch_offer(id(A), at), FullResyncAnswer::Accept);
    let snapshot = rdb(5000);
    rig.fetch_event(SourceEvent::SnapshotStarted(RdbForm::Length(
        snapshot.len() as u64
    )));
    rig.fetch_event(SourceEvent::Snapshot(snapshot.slice(..2000)));
    let arriving = CopyProgress {
        received_bytes: 2000,
        total_bytes: Some(snapshot.len() as u64),
    };
    assert_eq!(
        (rig.status().copy, rig.status().link),
        (Some(arriving), LinkState::Streaming)
    );
    // The primary counts us all the time.
    let before = rig.acked.len();
    rig.advance(3000);
    assert!(rig.acked.len() >= before + 3, "{:?}", rig.acked);
    rig.write(id(A), &set(2, 10));
    rig.fetch_event(SourceEvent::Snapshot(snapshot.slice(2000..)));
    rig.fetch_event(SourceEvent::SnapshotDone);
    rig.advance(3000);
    let status = rig.status();
    assert_eq!(
        (status.log_start, status.log_end.get(), status.copy),
        (Offset::new(100), rig.world.end(id(A)), None)
    );
    assert_eq!(rig.acked.last(), Some(&status.log_end));
    assert_eq!((status.counters.full_syncs_up, status.counters.commands), (1, 2));
    assert!(rig.told(|notice| matches!(notice, Notice::FullSyncReceived { .. })));
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

/// Brings a shard into each phase of an attempt and lets the primary go there.
#[test]
fn a_primary_that_goes_is_asked_again_in_every_phase() {
    type Reach = (&'static str, fn(&mut Rig), bool);
    let phases: [Reach; 4] = [
        ("connecting", |_| {}, false),
        (
            "found, and the log is busy",
            |rig| {
                rig.disk_is_fast = false;
                rig.write(id(A), &set(1, 10));
                rig.break_link();
                assert!(rig.find(id(A), None).try_recv().is_err(), "answered too early");
            },
            true,
        ),
        (
            "asked",
            |rig| {
                rig.asked(id(A), None);
            },
            false,
        ),
        (
            "streaming",
            |rig| {
                rig.begin(id(A));
                rig.write(id(A), &set(1, 10));
            },
            false,
        ),
    ];
    for (phase, reach, streams_before) in phases {
        let mut rig = if streams_before {
            Rig::streaming(settings())
        } else {
            Rig::with(settings())
        };
        if !streams_before {
            rig.world.begin(id(A), 100);
        }
        reach(&mut rig);
        let attempt = rig.link;
        rig.break_link();
        assert!(rig.link > attempt, "{phase}: no other attempt");
        assert!(
            !rig.connections.contains_key(&attempt),
            "{phase}: the old one lives"
        );
        assert!(
            rig.connections[&rig.link].delay >= Duration::from_millis(25),
            "{phase}: at once"
        );
        assert!(matches!(rig.status().link, LinkState::Retrying { .. }), "{phase}");
        assert!(
            rig.told(|notice| matches!(notice, Notice::Lost { .. })),
            "{phase}"
        );
        // What the old attempt still says counts for nothing.
        let late = SourceEvent::Stream(Bytes::from_static(b"late"));
        rig.event(Event::Source { attempt, event: late });
        rig.do_jobs();
        rig.disk_is_fast = true;
        // It goes on where it stood, or from where the primary is now.
        let held = Offset::new(rig.world.end(id(A)));
        let asked = rig.asked(id(A), None);
        assert_eq!(asked, PsyncRequest::Resume { id: id(A), held }, "{phase}");
        rig.continued(None);
        rig.write(id(A), &set(2, 10));
        assert_eq!(rig.status().log_end.get(), rig.world.end(id(A)), "{phase}");
    }
}

#[test]
fn waits_grow_while_it_fails_and_begin_anew_after_success() {
    let mut rig = Rig::streaming(settings());
    let mut delays = Vec::new();
    for _ in 0..12 {
        rig.break_link();
        delays.push(rig.connections[&rig.link].delay);
    }
    assert!(
        delays.is_sorted() && delays[11] >= Duration::from_millis(2500),
        "{delays:?}"
    );
    assert!(delays[11] <= Duration::from_secs(5), "{delays:?}");
    assert_eq!(rig.status().counters.reconnects, 12);
    // The same failure is told once.
    let lost = rig
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Lost { .. }));
    assert_eq!(lost.count(), 1);
    rig.asked(id(A), None);
    rig.continued(None);
    rig.break_link();
    assert!(rig.connections[&rig.link].delay <= Duration::from_millis(50));
}

#[test]
fn bad_bytes_are_asked_for_again_from_the_last_whole_unit_and_told_when_they_repeat() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    for times in 1..=3 {
        rig.deliver(b"*1\r\n!!");
        assert_eq!(rig.status().log_end.get(), end);
        assert_eq!(
            rig.told(|notice| matches!(notice, Notice::Corrupt { .. })),
            times == 3
        );
        let held = Offset::new(end);
        assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
        rig.continued(None);
    }
    rig.write(id(A), &set(2, 10));
    assert_eq!(rig.status().log_end.get(), rig.world.end(id(A)));
}

#[test]
fn a_bad_snapshot_is_asked_for_again_and_told_when_it_repeats() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    let mut damaged = rdb(500).to_vec();
    damaged[200] ^= 1;
    for times in 1..=4 {
        rig.attach(PsyncRequest::Full);
        rig.advance(11_000);
        rig.fetch_offer(id(A), 100);
        if times % 2 == 0 {
            rig.fetch_event(SourceEvent::Snapshot(Bytes::from_static(b"no snapshot at all")));
        } else {
            rig.fetch_event(SourceEvent::Snapshot(Bytes::from(damaged.clone())));
            rig.fetch_event(SourceEvent::SnapshotDone);
        }
        assert!(rig.status().copy_error.is_some(), "{:?}", rig.status());
        assert_eq!(
            rig.told(|notice| matches!(notice, Notice::Corrupt { .. })),
            times >= 3,
            "{times}"
        );
        if times == 2 {
            rig.notices.clear();
        }
    }
    rig.attach(PsyncRequest::Full);
    rig.advance(11_000);
    rig.copy(id(A), &rdb(500));
    assert_eq!(rig.status().copy_error, None);
}

/// Nothing at all among it: a primary that can't save, or whose limit for replicas is too low, closes at once.
#[test]
fn a_snapshot_that_always_breaks_off_at_the_same_byte_is_told() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    for (times, bytes) in [(1, 300), (2, 0), (3, 0), (4, 0)] {
        rig.attach(PsyncRequest::Full);
        rig.advance(11_000);
        rig.fetch_offer(id(A), 100);
        rig.fetch_event(SourceEvent::Snapshot(rdb(500).slice(..bytes)));
        rig.fetch_event(SourceEvent::Ended(broken()));
        assert_eq!(
            rig.told(|notice| matches!(notice, Notice::Corrupt { .. })),
            times == 4,
            "{times}"
        );
    }
}

#[test]
fn bad_data_that_the_connection_finds_counts_like_bad_data_found_here() {
    let mut rig = Rig::streaming(settings());
    for _ in 0..3 {
        rig.link_event(SourceEvent::Ended(SourceError::BadData("no length".to_owned())));
    }
    assert!(rig.told(|notice| matches!(notice, Notice::Corrupt { .. })));
}

/// Lets a node take what it can have, as its socket would.
pub(super) fn drain(rig: &mut Rig, node: crate::shard::event::FollowerId) {
    for _ in 0..20 {
        rig.node_event(node, crate::shard::event::FollowerEvent::Written(1024 * 1024));
    }
}

#[test]
fn another_primary_or_none_is_followed_when_that_is_asked_for() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let (old, end) = (rig.link, rig.world.end(id(A)));
    assert!(rig.follow(5, Some(other_upstream())));
    assert!(rig.link > old && !rig.connections.contains_key(&old));
    assert_eq!(rig.connections[&rig.link].delay, Duration::ZERO);
    // An older term is refused and changes nothing.
    let link = rig.link;
    assert!(!rig.follow(4, None));
    assert_eq!(rig.link, link);
    assert!(rig.follow(5, None));
    assert!(rig.connections.is_empty());
    assert_eq!(rig.status().link, LinkState::ServeOnly);
    assert_eq!(rig.status().log_end.get(), end);
    // A reset while nobody is followed starts nothing.
    rig.break_link();
    assert!(rig.connections.is_empty());
}

/// Whether the next one gives copies is not known.
#[test]
fn why_a_copy_failed_is_no_news_once_another_primary_is_followed() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.backlog_from = Some(1);
    rig.begin(id(A));
    rig.attach(PsyncRequest::Full);
    rig.fetch_event(SourceEvent::Ended(broken()));
    assert!(rig.status().copy_error.is_some());
    assert!(rig.follow(5, Some(other_upstream())));
    assert_eq!(rig.status().copy_error, None);
}

#[test]
fn a_primary_of_another_history_is_held_until_a_person_accepts_it() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.world.begin(id(B), 5000);
    rig.break_link();
    let answer = rig.find(id(B), None).try_recv().expect("answered");
    let reason = answer.expect_err("not followed");
    assert!(reason.contains("does not continue the history"), "{reason}");
    rig.link_event(SourceEvent::Ended(SourceError::Unwanted(reason)));
    assert!(matches!(
        rig.status().link,
        LinkState::Holding(HoldReason::UnrelatedHistory { .. })
    ));
    assert!(rig.connections[&rig.link].delay >= Duration::from_secs(2));
    // It is told once, and looked at again and again.
    assert!(rig.find(id(B), None).try_recv().expect("answered").is_err());
    let held = rig
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::Holding(_)));
    assert_eq!(held.count(), 1);
    rig.break_link();
    rig.command(Command::AcceptNewHistory);
    rig.begin(id(B));
    assert_eq!(
        (rig.status().link, rig.status().history),
        (LinkState::Streaming, Some(id(B)))
    );
    // The word counted once.
    rig.world.begin(id('c'), 9000);
    rig.break_link();
    assert!(rig.find(id('c'), None).try_recv().expect("answered").is_err());
}

#[test]
fn what_a_primary_sends_instead_of_what_was_asked_for_is_not_taken() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let end = rig.status().log_end;
    rig.break_link();
    rig.asked(id(A), None);
    // Its backlog went on in this moment, or it is another by now: the next look tells.
    assert!(matches!(rig.offer_full(id(B), 7000), FullResyncAnswer::Refuse(_)));
    assert_eq!((rig.status().history, rig.status().log_end), (Some(id(A)), end));
    rig.link_event(SourceEvent::Ended(SourceError::Unwanted("no".to_owned())));
    rig.world.begin(id(A), 9000);
    rig.backlog_from = Some(9000);
    rig.begin(id(A));
}

/// It was promoted, or restarted, between the question what it is and the answer to `PSYNC`.
#[test]
fn a_primary_whose_history_changes_while_the_log_begins_anew_is_looked_at_again() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.asked(id(A), None);
    let link = rig.link;
    rig.continued(Some(id(B)));
    assert!(rig.link > link);
    assert_eq!(rig.status().history, None);
}

#[test]
fn a_decision_waits_until_the_log_stands_still() {
    let mut rig = Rig::streaming(settings());
    rig.disk_is_fast = false;
    rig.write(id(A), &set(1, 10));
    rig.advance(100);
    assert_eq!(rig.jobs.len(), 1, "an append is out");
    rig.break_link();
    let mut answer = rig.find(id(A), None);
    assert!(answer.try_recv().is_err());
    // The append is back, and what it did not sync is synced before anything is promised to the primary.
    rig.do_job();
    assert!(answer.try_recv().is_err());
    rig.do_job();
    assert!(answer.try_recv().expect("answered").is_ok());
    // While the primary's answer is awaited, the log is left alone.
    rig.advance(3000);
    assert!(rig.jobs.is_empty());
}

#[test]
fn the_end_of_a_connection_says_what_it_was() {
    let error = broken();
    assert_eq!(
        error.to_string(),
        "the connection to 10.0.0.1:6379 broke: the peer closed it"
    );
}

/// What ends the connection from there is the end of the process that held it, or something in between; what we end is neither.
#[test]
fn whether_the_primary_ended_the_stream_is_known_until_it_is_asked_for_again() {
    let mut rig = Rig::streaming(settings());
    assert!(!rig.status().closed_by_primary);
    rig.link_event(SourceEvent::Ended(broken()));
    assert!(rig.status().closed_by_primary);
    rig.link_event(SourceEvent::Ended(broken()));
    assert!(rig.status().closed_by_primary, "it can't be reached either");
    rig.asked(id(A), None);
    assert!(
        !rig.status().closed_by_primary,
        "it may count us, whatever we hear of that"
    );
    rig.continued(None);
    let bad = SourceError::BadData("nonsense".to_owned());
    rig.link_event(SourceEvent::Ended(bad));
    assert!(!rig.status().closed_by_primary);
}
