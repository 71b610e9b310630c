//! The slow path: a command that comes in pieces, byte by byte if need be, or that is wrong.

use super::kind::{Kind, WORD_BYTES_MAX, classify};
use super::{STREAM_ARG_BYTES_MAX, STREAM_ARGS_MAX, StreamError};
use crate::{Excerpt, Offset};

/// Digits of the largest legal number.
const DIGITS_MAX: u8 = 10;

/// A command whose end has not come yet. It keeps no payload but two short words.
#[derive(Debug, Clone)]
pub(super) struct Partial {
    start: Offset,
    /// After the last byte taken.
    at: Offset,
    state: State,
    header: Header,
    args: u64,
    args_done: u64,
    /// The name and what follows it.
    words: [Word; 2],
}

#[derive(Debug, Clone, Copy)]
enum State {
    HeaderKind,
    HeaderDigits,
    HeaderLf,
    /// Bytes of the argument that are missing, at least one.
    Payload(u64),
    PayloadCr,
    PayloadLf,
}

/// The number being read.
#[derive(Debug, Clone, Copy)]
struct Header {
    kind: HeaderKind,
    at: Offset,
    value: u64,
    digits: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderKind {
    Count,
    Length,
}

impl HeaderKind {
    const fn byte(self) -> u8 {
        match self {
            Self::Count => b'*',
            Self::Length => b'$',
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Count => "a command (*count)",
            Self::Length => "an argument ($length)",
        }
    }

    const fn limit(self) -> (&'static str, u64) {
        match self {
            Self::Count => ("a count of arguments", STREAM_ARGS_MAX),
            Self::Length => ("an argument (bytes)", STREAM_ARG_BYTES_MAX),
        }
    }
}

/// The beginning of an argument, with its true length.
#[derive(Debug, Clone, Copy, Default)]
struct Word {
    bytes: [u8; WORD_BYTES_MAX],
    kept: u8,
    len: u64,
}

impl Word {
    fn push(&mut self, bytes: &[u8]) {
        let free = &mut self.bytes[usize::from(self.kept)..];
        let kept = bytes.len().min(free.len());
        free[..kept].copy_from_slice(&bytes[..kept]);
        self.kept += u8::try_from(kept).expect("a word has ten bytes at most");
    }

    fn kept(&self) -> &[u8] {
        &self.bytes[..usize::from(self.kept)]
    }

    /// The word, if it is short enough to be here as a whole.
    fn whole(&self) -> Option<&[u8]> {
        (u64::from(self.kept) == self.len).then(|| self.kept())
    }
}

impl Partial {
    /// A command that begins after `start`.
    pub(super) fn new(start: Offset) -> Self {
        Self {
            start,
            at: start,
            state: State::HeaderKind,
            header: Header {
                kind: HeaderKind::Count,
                at: start,
                value: 0,
                digits: 0,
            },
            args: 0,
            args_done: 0,
            words: [Word::default(); 2],
        }
    }

    /// The offset before the command.
    pub(super) fn start(&self) -> Offset {
        self.start
    }

    /// Takes bytes until the command is whole; then gives how many it took.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, StreamError> {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            let mut taken = 1;
            match self.state {
                State::HeaderKind if byte == self.header.kind.byte() => {
                    self.header = Header {
                        at: self.at,
                        value: 0,
                        digits: 0,
                        ..self.header
                    };
                    self.state = State::HeaderDigits;
                }
                State::HeaderDigits => self.header_digit(byte, rest)?,
                State::HeaderLf if byte == b'\n' => self.header_done(rest)?,
                State::Payload(missing) => {
                    let here = usize::try_from(missing).map_or(rest.len(), |missing| missing.min(rest.len()));
                    self.keep(&rest[..here]);
                    taken = here;
                    self.state = match missing - here as u64 {
                        0 => State::PayloadCr,
                        missing => State::Payload(missing),
                    };
                }
                State::PayloadCr if byte == b'\r' => self.state = State::PayloadLf,
                State::PayloadLf if byte == b'\n' => {
                    self.args_done += 1;
                    if self.args_done == self.args {
                        self.at += 1;
                        return Ok(Some(bytes.len() - after.len()));
                    }
                    self.state = State::HeaderKind;
                }
                State::HeaderKind | State::HeaderLf => {
                    return Err(self.malformed(self.header.kind.expected(), rest));
                }
                State::PayloadCr | State::PayloadLf => {
                    return Err(self.malformed("\\r\\n after an argument", rest));
                }
            }
            self.at += taken as u64;
            rest = &rest[taken..];
        }
        Ok(None)
    }

    /// What the command, now whole, means.
    pub(super) fn kind(&self) -> Kind {
        let [name, second] = &self.words;
        let second = (self.args > 1).then(|| second.whole()).flatten();
        name.whole()
            .map_or(Kind::Other, |name| classify(name, second, self.args))
    }

    /// The command's first words, for a message.
    pub(super) fn excerpt(&self) -> Excerpt {
        let [name, second] = &self.words;
        Excerpt::of([name.kept(), second.kept()].join(&b' ').trim_ascii_end())
    }

    fn header_digit(&mut self, byte: u8, rest: &[u8]) -> Result<(), StreamError> {
        let header = &mut self.header;
        match byte {
            b'\r' if header.digits > 0 => self.state = State::HeaderLf,
            b'0'..=b'9' if header.digits == 0 || header.value > 0 => {
                if header.digits == DIGITS_MAX {
                    return Err(self.too_large(rest));
                }
                header.value = header.value * 10 + u64::from(byte - b'0');
                header.digits += 1;
            }
            _ => return Err(self.malformed(self.header.kind.expected(), rest)),
        }
        Ok(())
    }

    fn header_done(&mut self, rest: &[u8]) -> Result<(), StreamError> {
        let Header { kind, value, .. } = self.header;
        if value > kind.limit().1 {
            return Err(self.too_large(rest));
        }
        match kind {
            HeaderKind::Count if value == 0 => return Err(self.malformed(kind.expected(), rest)),
            HeaderKind::Count => {
                self.args = value;
                self.header.kind = HeaderKind::Length;
                self.state = State::HeaderKind;
            }
            HeaderKind::Length => {
                if let Some(word) = self.word() {
                    word.len = value;
                }
                self.state = if value == 0 {
                    State::PayloadCr
                } else {
                    State::Payload(value)
                };
            }
        }
        Ok(())
    }

    /// The word that the current argument is, if it is one of the first two.
    fn word(&mut self) -> Option<&mut Word> {
        usize::try_from(self.args_done)
            .ok()
            .and_then(|index| self.words.get_mut(index))
    }

    fn keep(&mut self, payload: &[u8]) {
        if let Some(word) = self.word() {
            word.push(payload);
        }
    }

    fn malformed(&self, expected: &'static str, rest: &[u8]) -> StreamError {
        StreamError::Malformed {
            expected,
            offset: self.at,
            found: Excerpt::of(rest),
        }
    }

    fn too_large(&self, rest: &[u8]) -> StreamError {
        let (what, limit) = self.header.kind.limit();
        let read = self.header.value.to_string().into_bytes();
        StreamError::TooLarge {
            what,
            offset: self.header.at,
            limit,
            found: Excerpt::of(&[&read, rest].concat()),
        }
    }
}
