//! A model of a group: the planner of the product against crashes, pauses, lost and late messages.
//!
//! Everything around the planner is made up here, small and discrete; the planner itself is the one that runs.

mod deeds;
mod environment;
mod exploration;
mod gateway;
mod mutants;
mod node;
mod properties;
mod scenarios;
mod world;

/// The primary must have been away for so long before a failover begins, in ticks.
const DOWN_AFTER: u8 = 1;
/// An acknowledgement may take so long to arrive, in ticks.
const MARGIN: u8 = 1;
/// A failover waits for so long after the last acknowledgement that may have been sent, in ticks.
const LEASE_WAIT: u8 = node::LEASE + node::SLACK + MARGIN;
/// A switchover may keep writes waiting for so long, in ticks.
const WAIT_MAX: u8 = 2;
