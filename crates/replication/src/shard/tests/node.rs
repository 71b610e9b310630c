//! A replica node as the shard sees it: the other end of its connection, which follows the protocol.

use std::convert::Infallible;

use sterna_protocol::{Offset, ReplicationId};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::world::World;
use crate::shard::event::ToFollower;

/// The other end of a follower's connection: it takes everything at once.
#[derive(Debug)]
pub(super) struct Node {
    outbox: mpsc::Receiver<ToFollower>,
    let_go: oneshot::Receiver<Infallible>,
    /// All bytes sent to it that it has not parsed yet.
    unparsed: Vec<u8>,
    /// Whether it takes anything from its connection.
    pub(super) takes: bool,
    /// Why it was let go.
    pub(super) closed: Option<String>,
    pub(super) reply: Reply,
    /// The whole snapshots that it was given.
    pub(super) snapshot: Vec<u8>,
    pub(super) keepalives: u64,
    /// Where it is in the history that it was told.
    pub(super) at: Offset,
    /// Where it began: the offset that it asked for, or that of its snapshot.
    pub(super) begins: Offset,
    /// What it acknowledged.
    pub(super) acked: Option<Offset>,
    /// What it said that it has on its disk.
    pub(super) synced: Option<Offset>,
}

/// What a node was told, and so what it makes of the bytes that come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    None,
    Error(String),
    /// The stream goes on.
    Stream(ReplicationId),
    /// A snapshot at this offset, and its length or its mark when that is known.
    Snapshot(ReplicationId, Offset, Option<Form>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    Length(usize),
    Mark(Vec<u8>),
}

impl Node {
    /// One that holds the history up to `held`.
    pub(super) fn new(
        outbox: mpsc::Receiver<ToFollower>,
        let_go: oneshot::Receiver<Infallible>,
        held: Offset,
    ) -> Self {
        Self {
            outbox,
            let_go,
            unparsed: Vec::new(),
            takes: true,
            closed: None,
            reply: Reply::None,
            snapshot: Vec::new(),
            keepalives: 0,
            at: held,
            begins: held,
            acked: None,
            synced: None,
        }
    }

    /// Whether the shard has let it go, which one that takes nothing does not see.
    pub(super) fn is_let_go(&self) -> bool {
        self.outbox.is_closed()
    }

    /// Whether its connection sees that, though it takes nothing.
    pub(super) fn sees_that_it_is_let_go(&mut self) -> bool {
        self.let_go.try_recv() == Err(TryRecvError::Closed)
    }

    /// Takes what its connection has.
    pub(super) fn take(&mut self) {
        while let Ok(message) = self.outbox.try_recv() {
            assert!(self.closed.is_none(), "something came after the end");
            match message {
                ToFollower::Data(slices) => self.unparsed.extend(slices.concat()),
                ToFollower::Close(reason) => self.closed = Some(reason),
            }
        }
        if self.outbox.is_closed() && self.closed.is_none() {
            self.closed = Some("without a word".to_owned());
        }
    }

    /// Follows the protocol as a replica does; every byte of the stream must be that of the history it was told.
    pub(super) fn parse(&mut self, world: &World) {
        loop {
            match self.reply.clone() {
                Reply::None => {
                    while self.unparsed.first() == Some(&b'\n') {
                        self.unparsed.remove(0);
                        self.keepalives += 1;
                    }
                    let Some(line) = self.line() else { return };
                    let words: Vec<_> = line.split(' ').collect();
                    self.reply = match words[..] {
                        ["+CONTINUE", id] => Reply::Stream(id.parse().expect("an id")),
                        ["+FULLRESYNC", id, offset] => {
                            let offset = Offset::new(offset.parse().expect("an offset"));
                            Reply::Snapshot(id.parse().expect("an id"), offset, None)
                        }
                        _ => Reply::Error(line),
                    };
                }
                Reply::Error(_) => return,
                Reply::Snapshot(id, offset, None) => {
                    let Some(line) = self.line() else { return };
                    let form = match line.strip_prefix("$EOF:") {
                        Some(mark) => Form::Mark(mark.as_bytes().to_vec()),
                        None => Form::Length(line[1..].parse().expect("a length")),
                    };
                    self.reply = Reply::Snapshot(id, offset, Some(form));
                }
                Reply::Snapshot(id, offset, Some(form)) => {
                    let end = match &form {
                        Form::Length(len) => (self.unparsed.len() >= *len).then_some((*len, *len)),
                        Form::Mark(mark) => find(&self.unparsed, mark).map(|at| (at, at + mark.len())),
                    };
                    let Some((snapshot_end, end)) = end else { return };
                    let rest = self.unparsed.split_off(end);
                    self.snapshot = std::mem::replace(&mut self.unparsed, rest);
                    self.snapshot.truncate(snapshot_end);
                    self.reply = Reply::Stream(id);
                    (self.at, self.begins) = (offset, offset);
                }
                Reply::Stream(id) => {
                    let bytes = std::mem::take(&mut self.unparsed);
                    if !bytes.is_empty() {
                        let end = self.at.get() + bytes.len() as u64;
                        assert!(end <= world.end(id), "more than there is of {id}: {end}");
                        let expected = world.bytes(id, self.at.get(), end);
                        assert!(expected == bytes, "other bytes of {id} after {}", self.at);
                        self.at = Offset::new(end);
                    }
                    return;
                }
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        let end = find(&self.unparsed, b"\r\n")?;
        let rest = self.unparsed.split_off(end + 2);
        let line = std::mem::replace(&mut self.unparsed, rest);
        Some(String::from_utf8(line[..end].to_vec()).expect("text"))
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
