//! A model of a group: the state of the product against crashes, pauses, lost and late messages.
//!
//! What runs here is [`GroupState`](crate::state::GroupState) itself, with its planner, fed with events and asked for
//! effects as the driver does it. Around it everything is made up, small and discrete: servers with their lease, the log
//! and the relay, the store, the network, clients, people. The checker goes through every order in which things can
//! happen, within the bounds of each scenario.
//!
//! - [`node`], [`data_plane`], [`environment`]: servers, the log and the relay, time, clients, faults. A tick is two
//!   seconds; the lease is one, a server's slack another, the way of an acknowledgement a third.
//! - [`gateway`]: the process, and what the state is told; [`seen`]: what a look at a node shows, and the shard's status;
//!   [`work`]: the jobs that it asks for, done in the made-up world. Looks may be old: a node may do anything between a
//!   look and the work that follows from it.
//! - [`world`], [`truth`]: everything, and what is true whether or not anybody knows; [`properties`]: what must hold;
//!   [`scenarios`]: what is explored, among it the situations that a group may be in when something fails: a full copy
//!   under way, replicas of others at the primary, a history that was forgotten, clocks that are set back.
//! - [`mutants`]: gateways with one rule broken, in which the model has to find what that leads to.
//!
//! A history grows by one byte with every write. Whether a group comes to rest is tried from every state by letting
//! everything that is due happen in turn, once with the faults that there are and once with all of them mended.
//!
//! Left out: Sentinels, groups without a fence, and two failures for which nothing better is known than a person: the
//! gateway's host loses what it had not synced while the primary comes back with older data, and a new primary is started
//! again before its stream was followed.

mod data_plane;
mod environment;
mod exploration;
mod gateway;
mod mutants;
mod node;
mod properties;
mod scenarios;
mod seen;
mod truth;
mod work;
mod world;

use std::time::Duration;

use crate::time::{Moment, Now};

/// A tick.
const TICK: Duration = Duration::from_secs(2);

/// It is always this moment: what happened moves back instead.
fn now() -> Now {
    Now {
        at: Moment::at(Duration::from_secs(1_000_000)),
        wall: jiff::Timestamp::UNIX_EPOCH,
    }
}
