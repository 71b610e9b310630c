//! The log on disk: when it is written and synced, a disk that refuses and comes back, and what it gives back wrong.

use std::time::Duration;

use sterna_log::LogSettings;
use sterna_log::sim::Faults;
use sterna_model::Acknowledge;

use super::node::Reply;
use super::rig::{A, B, Rig, settings};
use super::world::{getack, id, set};
use crate::settings::ShardSettings;
use crate::shard::event::{Effect, Event};
use crate::status::Notice;

/// From now on the disk takes nothing more.
pub(super) fn refuse(rig: &Rig) {
    let capacity_bytes = Some(rig.fs.used_bytes());
    rig.fs.set_faults(Faults {
        capacity_bytes,
        fail_per_1000: 1000,
        ..Faults::default()
    });
}

pub(super) fn allow(rig: &Rig) {
    rig.fs.set_faults(Faults::default());
}

fn appends(rig: &Rig) -> Vec<(u64, bool)> {
    let jobs = rig.jobs.iter().filter_map(|job| match job {
        Effect::Log(job) => Some(job),
        _ => None,
    });
    jobs.map(|job| {
        let bytes = job.blocks.iter().flat_map(|block| &block.bytes);
        (bytes.map(|bytes| bytes.len() as u64).sum(), job.sync)
    })
    .collect()
}

#[test]
fn what_is_new_is_written_after_a_moment_or_when_there_is_much_and_synced_each_second() {
    let mut rig = Rig::streaming(settings());
    rig.advance(1100);
    rig.disk_is_fast = false;
    rig.write(id(A), &set(1, 10));
    assert_eq!(
        appends(&rig),
        [(37, true)],
        "at once, for a sync has been due for long"
    );
    rig.do_jobs();
    rig.write(id(A), &set(2, 10));
    assert_eq!(appends(&rig), []);
    rig.advance(50);
    assert_eq!(appends(&rig), [(37, false)]);
    // One job at a time.
    rig.write(id(A), &set(3, 10));
    rig.advance(500);
    assert_eq!(appends(&rig).len(), 1);
    rig.do_job();
    rig.advance(50);
    assert_eq!(appends(&rig), [(37, false)]);
    rig.do_job();
    rig.write_in(id(A), &set(4, 1_100_000), 64 * 1024);
    assert_eq!(appends(&rig).len(), 1, "at once, for it is much");
    rig.do_jobs();
    rig.advance(1000);
    rig.do_jobs();
    assert_eq!(
        (rig.status().log_durable.get(), rig.status().counters.syncs > 1),
        (rig.world.end(id(A)), true)
    );
}

#[test]
fn a_primary_that_waits_makes_it_sync_at_once() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    let asked = rig.world.end(id(A));
    let before = rig.acked.len();
    rig.write(id(A), &getack());
    rig.event(Event::Tick { late: Duration::ZERO });
    assert!(
        rig.acked[before..].iter().any(|acked| acked.get() >= asked),
        "{:?}",
        rig.acked
    );
    // What the nodes have applied does not wait for this disk.
    let acknowledge = Acknowledge::Replica;
    let mut rig = Rig::streaming(ShardSettings {
        acknowledge,
        ..settings()
    });
    rig.disk_is_fast = false;
    rig.advance(1100);
    rig.do_jobs();
    rig.write(id(A), &set(1, 10));
    rig.do_jobs();
    rig.write(id(A), &getack());
    rig.advance(100);
    assert!(appends(&rig).iter().all(|(_, sync)| !sync), "{:?}", appends(&rig));
}

#[test]
fn a_disk_that_refuses_is_told_and_tried_again_and_the_stream_goes_on() {
    let mut rig = Rig::streaming(settings());
    let node = rig.attach_at(id(A), 100);
    rig.write(id(A), &set(1, 10));
    rig.advance(1100);
    let durable = rig.status().log_durable;
    refuse(&rig);
    rig.write(id(A), &set(2, 10));
    rig.advance(1100);
    assert!(rig.told(|notice| matches!(notice, Notice::DiskFailed { .. })));
    assert!(rig.status().disk_error.is_some());
    rig.advance(12_000);
    let told = rig
        .notices
        .iter()
        .filter(|notice| matches!(notice, Notice::DiskFailed { .. }))
        .count();
    assert!(told <= 3, "{:?}", rig.notices);
    assert_eq!(
        rig.acked.last(),
        Some(&durable),
        "only what is durable is acknowledged"
    );
    assert_eq!(
        rig.node(node).at.get(),
        rig.world.end(id(A)),
        "nodes are fed nevertheless"
    );
    allow(&rig);
    rig.advance(6000);
    assert!(rig.told(|notice| matches!(notice, Notice::DiskRecovered)));
    assert_eq!(
        (rig.status().disk_error, rig.status().log_durable.get()),
        (None, rig.world.end(id(A)))
    );
    // Nothing is missing on it.
    let mut rig = rig.restart(true);
    let node = rig.attach_at(id(A), 100);
    assert_eq!(rig.node(node).at.get(), rig.world.end(id(A)));
}

#[test]
fn a_log_that_the_stream_has_left_behind_begins_anew_without_a_hole() {
    let mut rig = Rig::streaming(settings());
    rig.advance(1100);
    refuse(&rig);
    for key in 0..20 {
        rig.write_in(id(A), &set(key, 30_000), 64 * 1024);
        rig.advance(100);
        assert!(
            rig.shard.accepts_stream(),
            "a disk that refuses never stalls the primary"
        );
    }
    assert!(
        rig.status().memory_bytes <= 100_000,
        "{}",
        rig.status().memory_bytes
    );
    let oldest = rig.status().log_start.get();
    let gone = rig.attach_at(id(A), oldest - 1);
    assert_eq!(
        rig.node(gone).reply,
        Reply::None,
        "what is neither in memory nor on disk is gone"
    );
    let end = rig.world.end(id(A));
    allow(&rig);
    rig.advance(7000);
    rig.write(id(A), &set(50, 10));
    rig.advance(1100);
    assert_eq!(rig.status().log_durable.get(), rig.world.end(id(A)));
    let rig = rig.restart(true);
    assert_eq!(
        (rig.status().log_start.get(), rig.status().log_end.get()),
        (end, rig.world.end(id(A)))
    );
}

#[test]
fn a_full_disk_gives_up_the_oldest_and_goes_on() {
    let log = LogSettings {
        segment_bytes: 100_000,
        ..LogSettings::default()
    };
    let mut rig = Rig::streaming(ShardSettings { log, ..settings() });
    rig.advance(1100);
    let capacity_bytes = Some(rig.fs.used_bytes() + 600_000);
    rig.fs.set_faults(Faults {
        capacity_bytes,
        ..Faults::default()
    });
    for key in 0..30 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(1000);
    }
    assert_eq!(rig.status().disk_error, None);
    assert!(rig.status().log_start.get() > 100);
    assert_eq!(rig.status().log_durable.get(), rig.world.end(id(A)));
}

/// The disk refuses just when the primary changes its id, and recovers before the stream has left the log behind.
#[test]
fn a_new_id_that_the_disk_refused_is_written_when_it_recovers() {
    for ids in [1, 2] {
        let mut rig = Rig::streaming(settings());
        rig.write(id(A), &set(1, 10));
        rig.advance(1100);
        let mut current = A;
        let mut cut = 0;
        for next in "bc".chars().take(ids) {
            cut = rig.world.end(id(current));
            rig.world.fork(id(next), id(current), cut);
            rig.break_link();
            rig.asked(id(next), Some((id(current), cut)));
            refuse(&rig);
            rig.continued(Some(id(next)));
            rig.world.write(id(next), &set(2, 10));
            rig.deliver(&set(2, 10));
            current = next;
        }
        assert!(rig.status().disk_error.is_some());
        assert_eq!(rig.status().history, Some(id(current)));
        allow(&rig);
        rig.advance(8000);
        let end = rig.world.end(id(current));
        assert_eq!(
            (rig.status().disk_error, rig.status().log_durable.get()),
            (None, end)
        );
        let mut rig = rig.restart(true);
        assert_eq!(
            (rig.status().history, rig.status().log_end.get()),
            (Some(id(current)), end),
            "{ids} ids"
        );
        // The old name still counts, up to where it ended.
        let node = rig.attach_at(id(A), 100);
        assert_eq!(
            (rig.node(node).reply.clone(), rig.node(node).at.get()),
            (Reply::Stream(id(current)), end)
        );
        assert!(cut > 100);
    }
}

#[test]
fn a_new_history_that_the_disk_refuses_is_refused_and_the_old_one_still_counts() {
    let mut rig = Rig::streaming(settings());
    rig.write(id(A), &set(1, 10));
    rig.advance(1100);
    let end = rig.status().log_end;
    rig.break_link();
    rig.world.begin(id(A), 9000);
    rig.backlog_from = Some(9000);
    rig.asked(id(A), None);
    refuse(&rig);
    let link = rig.link;
    rig.continued(None);
    assert!(rig.link > link && rig.status().disk_error.is_some());
    assert!(rig.connections[&rig.link].delay >= Duration::from_secs(5));
    rig.advance(6000);
    allow(&rig);
    rig.advance(6000);
    assert_eq!(rig.status().disk_error, None);
    assert_eq!((rig.status().history, rig.status().log_end), (Some(id(A)), end));
    // The replica nodes hold it: another is not taken.
    rig.world.begin(id(B), 9000);
    assert!(
        rig.find(id(B), None)
            .try_recv()
            .expect("answered at once")
            .is_err()
    );
    rig.break_link();
    rig.begin(id(A));
    rig.write(id(A), &set(1, 10));
    rig.advance(1100);
    let rig = rig.restart(true);
    assert_eq!(
        (rig.status().history, rig.status().log_start.get()),
        (Some(id(A)), 9000)
    );
}

/// Every operation of the disk at which beginning a new history can fail.
#[test]
fn a_new_history_may_fail_at_every_step() {
    for step in 1..40 {
        let mut rig = Rig::streaming(settings());
        rig.write(id(A), &set(1, 10));
        rig.advance(1100);
        rig.break_link();
        rig.world.begin(id(A), 9000);
        rig.backlog_from = Some(9000);
        rig.asked(id(A), None);
        rig.fs.set_faults(Faults {
            fail_at: Some(rig.fs.operations() + step),
            ..Faults::default()
        });
        let link = rig.link;
        rig.continued(None);
        if rig.link > link {
            rig.advance(12_000);
        }
        rig.break_link();
        rig.fs.set_faults(Faults::default());
        rig.world.begin(id(A), 9500);
        rig.backlog_from = Some(9500);
        rig.advance(12_000);
        rig.begin(id(A));
        rig.write(id(A), &set(2, 10));
        rig.advance(1100);
        let end = rig.world.end(id(A));
        assert_eq!(rig.status().log_durable.get(), end, "step {step}");
        let rig = rig.restart(true);
        assert_eq!(
            (rig.status().log_start.get(), rig.status().log_end.get()),
            (9500, end),
            "step {step}"
        );
    }
}

#[test]
fn a_slow_disk_pushes_back_on_the_stream() {
    let mut rig = Rig::streaming(settings());
    rig.disk_is_fast = false;
    let mut bytes = 0;
    while rig.shard.accepts_stream() {
        rig.write_in(id(A), &set(1, 60_000), 64 * 1024);
        bytes += 60_000;
        assert!(bytes < 20 << 20, "no end");
    }
    assert!(rig.status().memory_bytes <= 5 << 20);
    rig.do_jobs();
    assert!(rig.shard.accepts_stream());
    rig.do_jobs();
    assert!(
        rig.status().memory_bytes <= 128 << 10,
        "{}",
        rig.status().memory_bytes
    );
}

#[test]
fn what_the_disk_gives_back_wrong_is_not_given_on_and_whoever_needs_it_gets_a_full_copy() {
    let mut rig = Rig::streaming(settings());
    for key in 0..10 {
        rig.write_in(id(A), &set(key, 60_000), 64 * 1024);
        rig.advance(100);
    }
    rig.advance(1100);
    let path = rig
        .fs
        .paths()
        .into_iter()
        .find(|path| path.extension().is_some_and(|end| end == "seg"));
    let path = path.expect("a segment");
    let mut bytes = rig.fs.contents(&path).expect("there");
    bytes[200_000] ^= 1;
    rig.fs.put(&path, Some(bytes));
    let node = rig.attach_at(id(A), 100);
    super::link::drain(&mut rig, node);
    let closed = rig.node(node).closed.as_deref();
    assert!(
        closed.is_some_and(|reason| reason.contains("damaged")),
        "{closed:?}"
    );
    let reached = rig.node(node).at.get();
    let again = rig.attach_at(id(A), reached);
    assert!(
        !matches!(rig.node(again).reply, Reply::Stream(_)),
        "{:?}",
        rig.node(again)
    );
    rig.advance(10_000);
    assert!(rig.fetch.is_some());
    // Who is past the damage goes on.
    let past = rig.attach_at(id(A), rig.world.end(id(A)));
    assert!(matches!(rig.node(past).reply, Reply::Stream(_)));
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_at_any_moment() {
    for moment in 0..60 {
        let mut rig = Rig::streaming(settings());
        for key in 0..=moment {
            rig.write(id(A), &set(key, 200));
            rig.advance(50);
            if key % 7 == 0 {
                rig.write(id(A), &getack());
            }
        }
        let acked = rig.acked.last().copied().unwrap_or_default();
        let rig = rig.restart(true);
        assert!(
            rig.status().log_end >= acked,
            "{moment}: {} of {acked}",
            rig.status().log_end
        );
    }
}
