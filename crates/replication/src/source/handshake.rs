//! From an open connection to the answer to `PSYNC`.

use std::time::Duration;

use bytes::BytesMut;
use sterna_node::{FoundPrimary, Stream};
use sterna_protocol::psync::{PsyncRequest, ReplicaConfig, ReplicaEvent, ReplicaHandshake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

use super::{Connection, FullResyncAnswer, Purpose, SourceError, SourceEvent};

/// A primary that says nothing for so long is given up (`repl-timeout` of the servers). While a snapshot is made it
/// sends newlines.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What comes next on the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    Snapshot,
    Stream,
}

impl Connection {
    /// Shakes hands; returns what comes next and what was already read of it.
    pub(super) async fn handshake(
        &mut self,
        found: &FoundPrimary,
        peer: &str,
        position: PsyncRequest,
    ) -> Result<(Transfer, Stream, BytesMut), SourceError> {
        let mut stream = found.dialer.dial().await?;
        // What was not sent when this connection ends shall never arrive: an acknowledgement would renew a lease.
        stream.reset_on_close().map_err(|error| SourceError::Broken {
            peer: peer.to_owned(),
            what: error.to_string(),
        })?;
        let broken = |error: std::io::Error| SourceError::Broken {
            peer: peer.to_owned(),
            what: error.to_string(),
        };
        let mut handshake = ReplicaHandshake::new(self.config(found, position));
        let mut input = BytesMut::with_capacity(4096);
        stream.write_all(&handshake.start()).await.map_err(broken)?;
        loop {
            let event = handshake
                .feed(&mut input)
                .map_err(|source| SourceError::Handshake {
                    peer: peer.to_owned(),
                    source,
                })?;
            match event {
                None => read_some(&mut stream, &mut input, peer).await?,
                Some(ReplicaEvent::Send(bytes)) => stream.write_all(&bytes).await.map_err(broken)?,
                Some(ReplicaEvent::KeepWaiting) => {}
                Some(ReplicaEvent::TryAgain(reason)) => {
                    return Err(SourceError::NotReady {
                        peer: peer.to_owned(),
                        reason,
                    });
                }
                Some(ReplicaEvent::Continue { id }) => {
                    self.reports.send(SourceEvent::Continued { id }).await?;
                    return Ok((Transfer::Stream, stream, input));
                }
                Some(ReplicaEvent::FullResync { id, offset }) => {
                    let (reply, answer) = oneshot::channel();
                    self.reports
                        .send(SourceEvent::FullResync { id, offset, reply })
                        .await?;
                    return match answer.await {
                        Ok(FullResyncAnswer::Accept) => Ok((Transfer::Snapshot, stream, input)),
                        Ok(FullResyncAnswer::Refuse(reason)) => Err(SourceError::Unwanted(reason)),
                        Err(_) => Err(SourceError::OwnerGone),
                    };
                }
            }
        }
    }

    fn config(&self, found: &FoundPrimary, position: PsyncRequest) -> ReplicaConfig {
        ReplicaConfig {
            credentials: found.dialer.credentials.clone(),
            listening_port: self.announce.as_ref().map_or(0, |relay| relay.port),
            announce_address: self.announce.as_ref().and_then(|relay| relay.host.clone()),
            version: self.announced_version.clone(),
            rdb_only: self.purpose == Purpose::Snapshot && supports_rdb_only(found),
            position,
        }
    }
}

/// `REPLCONF rdb-only` came with Redis 7.0; before it, a snapshot is taken as an ordinary replica that leaves early.
fn supports_rdb_only(found: &FoundPrimary) -> bool {
    let version = found.info.server().redis_version.unwrap_or_default();
    version
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok())
        .is_some_and(|major| major >= 7)
}

/// Reads at least one byte.
pub(super) async fn read_some(
    stream: &mut Stream,
    input: &mut BytesMut,
    peer: &str,
) -> Result<(), SourceError> {
    match tokio::time::timeout(SILENCE_MAX, stream.read_buf(input)).await {
        Ok(Ok(0)) => Err(SourceError::Broken {
            peer: peer.to_owned(),
            what: "the peer closed it".to_owned(),
        }),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(SourceError::Broken {
            peer: peer.to_owned(),
            what: error.to_string(),
        }),
        Err(_) => Err(SourceError::Silent {
            peer: peer.to_owned(),
            seconds: SILENCE_MAX.as_secs(),
        }),
    }
}
