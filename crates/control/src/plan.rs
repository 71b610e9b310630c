//! The planner: pure functions from what was observed to what is done next, each with its reason.
//!
//! No I/O, no clocks, no strings from outside. The executor calls a function here after every event, does the one step
//! that it names, and calls it again; what was done before a crash is seen in what is observed after it. The model in
//! `tests/model` explores the same functions against crashes, pauses and lost messages.
//!
//! - [`health`]: is the primary lost, and may a replica service be promoted without a person?
//! - [`failover`], [`switchover`]: the next step of a change of primary;
//! - [`rejoin`]: the next step for a node that a failover left behind.

pub mod failover;
pub mod health;
pub mod rejoin;
pub mod switchover;

use std::time::Duration;

/// A node of the group, by its place in the caller's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub usize);

/// Seconds for people, to a tenth.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
