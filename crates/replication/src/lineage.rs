//! May this primary continue our history? A pure decision, taken before `PSYNC` is sent (invariants I4 and I5).
//!
//! A primary names its history in `INFO replication`: `master_replid`, and `master_replid2` up to
//! `second_repl_offset` for the history that it was promoted from. A full resync throws away what the replica nodes
//! hold, so it is allowed only where the primary's history is a successor of ours, or a person said so.

use std::time::Duration;

use sterna_model::HoldReason;
use sterna_protocol::{Offset, ReplicationId};

/// By how much `uptime_in_seconds` may exceed a process's age: one that started 10 ms before a full second says 1 just
/// after it.
const UPTIME_EXCESS: Duration = Duration::from_secs(1);

/// What we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    /// The history the log is in.
    pub(crate) id: ReplicationId,
    /// The last whole unit that the log holds.
    pub(crate) end: Offset,
}

/// What the primary says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lineage {
    /// `master_replid`.
    pub id: ReplicationId,
    /// `master_repl_offset`.
    pub offset: Offset,
    /// `master_replid2` and the last offset at which the two histories agree (`second_repl_offset` less one).
    pub previous: Option<(ReplicationId, Offset)>,
    /// For how long this process has been running.
    pub uptime: Duration,
}

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Assessment {
    /// Ask for a full copy: there is nothing here yet, or it was accepted that what is here is overwritten.
    Full,
    /// Ask for what comes after the log's end.
    Resume,
    /// The primary was promoted before it had our last bytes: cut the log back to `to`, then resume.
    CutBack { to: Offset },
    /// Do not follow this primary.
    Hold(HoldReason),
}

/// Decides how to follow a primary that says `offered` of itself.
///
/// `silent_for` is how long ago the last byte of our history arrived, if that was in this process's life: a process
/// that was already running then did not restart from an old snapshot, so bytes it misses were lost in a failover
/// inside the service, which is cut back and followed. A server counts its uptime from one full second of the clock to
/// another, so what it says may be up to [`UPTIME_EXCESS`] too much. `accepted` is a person's `--accept-new-history`.
pub(crate) fn assess(
    held: Option<Held>,
    offered: &Lineage,
    silent_for: Option<Duration>,
    accepted: bool,
) -> Assessment {
    let Some(held) = held else { return Assessment::Full };
    let common = if offered.id == held.id {
        Some(offered.offset)
    } else {
        offered
            .previous
            .filter(|(id, _)| *id == held.id)
            .map(|(_, last)| last)
    };
    match common {
        Some(common) if held.end <= common => Assessment::Resume,
        Some(common) => {
            let lived_through = silent_for.is_some_and(|silent| offered.uptime > silent + UPTIME_EXCESS);
            if accepted || (lived_through && offered.id != held.id) {
                Assessment::CutBack { to: common }
            } else {
                Assessment::Hold(HoldReason::WentBack {
                    common,
                    lost_bytes: held.end.bytes_since(common),
                })
            }
        }
        None if accepted => Assessment::Full,
        None => Assessment::Hold(HoldReason::UnrelatedHistory {
            held: held.id,
            held_offset: held.end,
            offered: offered.id,
            offered_offset: offered.offset,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    fn id(digit: char) -> ReplicationId {
        digit.to_string().repeat(40).parse().expect("forty digits")
    }

    fn held(end: u64) -> Held {
        Held {
            id: id('a'),
            end: Offset::new(end),
        }
    }

    fn offered(name: char, offset: u64, previous: Option<(char, u64)>, uptime: Duration) -> Lineage {
        Lineage {
            id: id(name),
            offset: Offset::new(offset),
            previous: previous.map(|(name, last)| (id(name), Offset::new(last))),
            uptime,
        }
    }

    #[test]
    fn with_nothing_here_a_full_copy_is_asked_for() {
        assert_eq!(
            assess(None, &offered('b', 5, None, HOUR), None, false),
            Assessment::Full
        );
    }

    #[test]
    fn the_same_history_resumes() {
        assert_eq!(
            assess(Some(held(10)), &offered('a', 10, None, HOUR), None, false),
            Assessment::Resume
        );
        assert_eq!(
            assess(Some(held(10)), &offered('a', 99, None, HOUR), None, false),
            Assessment::Resume
        );
    }

    #[test]
    fn a_promoted_node_that_had_all_of_it_resumes_even_after_a_restart() {
        let promoted = offered('b', 50, Some(('a', 10)), SECOND);
        assert_eq!(assess(Some(held(10)), &promoted, None, false), Assessment::Resume);
    }

    #[test]
    fn a_promoted_node_that_missed_the_tail_is_followed_after_a_cut() {
        let promoted = offered('b', 50, Some(('a', 7)), HOUR);
        assert_eq!(
            assess(Some(held(10)), &promoted, Some(SECOND), false),
            Assessment::CutBack { to: Offset::new(7) }
        );
    }

    #[test]
    fn a_primary_that_restarted_from_an_old_snapshot_holds() {
        let restarted = offered('b', 7, Some(('a', 7)), SECOND);
        let hold = Assessment::Hold(HoldReason::WentBack {
            common: Offset::new(7),
            lost_bytes: 3,
        });
        assert_eq!(
            assess(Some(held(10)), &restarted, Some(Duration::from_secs(5)), false),
            hold
        );
        assert_eq!(assess(Some(held(10)), &restarted, None, false), hold);
        assert_eq!(
            assess(Some(held(10)), &restarted, None, true),
            Assessment::CutBack { to: Offset::new(7) }
        );
    }

    #[test]
    fn a_process_that_seems_a_second_older_than_it_is_was_not_there_before() {
        let moment = Some(Duration::from_millis(40));
        let restarted = |uptime| {
            assess(
                Some(held(10)),
                &offered('b', 7, Some(('a', 7)), uptime),
                moment,
                false,
            )
        };
        assert!(matches!(restarted(SECOND), Assessment::Hold(_)));
        assert!(matches!(restarted(2 * SECOND), Assessment::CutBack { .. }));
    }

    #[test]
    fn the_same_id_at_a_lower_offset_holds_however_old_the_process() {
        let strange = offered('a', 7, None, HOUR);
        let hold = Assessment::Hold(HoldReason::WentBack {
            common: Offset::new(7),
            lost_bytes: 3,
        });
        assert_eq!(assess(Some(held(10)), &strange, Some(SECOND), false), hold);
    }

    #[test]
    fn an_unrelated_history_holds_until_a_person_accepts_it() {
        for stranger in [
            offered('c', 0, None, SECOND),
            offered('c', 99, Some(('d', 98)), HOUR),
        ] {
            assert!(matches!(
                assess(Some(held(10)), &stranger, Some(SECOND), false),
                Assessment::Hold(HoldReason::UnrelatedHistory { .. })
            ));
            assert_eq!(
                assess(Some(held(10)), &stranger, Some(SECOND), true),
                Assessment::Full
            );
        }
    }
}
