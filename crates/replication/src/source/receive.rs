//! After `PSYNC`: the snapshot if there is one, then the stream, for as long as the connection lives.

use std::convert::Infallible;

use sterna_protocol::Offset;
use sterna_protocol::psync;
use sterna_protocol::rdb::RdbEvent;
use tokio::sync::{Notify, oneshot};

use super::{Connection, FullResyncAnswer, Purpose, SourceError, SourceEvent};
use crate::psync_client::{PsyncAnswer, PsyncClient};

impl Connection {
    /// Tells the owner what the primary answered, and whether a snapshot comes.
    pub(super) async fn report(&self, answer: PsyncAnswer) -> Result<bool, SourceError> {
        match answer {
            PsyncAnswer::Continue { id } => {
                self.reports.send(SourceEvent::Continued { id }).await?;
                Ok(false)
            }
            PsyncAnswer::FullResync { id, offset } => {
                let (reply, answer) = oneshot::channel();
                self.reports
                    .send(SourceEvent::FullResync { id, offset, reply })
                    .await?;
                match answer.await {
                    Ok(FullResyncAnswer::Accept) => Ok(true),
                    Ok(FullResyncAnswer::Refuse(reason)) => Err(SourceError::Unwanted(reason)),
                    Err(_) => Err(SourceError::OwnerGone),
                }
            }
        }
    }

    pub(super) async fn receive(
        &mut self,
        mut client: PsyncClient,
        snapshot: bool,
        look_now: &Notify,
    ) -> Result<Infallible, SourceError> {
        if snapshot {
            self.receive_snapshot(&mut client).await?;
            if self.purpose == Purpose::Snapshot {
                return Err(SourceError::Done);
            }
        }
        self.receive_stream(client, look_now).await
    }

    /// Acknowledges nothing whenever the link acknowledges something, and keeps nothing of what comes.
    pub(super) async fn hold_lease(&mut self, mut client: PsyncClient) -> Result<Infallible, SourceError> {
        loop {
            tokio::select! {
                biased;
                changed = self.acks.changed() => match changed {
                    Ok(()) => client.write(&psync::ack(Offset::ZERO.into())).await?,
                    Err(_) => return Err(SourceError::OwnerGone),
                },
                bytes = client.stream() => drop(bytes?),
            }
        }
    }

    async fn receive_snapshot(&mut self, client: &mut PsyncClient) -> Result<(), SourceError> {
        let mut snapshot = client.snapshot();
        loop {
            let event = match snapshot.next().await? {
                RdbEvent::Keepalive => continue,
                RdbEvent::Start(form) => SourceEvent::SnapshotStarted(form),
                RdbEvent::Payload(payload) => SourceEvent::Snapshot(payload),
                RdbEvent::End => return self.reports.send(SourceEvent::SnapshotDone).await,
            };
            self.reports.send(event).await?;
        }
    }

    async fn receive_stream(
        &mut self,
        mut client: PsyncClient,
        look_now: &Notify,
    ) -> Result<Infallible, SourceError> {
        loop {
            tokio::select! {
                biased;
                // First: while there is always something to read, nothing would be acknowledged.
                changed = self.acks.changed() => match changed {
                    Ok(()) => {
                        let ack = *self.acks.borrow_and_update();
                        client.write(&psync::ack(ack)).await?;
                        look_now.notify_one();
                    }
                    Err(_) => return Err(SourceError::OwnerGone),
                },
                bytes = client.stream() => self.reports.send(SourceEvent::Stream(bytes?)).await?,
            }
        }
    }
}
