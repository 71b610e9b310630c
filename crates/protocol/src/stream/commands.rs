//! Walks over the commands of a piece of stream, for tools; the data plane uses [`super::UnitScanner`].

use bytes::Bytes;

use super::{STREAM_ARG_BYTES_MAX, STREAM_ARGS_MAX, StreamError};
use crate::{Excerpt, Offset};

/// Arguments reserved for at most before they have come.
const RESERVE_ARGS_MAX: u64 = 64;
/// Digits of the largest legal number.
const DIGITS_MAX: usize = 10;

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
pub struct Commands {
    rest: Bytes,
    at: Offset,
}

impl Commands {
    /// Walks over `bytes`, which begin just after offset `start`, at a command boundary.
    pub fn new(start: Offset, bytes: Bytes) -> Self {
        Self {
            rest: bytes,
            at: start,
        }
    }

    fn command(&mut self) -> Result<Command, StreamError> {
        let whole = self.rest.clone();
        let start = self.at;
        let truncated = |end: Offset| StreamError::Truncated {
            offset: start,
            end,
            found: Excerpt::of(&whole),
        };
        let end_of_input = start + whole.len() as u64;
        let count = self
            .header(b'*', STREAM_ARGS_MAX)?
            .ok_or_else(|| truncated(end_of_input))?;
        let reserved = usize::try_from(count.min(RESERVE_ARGS_MAX)).unwrap_or(0);
        let mut args = Vec::with_capacity(reserved);
        for _ in 0..count {
            let len = self
                .header(b'$', STREAM_ARG_BYTES_MAX)?
                .ok_or_else(|| truncated(end_of_input))?;
            let Some(len) = usize::try_from(len).ok().filter(|len| *len <= self.rest.len()) else {
                return Err(truncated(end_of_input));
            };
            args.push(self.take(len));
            match self.rest.first_chunk::<2>() {
                Some(b"\r\n") => drop(self.take(2)),
                None if b"\r\n".starts_with(&self.rest) => return Err(truncated(end_of_input)),
                _ => return Err(self.malformed("\\r\\n after an argument")),
            }
        }
        Ok(Command {
            start,
            end: self.at,
            args,
        })
    }

    /// Takes a header line; `None` when the bytes end inside it.
    fn header(&mut self, kind: u8, limit: u64) -> Result<Option<u64>, StreamError> {
        let expected = if kind == b'*' {
            "a command (*count)"
        } else {
            "an argument ($length)"
        };
        match self.rest.first() {
            None => return Ok(None),
            Some(first) if *first == kind => {}
            Some(_) => return Err(self.malformed(expected)),
        }
        let line = &self.rest[1..];
        let digits = line
            .iter()
            .take(DIGITS_MAX + 1)
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (number, end) = line.split_at(digits);
        if digits > 1 && number[0] == b'0' {
            return Err(self.malformed(expected));
        }
        if digits > DIGITS_MAX {
            return Err(self.too_large(kind, limit));
        }
        match end {
            [] => return Ok(None),
            [b'\r'] if digits > 0 => return Ok(None),
            [b'\r', b'\n', ..] if digits > 0 => {}
            _ => return Err(self.malformed(expected)),
        }
        let value = number
            .iter()
            .fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
        if value > limit {
            return Err(self.too_large(kind, limit));
        }
        if kind == b'*' && value == 0 {
            return Err(self.malformed(expected));
        }
        drop(self.take(digits + 3));
        Ok(Some(value))
    }

    fn take(&mut self, len: usize) -> Bytes {
        self.at += len as u64;
        self.rest.split_to(len)
    }

    fn too_large(&self, kind: u8, limit: u64) -> StreamError {
        let what = if kind == b'*' {
            "a count of arguments"
        } else {
            "an argument (bytes)"
        };
        StreamError::TooLarge {
            what,
            offset: self.at,
            limit,
            found: Excerpt::of(&self.rest),
        }
    }

    fn malformed(&self, expected: &'static str) -> StreamError {
        StreamError::Malformed {
            expected,
            offset: self.at,
            found: Excerpt::of(&self.rest),
        }
    }
}

impl Iterator for Commands {
    type Item = Result<Command, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let command = self.command();
        if command.is_err() {
            self.rest.clear();
        }
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_with_their_offsets() {
        let bytes = Bytes::from_static(b"*1\r\n$4\r\nping\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n");
        let commands: Vec<_> = Commands::new(Offset::new(100), bytes).collect();
        let [Ok(ping), Ok(select)] = &commands[..] else {
            panic!("{commands:?}");
        };
        assert!(ping.is("PING") && select.is("select"));
        assert_eq!((ping.start, ping.end), (Offset::new(100), Offset::new(114)));
        assert_eq!((select.start, select.end), (Offset::new(114), Offset::new(137)));
        assert_eq!(select.args, ["SELECT", "3"]);
    }

    #[test]
    fn an_error_is_the_last_item_and_says_where() {
        let bytes = Bytes::from_static(b"*1\r\n$4\r\nPING\r\n\n*1\r\n");
        let mut commands = Commands::new(Offset::new(10), bytes);
        assert!(commands.next().is_some_and(|command| command.is_ok()));
        let error = commands
            .next()
            .and_then(Result::err)
            .expect("a newline is no command");
        assert_eq!(
            error.to_string(),
            r#"expected a command (*count) in the replication stream after offset 24, found "\n*1\r\n""#
        );
        assert!(commands.next().is_none());
    }

    #[test]
    fn a_cut_command_is_truncated_and_not_malformed() {
        let whole = b"*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n";
        for len in 1..whole.len() {
            let mut commands = Commands::new(Offset::ZERO, Bytes::copy_from_slice(&whole[..len]));
            let error = commands.next().and_then(Result::err);
            assert!(
                matches!(error, Some(StreamError::Truncated { .. })),
                "{len}: {error:?}"
            );
        }
    }
}
