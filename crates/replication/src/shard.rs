//! One shard: the owner of its state, and what drives it.

mod ability;
mod acknowledger;
mod ask;
mod copy;
mod disk;
mod driver;
mod event;
mod failures;
mod fetch;
mod follower;
mod followers;
mod jobs;
mod lease_links;
mod liveness;
mod log;
mod orders;
mod origin;
mod outbox;
mod presence;
mod snapshot;
mod state;
mod tail;
#[cfg(test)]
mod tests;
mod upstream;

pub use driver::{ShardHandle, StartError, start};
pub(crate) use event::{Attach, Event, FollowerEvent, LoginLimit, OUTBOX_MESSAGES_MAX, ToFollower};
pub use event::{Command, FollowerId, Handover};
