//! Thousands of random sequences of events. The rig checks the invariants after every single one.

use proptest::collection::vec;
use proptest::prelude::*;
use sterna_model::Acknowledge;

use super::play::Play;
use super::steps::{Step, step};

fn cases() -> u32 {
    let asked = std::env::var("STERNA_SHARD_CASES").ok();
    asked.and_then(|cases| cases.parse().ok()).unwrap_or(1000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_or_mixed_up(
        steps in vec(step(), 1..120),
        gateway in any::<bool>(),
        lease in prop::bool::weighted(0.3),
    ) {
        let acknowledge = if gateway { Acknowledge::Gateway } else { Acknowledge::Replica };
        let mut play = Play::new(acknowledge, lease);
        for step in &steps {
            play = play.step(step);
        }
        play.ends_well();
    }
}

/// What the log recovers after the disk refused it may end before a snapshot that was taken from memory's end: the
/// snapshot's file goes with that, and nobody may be offered it any more.
#[test]
fn a_snapshot_that_went_with_what_the_log_could_not_recover_is_not_offered() {
    let attach = Step::Attach {
        behind: 0,
        full: true,
        failover: false,
    };
    let steps = [
        Step::Primary,
        Step::Primary,
        Step::Restart { power: false },
        attach,
        Step::Primary,
        Step::Primary,
        Step::GetAck,
        Step::Fetch { good: true },
        Step::DiskRefuses,
        Step::Time(1),
    ];
    let mut play = Play::new(Acknowledge::Replica, false);
    for step in &steps {
        play = play.step(step);
    }
    play.ends_well();
}

/// The disk takes the log again while a large unit has come in part.
#[test]
fn a_disk_that_takes_the_log_again_within_a_large_unit_has_work_that_ends() {
    let write = |bytes, deliver| Step::Write { bytes, deliver };
    let steps = [
        Step::Primary,
        Step::Fetch { good: false },
        Step::Primary,
        write(1, 0),
        Step::Primary,
        write(1, 0),
        Step::DiskRefuses,
        Step::Time(1),
        Step::Time(1),
        Step::Time(51),
        Step::Time(751),
        write(1_200_000, 1),
        Step::SlowNode(4013),
        Step::Time(667),
    ];
    let mut play = Play::new(Acknowledge::Replica, false);
    for step in &steps {
        play = play.step(step);
    }
    play.ends_well();
}
