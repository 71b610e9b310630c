//! Why a handshake failed.

use crate::Excerpt;

/// Why a node can't be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The peer doesn't speak RESP at all (an HTTP server, a TLS port, …).
    #[error("the peer is not a Redis or Valkey server: expected a reply to {command}, found {found}")]
    NotRedis {
        /// What it was to answer.
        command: &'static str,
        /// What it said.
        found: Excerpt,
    },
    /// The password is wrong, or one is needed and none was given.
    #[error("authentication failed: the node answered {command} with {reply:?}")]
    Auth {
        /// The command it refused.
        command: &'static str,
        /// Its words.
        reply: String,
    },
    /// The user may not replicate.
    #[error("the node's user may not use {command} (it needs +psync +replconf +ping): it answered {reply:?}")]
    Permission {
        /// The command it refused.
        command: &'static str,
        /// Its words.
        reply: String,
    },
    /// The server has no `rdb-only` transfers (they came with Redis 7.0).
    #[error("the node has no rdb-only transfers (Redis 7.0 and later have): it answered {reply:?}")]
    RdbOnlyRefused {
        /// Its words.
        reply: String,
    },
    /// The server knows no PSYNC: managed services switch it off.
    #[error("the node does not offer PSYNC, as most managed services don't: it answered {reply:?}")]
    PsyncUnsupported {
        /// Its words.
        reply: String,
    },
    /// Any other error reply.
    #[error("the node refused {command}: {reply:?}")]
    Refused {
        /// The command it refused.
        command: &'static str,
        /// Its words.
        reply: String,
    },
    /// A reply that makes no sense here.
    #[error("expected {expected} in answer to {command}, found {found}")]
    Unexpected {
        /// What it answered.
        command: &'static str,
        /// What the protocol has here.
        expected: &'static str,
        /// What it said.
        found: Excerpt,
    },
}

/// A follower's command that can't be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found}")]
pub struct FollowerError {
    /// What the protocol has here.
    pub expected: &'static str,
    /// What the follower sent.
    pub found: Excerpt,
}
