//! Fills the primary: pipelined over one connection, answers read while the next commands are made.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::BytesMut;
use sterna_node::NodeAddress;
use sterna_protocol::resp::{ReplyReader, Value};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::mix::{Batch, Fill};

/// Commands are sent in pieces of this size.
const CHUNK_BYTES: usize = 256 << 10;
/// The answer to the last command, by which the reader knows it.
const LAST: &[u8] = b"that is all";

/// What was filled in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filled {
    pub(super) bytes: u64,
    pub(super) took: Duration,
}

/// Writes so many bytes of commands; every answer is checked.
pub(super) async fn fill(primary: &NodeAddress, bytes: u64) -> anyhow::Result<Filled> {
    let started = Instant::now();
    let stream = connect(primary).await?;
    let (read, write) = stream.into_split();
    let (sent, ()) = tokio::try_join!(send(write, bytes), check_answers(read))?;
    Ok(Filled {
        bytes: sent,
        took: started.elapsed(),
    })
}

/// A plain connection without delays.
pub(super) async fn connect(primary: &NodeAddress) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect((primary.host.as_str(), primary.port)).await;
    let stream = stream.with_context(|| format!("no connection to {primary}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn send(mut to: impl AsyncWrite + Unpin, bytes: u64) -> anyhow::Result<u64> {
    let mut data = Fill::new();
    let mut batch = Batch::default();
    let mut sent = 0;
    while sent < bytes {
        batch.clear();
        while batch.bytes.len() < CHUNK_BYTES {
            data.push(&mut batch);
        }
        to.write_all(&batch.bytes).await?;
        sent += batch.bytes.len() as u64;
    }
    batch.clear();
    batch.push(&[b"ECHO", LAST]);
    to.write_all(&batch.bytes).await?;
    Ok(sent)
}

async fn check_answers(mut from: impl AsyncRead + Unpin) -> anyhow::Result<()> {
    let mut reader = ReplyReader::new();
    let mut input = BytesMut::new();
    loop {
        while let Some(answer) = reader.feed(&mut input)? {
            check(&answer)?;
            if answer.as_bytes().is_some_and(|text| text == LAST) {
                return Ok(());
            }
        }
        let read = from.read_buf(&mut input).await?;
        anyhow::ensure!(read > 0, "the primary closed the connection");
    }
}

/// An error unless the primary did what it was told; the answers inside a transaction's count too.
pub(super) fn check(answer: &Value) -> anyhow::Result<()> {
    if let Some(error) = answer.as_error() {
        anyhow::bail!("the primary refused a write: {error}");
    }
    if let Value::Array(answers) = answer {
        answers.iter().try_for_each(check)?;
    }
    Ok(())
}
