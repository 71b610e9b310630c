//! The few lines that both sides of an established link say.

use bytes::Bytes;

use crate::{Offset, ReplicationId};

/// Keeps a waiting replica waiting. Legal only before the answer to PSYNC and before an RDB's header: in the online
/// stream a replica counts it, and its offset is wrong for ever.
pub const KEEPALIVE: &[u8] = b"\n";

/// `REPLCONF ACK`: what a replica tells its primary once a second and when asked.
pub fn ack(offset: Offset) -> Bytes {
    let _ = offset;
    todo!()
}

/// `+FULLRESYNC`: an RDB follows, and then the stream after `offset`.
pub fn full_resync(id: ReplicationId, offset: Offset) -> Bytes {
    Bytes::from(format!("+FULLRESYNC {id} {offset}\r\n"))
}

/// `+CONTINUE`: the stream goes on from where the follower asked, under this id.
pub fn continue_with(id: ReplicationId) -> Bytes {
    Bytes::from(format!("+CONTINUE {id}\r\n"))
}

/// The answer to PSYNC that makes a replica come again later instead of falling back to `SYNC`.
pub fn try_again(reason: &str) -> Bytes {
    let _ = reason;
    todo!()
}
