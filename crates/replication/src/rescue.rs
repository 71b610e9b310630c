//! Fetches the writes that an old primary has beyond the point where another one took over, before they are
//! overwritten.
//!
//! The old primary's own backlog is asked for them with `PSYNC`, as any replica would. The caller must have shut it to
//! writes first: a replica that continues counts as one that acknowledged.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sterna_node::{Dialer, Stream};
use sterna_protocol::psync::{HandshakeError, PsyncRequest, ReplicaConfig, ReplicaEvent, ReplicaHandshake};
use sterna_protocol::rdb::{RdbEvent, RdbTransfer};
use sterna_protocol::{Offset, ReplicationId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

/// A node that sends nothing for so long is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Room made for each read.
const READ_BYTES: usize = 64 << 10;
/// Pieces that wait to be written.
pub const PIECES_MAX: usize = 64;

/// What is wanted of an old primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The stream after one offset, up to another.
    Stream {
        /// The history.
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
    /// No connection.
    #[error(transparent)]
    Connect(#[from] sterna_node::ConnectError),
    /// The handshake was refused.
    #[error("{peer} does not give its writes: {source}")]
    Handshake {
        /// The node.
        peer: String,
        /// Why.
        #[source]
        source: HandshakeError,
    },
    /// Its backlog no longer reaches back to where they begin.
    #[error("{peer} no longer has the stream from offset {from} in its backlog")]
    BacklogGone {
        /// The node.
        peer: String,
        /// The first offset that was asked for.
        from: Offset,
    },
    /// The connection broke, or nothing came.
    #[error("the connection to {peer} broke: {what}")]
    Broken {
        /// The node.
        peer: String,
        /// How.
        what: String,
    },
    /// Whoever takes the pieces is gone.
    #[error("what was fetched could not be kept")]
    NotKept,
}

/// Fetches what is wanted and hands it on piece by piece, in order.
pub async fn fetch(dialer: &Dialer, wanted: Wanted, pieces: mpsc::Sender<Bytes>) -> Result<(), RescueError> {
    let peer = dialer.address.to_string();
    let mut stream = dialer.dial().await?;
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let (position, from) = match wanted {
        Wanted::Stream { history, after, .. } => (
            PsyncRequest::Resume {
                id: history,
                held: after,
            },
            Some(after + 1),
        ),
        Wanted::Snapshot => (PsyncRequest::Full, None),
    };
    let continues = shake_hands(dialer, &peer, position, from.is_none(), &mut stream, &mut input).await?;
    match (wanted, from, continues) {
        (Wanted::Stream { after, to, .. }, _, true) => {
            take_stream(&peer, &mut stream, input, to.bytes_since(after), &pieces).await
        }
        (_, Some(from), _) => Err(RescueError::BacklogGone { peer, from }),
        _ => take_snapshot(&peer, &mut stream, input, &pieces).await,
    }
}

/// Returns whether it continues, and not sends everything.
async fn shake_hands(
    dialer: &Dialer,
    peer: &str,
    position: PsyncRequest,
    rdb_only: bool,
    stream: &mut Stream,
    input: &mut BytesMut,
) -> Result<bool, RescueError> {
    let mut handshake = ReplicaHandshake::new(ReplicaConfig {
        credentials: dialer.credentials.clone(),
        listening_port: 0,
        announce_address: None,
        version: None,
        rdb_only,
        position,
    });
    write(peer, stream, &handshake.start()).await?;
    loop {
        let event = handshake.feed(input).map_err(|source| RescueError::Handshake {
            peer: peer.to_owned(),
            source,
        })?;
        match event {
            None => read(peer, stream, input).await?,
            Some(ReplicaEvent::Send(bytes)) => write(peer, stream, &bytes).await?,
            Some(ReplicaEvent::KeepWaiting) => {}
            Some(ReplicaEvent::TryAgain(what)) => {
                return Err(RescueError::Broken {
                    peer: peer.to_owned(),
                    what,
                });
            }
            Some(ReplicaEvent::Continue { .. }) => return Ok(true),
            Some(ReplicaEvent::FullResync { .. }) => return Ok(false),
        }
    }
}

async fn take_stream(
    peer: &str,
    stream: &mut Stream,
    mut input: BytesMut,
    mut missing: u64,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), RescueError> {
    loop {
        let take = usize::try_from(missing).unwrap_or(usize::MAX).min(input.len());
        let piece = input.split_to(take).freeze();
        missing -= piece.len() as u64;
        if !piece.is_empty() {
            pieces.send(piece).await.map_err(|_| RescueError::NotKept)?;
        }
        if missing == 0 {
            return Ok(());
        }
        read(peer, stream, &mut input).await?;
    }
}

async fn take_snapshot(
    peer: &str,
    stream: &mut Stream,
    mut input: BytesMut,
    pieces: &mpsc::Sender<Bytes>,
) -> Result<(), RescueError> {
    let mut transfer = RdbTransfer::new();
    loop {
        let mut bytes = input.split().freeze();
        loop {
            let event = transfer.feed(&mut bytes).map_err(|error| RescueError::Broken {
                peer: peer.to_owned(),
                what: error.to_string(),
            })?;
            match event {
                None => break,
                Some(RdbEvent::Keepalive | RdbEvent::Start(_)) => {}
                Some(RdbEvent::Payload(payload)) => {
                    pieces.send(payload).await.map_err(|_| RescueError::NotKept)?;
                }
                Some(RdbEvent::End) => return Ok(()),
            }
        }
        read(peer, stream, &mut input).await?;
    }
}

async fn read(peer: &str, stream: &mut Stream, input: &mut BytesMut) -> Result<(), RescueError> {
    let broken = |what: String| RescueError::Broken {
        peer: peer.to_owned(),
        what,
    };
    input.reserve(READ_BYTES);
    match tokio::time::timeout(SILENCE_MAX, stream.read_buf(input)).await {
        Ok(Ok(0)) => Err(broken("the node closed it".to_owned())),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_) => Err(broken(format!("nothing came for {} s", SILENCE_MAX.as_secs()))),
    }
}

async fn write(peer: &str, stream: &mut Stream, bytes: &[u8]) -> Result<(), RescueError> {
    stream
        .write_all(bytes)
        .await
        .map_err(|error| RescueError::Broken {
            peer: peer.to_owned(),
            what: error.to_string(),
        })
}
