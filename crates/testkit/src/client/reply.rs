//! RESP2 replies.

use std::fmt;
use std::io::{self, BufRead};

/// Nesting, line and bulk limits: a reply beyond them is no reply of a server.
const DEPTH_MAX: usize = 32;
const LINE_BYTES_MAX: usize = 1 << 20;
const BULK_BYTES_MAX: usize = 1 << 30;

/// What a server answers.
#[derive(Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR …`, without the dash
    Error(String),
    /// `:1`
    Int(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `$-1` or `*-1`
    Null,
    /// `*2`
    Array(Vec<Reply>),
}

/// An error reply, as the error of [`super::Client::cmd`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError(pub String);

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered: {}", self.0)
    }
}

impl std::error::Error for ServerError {}

impl Reply {
    /// Text of a simple string, bulk or error; empty for anything else. Bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> String {
        match self {
            Self::Simple(text) | Self::Error(text) => text.clone(),
            Self::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Int(number) => number.to_string(),
            Self::Null | Self::Array(_) => String::new(),
        }
    }

    /// The bytes of a bulk or simple string.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bulk(bytes) => Some(bytes),
            Self::Simple(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// An integer, also one written as a string.
    pub fn int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Bulk(_) | Self::Simple(_) => self.text().parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array; none for anything else.
    pub fn array(&self) -> &[Reply] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    pub fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }

    /// Whether this is `+OK`.
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Simple(text) if text == "OK")
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Simple(text) => write!(f, "+{text}"),
            Self::Error(text) => write!(f, "-{text}"),
            Self::Int(number) => write!(f, ":{number}"),
            Self::Bulk(bytes) if bytes.len() > 200 => {
                write!(f, "\"{}…\" ({} bytes)", bytes[..200].escape_ascii(), bytes.len())
            }
            Self::Bulk(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::Null => f.write_str("nil"),
            Self::Array(items) => f.debug_list().entries(items).finish(),
        }
    }
}

/// Reads one reply.
pub(super) fn read(from: &mut impl BufRead) -> io::Result<Reply> {
    read_nested(from, 0)
}

fn read_nested(from: &mut impl BufRead, depth: usize) -> io::Result<Reply> {
    if depth > DEPTH_MAX {
        return Err(invalid("a reply is nested too deep"));
    }
    let line = read_line(from)?;
    let (mark, rest) = line
        .split_first()
        .ok_or_else(|| invalid("an empty line is no reply"))?;
    let text = || String::from_utf8_lossy(rest).into_owned();
    let number = || {
        text()
            .parse::<i64>()
            .map_err(|_| invalid(&format!("no number in {:?}", text())))
    };
    Ok(match mark {
        b'+' => Reply::Simple(text()),
        b'-' => Reply::Error(text()),
        b':' => Reply::Int(number()?),
        b'$' => match number()? {
            -1 => Reply::Null,
            length => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|length| *length <= BULK_BYTES_MAX)
                    .ok_or_else(|| invalid(&format!("a bulk string of {length} bytes")))?;
                let mut bytes = vec![0; length + 2];
                from.read_exact(&mut bytes)?;
                bytes.truncate(length);
                Reply::Bulk(bytes)
            }
        },
        b'*' => match number()? {
            -1 => Reply::Null,
            length => Reply::Array(
                (0..length)
                    .map(|_| read_nested(from, depth + 1))
                    .collect::<io::Result<_>>()?,
            ),
        },
        _ => {
            return Err(invalid(&format!(
                "no RESP2 reply: {:?}",
                String::from_utf8_lossy(&line)
            )));
        }
    })
}

fn read_line(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    from.take_line(&mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(content) => Ok(content.to_vec()),
        None if line.is_empty() => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
        None => Err(invalid(&format!(
            "a line without end: {:?}",
            String::from_utf8_lossy(&line)
        ))),
    }
}

trait TakeLine: BufRead {
    fn take_line(&mut self, line: &mut Vec<u8>) -> io::Result<usize>;
}

impl<R: BufRead> TakeLine for R {
    fn take_line(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        io::Read::take(self, LINE_BYTES_MAX as u64).read_until(b'\n', line)
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_reply_is_read_and_nothing_else() {
        let wire = b"*6\r\n+OK\r\n-ERR no\r\n:-3\r\n$4\r\na\r\n\0\r\n$-1\r\n*0\r\n";
        let reply = read(&mut wire.as_slice()).expect("a reply");
        assert_eq!(
            reply,
            Reply::Array(vec![
                Reply::Simple("OK".into()),
                Reply::Error("ERR no".into()),
                Reply::Int(-3),
                Reply::Bulk(b"a\r\n\0".to_vec()),
                Reply::Null,
                Reply::Array(vec![]),
            ])
        );
        for bad in [
            &b"HTTP/1.1 400\r\n"[..],
            b"$-2\r\n",
            b"$3\r\nab",
            b"",
            b":x\r\n",
            b"+half",
        ] {
            assert!(
                read(&mut { bad }).is_err(),
                "{:?} was taken",
                bad.escape_ascii().to_string()
            );
        }
    }
}
