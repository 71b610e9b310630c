//! Walks over the commands of a piece of stream, for tools; the data plane uses [`super::UnitScanner`].

use bytes::Bytes;

use super::StreamError;
use crate::Offset;

/// One command of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The offset before its first byte.
    pub start: Offset,
    /// The offset after its last byte.
    pub end: Offset,
    /// Its name and arguments, slices of the bytes walked over.
    pub args: Vec<Bytes>,
}

impl Command {
    /// Whether this is the command `name`, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.args
            .first()
            .is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// Iterates over whole commands; ends after the last byte or the first error.
#[derive(Debug, Clone)]
pub struct Commands {}

impl Commands {
    /// Walks over `bytes`, which begin just after offset `start`, at a command boundary.
    pub fn new(start: Offset, bytes: Bytes) -> Self {
        let _ = (start, bytes);
        todo!()
    }
}

impl Iterator for Commands {
    type Item = Result<Command, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        todo!()
    }
}
