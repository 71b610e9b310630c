//! After `PSYNC`: the snapshot if there is one, then the stream, for as long as the connection lives.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use sterna_node::Stream;
use sterna_protocol::psync;
use sterna_protocol::rdb::{RdbEvent, RdbTransfer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::chunks::Chunks;
use super::handshake::{SILENCE_MAX, Transfer, read_some};
use super::{Connection, Purpose, SourceError, SourceEvent};

impl Connection {
    pub(super) async fn receive(
        &mut self,
        peer: &str,
        transfer: Transfer,
        mut stream: Stream,
        mut input: BytesMut,
        look_now: &Notify,
    ) -> Result<Infallible, SourceError> {
        if transfer == Transfer::Snapshot {
            input = self.receive_snapshot(peer, &mut stream, input).await?;
            if self.purpose == Purpose::Snapshot {
                return Err(SourceError::Done);
            }
        }
        self.receive_stream(peer, stream, input, look_now).await
    }

    async fn receive_snapshot(
        &mut self,
        peer: &str,
        stream: &mut Stream,
        mut input: BytesMut,
    ) -> Result<BytesMut, SourceError> {
        let mut transfer = RdbTransfer::new();
        let mut chunks = Chunks::default();
        loop {
            let mut bytes: Bytes = input.split().freeze();
            loop {
                let event = transfer
                    .feed(&mut bytes)
                    .map_err(|error| SourceError::BadData(error.to_string()))?;
                match event {
                    None => break,
                    Some(RdbEvent::Keepalive) => {}
                    Some(RdbEvent::Start(form)) => {
                        self.reports.send(SourceEvent::SnapshotStarted(form)).await?;
                    }
                    Some(RdbEvent::Payload(payload)) => {
                        self.reports.send(SourceEvent::Snapshot(payload)).await?;
                    }
                    Some(RdbEvent::End) => {
                        self.reports.send(SourceEvent::SnapshotDone).await?;
                        return Ok(BytesMut::from(bytes));
                    }
                }
            }
            chunks.make_room(&mut input);
            read_some(stream, &mut input, peer).await?;
        }
    }

    async fn receive_stream(
        &mut self,
        peer: &str,
        mut stream: Stream,
        mut input: BytesMut,
        look_now: &Notify,
    ) -> Result<Infallible, SourceError> {
        let broken = |error: std::io::Error| SourceError::Broken {
            peer: peer.to_owned(),
            what: error.to_string(),
        };
        let mut silence = interval(SILENCE_MAX / 4);
        silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let mut chunks = Chunks::default();
        loop {
            if !input.is_empty() {
                self.reports
                    .send(SourceEvent::Stream(input.split().freeze()))
                    .await?;
            }
            chunks.make_room(&mut input);
            tokio::select! {
                biased;
                // First: while there is always something to read, nothing would be acknowledged.
                changed = self.acks.changed() => match changed {
                    Ok(()) => {
                        let offset = *self.acks.borrow_and_update();
                        stream.write_all(&psync::ack(offset)).await.map_err(broken)?;
                        look_now.notify_one();
                    }
                    Err(_) => return Err(SourceError::OwnerGone),
                },
                read = stream.read_buf(&mut input) => match read {
                    Ok(0) => {
                        let what = "the peer closed it".to_owned();
                        return Err(SourceError::Broken { peer: peer.to_owned(), what });
                    }
                    Ok(_) => heard = Instant::now(),
                    Err(error) => return Err(broken(error)),
                },
                _ = silence.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        let seconds = SILENCE_MAX.as_secs();
                        return Err(SourceError::Silent { peer: peer.to_owned(), seconds });
                    }
                }
            }
        }
    }
}
