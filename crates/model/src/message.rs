//! The one table of sentences: what a person reads for each value of a status. Command line, logs, alerts and the
//! `message` fields of the API all say it in these words; control and the planner make none of their own.

mod alert;
mod copy;
mod group;
mod link;
mod node;
mod operation;
mod primary;
mod step;

use std::time::Duration;

/// Seconds for people, to a tenth.
pub fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
