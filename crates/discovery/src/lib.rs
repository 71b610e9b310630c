//! The discovery endpoint: tells Sentinel-aware clients where the primary of a group is.
//!
//! It speaks the Sentinel protocol, with the group's name as the master name, so that every client library that knows
//! Sentinel finds the primary here and follows a change of primary by itself: the library asks again when its connection
//! breaks or a write is refused, or it listens to `+switch-master`. Whoever decides about primaries keeps
//! [`Routes`](sterna_model::Routes) in a watch channel; this crate answers from its last value and publishes what changed.
//!
//! ```text
//! watch<Arc<Routes>> -> server: one task ---- Observed (what, since when) --> every connection's answers
//!                                          \---- events between two values  --> every subscriber
//! ```
//!
//! The host names and addresses are those of the routes, always: there is no `resolve-hostnames` here.

mod answers;
mod connection;
mod events;
mod logins;
mod observed;
#[cfg(test)]
mod samples;
mod server;
mod session;
mod shared;

pub use logins::{BadUsers, Logins};
pub use server::{Discovery, DiscoveryError, DiscoverySettings};
