//! The control plane: keeps replication groups as they were asked for.
//!
//! - [`start`] gives a [`Gateway`], which takes up every group of the store; [`Control`] is what the API asks;
//! - each group has one owner, which looks at its nodes, asks the planner what is next, and runs one step at a time;
//! - [`plan`] is pure: from what was observed to the next step and its reason.

mod access;
mod doctor;
mod error;
mod examine;
mod failpoint;
mod gateway;
mod group;
mod handle;
mod membership;
mod news;
mod observe;
pub mod plan;
mod rescue;
mod route;
#[cfg(feature = "stage")]
mod stage;

pub use error::ControlError;
pub use gateway::{Gateway, GatewayError, GatewaySettings, start};
pub use handle::{Actor, Control, DoctorCheck, DoctorReport, DoctorVerdict, GroupPatch, GroupView};
pub use route::{Route, RouteReplica};
#[cfg(feature = "stage")]
pub use stage::Stage;
