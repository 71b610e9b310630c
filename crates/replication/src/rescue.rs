//! Fetches the writes that an old primary has beyond the point where another one took over, before they are
//! overwritten.
//!
//! The old primary's own backlog is asked for them with `PSYNC`, as any replica would. The caller must have shut it to
//! writes first: a replica that continues counts as one that acknowledged.

use std::time::Duration;

use bytes::Bytes;
use sterna_log::ReadError;
use sterna_node::Dialer;
use sterna_protocol::psync::{HandshakeError, PsyncRequest, ReplicaConfig};
use sterna_protocol::rdb::RdbEvent;
use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::mpsc;

use crate::psync_client::{PsyncAnswer, PsyncClient, PsyncError};
use crate::shard::ShardHandle;

/// An old primary that says nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// So much is read of the log at a time.
const READ_BYTES: usize = 256 << 10;
/// Pieces that wait to be written.
pub const PIECES_MAX: usize = 64;

/// What is wanted of an old primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The stream after one offset, up to another.
    Stream {
        history: ReplicationId,
        /// The last offset that is not wanted.
        after: Offset,
        /// The last one that is.
        to: Offset,
    },
    /// All of its data.
    Snapshot,
}

/// It could not be fetched. The node's data was not touched.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// The connection came to nothing, or broke.
    #[error("the old primary does not give its writes: {0}")]
    Psync(#[from] PsyncError),
    /// Its backlog no longer reaches back to where they begin.
    #[error("{peer} no longer has the stream from offset {from} in its backlog")]
    BacklogGone {
        /// The node.
        peer: String,
        /// The first offset that was asked for.
        from: Offset,
    },
    /// The log does not have it, or not on disk.
    #[error("the log can't give it: {0}")]
    Log(#[from] ReadError),
    /// Whoever takes the pieces is gone.
    #[error("what was fetched could not be kept")]
    NotKept,
}

/// Reads what the log of a shard holds after one offset, up to another, and hands it on piece by piece, in order. The shard must
/// follow nobody meanwhile: what follows a new primary is cut back to what that one has.
pub async fn read_held(
    shard: &ShardHandle,
    after: Offset,
    to: Offset,
    pieces: mpsc::Sender<Bytes>,
) -> Result<(), RescueError> {
    let mut reader = shard.log_reader();
    let read = move || {
        let mut from = after;
        while from < to {
            let piece = reader.read(from, READ_BYTES, to)?;
            from += piece.len() as u64;
            pieces.blocking_send(piece).map_err(|_| RescueError::NotKept)?;
        }
        Ok(())
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(result) => result,
        Err(_) => Err(RescueError::NotKept),
    }
}

/// Fetches what is wanted and hands it on piece by piece, in order.
pub async fn fetch(dialer: &Dialer, wanted: Wanted, pieces: mpsc::Sender<Bytes>) -> Result<(), RescueError> {
    match wanted {
        Wanted::Stream { history, after, to } => {
            let position = PsyncRequest::Resume {
                id: history,
                held: after,
            };
            match PsyncClient::connect(dialer, config(dialer, position, false), SILENCE_MAX).await? {
                (client, PsyncAnswer::Continue { .. }) => {
                    take_stream(client, to.bytes_since(after), &pieces).await
                }
                (_, PsyncAnswer::FullResync { .. }) => Err(RescueError::BacklogGone {
                    peer: dialer.address.to_string(),
                    from: after + 1,
                }),
            }
        }
        Wanted::Snapshot => take_snapshot(connect_for_snapshot(dialer).await?, &pieces).await,
    }
}

/// Servers before 7.0 refuse `rdb-only`: from them a snapshot is taken as an ordinary replica that leaves early.
async fn connect_for_snapshot(dialer: &Dialer) -> Result<PsyncClient, PsyncError> {
    let ask = async |rdb_only| {
        let config = config(dialer, PsyncRequest::Full, rdb_only);
        PsyncClient::connect(dialer, config, SILENCE_MAX).await
    };
    let answered = match ask(true).await {
        Err(PsyncError::Handshake {
            source: HandshakeError::RdbOnlyRefused { .. },
            ..
        }) => ask(false).await?,
        answered => answered?,
    };
    Ok(answered.0)
}

fn config(dialer: &Dialer, position: PsyncRequest, rdb_only: bool) -> ReplicaConfig {
    ReplicaConfig {
        credentials: dialer.credentials.clone(),
        listening_port: 0,
        announce_address: None,
        version: None,
        asks_client_id: false,
        rdb_only,
        position,
    }
}

async fn take_stream(
    mut client: PsyncClient,
    mut missing: u64,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), RescueError> {
    while missing > 0 {
        let mut piece = client.stream().await?;
        piece.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        missing -= piece.len() as u64;
        pieces.send(piece).await.map_err(|_| RescueError::NotKept)?;
    }
    Ok(())
}

async fn take_snapshot(mut client: PsyncClient, pieces: &mpsc::Sender<Bytes>) -> Result<(), RescueError> {
    let mut snapshot = client.snapshot();
    loop {
        match snapshot.next().await? {
            RdbEvent::Keepalive | RdbEvent::Start(_) => {}
            RdbEvent::Payload(payload) => pieces.send(payload).await.map_err(|_| RescueError::NotKept)?,
            RdbEvent::End => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use sterna_node::NodeAddress;
    use sterna_protocol::resp::{CommandReader, Incoming};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    /// A primary at offset 7 that is older than `rdb-only`. What it sends beyond what was wanted follows at once.
    async fn old_primary() -> Dialer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let port = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(answer(tcp));
            }
        });
        Dialer::new(NodeAddress::new("127.0.0.1", port))
    }

    async fn answer(mut tcp: TcpStream) {
        let (mut reader, mut input) = (CommandReader::new(), BytesMut::new());
        while tcp.read_buf(&mut input).await.is_ok_and(|read| read > 0) {
            while let Ok(Some(Incoming::Command(args))) = reader.next(&mut input) {
                let words: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
                let words: Vec<_> = words.iter().map(AsRef::as_ref).collect();
                let text = match words[..] {
                    ["PING"] => "+PONG\r\n".to_owned(),
                    ["REPLCONF", .., "rdb-only", "1"] => {
                        "-ERR Unrecognized REPLCONF option: rdb-only\r\n".to_owned()
                    }
                    ["PSYNC", ID, "5"] => "+CONTINUE\r\n23456789".to_owned(),
                    ["PSYNC", ..] => format!("+FULLRESYNC {ID} 7\r\n$5\r\nREDIS89"),
                    _ => "+OK\r\n".to_owned(),
                };
                drop(tcp.write_all(text.as_bytes()).await);
            }
        }
    }

    async fn fetched(wanted: Wanted) -> Result<Vec<u8>, RescueError> {
        let dialer = old_primary().await;
        let (pieces, mut incoming) = mpsc::channel(PIECES_MAX);
        fetch(&dialer, wanted, pieces).await?;
        let mut all = Vec::new();
        while let Some(piece) = incoming.recv().await {
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    fn after(offset: u64) -> Wanted {
        Wanted::Stream {
            history: ID.parse().expect("an id"),
            after: Offset::new(offset),
            to: Offset::new(offset + 4),
        }
    }

    #[tokio::test]
    async fn a_snapshot_is_taken_from_a_server_before_rdb_only() {
        assert_eq!(fetched(Wanted::Snapshot).await.expect("it is given"), b"REDIS");
    }

    #[tokio::test]
    async fn of_the_stream_no_more_is_taken_than_was_wanted() {
        assert_eq!(fetched(after(4)).await.expect("it is given"), b"2345");
        let gone = fetched(after(1)).await.expect_err("the backlog is shorter");
        assert!(matches!(gone, RescueError::BacklogGone { from, .. } if from == Offset::new(2)));
    }
}
