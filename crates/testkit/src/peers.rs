//! Scripted peers: primaries and replicas that do what no real server does on demand.

pub mod primary;
pub mod rdb;
pub mod replica;
pub mod web;
mod wire;

pub use primary::{Psync, ScriptedPrimary, Session, SessionRecord};
pub use replica::{Acks, Answer, Follower, RdbForm, Received, ScriptedReplica};
pub use web::WebServer;
