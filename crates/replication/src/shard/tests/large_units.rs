//! Units that are larger than memory may be: they wait on disk for their end, and go out whole.

use sterna_model::LinkState;
use sterna_protocol::Offset;
use sterna_protocol::psync::PsyncRequest;

use super::disk::{allow, refuse};
use super::link::drain;
use super::rig::{A, B, Rig, other_upstream, settings};
use super::world::{getack, id, rdb, set};
use crate::settings::{ShardSettings, UNWRITTEN_BYTES_MIN};
use crate::shard::event::FollowerId;
use crate::status::Notice;

const MIB: usize = 1 << 20;
const PIECE: usize = 64 * 1024;

/// A shard whose stream flows, and a node that has all of it.
fn with_node() -> (Rig, FollowerId) {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let end = rig.world.end(id(A));
    let node = rig.attach_at(id(A), end);
    rig.ack(node, end);
    (rig, node)
}

/// The rig bounds what every event leaves in memory: see `check`.
#[test]
fn one_that_is_larger_than_memory_waits_on_disk_and_is_given_whole() {
    let (mut rig, node) = with_node();
    let (before, copies) = (rig.world.end(id(A)), rig.status().counters.full_syncs_down);
    let large = set(2, 15 * MIB);
    let (most, last) = large.split_at(large.len() - PIECE);
    rig.world.write(id(A), &large);
    let mut peak = 0;
    for piece in most.chunks(PIECE) {
        rig.deliver(piece);
        peak = peak.max(rig.status().memory_bytes);
    }
    assert!(peak <= UNWRITTEN_BYTES_MIN, "{peak} bytes of it were in memory");
    assert_eq!(
        (rig.node(node).at.get(), rig.status().log_end.get()),
        (before, before)
    );
    // One that comes now has all that is whole, and waits for the rest.
    let other = rig.attach_at(id(A), before);
    rig.deliver(last);
    rig.write(id(A), &set(3, 10));
    rig.advance(100);
    for node in [node, other] {
        drain(&mut rig, node);
        assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    }
    assert_eq!(rig.status().counters.full_syncs_down, copies);
}

/// The last part is on its way to the disk when the unit is whole: the node waits for that, and is not read for in a loop.
#[test]
fn the_rest_of_it_is_given_when_it_is_on_disk() {
    let (mut rig, node) = with_node();
    let large = set(2, 8 * MIB);
    let (most, last) = large.split_at(large.len() - PIECE);
    rig.world.write(id(A), &large);
    most.chunks(PIECE).for_each(|piece| rig.deliver(piece));
    rig.disk_is_fast = false;
    rig.deliver(last);
    rig.advance(100);
    assert_eq!(rig.jobs.len(), 1, "{:?}", rig.jobs);
    rig.disk_is_fast = true;
    rig.do_jobs();
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

/// A node has everything up to the offset that is returned, and the primary then sends a unit that is larger than the limit.
fn with_too_large_a_unit() -> (Rig, FollowerId, u64) {
    let mut rig = Rig::streaming(ShardSettings {
        unit_bytes_max: 2 * MIB as u64,
        ..settings()
    });
    rig.backlog_from = Some(1);
    rig.write(id(A), &set(1, 10));
    let before = rig.world.end(id(A));
    let node = rig.attach_at(id(A), before);
    rig.ack(node, before);
    let large = set(2, 3 * MIB);
    let link = rig.link;
    rig.world.write(id(A), &large);
    for piece in large.chunks(PIECE) {
        if rig.link == link {
            rig.deliver(piece);
        }
    }
    assert!(rig.link > link, "the connection goes on");
    (rig, node, before)
}

/// Its primary dies, and the one that is promoted never had it: nothing stands in the way of going on.
#[test]
fn one_that_the_next_primary_never_had_costs_no_copy() {
    let (mut rig, node, before) = with_too_large_a_unit();
    rig.world.fork(id(B), id(A), before);
    assert!(rig.follow(5, Some(other_upstream())));
    let held = Offset::new(before);
    assert_eq!(
        rig.asked(id(B), Some((id(A), before))),
        PsyncRequest::Resume { id: id(A), held }
    );
    rig.continued(Some(id(B)));
    assert!(!rig.told(|notice| matches!(notice, Notice::Begun { .. })));
    rig.write(id(B), &set(3, 10));
    let node = if rig.node(node).is_let_go() {
        rig.attach_at(id(B), before)
    } else {
        node
    };
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(B)));
}

/// The log can't hold it, and goes on after it; who followed is given a full copy, which has what it did.
#[test]
fn one_that_is_larger_than_the_limit_is_not_taken_and_a_copy_takes_its_place() {
    let (mut rig, node, before) = with_too_large_a_unit();
    let LinkState::Retrying { error } = rig.status().link else {
        panic!("{:?}", rig.status().link);
    };
    assert!(
        error.contains(&format!("after offset {before} is larger")),
        "{error}"
    );
    // From where the primary is, and not from before it, which would bring it again.
    let held = Offset::new(rig.world.end(id(A)));
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
    rig.continued(None);
    assert!(
        rig.told(
            |notice| matches!(notice, Notice::Begun { reason, .. } if reason.contains("unit_bytes_max"))
        )
    );
    assert!(rig.node(node).is_let_go());
    let node = rig.attach_at(id(A), before);
    rig.advance(11_000);
    rig.copy(id(A), &rdb(100));
    rig.ack(node, held.get());
    rig.write(id(A), &set(3, 10));
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
    assert_eq!(rig.status().link, LinkState::Streaming);
}

/// A copy was taken from where the primary is, which is beyond what has come of the stream: it stays when that is sent again.
#[test]
fn a_copy_from_beyond_it_outlives_the_link() {
    let mut rig = Rig::with(settings());
    rig.world.begin(id(A), 100);
    rig.backlog_from = Some(1);
    rig.begin(id(A));
    let before = rig.world.end(id(A));
    let large = set(2, 3 * MIB);
    rig.world.write(id(A), &large);
    large[..2 * MIB]
        .chunks(PIECE)
        .for_each(|piece| rig.deliver(piece));
    rig.attach(PsyncRequest::Full);
    rig.copy(id(A), &rdb(100));
    rig.break_link();
    let held = Offset::new(before);
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
    rig.continued(None);
    large.chunks(PIECE).for_each(|piece| rig.deliver(piece));
    rig.advance(2000);
    let rig = rig.restart(false);
    assert!(rig.status().has_snapshot, "the file of the copy is gone");
}

/// Its beginning is on a disk that takes nothing more, or gives nothing back: it can't be given whole, and memory stays bounded.
#[test]
fn one_whose_beginning_a_failed_disk_has_needs_a_copy() {
    let (mut rig, node) = with_node();
    let before = rig.world.end(id(A));
    let large = set(2, 12 * MIB);
    rig.world.write(id(A), &large);
    let mut pieces = large.chunks(PIECE);
    pieces.by_ref().take(100).for_each(|piece| rig.deliver(piece));
    refuse(&rig);
    pieces.for_each(|piece| rig.deliver(piece));
    assert!(rig.told(|notice| matches!(notice, Notice::DiskFailed { .. })));
    assert_eq!(rig.node(node).at.get(), before);
    assert!(rig.node(node).is_let_go(), "it would wait for ever");
    allow(&rig);
    rig.advance(11_000);
    let node = rig.attach_at(id(A), before);
    rig.copy(id(A), &rdb(100));
    rig.ack(node, rig.world.end(id(A)));
    rig.write(id(A), &set(3, 10));
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

/// A unit arrives in parts, of which some are on disk: nothing of it is acknowledged.
#[test]
fn a_part_of_a_unit_is_not_acknowledged() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.advance(1100);
    let whole = rig.world.end(id(A));
    for piece in set(2, 4 << 20)[..3 << 20].chunks(64 * 1024) {
        rig.deliver(piece);
        rig.advance(50);
    }
    rig.advance(3000);
    assert_eq!(
        (
            rig.status().log_durable.get(),
            rig.acked.last().map(|acked| acked.get())
        ),
        (whole, Some(whole))
    );
}

/// A whole unit and a part of the next are synced at once.
#[test]
fn a_part_of_a_unit_that_is_synced_is_not_acknowledged_either() {
    let mut rig = Rig::streaming(settings());
    rig.advance(1100);
    rig.disk_is_fast = false;
    rig.write(id(A), &set(1, 10));
    rig.write(id(A), &set(2, 10));
    rig.write(id(A), &getack());
    let whole = rig.world.end(id(A));
    for piece in set(3, 4 << 20)[..2 << 20].chunks(64 * 1024) {
        rig.deliver(piece);
    }
    rig.do_jobs();
    rig.advance(1100);
    rig.do_jobs();
    assert_eq!(rig.status().log_durable.get(), whole);
    assert_eq!(rig.acked.last().map(|acked| acked.get()), Some(whole));
}

/// A unit that does not wait in memory for its end is on disk in part; the link breaks, and the same primary sends it again.
#[test]
fn a_link_that_breaks_inside_a_large_unit_goes_on() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 100));
    let whole = rig.world.end(id(A));
    let large = set(2, 3 * 1024 * 1024);
    for piece in large[..2 * 1024 * 1024].chunks(64 * 1024) {
        rig.deliver(piece);
    }
    rig.break_link();
    assert_eq!(rig.status().log_end.get(), whole);
    assert!(
        rig.shard.accepts_stream(),
        "nothing more is taken from the primary, for ever"
    );
    let held = Offset::new(whole);
    assert_eq!(rig.asked(id(A), None), PsyncRequest::Resume { id: id(A), held });
    rig.continued(None);
    rig.write_in(id(A), &large, 64 * 1024);
    rig.advance(2000);
    let status = rig.status();
    assert_eq!(
        (status.log_end.get(), status.log_durable),
        (rig.world.end(id(A)), status.log_end)
    );
    // From disk, and after a start, it is what was sent.
    let rig = rig.restart(true);
    let mut rig = rig;
    let node = rig.attach_at(id(A), 100);
    rig.asked(id(A), None);
    rig.continued(None);
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

/// The same, but another primary goes on, which never had that unit.
#[test]
fn a_large_unit_that_a_promoted_primary_never_had_leaves_nothing_behind() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 100));
    let whole = rig.world.end(id(A));
    for piece in set(2, 3 * 1024 * 1024)[..2 * 1024 * 1024].chunks(64 * 1024) {
        rig.deliver(piece);
    }
    rig.break_link();
    rig.world.fork(id(B), id(A), whole);
    rig.world.write(id(B), &set(3, 50));
    assert!(matches!(
        rig.asked(id(B), Some((id(A), whole))),
        PsyncRequest::Resume { .. }
    ));
    rig.continued(Some(id(B)));
    assert!(
        !rig.told(|notice| matches!(notice, Notice::DiskFailed { .. })),
        "{:?}",
        rig.notices
    );
    rig.deliver(&set(3, 50));
    rig.advance(2000);
    let rig = rig.restart(true);
    let mut rig = rig;
    assert_eq!(rig.status().history, Some(id(B)));
    let node = rig.attach_at(id(B), 100);
    drain(&mut rig, node);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(B)));
}
