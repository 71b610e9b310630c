//! The few lines that both sides of an established link say.

use bytes::{Bytes, BytesMut};

use crate::resp::encode_command;
use crate::{Offset, ReplicationId};

/// Keeps a waiting replica waiting. Legal only before the answer to PSYNC and before an RDB's header: in the online
/// stream a replica counts it, and its offset is wrong for ever.
pub const KEEPALIVE: &[u8] = b"\n";

/// How far a replica is, as it tells its primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ack {
    /// The stream up to here was applied, which `WAIT` counts.
    pub applied: Offset,
    /// The stream up to here was synced to disk, which `WAITAOF` counts (Redis 7.2, Valkey 7.2 and later); servers without an
    /// AOF don't tell.
    pub synced: Option<Offset>,
}

impl From<Offset> for Ack {
    /// Says nothing of a disk.
    fn from(applied: Offset) -> Self {
        Self {
            applied,
            synced: None,
        }
    }
}

/// `REPLCONF ACK`: what a replica tells its primary once a second and when asked. A primary that knows no `FACK` ignores it.
pub fn ack(ack: Ack) -> Bytes {
    let applied = ack.applied.to_string();
    match ack.synced {
        None => command(&["REPLCONF", "ACK", &applied]),
        Some(synced) => command(&["REPLCONF", "ACK", &applied, "FACK", &synced.to_string()]),
    }
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
    error_line("NOMASTERLINK", reason)
}

/// An error reply of one line, whatever `text` has in it.
/// Refuses a primary that hands over: it takes writes again. Any other follower would fall back to `SYNC`.
pub fn refuse(reason: &str) -> Bytes {
    error_line("ERR", reason)
}

pub(super) fn error_line(code: &str, text: &str) -> Bytes {
    let text: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    Bytes::from(format!("-{code} {text}\r\n"))
}

pub(super) fn command<A: AsRef<[u8]>>(args: &[A]) -> Bytes {
    let mut out = BytesMut::new();
    encode_command(&mut out, args);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_servers_read_them() {
        let id = ReplicationId::ZERO;
        assert_eq!(
            ack(Offset::new(12).into()),
            "*3\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n12\r\n"
        );
        let on_disk = Ack {
            applied: Offset::new(12),
            synced: Some(Offset::new(9)),
        };
        assert_eq!(
            ack(on_disk),
            "*5\r\n$8\r\nREPLCONF\r\n$3\r\nACK\r\n$2\r\n12\r\n$4\r\nFACK\r\n$1\r\n9\r\n"
        );
        assert_eq!(full_resync(id, Offset::new(7)), format!("+FULLRESYNC {id} 7\r\n"));
        assert_eq!(continue_with(id), format!("+CONTINUE {id}\r\n"));
        assert_eq!(try_again("not yet\r\n+OK"), "-NOMASTERLINK not yet  +OK\r\n");
    }
}
