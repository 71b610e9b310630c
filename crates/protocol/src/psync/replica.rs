//! The replica side of the handshake: how a source asks a primary node for its stream.

use bytes::{Bytes, BytesMut};

use super::{Credentials, HandshakeError};
use crate::{Offset, ReplicationId};

/// How long a reply line of the handshake may be.
pub const HANDSHAKE_LINE_BYTES_MAX: usize = 4 << 10;

/// From where to get the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PsyncRequest {
    /// `PSYNC ? -1`: an RDB, then the stream after it.
    Full,
    /// The stream after what is held.
    Resume {
        /// The history.
        id: ReplicationId,
        /// What is held of it: the wire asks for the byte after.
        held: Offset,
    },
}

/// What a source says of itself and asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaConfig {
    /// Sent with `AUTH` if there are any.
    pub auth: Option<Credentials>,
    /// The port that the primary shows for us, 0 for none.
    pub listening_port: u16,
    /// The address that the primary shows for us, if not the connection's.
    pub announce_address: Option<String>,
    /// The server version to announce: that of the weakest follower.
    pub version: Option<String>,
    /// Ask for nothing but a snapshot (Redis 7.0 and later).
    pub rdb_only: bool,
    /// From where to go on.
    pub position: PsyncRequest,
}

/// What the handshake came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaEvent {
    /// Write this to the primary.
    Send(Bytes),
    /// The primary is alive and asks for patience.
    KeepWaiting,
    /// The primary can't answer now, in its own words: close and come back later.
    TryAgain(String),
    /// The stream follows from the position asked for; `id` is the history's name from now on, if it was told.
    Continue {
        /// The (new) name of the history.
        id: Option<ReplicationId>,
    },
    /// An RDB transfer follows, and then the stream after `offset`.
    FullResync {
        /// The history.
        id: ReplicationId,
        /// What the RDB holds of it.
        offset: Offset,
    },
}

/// One handshake on one connection.
#[derive(Debug)]
pub struct ReplicaHandshake {}

impl ReplicaHandshake {
    /// A handshake that has not begun.
    pub fn new(config: ReplicaConfig) -> Self {
        let _ = config;
        todo!()
    }

    /// What to send first.
    pub fn start(&mut self) -> Bytes {
        todo!()
    }

    /// Takes the next event off the front of `input`; call it until it gives `None`. After [`ReplicaEvent::Continue`]
    /// or [`ReplicaEvent::FullResync`] the rest of `input` is the stream's or the transfer's.
    pub fn feed(&mut self, input: &mut BytesMut) -> Result<Option<ReplicaEvent>, HandshakeError> {
        let _ = input;
        todo!()
    }
}
