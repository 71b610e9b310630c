//! Reads what a follower or a client sends us: multibulk commands, inline commands and bare newlines.
//!
//! As servers do: `*0` and `*-1` say nothing and are skipped, an inline command ends in `\n` or `\r\n`. Quotes have
//! no meaning in inline commands here; nothing that follows a relay sends them.

use bytes::{Bytes, BytesMut};

use super::RespError;
use crate::Excerpt;
use crate::line::LineReader;

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
pub struct CommandReader {
    lines: LineReader,
    /// Arguments of the command whose header was read.
    args: Vec<Bytes>,
    args_missing: usize,
    /// Length of the argument whose header was read.
    arg_len: Option<usize>,
    command_bytes: usize,
    /// Bytes consumed on this connection.
    at: u64,
}

impl CommandReader {
    /// A reader at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next newline or whole command off the front of `input`; `None` when more input is needed.
    pub fn next(&mut self, input: &mut BytesMut) -> Result<Option<Incoming>, RespError> {
        loop {
            if let Some(len) = self.arg_len {
                if !self.take_arg(len, input)? {
                    return Ok(None);
                }
                if self.args_missing == 0 {
                    return Ok(Some(self.finish()));
                }
                continue;
            }
            let Some(line) = self.take_line(input)? else {
                return Ok(None);
            };
            if self.args_missing > 0 {
                self.arg_len = Some(self.arg_len_of(&line)?);
            } else if line.is_empty() {
                self.command_bytes = 0;
                return Ok(Some(Incoming::Newline));
            } else if line[0] == b'*' {
                self.args_missing = self.arg_count_of(&line)?;
            } else {
                self.read_inline(&line)?;
                if !self.args.is_empty() {
                    return Ok(Some(self.finish()));
                }
            }
            if self.args_missing == 0 {
                self.command_bytes = 0;
            }
        }
    }

    fn finish(&mut self) -> Incoming {
        self.command_bytes = 0;
        Incoming::Command(std::mem::take(&mut self.args))
    }

    /// Takes an argument whose length is known; false when it is not all there.
    fn take_arg(&mut self, len: usize, input: &mut BytesMut) -> Result<bool, RespError> {
        let Some(end) = input.get(len..len + 2) else {
            return Ok(false);
        };
        if end != b"\r\n" {
            let at = self.at + len as u64;
            return Err(malformed("\\r\\n after an argument", at, &input[len..]));
        }
        let mut arg = input.split_to(len + 2).freeze();
        arg.truncate(len);
        self.args.push(arg);
        self.args_missing -= 1;
        self.arg_len = None;
        self.at += len as u64 + 2;
        Ok(true)
    }

    fn take_line(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, RespError> {
        let expects_arg = self.args_missing > 0;
        if expects_arg && input.first().is_some_and(|first| *first != b'$') {
            return Err(malformed("an argument ($length)", self.at, input));
        }
        let len_max = COMMAND_BYTES_MAX - self.command_bytes;
        let Ok(line) = self.lines.take(input, len_max) else {
            return Err(self.too_large(input));
        };
        let Some(line) = line else {
            return Ok(None);
        };
        if !line.has_cr && (expects_arg || line.text.first() == Some(&b'*')) {
            return Err(malformed("a line that ends in \\r\\n", self.at, &line.text));
        }
        self.command_bytes += line.len;
        self.at += line.len as u64;
        Ok(Some(line.text))
    }

    fn arg_count_of(&self, line: &[u8]) -> Result<usize, RespError> {
        let count = parse(&line[1..]).ok_or_else(|| {
            malformed(
                "a count of arguments (*count)",
                self.at - line.len() as u64 - 2,
                line,
            )
        })?;
        match usize::try_from(count) {
            Ok(count) if count <= COMMAND_ARGS_MAX => Ok(count),
            Ok(_) => Err(RespError::TooLarge {
                what: "a command (arguments)",
                at: self.at,
                limit: COMMAND_ARGS_MAX as u64,
                found: Excerpt::of(line),
            }),
            Err(_) => Ok(0),
        }
    }

    fn arg_len_of(&mut self, line: &[u8]) -> Result<usize, RespError> {
        let len = parse(&line[1..])
            .and_then(|len| usize::try_from(len).ok())
            .ok_or_else(|| {
                malformed(
                    "an argument's length ($length)",
                    self.at - line.len() as u64 - 2,
                    line,
                )
            })?;
        let total = self.command_bytes.saturating_add(len).saturating_add(2);
        if total > COMMAND_BYTES_MAX {
            return Err(self.too_large(line));
        }
        self.command_bytes = total;
        Ok(len)
    }

    fn read_inline(&mut self, line: &Bytes) -> Result<(), RespError> {
        for word in line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
        {
            if self.args.len() == COMMAND_ARGS_MAX {
                return Err(RespError::TooLarge {
                    what: "an inline command (arguments)",
                    at: self.at,
                    limit: COMMAND_ARGS_MAX as u64,
                    found: Excerpt::of(line),
                });
            }
            self.args.push(line.slice_ref(word));
        }
        Ok(())
    }

    fn too_large(&self, found: &[u8]) -> RespError {
        RespError::TooLarge {
            what: "a command (bytes)",
            at: self.at,
            limit: COMMAND_BYTES_MAX as u64,
            found: Excerpt::of(found),
        }
    }
}

fn malformed(expected: &'static str, at: u64, found: &[u8]) -> RespError {
    RespError::Malformed {
        expected,
        at,
        found: Excerpt::of(found),
    }
}

fn parse(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
