//! One connection: bytes in, answers and events out.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use sterna_node::listen::Proof;
use sterna_protocol::resp::CommandReader;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use crate::session::{Flow, Session};
use crate::shared::{Batch, Shared};

/// How long a connection may take to log in and to ask something of sense, TLS included. After that it may be idle.
pub(crate) const UNTRUSTED_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to read what it is sent.
const WRITE_MAX: Duration = Duration::from_secs(30);
/// Answers to a pipeline are sent as soon as they are more than this.
const OUT_BYTES: usize = 64 << 10;
/// Where the input buffer begins; questions are short.
const INPUT_BYTES: usize = 1024;

/// What ends a connection, in words for the log.
type Ended = String;

/// Serves one connection to its end and says why it ended. `since` is when it was accepted; once it is trusted, that is its
/// proof.
pub(crate) async fn run<S>(
    mut stream: S,
    mut session: Session,
    since: Instant,
    shared: Arc<Shared>,
    proof: Proof,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut input = BytesMut::with_capacity(INPUT_BYTES);
    let mut out = BytesMut::new();
    let mut commands = CommandReader::new();
    let mut events: Option<broadcast::Receiver<Batch>> = None;
    loop {
        let answered = answer_all(
            &mut stream,
            &mut session,
            &mut commands,
            &mut input,
            &mut out,
            &shared,
        );
        if let Err(ended) = answered.await {
            return ended;
        }
        if session.is_trusted() {
            proof.given();
        }
        // Before the confirmation goes out, so that nothing published after it is missed.
        if !session.is_subscribed() {
            events = None;
        } else if events.is_none() {
            events = Some(shared.events.subscribe());
        }
        if let Err(ended) = send(&mut stream, &mut out).await {
            return ended;
        }
        tokio::select! {
            read = stream.read_buf(&mut input) => match read {
                Ok(0) => return "the client closed it".to_owned(),
                Ok(_) => {}
                Err(error) => return error.to_string(),
            },
            batch = next_batch(&mut events) => match batch {
                Ok(batch) => batch.iter().for_each(|event| session.publish(event, &mut out)),
                Err(RecvError::Lagged(_)) => {
                    return "it reads its events too slowly and has missed some".to_owned();
                }
                Err(RecvError::Closed) => return "the endpoint ends".to_owned(),
            },
            () = tokio::time::sleep_until(since + UNTRUSTED_MAX), if !session.is_trusted() => {
                return "it said nothing of sense in time".to_owned();
            }
        }
    }
}

/// Answers every whole command that is there.
async fn answer_all<S: AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
    commands: &mut CommandReader,
    input: &mut BytesMut,
    out: &mut BytesMut,
    shared: &Shared,
) -> Result<(), Ended> {
    loop {
        let incoming = match commands.next(input) {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Ok(()),
            Err(error) => {
                session.protocol_error(&error, out);
                send(stream, out).await?;
                return Err("its input is no RESP, or too large".to_owned());
            }
        };
        let flow = shared.with_facts(|facts| session.on(incoming, facts, out));
        if let Flow::Close(reason) = flow {
            send(stream, out).await?;
            drop(timeout(WRITE_MAX, stream.shutdown()).await);
            return Err(reason.to_owned());
        }
        if out.len() >= OUT_BYTES {
            send(stream, out).await?;
        }
    }
}

async fn next_batch(events: &mut Option<broadcast::Receiver<Batch>>) -> Result<Batch, RecvError> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, out: &mut BytesMut) -> Result<(), Ended> {
    if out.is_empty() {
        return Ok(());
    }
    let sent = timeout(WRITE_MAX, async {
        stream.write_all_buf(out).await?;
        stream.flush().await
    });
    match sent.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it reads nothing of what it is sent".to_owned()),
    }
}

#[cfg(test)]
mod tests;
