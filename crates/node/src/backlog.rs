//! How large a node's backlog has to be: from it others continue after a short loss of the connection, and from it the
//! writes are fetched that a failover leaves behind.

use crate::info::{Info, ReplicationInfo};

/// At least so much, in bytes.
pub(crate) const BACKLOG_BYTES_MIN: u64 = 64 << 20;
/// Never more, in bytes: it is memory.
const BACKLOG_BYTES_MAX: u64 = 1 << 30;
/// A connection that is lost for this long should still continue with a partial resync.
pub(crate) const BACKLOG_SECONDS_MIN: u64 = 60;
/// It is made a multiple of this.
const STEP_BYTES: u64 = 1 << 20;

/// How fast the node's data changes, in bytes a second: now, or on average since it began, whichever is more.
pub(crate) fn rate(info: &Info, replication: &ReplicationInfo) -> u64 {
    let now = info.parsed::<f64>("instantaneous_input_kbps").unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate in bytes per second, estimated: clamped to what fits"
    )]
    let now = (now.max(0.0) * 1024.0) as u64;
    let average = replication.offset.get() / info.server().uptime_s.unwrap_or(0).max(1);
    now.max(average)
}

/// The size that a node of a group needs, in bytes, at this rate in bytes a second.
pub(crate) fn wanted(rate: u64) -> u64 {
    let wanted = rate.saturating_mul(BACKLOG_SECONDS_MIN).min(BACKLOG_BYTES_MAX);
    wanted.max(BACKLOG_BYTES_MIN).next_multiple_of(STEP_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_a_minute_and_never_less_than_64_mib_nor_more_than_1_gib() {
        assert_eq!(wanted(0), 64 << 20);
        assert_eq!(wanted(1 << 20), 64 << 20);
        assert_eq!(wanted(2 << 20), 120 << 20);
        assert_eq!(wanted((2 << 20) + 1), 121 << 20);
        assert_eq!(wanted(u64::MAX), 1 << 30);
    }
}
