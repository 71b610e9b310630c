//! The primary side of the handshake: how the relay answers a follower until and after its PSYNC.

use bytes::Bytes;

use super::{Announcement, PsyncRequest, Secret};
use crate::Offset;
use crate::resp::Incoming;

/// How many wrong passwords a connection may try.
pub const AUTH_FAILURES_MAX: u32 = 3;

/// A question that only the caller has the numbers for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// `INFO` with the sections asked for, in lower case; none means the default ones. Answer with a bulk string.
    Info(Vec<String>),
    /// `ROLE`. Answer with its array.
    Role,
}

/// What the relay must do about what a follower sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrimaryAction {
    /// Write this.
    Reply(Bytes),
    /// Write the answer to this.
    Query(Query),
    /// Check this, then call [`PrimaryHandshake::secret_checked`] and write what it gives.
    CheckSecret {
        /// The ACL user, if one was named.
        user: Option<Bytes>,
        /// The password to check.
        secret: Secret,
    },
    /// Answer with `+CONTINUE`, `+FULLRESYNC`, newlines to hold it, or try-again.
    Psync {
        /// From where.
        request: PsyncRequest,
        /// The follower is a primary that hands over to us with `FAILOVER`.
        failover: bool,
        /// What it told of itself.
        follower: Announcement,
    },
    /// The follower has applied the stream up to here.
    Ack(Offset),
    /// The follower is alive; nothing to answer.
    Alive,
    /// Write the reply, if any, and close.
    Close {
        /// The last words.
        reply: Bytes,
        /// Why, for the log.
        reason: String,
    },
}

/// One follower's connection.
#[derive(Debug)]
pub struct PrimaryHandshake {}

impl PrimaryHandshake {
    /// A connection on which nothing was said yet.
    pub fn new(auth_required: bool) -> Self {
        let _ = auth_required;
        todo!()
    }

    /// Decides about what the follower sent. Never fails: what can't be understood is answered with an error.
    pub fn on(&mut self, incoming: Incoming) -> PrimaryAction {
        let _ = incoming;
        todo!()
    }

    /// The outcome of [`PrimaryAction::CheckSecret`]: gives the answer, and closes after too many failures.
    pub fn secret_checked(&mut self, correct: bool) -> PrimaryAction {
        let _ = correct;
        todo!()
    }

    /// The caller refused the PSYNC (with try-again): the follower may ask again on this connection.
    pub fn psync_refused(&mut self) {
        todo!()
    }

    /// What the follower told of itself so far.
    pub fn follower(&self) -> &Announcement {
        todo!()
    }
}
