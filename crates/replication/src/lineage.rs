//! May this primary continue our history? A pure decision, taken before `PSYNC` is sent (invariants I4 and I5).
//!
//! A primary names its history in `INFO replication`: `master_replid`, and `master_replid2` up to
//! `second_repl_offset` for the history that it was promoted from. A full resync throws away what the replica nodes
//! hold, so it is allowed only where the primary's history is a successor of ours, or a person said so.

use std::time::Duration;

use sterna_model::HoldReason;
use sterna_protocol::{Offset, ReplicationId, RunId};

/// By how much `uptime_in_seconds` may exceed a process's age: one that started 10 ms before a full second says 1 just
/// after it.
const UPTIME_EXCESS: Duration = Duration::from_secs(1);

/// What we hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The history the log is in.
    pub id: ReplicationId,
    /// The last whole unit that the log holds.
    pub end: Offset,
    /// The primary's process that its newest part came from, where that is known.
    pub process: Option<RunId>,
}

/// What a replica node says that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePosition {
    /// The history.
    pub id: ReplicationId,
    /// The last offset.
    pub offset: Offset,
}

/// Where the group decided that a history ends: who was promoted with everything up to there continues it, whatever else
/// of it arrived here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryEnd {
    /// The history.
    pub id: ReplicationId,
    /// The last offset.
    pub offset: Offset,
}

/// What may speak for a primary that does not have all that is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grounds {
    /// How long ago the last byte of our history arrived, if that was in this process's life. A primary whose process was
    /// running then already did not restart from an old snapshot: bytes that it misses were lost in a failover inside the
    /// service.
    pub silent_for: Option<Duration>,
    /// What the group decided when it last changed its primary.
    pub decided: Option<HistoryEnd>,
    /// A person's `--accept-new-history`.
    pub accepted: bool,
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
    /// `run_id`, where it tells one.
    pub process: Option<RunId>,
    /// For how long this process has been running.
    pub uptime: Duration,
    /// Whoever holds this much or more of its history is continued from its backlog; none: it has no backlog, as one that
    /// never had a replica.
    pub backlog_from: Option<Offset>,
}

impl Lineage {
    /// Whether its backlog holds what comes after this offset.
    pub fn continues_from(&self, held: Offset) -> bool {
        self.backlog_from.is_some_and(|from| held >= from)
    }

    /// Up to where it has this history.
    fn shares(&self, id: ReplicationId) -> Option<Offset> {
        if id == self.id {
            return Some(self.offset);
        }
        let previous = self.previous.filter(|(previous, _)| *previous == id);
        previous.map(|(_, last)| last)
    }

    /// Where the stream is asked for from by a log that holds nothing: from the node that holds least of those that need no full
    /// copy then, or from where the primary is.
    pub fn first_of_use(&self, nodes: &[NodePosition]) -> Offset {
        let continued = |node: &&NodePosition| {
            let end = self.shares(node.id);
            end.is_some_and(|end| node.offset <= end) && self.continues_from(node.offset)
        };
        let offsets = nodes.iter().filter(continued).map(|node| node.offset);
        offsets.min().unwrap_or(self.offset)
    }

    /// What nodes hold stands for what a log held that is lost: the most of a history that this primary knows, or of any.
    pub fn most_held(&self, nodes: &[NodePosition]) -> Option<Held> {
        let known = |id| self.shares(id).is_some();
        let most = nodes.iter().max_by_key(|node| (known(node.id), node.offset))?;
        Some(Held {
            id: most.id,
            end: most.offset,
            process: None,
        })
    }

    /// Whether it is the process that all of this came from, which took a new id since: nobody followed it for longer than
    /// it keeps its backlog (`repl-backlog-ttl`), and it says nothing of the id before. What it has is ours and more. One
    /// that followed somebody in between would name that history.
    pub fn outlived(&self, held: &Held) -> bool {
        let same = self.process.is_some() && self.process == held.process;
        same && self.id != held.id && self.previous.is_none() && self.offset >= held.end
    }
}

/// How to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assessment {
    /// Begin anew with what the primary has: there is nothing here yet, or it was accepted that what is here is overwritten.
    Full,
    /// Ask for what comes after the log's end.
    Resume,
    /// The primary was promoted before it had our last bytes: cut the log back to `to`, then resume.
    CutBack {
        /// The last offset that both have.
        to: Offset,
    },
    /// Do not follow this primary.
    Hold(HoldReason),
}

/// Decides how to follow a primary that says `offered` of itself.
///
/// A server counts its uptime from one full second of the clock to another, so what it says may be up to a second too
/// much.
pub fn assess(held: Option<Held>, offered: &Lineage, grounds: &Grounds) -> Assessment {
    let Some(held) = held else { return Assessment::Full };
    let accepted = grounds.accepted;
    match offered.shares(held.id) {
        Some(common) if held.end <= common => Assessment::Resume,
        Some(common) => {
            let silent_for = grounds.silent_for;
            let lived_through = silent_for.is_some_and(|silent| offered.uptime > silent + UPTIME_EXCESS);
            // Once the log is in a later history, what was decided of this one says nothing.
            let decided = grounds
                .decided
                .is_some_and(|end| end.id == held.id && end.offset <= common);
            if accepted || ((lived_through || decided) && offered.id != held.id) {
                Assessment::CutBack { to: common }
            } else {
                Assessment::Hold(HoldReason::WentBack {
                    common,
                    lost_bytes: held.end.bytes_since(common),
                })
            }
        }
        None if accepted || offered.outlived(&held) => Assessment::Full,
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
            process: Some(process('1')),
        }
    }

    fn process(digit: char) -> RunId {
        digit.to_string().repeat(40).parse().expect("forty digits")
    }

    fn grounds(silent_for: Option<Duration>, accepted: bool) -> Grounds {
        Grounds {
            silent_for,
            decided: None,
            accepted,
        }
    }

    fn offered(name: char, offset: u64, previous: Option<(char, u64)>, uptime: Duration) -> Lineage {
        Lineage {
            id: id(name),
            offset: Offset::new(offset),
            previous: previous.map(|(name, last)| (id(name), Offset::new(last))),
            process: None,
            uptime,
            backlog_from: Some(Offset::ZERO),
        }
    }

    #[test]
    fn with_nothing_here_a_full_copy_is_asked_for() {
        assert_eq!(
            assess(None, &offered('b', 5, None, HOUR), &grounds(None, false)),
            Assessment::Full
        );
    }

    #[test]
    fn the_same_history_resumes() {
        assert_eq!(
            assess(
                Some(held(10)),
                &offered('a', 10, None, HOUR),
                &grounds(None, false)
            ),
            Assessment::Resume
        );
        assert_eq!(
            assess(
                Some(held(10)),
                &offered('a', 99, None, HOUR),
                &grounds(None, false)
            ),
            Assessment::Resume
        );
    }

    #[test]
    fn a_promoted_node_that_had_all_of_it_resumes_even_after_a_restart() {
        let promoted = offered('b', 50, Some(('a', 10)), SECOND);
        assert_eq!(
            assess(Some(held(10)), &promoted, &grounds(None, false)),
            Assessment::Resume
        );
    }

    #[test]
    fn a_promoted_node_that_missed_the_tail_is_followed_after_a_cut() {
        let promoted = offered('b', 50, Some(('a', 7)), HOUR);
        assert_eq!(
            assess(Some(held(10)), &promoted, &grounds(Some(SECOND), false)),
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
            assess(
                Some(held(10)),
                &restarted,
                &grounds(Some(Duration::from_secs(5)), false)
            ),
            hold
        );
        assert_eq!(assess(Some(held(10)), &restarted, &grounds(None, false)), hold);
        assert_eq!(
            assess(Some(held(10)), &restarted, &grounds(None, true)),
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
                &grounds(moment, false),
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
        assert_eq!(
            assess(Some(held(10)), &strange, &grounds(Some(SECOND), false)),
            hold
        );
    }

    #[test]
    fn an_unrelated_history_holds_until_a_person_accepts_it() {
        for stranger in [
            offered('c', 0, None, SECOND),
            offered('c', 99, Some(('d', 98)), HOUR),
        ] {
            assert!(matches!(
                assess(Some(held(10)), &stranger, &grounds(Some(SECOND), false)),
                Assessment::Hold(HoldReason::UnrelatedHistory { .. })
            ));
            assert_eq!(
                assess(Some(held(10)), &stranger, &grounds(Some(SECOND), true)),
                Assessment::Full
            );
        }
    }

    #[test]
    fn a_process_that_took_a_new_id_still_has_what_is_here() {
        let now = |name, offset, previous| Lineage {
            process: Some(process(name)),
            ..offered('b', offset, previous, HOUR)
        };
        let assess = |offered| assess(Some(held(10)), &offered, &grounds(None, false));
        assert_eq!(assess(now('1', 10, None)), Assessment::Full);
        assert_eq!(assess(now('1', 99, None)), Assessment::Full);
        // It was emptied, or is another process, or followed somebody in between.
        for other in [
            now('1', 9, None),
            now('2', 99, None),
            now('1', 99, Some(('c', 50))),
        ] {
            assert!(matches!(
                assess(other),
                Assessment::Hold(HoldReason::UnrelatedHistory { .. })
            ));
        }
    }

    #[test]
    fn a_primary_that_was_decided_on_is_followed_whatever_more_arrived_here() {
        let promoted = offered('b', 50, Some(('a', 7)), SECOND);
        let decided = |name, offset| Grounds {
            decided: Some(HistoryEnd {
                id: id(name),
                offset: Offset::new(offset),
            }),
            ..Grounds::default()
        };
        // This process has not lived through the promotion.
        assert_eq!(
            assess(Some(held(10)), &promoted, &decided('a', 7)),
            Assessment::CutBack { to: Offset::new(7) }
        );
        for other in [decided('a', 8), decided('c', 7)] {
            assert!(matches!(
                assess(Some(held(10)), &promoted, &other),
                Assessment::Hold(HoldReason::WentBack { .. })
            ));
        }
    }

    #[test]
    fn a_backlog_continues_whoever_holds_what_comes_before_it() {
        let primary = |backlog_from| Lineage {
            backlog_from,
            ..offered('a', 99, None, HOUR)
        };
        let from = |offset| primary(Some(Offset::new(offset))).continues_from(Offset::new(50));
        assert!(from(49) && from(50) && !from(51));
        assert!(!primary(None).continues_from(Offset::new(99)));
    }
}
