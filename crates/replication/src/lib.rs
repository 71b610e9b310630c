//! The data plane: follows a primary, keeps its stream in a log, feeds it to real replica nodes.
//!
//! - [`start`] gives one *shard*: a task that owns all of its state and is driven by events;
//! - its *source* is one connection to a primary at a time, which reports and decides nothing;
//! - [`rescue`] fetches what an old primary has beyond the point where another took over;
//! - [`DataThreads`] are the threads that shards are spread over;
//! - the [`Relay`] is the port where replica nodes attach with `REPLICAOF`.
//!
//! A shard takes [`Command`]s and gives a [`Status`] and [`Notice`]s over channels; nothing here knows of groups,
//! operations or people.

mod acks;
mod backoff;
mod lineage;
mod psync_client;
mod relay;
pub mod rescue;
mod settings;
mod shard;
mod source;
mod status;
mod threads;
mod timeline;
mod turn;
mod window;

pub use lineage::{Assessment, Grounds, Held, HistoryEnd, Lineage, NodePosition, assess};
pub use psync_client::PsyncError;
pub use relay::{Login, NoRandomness, Relay, RelaySettings, ShardAccess, generate_secret};
pub use settings::{
    Announce, ShardSettings, SilenceLimits, TAIL_BYTES_DEFAULT, UNIT_BYTES_MAX_DEFAULT, UnusableLog,
};
pub use shard::{Command, FollowerId, Handover, ShardHandle, StartError, start};
pub use status::{Counters, FollowerState, FollowerStatus, Notice, PrimaryLook, Status};
pub use threads::{DataThread, DataThreads};
pub use timeline::{OffsetTimeline, TimePoint};
