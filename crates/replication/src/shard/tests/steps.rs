//! What the random sequences are made of.

use proptest::prelude::*;

/// One thing that the test does. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The primary writes a command of so many bytes, and `deliver` of 4 quarters of what it has arrive.
    Write {
        bytes: usize,
        deliver: u8,
    },
    Transaction,
    GetAck,
    /// The link goes on with what is next: found, answered, the stream.
    Primary,
    BreakLink,
    BadBytes,
    /// The primary is replaced by one that has this much (of 4 quarters) of what it wrote last.
    Failover {
        kept: u8,
    },
    /// The primary comes back with less under the same id.
    ForgetTail,
    /// The primary begins a history of its own.
    NewHistory,
    /// What the primary's backlog held before this moment is overwritten.
    LosesBacklog,
    AcceptNewHistory,
    Fetch {
        good: bool,
    },
    Attach {
        behind: u16,
        full: bool,
        failover: bool,
    },
    /// What node number `node` does: acknowledges what it has, lives, reports bytes, goes.
    Node {
        node: usize,
        what: u8,
    },
    SlowNode(usize),
    SlowDisk(bool),
    DoJob,
    DiskRefuses,
    DiskRecovers,
    Time(u16),
    Handover(u8),
    Follow,
    /// The process is killed, or the machine's power fails.
    Restart {
        power: bool,
    },
}

/// Longer than memory, and now and then so long that it does not wait there for its end, or is not taken.
fn long() -> impl Strategy<Value = usize> {
    prop_oneof![
        20 => 20_000..90_000_usize,
        1 => 1_200_000..3_000_000_usize,
    ]
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..3000_usize, 0..=4_u8).prop_map(|(bytes, deliver)| Step::Write { bytes, deliver }),
        2 => (long(), 0..=4_u8).prop_map(|(bytes, deliver)| Step::Write { bytes, deliver }),
        1 => Just(Step::Transaction),
        2 => Just(Step::GetAck),
        12 => Just(Step::Primary),
        2 => Just(Step::BreakLink),
        1 => Just(Step::BadBytes),
        1 => (0..=4_u8).prop_map(|kept| Step::Failover { kept }),
        1 => Just(Step::ForgetTail),
        1 => Just(Step::NewHistory),
        1 => Just(Step::LosesBacklog),
        1 => Just(Step::AcceptNewHistory),
        3 => any::<bool>().prop_map(|good| Step::Fetch { good }),
        4 => (any::<u16>(), prop::bool::weighted(0.2), prop::bool::weighted(0.1))
            .prop_map(|(behind, full, failover)| Step::Attach { behind, full, failover }),
        8 => (any::<usize>(), 0..5_u8).prop_map(|(node, what)| Step::Node { node, what }),
        1 => any::<usize>().prop_map(Step::SlowNode),
        2 => any::<bool>().prop_map(Step::SlowDisk),
        6 => Just(Step::DoJob),
        1 => Just(Step::DiskRefuses),
        2 => Just(Step::DiskRecovers),
        8 => (1..3000_u16).prop_map(Step::Time),
        1 => (0..3_u8).prop_map(Step::Handover),
        1 => Just(Step::Follow),
        1 => any::<bool>().prop_map(|power| Step::Restart { power }),
    ]
}
