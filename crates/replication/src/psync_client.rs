//! One connection to a node as its replica: log in, shake hands, and take what comes after the answer to `PSYNC`. The
//! source and the rescue of writes stand on it. What is said is decided by `sterna_protocol::psync`; here is the I/O.

mod chunks;

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use sterna_node::{ConnectError, Dialer, Stream};
use sterna_protocol::psync::{HandshakeError, ReplicaConfig, ReplicaEvent, ReplicaHandshake};
use sterna_protocol::rdb::{RdbEvent, RdbTransfer};
use sterna_protocol::{Offset, ReplicationId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use self::chunks::Chunks;
use crate::turn::Turn;

/// Room for the answers of the handshake.
const ANSWER_BYTES: usize = 4096;

/// Why a connection gave nothing, or nothing more. The node is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PsyncError {
    /// It can't be reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It refused the handshake.
    #[error("{peer} can't be followed: {source}")]
    Handshake {
        /// The node.
        peer: String,
        /// In which words.
        #[source]
        source: HandshakeError,
    },
    /// It asks to be asked later.
    #[error("{peer} is not ready to be followed: {reason}")]
    NotReady {
        /// The node.
        peer: String,
        /// Its words.
        reason: String,
    },
    /// The connection broke.
    #[error("the connection to {peer} broke: {what}")]
    Broken {
        /// The node.
        peer: String,
        what: String,
        /// It was closed or reset from the other side.
        by_peer: bool,
    },
    /// Nothing came for too long.
    #[error("{peer} sent nothing for {seconds} s")]
    Silent {
        /// The node.
        peer: String,
        /// For how long.
        seconds: u64,
    },
    /// What came is no snapshot.
    #[error("{peer} sent bytes that can't be right: {what}")]
    BadData {
        /// The node.
        peer: String,
        /// What is wrong with them.
        what: String,
    },
}

/// What a node answered to `PSYNC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PsyncAnswer {
    /// The stream comes, from where it was asked for.
    Continue {
        /// The history's name from here on, if it changed.
        id: Option<ReplicationId>,
    },
    /// A snapshot comes, then the stream.
    FullResync {
        id: ReplicationId,
        /// The offset that it stands at.
        offset: Offset,
    },
}

/// A connection that has been answered.
#[derive(Debug)]
pub(crate) struct PsyncClient {
    peer: String,
    stream: Stream,
    /// Read, and not taken yet.
    input: BytesMut,
    chunks: Chunks,
    heard: Instant,
    /// A node that says nothing for so long is given up (`repl-timeout` of the servers). While a snapshot is made it sends
    /// newlines, and pings afterwards.
    silence_max: Duration,
    turn: Turn,
}

impl PsyncClient {
    /// Connects, logs in and asks, as a server's own replica does. `config` carries the dialer's credentials; a node that says
    /// nothing for `silence_max` is given up.
    pub(crate) async fn connect(
        dialer: &Dialer,
        config: ReplicaConfig,
        silence_max: Duration,
    ) -> Result<(Self, PsyncAnswer), PsyncError> {
        Self::connect_as(dialer, config, silence_max, |_| {}).await
    }

    /// Does so, and tells before the node counts it as a replica under which number it is listed there.
    pub(crate) async fn connect_as(
        dialer: &Dialer,
        config: ReplicaConfig,
        silence_max: Duration,
        identified: impl Fn(u64),
    ) -> Result<(Self, PsyncAnswer), PsyncError> {
        let mut client = Self {
            peer: dialer.address.to_string(),
            stream: dialer.dial().await?,
            input: BytesMut::with_capacity(ANSWER_BYTES),
            chunks: Chunks::default(),
            heard: Instant::now(),
            silence_max,
            turn: Turn::begin(),
        };
        // What was not sent when this connection ends shall never arrive: an acknowledgement would renew a lease.
        let unlingering = client.stream.reset_on_close();
        unlingering.map_err(|error| client.broken(&error))?;
        let handshake = ReplicaHandshake::new(config);
        let answer = client.shake_hands(handshake, identified).await?;
        Ok((client, answer))
    }

    async fn shake_hands(
        &mut self,
        mut handshake: ReplicaHandshake,
        identified: impl Fn(u64),
    ) -> Result<PsyncAnswer, PsyncError> {
        self.write(&handshake.start()).await?;
        loop {
            let event = handshake
                .feed(&mut self.input)
                .map_err(|source| PsyncError::Handshake {
                    peer: self.peer.clone(),
                    source,
                })?;
            match event {
                None => self.read().await?,
                Some(ReplicaEvent::Send(bytes)) => self.write(&bytes).await?,
                Some(ReplicaEvent::ClientId(id)) => identified(id),
                Some(ReplicaEvent::KeepWaiting) => self.turn.give_way().await,
                Some(ReplicaEvent::TryAgain(reason)) => {
                    return Err(PsyncError::NotReady {
                        peer: self.peer.clone(),
                        reason,
                    });
                }
                Some(ReplicaEvent::Continue { id }) => return Ok(PsyncAnswer::Continue { id }),
                Some(ReplicaEvent::FullResync { id, offset }) => {
                    return Ok(PsyncAnswer::FullResync { id, offset });
                }
            }
        }
    }

    /// The snapshot that comes now, to its end.
    pub(crate) fn snapshot(&mut self) -> SnapshotReader<'_> {
        SnapshotReader {
            bytes: self.input.split().freeze(),
            transfer: RdbTransfer::new(),
            client: self,
        }
    }

    /// The stream as it comes: at least one byte. It can be given up and called again; nothing is lost, and silence
    /// counts from the last byte.
    pub(crate) async fn stream(&mut self) -> Result<Bytes, PsyncError> {
        if self.input.is_empty() {
            self.chunks.make_room(&mut self.input);
            self.read().await?;
        }
        Ok(self.input.split().freeze())
    }

    /// Sends something, whole.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), PsyncError> {
        let written = self.stream.write_all(bytes).await;
        written.map_err(|error| self.broken(&error))
    }

    /// Reads at least one byte more.
    async fn read(&mut self) -> Result<(), PsyncError> {
        match timeout_at(
            self.heard + self.silence_max,
            self.stream.read_buf(&mut self.input),
        )
        .await
        {
            Ok(Ok(0)) => Err(self.broken(&io::Error::new(ErrorKind::UnexpectedEof, "the peer closed it"))),
            Ok(Ok(_)) => {
                self.heard = Instant::now();
                // Nothing that was read is lost where this is given up.
                self.turn.give_way().await;
                Ok(())
            }
            Ok(Err(error)) => Err(self.broken(&error)),
            Err(_) => Err(PsyncError::Silent {
                peer: self.peer.clone(),
                seconds: self.silence_max.as_secs(),
            }),
        }
    }

    fn broken(&self, error: &io::Error) -> PsyncError {
        let by_peer = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
        );
        PsyncError::Broken {
            peer: self.peer.clone(),
            what: error.to_string(),
            by_peer,
        }
    }
}

/// A snapshot on its way. What was read beyond its end stays with the connection.
#[derive(Debug)]
pub(crate) struct SnapshotReader<'a> {
    client: &'a mut PsyncClient,
    transfer: RdbTransfer,
    bytes: Bytes,
}

impl SnapshotReader<'_> {
    /// What comes next; nothing comes after the end.
    pub(crate) async fn next(&mut self) -> Result<RdbEvent, PsyncError> {
        loop {
            let fed = self.transfer.feed(&mut self.bytes);
            match fed.map_err(|error| self.bad_data(&error))? {
                None => self.bytes = self.client.stream().await?,
                Some(RdbEvent::Keepalive) => self.client.turn.give_way().await,
                Some(RdbEvent::End) => {
                    self.client.input = BytesMut::from(std::mem::take(&mut self.bytes));
                    return Ok(RdbEvent::End);
                }
                Some(event) => return Ok(event),
            }
        }
    }

    fn bad_data(&self, what: &dyn std::fmt::Display) -> PsyncError {
        PsyncError::BadData {
            peer: self.client.peer.clone(),
            what: what.to_string(),
        }
    }
}
