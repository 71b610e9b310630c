//! The real [`Shard`](super::state::Shard) with scripted peers, a simulated disk and a clock that the test moves.
//!
//! They are in the crate and not in `tests/`, for what is fed to the shard (its events) and what is looked at (its
//! effects) is private. Nothing is mocked but what lies outside of the owner: the connections, of which the test plays
//! the other end, and the disk, which is that of the log's own tests. The blocking jobs are the real ones; the test says
//! when they run. After every event the rig checks what must always hold, see [`rig::Rig::check`].

mod ability;
mod acks;
mod copies;
mod disk;
mod driver;
mod first_copy;
mod followers;
mod handover;
mod histories;
mod large_units;
mod lease_links;
mod link;
mod lost_log;
mod node;
mod play;
mod random;
mod rig;
mod steps;
mod stop;
mod world;
