//! Changes of history: the stream goes on, under the same id or another, is cut back, or begins anew.

use std::time::Duration;

use sterna_model::{HoldReason, LinkState};
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;
use tokio::sync::oneshot;

use super::node::Reply;
use super::rig::{A, B, Rig, other_upstream, settings, upstream};
use super::world::{id, rdb, set};
use crate::lineage::HistoryEnd;
use crate::shard::event::{Command, Effect, Event, FollowerEvent};
use crate::shard::jobs::run_read;
use crate::source::Asking;
use crate::status::Notice;

#[test]
fn a_new_id_is_told_to_every_node_by_asking_again() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    rig.world.fork(id(B), id(A), end);
    rig.break_link();
    assert!(matches!(
        rig.asked(id(B), Some((id(A), end))),
        PsyncRequest::Resume { .. }
    ));
    rig.continued(Some(id(B)));
    assert!(
        rig.node(node)
            .closed
            .as_deref()
            .is_some_and(|reason| reason.contains("under a new id"))
    );
    let again = rig.attach_at(id(A), end);
    assert_eq!(rig.node(again).reply, Reply::Stream(id(B)));
    rig.write(id(B), &set(2, 10));
    assert_eq!(rig.node(again).at.get(), rig.world.end(id(B)));
    // It is on disk, and survives.
    rig.advance(1100);
    let rig = rig.restart(true);
    assert_eq!(
        (rig.status().history, rig.status().log_end.get()),
        (Some(id(B)), rig.world.end(id(B)))
    );
}

/// It would go on under the old name, with bytes that are not of that history.
#[test]
fn a_node_that_is_being_given_a_snapshot_learns_of_a_new_id_too() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.full_sync(id(A), &rdb(3_000_000));
    let node = rig.attach(PsyncRequest::Full);
    assert!(
        matches!(rig.node(node).reply, Reply::Snapshot(..)),
        "it has not all of it yet"
    );
    rig.break_link();
    rig.world.fork(id(B), id(A), 100);
    rig.world.write(id(A), &set(1, 10));
    rig.asked(id(B), Some((id(A), 100)));
    rig.continued(Some(id(B)));
    rig.write(id(B), &set(2, 10));
    super::link::drain(&mut rig, node);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("under a new id")),
        "{closed:?}"
    );
    // The snapshot is still good.
    let again = rig.attach(PsyncRequest::Full);
    super::link::drain(&mut rig, again);
    assert_eq!(rig.node(again).reply, Reply::Stream(id(B)));
    assert_eq!(rig.node(again).at.get(), rig.world.end(id(B)));
}

/// The primary was promoted with more than the log has kept: the log lost its last moments.
#[test]
fn nodes_that_have_what_the_log_lost_continue_under_the_new_id() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let kept = rig.world.end(id(A));
    rig.advance(1100);
    rig.write(id(A), &set(2, 10));
    let all = rig.world.end(id(A));
    rig.world.fork(id(B), id(A), all);
    // Before the second was synced, the power failed.
    rig.disk_is_fast = false;
    let mut rig = rig.restart(true);
    let held = rig.status().log_end.get();
    assert!(held == kept || held == all);
    rig.asked(id(B), Some((id(A), all)));
    rig.continued(Some(id(B)));
    let node = rig.attach_at(id(A), all);
    let missing = rig.world.bytes(id(B), held, all).to_vec();
    rig.deliver(&missing);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(B)));
}

/// Nobody followed it for longer than it keeps its backlog: it took a new id, without a word about the old.
#[test]
fn a_primary_that_took_a_new_id_is_copied_if_its_process_went_on() {
    let process = |digit: &str| digit.repeat(40).parse().ok();
    let goes_on = |rig: &mut Rig, now| {
        rig.process = now;
        rig.find(id(B), None).try_recv().expect("answered at once")
    };
    let mut rig = Rig::streaming(settings());
    rig.attach_at(id(A), 100);
    rig.break_link();
    rig.process = process("1");
    rig.asked(id(A), None);
    rig.continued(None);
    rig.write(id(A), &set(1, 10));
    rig.world.begin(id(B), rig.world.end(id(A)) + 50);
    for (now, is_followed) in [(process("2"), false), (None, false), (process("1"), true)] {
        // Who it was is on disk, and survives.
        rig = rig.restart(true);
        assert_eq!(goes_on(&mut rig, now).is_ok(), is_followed, "{now:?}");
    }
    rig.continued(None);
    assert_eq!(rig.status().history, Some(id(B)));
    assert_eq!(rig.status().link, LinkState::Streaming);
}

#[test]
fn a_promoted_primary_that_missed_the_tail_is_followed_after_a_cut() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let cut = rig.world.end(id(A));
    let behind = rig.attach_at(id(A), 100);
    rig.set_takes(behind, false);
    rig.advance(100);
    rig.write(id(A), &set(2, 10));
    let past = rig.attach_at(id(A), rig.world.end(id(A)));
    rig.world.fork(id(B), id(A), cut);
    rig.world.write(id(B), &set(3, 300));
    rig.break_link();
    let held = Offset::new(cut);
    let asked = rig.asked(id(B), Some((id(A), cut)));
    assert_eq!(asked, PsyncRequest::Resume { id: id(A), held });
    assert!(rig.told(|notice| matches!(notice, Notice::CutBack { .. })));
    assert!(
        rig.node(past)
            .closed
            .as_deref()
            .is_some_and(|reason| reason.contains("lost writes"))
    );
    rig.continued(Some(id(B)));
    rig.deliver(&set(3, 300));
    let node = rig.attach_at(id(A), cut);
    assert_eq!(
        (rig.node(node).reply.clone(), rig.node(node).at.get()),
        (Reply::Stream(id(B)), rig.world.end(id(B)))
    );
    // Whoever went past the cut is not covered any more.
    let lost = rig.attach_at(id(A), cut + 10);
    assert_eq!(&rig.node(lost).snapshot[..], &rdb(1000)[..]);
}

#[test]
fn a_primary_that_restarted_from_an_old_snapshot_holds_until_that_is_accepted() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let cut = rig.world.end(id(A));
    rig.write(id(A), &set(2, 10));
    rig.break_link();
    let young = Duration::from_secs(1);
    let answer = rig.find_aged(id(B), cut, Some((id(A), cut)), young).try_recv();
    assert!(answer.expect("answered").is_err());
    assert!(
        rig.told(|notice| matches!(
            notice,
            Notice::Holding(HoldReason::WentBack { lost_bytes: 37, .. })
        )),
        "{:?}",
        rig.notices
    );
    rig.break_link();
    rig.command(Command::AcceptNewHistory);
    let answer = rig.find_aged(id(B), cut, Some((id(A), cut)), young).try_recv();
    let held = Offset::new(cut);
    let asking = answer.expect("answered").expect("followed");
    assert_eq!(asking.position, PsyncRequest::Resume { id: id(A), held });
}

/// The node is fed from disk by a reader that has read further than the node was sent; then the history is cut back and
/// goes on under the same id. What a read that was out brings back is from before the cut, too.
#[test]
fn a_node_that_is_fed_from_disk_is_given_nothing_from_before_a_cut() {
    for read_is_out in [false, true] {
        let mut rig = Rig::streaming(settings());
        // More than the tail, so that it comes from disk, and in blocks larger than a read.
        for key in 0..4000 {
            rig.write(id(A), &set(key, 1000));
        }
        rig.advance(100);
        let node = rig.attach_at(id(A), 100);
        rig.disk_is_fast = !read_is_out;
        rig.node_event(node, FollowerEvent::Written(300_000));
        let read = match rig.jobs.pop_front() {
            Some(Effect::Read(job)) => Some(run_read(*job)),
            _ => None,
        };
        assert_eq!(read.is_some(), read_is_out);
        rig.disk_is_fast = true;
        let sent = rig.node(node).at.get();
        let cut = rig.world.boundary_before(id(A), sent + 100_000);
        assert!(cut > sent && cut + 300_000 < rig.world.end(id(A)));
        rig.world.cut(id(A), cut);
        rig.command(Command::AcceptNewHistory);
        rig.break_link();
        let held = Offset::new(cut);
        assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
        rig.continued(None);
        if let Some(done) = read {
            rig.event(Event::Read(Box::new(done)));
        }
        for key in 0..1000 {
            rig.write(id(A), &set(key, 1001));
        }
        rig.advance(100);
        // The rig compares every byte.
        super::link::drain(&mut rig, node);
        assert_eq!(rig.node(node).closed, None);
        assert_eq!(
            rig.node(node).at.get(),
            rig.world.end(id(A)),
            "a read was out: {read_is_out}"
        );
    }
}

#[test]
fn a_cut_to_where_the_log_no_longer_reaches_is_a_full_copy() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.world.fork(id(B), id(A), 100);
    rig.break_link();
    let held = Offset::new(rig.world.end(id(B)));
    assert_eq!(
        rig.asked(id(B), Some((id(A), 50))),
        PsyncRequest::Resume { id: id(B), held }
    );
    rig.continued(None);
    assert_eq!(
        (rig.status().history, rig.status().log_start),
        (Some(id(B)), held)
    );
}

#[test]
fn a_cut_that_the_disk_refuses_is_a_full_copy() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let cut = rig.world.end(id(A));
    rig.write(id(A), &set(2, 10));
    rig.advance(1100);
    rig.world.fork(id(B), id(A), cut);
    rig.break_link();
    super::disk::refuse(&rig);
    let held = Offset::new(rig.world.end(id(B)));
    assert_eq!(
        rig.asked(id(B), Some((id(A), cut))),
        PsyncRequest::Resume { id: id(B), held }
    );
}

#[test]
fn a_full_copy_over_another_history_closes_whoever_followed_that() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.write(id(A), &set(1, 10));
    rig.break_link();
    rig.world.begin(id(A), 9000);
    rig.backlog_from = Some(9000);
    rig.begin(id(A));
    assert!(rig.node(node).closed.is_some());
    assert_eq!(rig.status().link, LinkState::Streaming);
    assert!(rig.told(
        |notice| matches!(notice, Notice::Begun { reason, .. } if reason.contains("does not reach back"))
    ));
    assert_eq!(
        (rig.status().log_start.get(), rig.status().log_end.get()),
        (9000, 9000)
    );
    // The first may wait for the new one; nothing of the old is given out.
    let late = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(late).reply, Reply::None);
}

/// The memory of the old history reaches beyond the offset at which the new one begins.
#[test]
fn nobody_is_given_bytes_of_the_history_before_as_those_of_a_new_one() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 500));
    rig.world.begin(id(B), 100);
    rig.world.write(id(B), &set(2, 100));
    let at = rig.world.end(id(B));
    rig.break_link();
    rig.command(Command::AcceptNewHistory);
    rig.begin(id(B));
    assert_eq!(rig.status().log_start.get(), at);
    // A replica of the new primary that moves here: what comes next for it was never received.
    let node = rig.attach_at(id(B), 100);
    assert_eq!(rig.node(node).reply, Reply::None);
}

#[test]
fn an_alias_lets_whoever_has_another_name_for_the_same_bytes_continue() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    let stranger = rig.attach_at(id(B), end);
    assert!(!rig.node(stranger).snapshot.is_empty());
    rig.alias(id(B), end);
    let node = rig.attach_at(id(B), end);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(A)));
    let beyond = rig.attach_at(id(B), end + 1);
    assert!(!rig.node(beyond).snapshot.is_empty());
    // Of many, the oldest are forgotten, and one that is said again is moved.
    for digit in "0123456789".chars() {
        for other in "cdef".chars() {
            let name = format!("{digit}{other}").repeat(20).parse().expect("an id");
            rig.alias(name, end);
        }
    }
    let node = rig.attach_at(id(B), end);
    assert!(!rig.node(node).snapshot.is_empty());
}

/// The replica nodes hold what was here before: a primary that came back empty while it was copied must not overwrite it.
#[test]
fn after_a_copy_that_broke_off_only_a_primary_that_continues_what_was_there_is_followed() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.break_link();
    rig.world.begin(id(A), 9000);
    rig.backlog_from = Some(9000);
    rig.begin(id(A));
    rig.break_link();
    rig.world.begin(id(B), 1);
    assert!(
        rig.find(id(B), None)
            .try_recv()
            .expect("answered at once")
            .is_err()
    );
    assert!(matches!(rig.status().link, LinkState::Holding(_)));
    rig.break_link();
    let held = Offset::new(9000);
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
    rig.continued(None);
    // Promoted with what the replica nodes hold, which is before where the log begins now.
    let decided = HistoryEnd {
        id: id(A),
        offset: Offset::new(110),
    };
    assert!(rig.follow_decided(2, Some(other_upstream()), Some(decided)));
    rig.world.fork(id(B), id(A), 9000);
    let answer = rig.find_aged(id(B), 200, Some((id(A), 110)), Duration::from_secs(1));
    let held = Offset::new(200);
    assert_eq!(told(answer), PsyncRequest::Resume { id: id(B), held });
    rig.continued(None);
    assert_eq!(
        (rig.status().history, rig.status().log_start),
        (Some(id(B)), held)
    );
}

fn told(mut answer: oneshot::Receiver<Result<Asking, String>>) -> PsyncRequest {
    let asking = answer.try_recv().expect("answered at once");
    asking.expect("followed").position
}

#[test]
fn a_first_copy_that_broke_off_is_begun_anew_from_whatever_comes() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    rig.attach(PsyncRequest::Full);
    rig.fetch_offer(id(A), 100);
    let first = rig.fetch;
    rig.break_link();
    rig.world.begin(id(B), 1);
    rig.begin(id(B));
    assert!(
        rig.fetch != first,
        "the first history is given to nobody any more"
    );
    rig.copy(id(B), &rdb(10));
}

/// A node that was a replica of the primary before goes on without a copy, and holds what is here from then on.
#[test]
fn what_a_node_continues_from_is_not_overwritten() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).reply, Reply::Stream(id(A)));
    rig.break_link();
    rig.world.begin(id(B), 1);
    assert!(
        rig.find(id(B), None)
            .try_recv()
            .expect("answered at once")
            .is_err()
    );
}

#[test]
fn a_primary_that_was_decided_on_is_followed_though_this_process_did_not_see_its_promotion() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let cut = rig.world.end(id(A));
    rig.write(id(A), &set(2, 10));
    rig.advance(1100);
    let mut rig = rig.restart(false);
    rig.world.fork(id(B), id(A), cut);
    let previous = Some((id(A), cut));
    assert!(
        rig.find(id(B), previous)
            .try_recv()
            .expect("answered at once")
            .is_err()
    );
    rig.break_link();
    let decided = HistoryEnd {
        id: id(A),
        offset: Offset::new(cut),
    };
    assert!(rig.follow_decided(2, Some(other_upstream()), Some(decided)));
    let position = rig.asked(id(B), previous);
    assert!(matches!(position, PsyncRequest::Resume { held, .. } if held.get() == cut));
}

#[test]
fn told_to_follow_whom_it_follows_it_goes_on_with_the_copy_that_is_under_way() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.begin(id(A));
    rig.attach(PsyncRequest::Full);
    rig.fetch_offer(id(A), 100);
    let (link, fetch) = (rig.link, rig.fetch);
    assert!(rig.follow(3, Some(upstream())));
    assert_eq!((rig.link, rig.fetch), (link, fetch));
    assert!(rig.status().copy.is_some());
}
