//! One shard: the owner of its state, and what drives it.

mod copy;
mod disk;
mod downstream;
mod driver;
mod event;
mod follower;
mod jobs;
mod link;
mod snapshot;
mod state;
mod upstream;

pub use driver::{ShardHandle, StartError, start};
pub(crate) use event::{Attach, Event, FollowerEvent, SourceEvent, ToFollower};
pub use event::{Command, FollowerId, Handover};
