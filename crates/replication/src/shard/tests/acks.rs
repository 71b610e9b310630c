//! What the primary hears, and when: durable or applied, once a second or when it waits, and only while it lives.

use std::time::Duration;

use sterna_model::Acknowledge;
use sterna_protocol::Offset;

use super::rig::{A, Rig, settings};
use super::world::{getack, id, set};
use crate::settings::ShardSettings;
use crate::shard::event::FollowerEvent;
use crate::source::SourceEvent;
use crate::status::Notice;

fn leased() -> Rig {
    let mut rig = Rig::streaming(ShardSettings {
        lease: true,
        ..settings()
    });
    rig.write(id(A), &set(1, 10));
    rig
}

/// The primary answers a question that was asked so long ago.
fn observed(rig: &mut Rig, asked_ago_ms: u64) {
    let asked = rig.now.mono - Duration::from_millis(asked_ago_ms);
    let offset = Offset::new(rig.world.end(id(A)));
    let needs = rig.needs.clone();
    rig.link_event(SourceEvent::Observed { offset, asked, needs });
}

/// Time passes, and the primary answers five times a second.
fn live(rig: &mut Rig, ms: u64) {
    for _ in 0..ms / 200 {
        rig.advance(200);
        observed(rig, 5);
    }
}

#[test]
fn what_is_durable_is_acknowledged_once_a_second() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.advance(2500);
    let before = rig.acked.len();
    rig.advance(5000);
    assert_eq!(rig.acked.len() - before, 5, "{:?}", rig.acked);
    assert_eq!(rig.acked.last(), Some(&rig.status().log_durable));
}

#[test]
fn what_every_node_has_applied_is_acknowledged() {
    let acknowledge = Acknowledge::Replica;
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge,
        ..settings()
    });
    rig.write(id(A), &set(1, 10));
    rig.advance(2500);
    assert_eq!(
        rig.acked.last(),
        Some(&Offset::ZERO),
        "nobody has applied anything"
    );
    let (one, two) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    let end = rig.world.end(id(A));
    rig.ack(one, end);
    rig.ack(two, 100);
    rig.advance(1000);
    assert_eq!(rig.acked.last(), Some(&Offset::new(100)));
    rig.write(id(A), &getack());
    rig.ack(one, rig.world.end(id(A)));
    let before = rig.acked.len();
    rig.ack(two, end);
    assert_eq!(
        rig.acked[before..],
        [Offset::new(end)],
        "as soon as the one that is waited for is there"
    );
}

/// `WAITAOF` counts it.
#[test]
fn what_is_acknowledged_as_durable_is_said_to_be_on_disk() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.advance(2500);
    assert_eq!(rig.synced, Some(rig.status().log_durable));
    assert_eq!(rig.synced, rig.acked.last().copied());
}

#[test]
fn of_what_the_nodes_have_applied_only_what_all_have_on_their_disks_is_said_to_be_there() {
    let acknowledge = Acknowledge::Replica;
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge,
        ..settings()
    });
    let (one, two) = (rig.attach_at(id(A), 100), rig.attach_at(id(A), 100));
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    rig.ack_synced(one, end, end);
    rig.ack(two, end);
    rig.advance(1000);
    assert_eq!(
        (rig.acked.last().copied(), rig.synced),
        (Some(Offset::new(end)), None),
        "one has no AOF, or does not tell"
    );
    rig.write(id(A), &getack());
    let asked = end;
    rig.ack_synced(two, asked, 110);
    assert_eq!(rig.synced, None, "not before the next second");
    let before = rig.acked.len();
    rig.ack_synced(two, asked, asked);
    assert_eq!(
        (rig.acked.len() - before, rig.synced),
        (1, Some(Offset::new(asked))),
        "as soon as it is on the last disk"
    );
}

/// What it says it has would be passed on to the primary, whose clients wait for that.
#[test]
fn a_node_that_acknowledges_what_it_was_never_sent_is_let_go() {
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge: Acknowledge::Replica,
        ..settings()
    });
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    let node = rig.attach_at(id(A), end);
    // A disk that has more holds that of another history.
    rig.ack_synced(node, end, 1 << 62);
    rig.advance(1100);
    assert_eq!((rig.acked.last(), rig.synced), (Some(&Offset::new(end)), None));
    rig.node_event(node, FollowerEvent::Acked(Offset::new(1 << 62).into()));
    assert!(rig.node(node).is_let_go());
    assert!(rig.told(
        |notice| matches!(notice, Notice::FollowerGone { reason, .. } if reason.contains("was sent nothing beyond"))
    ));
    rig.advance(3000);
    assert!(
        rig.acked.iter().all(|acked| acked.get() <= end),
        "{:?}",
        rig.acked
    );
}

#[test]
fn with_a_lease_only_a_primary_that_just_showed_life_hears_from_here() {
    let mut rig = leased();
    live(&mut rig, 1000);
    // Once a second, right at a sign of life.
    let before = rig.acked.len();
    live(&mut rig, 5000);
    let count = rig.acked.len() - before;
    assert!((4..=6).contains(&count), "{count}");
    // And none without life.
    let before = rig.acked.len();
    rig.advance(300);
    assert_eq!(rig.acked.len(), before);
}

#[test]
fn with_a_lease_whoever_waits_is_answered_a_moment_after_a_sign_of_life() {
    for (after_ms, answered) in [(50, true), (150, false)] {
        let mut rig = leased();
        live(&mut rig, 3000);
        rig.disk_is_fast = false;
        rig.write(id(A), &set(2, 10));
        rig.write(id(A), &getack());
        rig.advance(after_ms);
        let before = rig.acked.len();
        rig.do_jobs();
        assert_eq!(
            rig.acked.len() > before,
            answered,
            "{after_ms} ms after the last byte"
        );
    }
}

#[test]
fn with_a_lease_an_acknowledgement_that_nobody_confirms_is_given_up_with_its_connection() {
    let mut rig = leased();
    observed(&mut rig, 5);
    let (link, renewed) = (rig.link, rig.status().renewed_at);
    assert!(renewed.is_some());
    rig.advance(400);
    assert_eq!(rig.link, link);
    rig.advance(300);
    assert!(
        rig.link > link,
        "the old connection takes what is on its way with it"
    );
    assert!(rig.status().renewed_at > renewed, "the lease counts from now");
    assert!(rig.connections.contains_key(&rig.link));
}

#[test]
fn without_a_lease_a_silent_primary_is_left_to_the_connection() {
    let mut rig = Rig::streaming(settings());
    let link = rig.link;
    rig.advance(30_000);
    assert_eq!(rig.link, link);
    assert!(rig.status().silent_for(rig.now.mono) >= Some(Duration::from_secs(30)));
}

#[test]
fn a_primary_that_was_asked_counts_us_from_then_on() {
    let mut rig = leased();
    live(&mut rig, 1000);
    rig.break_link();
    let before = rig.status().renewed_at;
    rig.asked(id(A), None);
    rig.advance(200);
    assert!(rig.status().renewed_at > before);
    rig.break_link();
    let before = rig.status().renewed_at;
    rig.advance(1000);
    assert_eq!(
        rig.status().renewed_at,
        before,
        "nothing can arrive from here any more"
    );
}

#[test]
fn what_the_primary_says_of_itself_is_shown_while_it_is_followed() {
    let mut rig = Rig::streaming(settings());
    observed(&mut rig, 5);
    let end = Offset::new(rig.world.end(id(A)));
    assert_eq!(rig.status().primary_offset, Some(end));
    assert_eq!(rig.status().alive_at, Some(rig.now.mono));
    rig.break_link();
    assert_eq!(rig.status().primary_offset, None);
    assert_eq!(rig.status().primary.as_deref(), Some("10.0.0.1:6379"));
}
