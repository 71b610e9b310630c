//! The PSYNC handshake: as the replica of a node ([`ReplicaHandshake`]), as the primary of followers
//! ([`PrimaryHandshake`]).

mod answer;
mod error;
mod follower;
mod primary;
mod replica;
mod wire;

pub use error::{FollowerError, HandshakeError};
pub use follower::{Announcement, FollowerCommand, parse_follower};
pub use primary::{AUTH_FAILURES_MAX, PrimaryAction, PrimaryHandshake, Query};
pub use replica::{HANDSHAKE_LINE_BYTES_MAX, PsyncRequest, ReplicaConfig, ReplicaEvent, ReplicaHandshake};
pub use wire::{Ack, KEEPALIVE, ack, continue_with, full_resync, refuse, try_again};
