//! Gateways that are wrong in one thing each: the model has to find what that leads to.

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Mutant {
    /// It does not wait until the old primary's lease has run out.
    NoLeaseWait,
    /// It keeps its decision only after it promoted.
    PromoteBeforeDecision,
    /// It lets an old primary follow before its extra writes are saved.
    AttachBeforeRescue,
    /// It decides a switchover before the target has the last byte.
    DecideEarly,
    /// It takes a primary for one that heard nothing, if the answer to a `PSYNC` got lost.
    ForgetsPsync,
    /// After a restart it goes on with a rejoin without following the primary.
    RejoinsUnfollowed,
    /// While it holds an old primary off, it does not follow the new one either.
    HoldsOffEverybody,
    /// It takes the writes of a node for blocked that it once blocked, though it opened it again since.
    RemembersBlocked,
    /// When it is stopped, it lifts the fence in the primary's configuration file too.
    LiftsForGood,
    /// A command that lifts the fence and arrives late takes away one that was placed since.
    LetsLateLiftsArrive,
    /// It asks for one replica at a primary that has one of its own.
    CountsNobodyElse,
    /// It asks for more replicas than others can be, and keeps one connection of its own.
    KeepsOneLink,
    /// It follows whatever history a primary has.
    AcceptsAnyHistory,
    /// It does not know from which process of the primary it has what it has.
    ForgetsTheProcess,
    /// Where its log is lost, it takes whatever a primary has for what there is.
    ForgetsWhatNodesHold,
    /// It takes a full copy on the link by which the primary counts it.
    CopiesOnTheLink,
    /// It reports as lost only what never arrived here.
    ReportsOnlyTheUnreceived,
    /// It takes a silence for the primary's though nobody else was heard in that time either.
    TrustsItsOwnNetwork,
    /// A time that the wall clock has not reached yet is as far ahead for it as it seems.
    TrustsTheWallClock,
}
