//! Reads what a follower or a client sends us: multibulk commands, inline commands and bare newlines.

use bytes::{Bytes, BytesMut};

use super::RespError;

/// How many arguments a command may have: those of a handshake are few.
pub const COMMAND_ARGS_MAX: usize = 64;
/// How many bytes a command may have, its framing included.
pub const COMMAND_BYTES_MAX: usize = 64 << 10;

/// What a peer sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A bare newline: a replica that loads an RDB says that it is alive.
    Newline,
    /// A command with at least one argument, its name.
    Command(Vec<Bytes>),
}

/// An incremental reader of commands.
#[derive(Debug, Default)]
pub struct CommandReader {}

impl CommandReader {
    /// A reader at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next newline or whole command off the front of `input`; `None` when more input is needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, RespError> {
        let _ = input;
        todo!()
    }
}
