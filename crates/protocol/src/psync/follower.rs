//! What a follower says to the relay, as types.

use bytes::Bytes;

use super::{FollowerError, PsyncRequest, Secret};
use crate::Offset;
use crate::resp::Incoming;

/// What a follower told of itself with `REPLCONF`; what it didn't tell is `None` or false.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Announcement {
    /// The port it serves clients on.
    pub listening_port: Option<u16>,
    /// The address it wants to be known by.
    pub address: Option<String>,
    /// It takes EOF-marked transfers.
    pub eof: bool,
    /// It takes a new id in `+CONTINUE`.
    pub psync2: bool,
    /// Its server version (Valkey 8 and later tell it).
    pub version: Option<String>,
    /// It wants a snapshot and no stream.
    pub rdb_only: Option<bool>,
}

/// A command that a follower, or a curious client, sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FollowerCommand {
    /// A bare newline: alive, and busy loading.
    Newline,
    /// `PING [text]`
    Ping(Option<Bytes>),
    /// `AUTH [user] secret`
    Auth {
        /// The ACL user.
        user: Option<Bytes>,
        /// The password.
        secret: Secret,
    },
    /// `HELLO …`, its arguments.
    Hello(Vec<Bytes>),
    /// `REPLCONF` with any of listening-port, ip-address, capa, version, rdb-only; other options are ignored.
    Announce(Announcement),
    /// `REPLCONF ACK offset [FACK offset]`
    Ack(Offset),
    /// `REPLCONF GETACK *`
    GetAck,
    /// `PSYNC id offset [FAILOVER]`
    Psync {
        /// From where.
        request: PsyncRequest,
        /// The sender is a primary that hands over to us with `FAILOVER`.
        failover: bool,
    },
    /// `INFO [section…]`, lower case.
    Info(Vec<String>),
    /// `ROLE`
    Role,
    /// `COMMAND …`
    Command,
    /// `CLIENT subcommand …`, the subcommand in lower case.
    Client(String),
    /// `SELECT db`
    Select(u32),
    /// `QUIT`
    Quit,
    /// Anything else: its name in lower case, bounded.
    Other(String),
}

/// Understands what a follower sent.
pub fn parse_follower(incoming: Incoming) -> Result<FollowerCommand, FollowerError> {
    let _ = incoming;
    todo!()
}
