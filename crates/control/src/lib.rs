//! The control plane: keeps replication groups as they were asked for.
//!
//! - [`start`] gives a [`Gateway`], which takes up every group of the store; [`Control`] is what the API asks;
//! - each group is a value without I/O (`state`), which takes events and gives effects, and a task that drives it
//!   (`group`): it looks at nodes, stores what is to be stored, and does one step at a time;
//! - every decision is a pure function (`plan`): from what is known (`known`) and the operation under way (`run`) to the
//!   next step, what to wait for, or the end, each with its reason.

mod access;
mod client_settings;
mod context;
mod descriptors;
mod doctor;
mod error;
mod events;
mod failpoint;
mod gateway;
mod group;
mod handle;
mod job;
mod known;
mod membership;
#[cfg(test)]
mod model;
mod observe;
mod plan;
mod registration;
mod rescue;
mod run;
mod state;
#[cfg(feature = "test-util")]
mod testing;
mod time;

pub use context::GatewaySettings;
pub use error::ControlError;
pub use gateway::{Gateway, GatewayError, kept_by_groups, start};
pub use handle::{Actor, Change, Control, GroupView};
#[cfg(feature = "test-util")]
pub use testing::FakeControl;
