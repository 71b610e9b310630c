//! A model of a group: the planner of the product against crashes, pauses, lost and late messages.
//!
//! Everything around the planner is made up here, small and discrete; the planner itself is the one that runs. The
//! checker goes through every order in which things can happen, within the bounds of each scenario.
//!
//! - [`node`], [`data_plane`], [`environment`]: servers with their lease, the log and the relay, time, clients, faults.
//!   A tick is about two seconds; the lease is one, a server's slack another, the way of an acknowledgement a third.
//! - [`gateway`], [`deeds`]: what the owner of a group shows the planner, and how it does what the planner says. Looks
//!   may be old: a node may do anything between a look and the deed that follows from it.
//! - [`world`], [`truth`]: the state; [`properties`]: what must hold; [`scenarios`]: what is explored.
//! - [`mutants`]: gateways with one rule broken, in which the model has to find what that leads to.
//!
//! A history grows by one byte with every write. Whether a group comes to rest is tried from every state by letting
//! everything that is due happen in turn, once with the faults that there are and once with all of them mended.
//!
//! Left out: local replicas, Sentinels, groups without a fence, and two failures for which nothing better is known than
//! a person: the gateway's host loses what it had not synced while the primary comes back with older data, and a new
//! primary is started again before its stream was followed.

mod data_plane;
mod deeds;
mod environment;
mod exploration;
mod gateway;
mod mutants;
mod node;
mod properties;
mod scenarios;
mod truth;
mod world;

/// The primary must have been away for so long before a failover begins, in ticks.
const DOWN_AFTER: u8 = 1;
/// An acknowledgement may take so long to arrive, in ticks.
const MARGIN: u8 = 1;
/// A failover waits for so long after the last acknowledgement that may have been sent, in ticks.
const LEASE_WAIT: u8 = node::LEASE + node::SLACK + MARGIN;
/// A switchover may keep writes waiting for so long, in ticks.
const WAIT_MAX: u8 = 2;
