//! Reads replies, in RESP2 or RESP3, as they come in.
//!
//! The reader keeps an explicit stack, so a deep reply can't exhaust the thread's, and it never parses a byte twice
//! however the input is split. RESP3 attributes are read and dropped; streamed types, which no server sends, are
//! errors.

use bytes::{Bytes, BytesMut};

use super::{RespError, Value};
use crate::Excerpt;
use crate::line::LineReader;

/// Default bound of one whole reply: a string of the default `proto-max-bulk-len` (512 MiB) and its frame fit.
pub const REPLY_BYTES_MAX: u64 = (512 << 20) + (1 << 20);
/// How deep arrays may nest.
pub const REPLY_DEPTH_MAX: usize = 32;
/// How many elements one reply may have over all its levels.
pub const REPLY_ELEMENTS_MAX: u64 = 16 << 20;
/// How long a line may be: the servers' own bound for inline text (`PROTO_INLINE_MAX_SIZE`).
pub const REPLY_LINE_BYTES_MAX: usize = 64 << 10;

/// Elements reserved for at most before they have come: a header alone must not cost memory.
const RESERVE_ELEMENTS_MAX: u64 = 64;

/// An incremental reader of replies.
#[derive(Debug)]
pub struct ReplyReader {
    lines: LineReader,
    /// The bulk whose header was read.
    bulk: Option<Bulk>,
    /// Aggregates that are not complete, outermost first.
    open: Vec<Aggregate>,
    /// Bytes consumed on this connection.
    at: u64,
    /// Bytes and elements of the reply so far.
    reply_bytes: u64,
    reply_elements: u64,
    reply_bytes_max: u64,
}

#[derive(Debug, Clone, Copy)]
struct Bulk {
    kind: BulkKind,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
enum BulkKind {
    Text,
    Error,
    Verbatim,
}

#[derive(Debug, Clone, Copy)]
enum AggregateKind {
    Array,
    Map,
    Set,
    Push,
    Attribute,
}

#[derive(Debug)]
struct Aggregate {
    kind: AggregateKind,
    items: Vec<Value>,
    missing: u64,
}

/// What a line turned out to begin.
enum Step {
    Value(Value),
    Bulk(Bulk),
    Aggregate(AggregateKind, u64),
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyReader {
    /// A reader that takes replies of up to [`REPLY_BYTES_MAX`] bytes.
    pub fn new() -> Self {
        Self::with_limit(REPLY_BYTES_MAX)
    }

    /// A reader that takes replies of up to `reply_bytes_max` bytes.
    pub fn with_limit(reply_bytes_max: u64) -> Self {
        Self {
            lines: LineReader::default(),
            bulk: None,
            open: Vec::new(),
            at: 0,
            reply_bytes: 0,
            reply_elements: 0,
            reply_bytes_max,
        }
    }

    /// Takes replies of up to `reply_bytes_max` bytes from here on.
    pub fn set_limit(&mut self, reply_bytes_max: u64) {
        self.reply_bytes_max = reply_bytes_max;
    }

    /// Takes the next whole reply off the front of `input`; `None` when more input is needed.
    pub fn feed(&mut self, input: &mut BytesMut) -> Result<Option<Value>, RespError> {
        loop {
            let value = if let Some(bulk) = self.bulk {
                match self.take_bulk(bulk, input)? {
                    Some(value) => value,
                    None => return Ok(None),
                }
            } else {
                match self.take_line(input)? {
                    None => return Ok(None),
                    Some(Step::Value(value)) => value,
                    Some(Step::Bulk(bulk)) => {
                        self.bulk = Some(bulk);
                        continue;
                    }
                    Some(Step::Aggregate(kind, missing)) => {
                        let reserved = usize::try_from(missing.min(RESERVE_ELEMENTS_MAX)).unwrap_or(0);
                        self.open.push(Aggregate {
                            kind,
                            items: Vec::with_capacity(reserved),
                            missing,
                        });
                        match self.close_aggregates() {
                            Some(value) => return Ok(Some(self.finish(value))),
                            None => continue,
                        }
                    }
                }
            };
            match self.open.last_mut() {
                None => return Ok(Some(self.finish(value))),
                Some(aggregate) => {
                    aggregate.items.push(value);
                    aggregate.missing -= 1;
                }
            }
            if let Some(value) = self.close_aggregates() {
                return Ok(Some(self.finish(value)));
            }
        }
    }

    fn finish(&mut self, value: Value) -> Value {
        self.reply_bytes = 0;
        self.reply_elements = 0;
        value
    }

    /// Folds complete aggregates into the one around them; gives the outermost when it is complete.
    fn close_aggregates(&mut self) -> Option<Value> {
        while let Some(done) = self.open.pop_if(|aggregate| aggregate.missing == 0) {
            let value = match done.kind {
                // It belongs to the value that follows, which counts in its place.
                AggregateKind::Attribute => continue,
                AggregateKind::Array => Value::Array(done.items),
                AggregateKind::Set => Value::Set(done.items),
                AggregateKind::Push => Value::Push(done.items),
                AggregateKind::Map => Value::Map(pairs(done.items)),
            };
            match self.open.last_mut() {
                None => return Some(value),
                Some(outer) => {
                    outer.items.push(value);
                    outer.missing -= 1;
                }
            }
        }
        None
    }

    fn take_bulk(&mut self, bulk: Bulk, input: &mut BytesMut) -> Result<Option<Value>, RespError> {
        let Some(end) = input.get(bulk.len..).and_then(|rest| rest.get(..2)) else {
            return Ok(None);
        };
        if end != b"\r\n" {
            let at = self.at + bulk.len as u64;
            return Err(malformed("\\r\\n after a bulk string", at, &input[bulk.len..]));
        }
        self.bulk = None;
        self.at += bulk.len as u64 + 2;
        let mut text = input.split_to(bulk.len + 2).freeze();
        text.truncate(bulk.len);
        Ok(Some(match bulk.kind {
            BulkKind::Text => Value::Bulk(text),
            BulkKind::Error => Value::Error(text),
            BulkKind::Verbatim if text.get(3) == Some(&b':') => Value::Verbatim(text.slice(4..)),
            BulkKind::Verbatim => return Err(malformed("a verbatim string's format", self.at, &text)),
        }))
    }

    fn take_line(&mut self, input: &mut BytesMut) -> Result<Option<Step>, RespError> {
        if let Some(first) = input.first()
            && !b"+-:$*_#,(!=%~>|".contains(first)
        {
            return Err(malformed("a RESP type", self.at, input));
        }
        let line = match self.lines.take(input, REPLY_LINE_BYTES_MAX) {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(_) => return Err(self.too_large("a line (bytes)", REPLY_LINE_BYTES_MAX as u64, input)),
        };
        let at = self.at;
        self.at += line.len as u64;
        if !line.has_cr {
            return Err(malformed("a line that ends in \\r\\n", at, &line.text));
        }
        self.count_bytes(line.len as u64, &line.text)?;
        let step = self.read_line(at, &line.text)?;
        if let Step::Aggregate(_, elements) = step {
            self.reply_elements = self.reply_elements.saturating_add(elements);
            if self.reply_elements > REPLY_ELEMENTS_MAX {
                return Err(self.too_large("a reply (elements)", REPLY_ELEMENTS_MAX, &line.text));
            }
            if self.open.len() >= REPLY_DEPTH_MAX {
                return Err(self.too_large("a reply (levels)", REPLY_DEPTH_MAX as u64, &line.text));
            }
        }
        Ok(Some(step))
    }

    fn read_line(&mut self, at: u64, line: &Bytes) -> Result<Step, RespError> {
        // `take_line` saw the first byte.
        let body = line.slice(1..);
        let wrong = |expected| malformed(expected, at, line);
        Ok(match line[0] {
            b'+' => Step::Value(Value::Simple(body)),
            b'-' => Step::Value(Value::Error(body)),
            b'(' => Step::Value(Value::BigNumber(body)),
            b'_' if body.is_empty() => Step::Value(Value::Null),
            b':' => {
                let number = parse(&body).ok_or_else(|| wrong("a 64-bit integer"))?;
                Step::Value(Value::Integer(number))
            }
            b',' => Step::Value(Value::Double(parse(&body).ok_or_else(|| wrong("a number"))?)),
            b'#' if &body[..] == b"t" => Step::Value(Value::Boolean(true)),
            b'#' if &body[..] == b"f" => Step::Value(Value::Boolean(false)),
            b'$' | b'*' if &body[..] == b"-1" => Step::Value(Value::Null),
            b'$' => Step::Bulk(self.bulk_of(BulkKind::Text, at, line)?),
            b'!' => Step::Bulk(self.bulk_of(BulkKind::Error, at, line)?),
            b'=' => Step::Bulk(self.bulk_of(BulkKind::Verbatim, at, line)?),
            kind => {
                let count: u32 = parse(&body).ok_or_else(|| wrong("a count of elements"))?;
                let count = u64::from(count);
                match kind {
                    b'*' => Step::Aggregate(AggregateKind::Array, count),
                    b'~' => Step::Aggregate(AggregateKind::Set, count),
                    b'>' => Step::Aggregate(AggregateKind::Push, count),
                    b'%' => Step::Aggregate(AggregateKind::Map, count * 2),
                    b'|' => Step::Aggregate(AggregateKind::Attribute, count * 2),
                    _ => return Err(wrong("a RESP value")),
                }
            }
        })
    }

    fn bulk_of(&mut self, kind: BulkKind, at: u64, line: &Bytes) -> Result<Bulk, RespError> {
        let len: u64 = parse(&line[1..]).ok_or_else(|| malformed("a length in bytes", at, line))?;
        self.count_bytes(len.saturating_add(2), line)?;
        let len = usize::try_from(len)
            .map_err(|_| self.too_large("a bulk string (bytes)", usize::MAX as u64, line))?;
        Ok(Bulk { kind, len })
    }

    fn count_bytes(&mut self, more: u64, found: &[u8]) -> Result<(), RespError> {
        self.reply_bytes = self.reply_bytes.saturating_add(more);
        if self.reply_bytes > self.reply_bytes_max {
            return Err(self.too_large("a reply (bytes)", self.reply_bytes_max, found));
        }
        Ok(())
    }

    fn too_large(&self, what: &'static str, limit: u64, found: &[u8]) -> RespError {
        RespError::TooLarge {
            what,
            at: self.at,
            limit,
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

fn pairs(items: Vec<Value>) -> Vec<(Value, Value)> {
    let mut items = items.into_iter();
    std::iter::from_fn(|| items.next().zip(items.next())).collect()
}

fn parse<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
