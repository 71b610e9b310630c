//! The next step for a node of a service that a failover left behind.
//!
//! It is shut to writes on sight. Writes that it has beyond the cut are saved before anything overwrites them (I3);
//! where nobody can tell which those are, its whole data is.

use std::fmt;

use sterna_protocol::{Offset, ReplicationId};

/// What a node says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Node {
    /// It takes writes, or would without the fence.
    pub is_primary: bool,
    /// It was shut to writes by us.
    pub shut: bool,
    /// It follows our relay.
    pub follows_us: bool,
    /// Its history.
    pub history: ReplicationId,
    /// How far it is.
    pub offset: Offset,
    /// The history that it was in before, and how far that is its own.
    pub previous: Option<(ReplicationId, Offset)>,
    /// It holds no key.
    pub empty: bool,
}

/// Where the old primary was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cut {
    /// The history that ended.
    pub history: ReplicationId,
    /// The last offset that the new primary has of it.
    pub offset: Offset,
    /// What was beyond was saved, or there is no way to.
    pub saved: bool,
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Shut it to writes.
    Shut,
    /// Fetch what it has beyond the cut from its own backlog; where that no longer reaches back, its whole data.
    RescueCommands {
        /// The first offset that is not wanted.
        after: Offset,
        /// The last one that is.
        to: Offset,
    },
    /// Take its whole data as an RDB file: nobody can tell which of its writes are extra.
    RescueSnapshot,
    /// Let it follow.
    Attach(Holds),
    /// It follows.
    Done,
}

/// What it holds when it is let follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holds {
    /// Exactly what was copied, or less: it continues with a partial resync if the log reaches back.
    APrefix,
    /// Writes that were saved: it needs a full copy.
    SavedWrites,
    /// Nothing.
    Nothing,
}

/// The next step.
pub fn next(node: &Node, cut: &Cut) -> Step {
    if node.follows_us {
        return Step::Done;
    }
    if node.is_primary && !node.shut {
        return Step::Shut;
    }
    if node.history == cut.history {
        return if node.offset <= cut.offset {
            Step::Attach(Holds::APrefix)
        } else if cut.saved {
            Step::Attach(Holds::SavedWrites)
        } else {
            Step::RescueCommands {
                after: cut.offset,
                to: node.offset,
            }
        };
    }
    if node.empty {
        return Step::Attach(Holds::Nothing);
    }
    let prefix = node
        .previous
        .filter(|(history, last)| *history == cut.history && *last <= cut.offset);
    match prefix {
        // Loaded from a file that was written before the cut, and nothing happened since.
        Some((_, last)) if node.offset == last => Step::Attach(Holds::APrefix),
        _ if cut.saved => Step::Attach(Holds::SavedWrites),
        // What it took since it was started or promoted is in its own history.
        Some((_, last)) => Step::RescueCommands {
            after: last,
            to: node.offset,
        },
        None => Step::RescueSnapshot,
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shut => f.write_str("an old primary is back: shut it to writes before anything else"),
            Self::RescueCommands { after, to } => write!(
                f,
                "it has {} bytes of stream that the new primary never had: save them before they are overwritten",
                to.bytes_since(*after)
            ),
            Self::RescueSnapshot => f.write_str(
                "it restarted, and nobody can tell which of its writes were copied: save all of its data before they are \
                 overwritten",
            ),
            Self::Attach(Holds::APrefix) => f.write_str("it has no writes of its own: let it follow"),
            Self::Attach(Holds::SavedWrites) => f.write_str("its writes are saved: let it follow, with a full copy"),
            Self::Attach(Holds::Nothing) => f.write_str("it came back empty: let it follow, with a full copy"),
            Self::Done => f.write_str("it follows"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ReplicationId {
        digit.to_string().repeat(40).parse().expect("forty digits")
    }

    fn cut() -> Cut {
        Cut {
            history: id('a'),
            offset: Offset::new(100),
            saved: false,
        }
    }

    fn node(history: char, offset: u64) -> Node {
        Node {
            is_primary: true,
            shut: true,
            follows_us: false,
            history: id(history),
            offset: Offset::new(offset),
            previous: None,
            empty: false,
        }
    }

    #[test]
    fn it_is_shut_before_anything_else() {
        assert_eq!(
            next(
                &Node {
                    shut: false,
                    ..node('a', 500)
                },
                &cut()
            ),
            Step::Shut
        );
        assert_eq!(
            next(
                &Node {
                    shut: false,
                    empty: true,
                    ..node('b', 0)
                },
                &cut()
            ),
            Step::Shut
        );
    }

    #[test]
    fn extra_writes_are_saved_before_it_follows() {
        let (after, to) = (Offset::new(100), Offset::new(130));
        assert_eq!(next(&node('a', 130), &cut()), Step::RescueCommands { after, to });
        let saved = Cut { saved: true, ..cut() };
        assert_eq!(next(&node('a', 130), &saved), Step::Attach(Holds::SavedWrites));
    }

    #[test]
    fn without_extra_writes_it_follows_at_once() {
        for offset in [100, 99, 0] {
            assert_eq!(next(&node('a', offset), &cut()), Step::Attach(Holds::APrefix));
        }
        let restarted = Node {
            previous: Some((id('a'), Offset::new(90))),
            ..node('b', 90)
        };
        assert_eq!(next(&restarted, &cut()), Step::Attach(Holds::APrefix));
    }

    #[test]
    fn writes_that_one_took_after_it_was_started_from_a_prefix_are_in_its_own_history() {
        let written_since = Node {
            previous: Some((id('a'), Offset::new(90))),
            ..node('b', 95)
        };
        let (after, to) = (Offset::new(90), Offset::new(95));
        assert_eq!(next(&written_since, &cut()), Step::RescueCommands { after, to });
        let saved = Cut { saved: true, ..cut() };
        assert_eq!(next(&written_since, &saved), Step::Attach(Holds::SavedWrites));
    }

    #[test]
    fn a_restarted_one_is_saved_whole_where_nobody_can_tell() {
        assert_eq!(next(&node('b', 3), &cut()), Step::RescueSnapshot);
        let beyond = Node {
            previous: Some((id('a'), Offset::new(101))),
            ..node('b', 101)
        };
        assert_eq!(next(&beyond, &cut()), Step::RescueSnapshot);
        assert_eq!(
            next(
                &Node {
                    empty: true,
                    ..node('b', 0)
                },
                &cut()
            ),
            Step::Attach(Holds::Nothing)
        );
    }
}
