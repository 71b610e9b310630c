//! One-line answers of a primary during the handshake, and what its errors mean.

use bytes::{Bytes, BytesMut};

use super::{HANDSHAKE_LINE_BYTES_MAX, HandshakeError};
use crate::Excerpt;
use crate::line::LineReader;
use crate::resp::without_arguments;

/// Errors that pass by themselves. A server's own replica comes again on the first two and ends its attempt, to
/// start over a second later, on the others.
const TRY_AGAIN_CODES: [&str; 6] = [
    "NOMASTERLINK",
    "LOADING",
    "BUSY",
    "MASTERDOWN",
    "TRYAGAIN",
    "MISCONF",
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// `+…`, the whole line.
    Ok(Bytes),
    /// `-…` that passes by itself, without the `-`.
    TryAgain(String),
    /// `-…`, without the `-`.
    Error(String),
    /// `:…`, a number.
    Number(u64),
    /// An empty line.
    Newline,
}

/// What an answer may be besides a line of words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Besides {
    Nothing,
    EmptyLine,
    Number,
}

/// Takes the answer to `command`.
pub(super) fn take_answer(
    lines: &mut LineReader,
    input: &mut BytesMut,
    command: &'static str,
    besides: Besides,
) -> Result<Option<Answer>, HandshakeError> {
    // What doesn't speak RESP may never send a line end: its first byte must do.
    match input.first() {
        None => return Ok(None),
        Some(b'+' | b'-') => {}
        Some(b':') if besides == Besides::Number => {}
        Some(b'\r' | b'\n') if besides == Besides::EmptyLine => {}
        Some(_) => return Err(not_redis(command, input)),
    }
    let line = match lines.take(input, HANDSHAKE_LINE_BYTES_MAX) {
        Ok(Some(line)) => line.text,
        Ok(None) => return Ok(None),
        Err(_) => return Err(not_redis(command, input)),
    };
    Ok(Some(match line.first() {
        None => Answer::Newline,
        Some(b'+') => Answer::Ok(line),
        Some(b':') => {
            let number = std::str::from_utf8(&line[1..])
                .ok()
                .and_then(|text| text.parse().ok());
            Answer::Number(number.ok_or_else(|| not_redis(command, &line))?)
        }
        Some(b'-') => {
            let text = String::from_utf8_lossy(without_arguments(&line[1..])).into_owned();
            let code = text.split(' ').next().unwrap_or_default();
            if TRY_AGAIN_CODES.contains(&code) {
                Answer::TryAgain(text)
            } else {
                Answer::Error(text)
            }
        }
        Some(_) => return Err(not_redis(command, &line)),
    }))
}

/// Tells apart why a primary refused `command`.
pub(super) fn reply_error(command: &'static str, reply: String) -> HandshakeError {
    let code = reply.split(' ').next().unwrap_or_default();
    match code {
        "NOAUTH" | "WRONGPASS" => HandshakeError::Auth { command, reply },
        "NOPERM" => HandshakeError::Permission { command, reply },
        _ if reply.to_ascii_lowercase().contains("unknown command") => {
            HandshakeError::PsyncUnsupported { reply }
        }
        _ => HandshakeError::Refused { command, reply },
    }
}

fn not_redis(command: &'static str, found: &[u8]) -> HandshakeError {
    HandshakeError::NotRedis {
        command,
        found: Excerpt::of(found),
    }
}
