//! What is true in a world whether or not anybody in it knows, and what may still happen there.

use super::node::{Id, Writes};

/// What is true, whether or not anybody knows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Truth {
    /// How many writes there were.
    pub(super) numbers: u8,
    /// How many histories.
    pub(super) histories: u8,
    /// Writes that were acknowledged to a client.
    pub(super) acknowledged: Writes,
    /// Writes that a server lost by itself, with its disk.
    pub(super) destroyed: Writes,
    /// Writes in rescue files.
    pub(super) rescued: Writes,
    /// The gateway was cut off from every node at once...
    pub(super) was_isolated: bool,
    /// ...and from one alone.
    pub(super) was_cut_off: bool,
    /// A node's clock was set back: its lease says nothing.
    pub(super) clock_steps: bool,
    /// Writes that a process took when it went on after it was frozen, or after its clock was set back.
    pub(super) woken: Writes,
    /// What the decided node had when it was decided on.
    pub(super) promised: Writes,
    /// Who took writes in the term, and which term.
    pub(super) writer: Option<(u8, Id)>,
    /// What went wrong for good.
    pub(super) broken: Vec<Broken>,
    /// A replica that had everything was overwritten by less than it had.
    pub(super) wiped: Writes,
}

impl Truth {
    /// Before anything happened.
    pub(super) fn new() -> Self {
        Self {
            numbers: 0,
            histories: 1,
            acknowledged: Writes::default(),
            destroyed: Writes::default(),
            rescued: Writes::default(),
            was_isolated: false,
            was_cut_off: false,
            clock_steps: false,
            woken: Writes::default(),
            promised: Writes::default(),
            writer: None,
            broken: Vec::new(),
            wiped: Writes::default(),
        }
    }

    /// Takes note of what went wrong.
    pub(super) fn break_if(&mut self, is_so: bool, rule: Broken) {
        if is_so && !self.broken.contains(&rule) {
            self.broken.push(rule);
        }
    }
}

/// A rule that only a step shows to be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Broken {
    /// Two nodes took writes in one term.
    TwoWriters,
    /// Somebody was promoted who lacked something of the decided cut.
    PromotedShort,
    /// Somebody was promoted who was not decided on.
    PromotedUndecided,
    /// A decision was taken back or changed.
    DecisionChanged,
    /// A report counted less than what arrived here and the new primary lacks.
    LossUnderstated,
    /// A primary whose process and data went on was left for a replica.
    LeftInService,
    /// A primary stopped taking writes as a full copy of it began or ended.
    ClosedByCopy,
    /// A term was not above the one before.
    EpochFell,
}

/// What may still go wrong, and what clients and people may still do: each at most so often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Budget {
    /// Writes by clients.
    pub(super) writes: u8,
    /// Ends of the gateway's process.
    pub(super) gateway_crashes: u8,
    /// Ends of the gateway's process on purpose.
    pub(super) gateway_stops: u8,
    /// Whether the gateway's host may end with it, so that what was not synced is gone.
    pub(super) gateway_hosts: u8,
    /// Times that the log's files are found damaged when the gateway starts.
    pub(super) damaged_logs: u8,
    /// Ends of the first node's process.
    pub(super) crashes: u8,
    /// Ends of another node's process.
    pub(super) other_crashes: u8,
    /// Whether a node may start again without its history, or with nothing at all.
    pub(super) lost_histories: u8,
    /// Whether the first node may start again without its last write.
    pub(super) older_primary: u8,
    /// Whether another node may.
    pub(super) older_copies: u8,
    /// Freezes of the first node.
    pub(super) freezes: u8,
    /// Cuts between the gateway and the first node.
    pub(super) cuts: u8,
    /// Times that the gateway can talk to nobody.
    pub(super) isolations: u8,
    /// Commands that arrive late, and answers that get lost.
    pub(super) late: u8,
    /// Switchovers asked for.
    pub(super) switchovers: u8,
    /// Failovers asked for.
    pub(super) failovers: u8,
    /// Cancellations.
    pub(super) cancels: u8,
    /// Full copies that a primary gives though it could be followed on.
    pub(super) copies: u8,
    /// Connections to a primary that break.
    pub(super) breaks: u8,
    /// Times that the replica of the primary's own service hangs, or comes back.
    pub(super) local_replica: u8,
    /// Times that a node takes a new id though its process goes on.
    pub(super) forgets: u8,
    /// Clocks that are set back.
    pub(super) clock_steps: u8,
    /// Times that somebody who is no primary says that it hands over.
    pub(super) forgeries: u8,
}
