//! The framing of an RDB after `+FULLRESYNC`, in both of its forms.
//!
//! The mark of the second form may be cut at any byte. What is held back at the end of a piece is always a beginning
//! of the mark itself, so its length is all that needs keeping.

use bytes::{Buf as _, Bytes};
use memchr::memmem::Finder;

use super::RdbError;
use crate::Excerpt;

/// Length of the mark of an EOF-marked transfer.
pub const EOF_MARK_LEN: usize = 40;

/// What a header with a mark begins with.
const EOF_PREFIX: &[u8] = b"$EOF:";
/// `$`, twenty digits and the line end.
const LENGTH_HEADER_BYTES_MAX: usize = 23;
/// How much of an error reply is kept.
const REPLY_BYTES_MAX: usize = 1 << 10;

/// How the primary says where the RDB ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RdbForm {
    /// `$<len>`: after this many bytes.
    Length(u64),
    /// `$EOF:<mark>`: where the mark comes again.
    Eof,
}

/// What a transfer brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RdbEvent {
    /// A newline before the header: the primary is alive and makes its RDB.
    Keepalive,
    /// The header.
    Start(RdbForm),
    /// The next bytes of the RDB, never empty.
    Payload(Bytes),
    /// The RDB is complete; what is left in the input is the stream.
    End,
}

/// Reads one transfer.
#[derive(Debug)]
pub struct RdbTransfer {
    state: State,
    payload_bytes: u64,
}

#[derive(Debug)]
enum State {
    /// The header, as far as it came.
    Header(Vec<u8>),
    /// Payload bytes that are missing.
    Length(u64),
    Eof(Mark),
    /// The mark came; its event did not go out yet.
    MarkFound,
    Ended,
}

#[derive(Debug)]
struct Mark {
    finder: Box<Finder<'static>>,
    /// How many bytes of the mark the input so far ends with.
    matched: usize,
}

impl Default for RdbTransfer {
    fn default() -> Self {
        Self::new()
    }
}

impl RdbTransfer {
    /// A reader of what follows `+FULLRESYNC`.
    pub fn new() -> Self {
        Self {
            state: State::Header(Vec::new()),
            payload_bytes: 0,
        }
    }

    /// Takes the next event off the front of `input`; call it until it gives `None`, which means that more input is
    /// needed or, after [`RdbEvent::End`], that the rest is not the transfer's.
    pub fn feed(&mut self, input: &mut Bytes) -> Result<Option<RdbEvent>, RdbError> {
        let event = match &mut self.state {
            State::Header(header) => match take_header(header, input)? {
                None => return Ok(None),
                Some(Header::Keepalive) => {
                    header.clear();
                    RdbEvent::Keepalive
                }
                Some(Header::Length(len)) => {
                    self.state = State::Length(len);
                    RdbEvent::Start(RdbForm::Length(len))
                }
                Some(Header::Eof(finder)) => {
                    self.state = State::Eof(Mark { finder, matched: 0 });
                    RdbEvent::Start(RdbForm::Eof)
                }
            },
            State::Length(0) | State::MarkFound => {
                self.state = State::Ended;
                RdbEvent::End
            }
            State::Length(missing) => {
                let here = usize::try_from(*missing).map_or(input.len(), |missing| missing.min(input.len()));
                if here == 0 {
                    return Ok(None);
                }
                *missing -= here as u64;
                RdbEvent::Payload(input.split_to(here))
            }
            State::Eof(mark) => match mark.take(input) {
                Marked::NeedMore => return Ok(None),
                Marked::Payload(payload) => RdbEvent::Payload(payload),
                Marked::Found(payload) if payload.is_empty() => {
                    self.state = State::Ended;
                    RdbEvent::End
                }
                Marked::Found(payload) => {
                    self.state = State::MarkFound;
                    RdbEvent::Payload(payload)
                }
            },
            State::Ended => return Ok(None),
        };
        if let RdbEvent::Payload(payload) = &event {
            self.payload_bytes += payload.len() as u64;
        }
        Ok(Some(event))
    }

    /// Payload bytes given out so far.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }
}

enum Header {
    Keepalive,
    Length(u64),
    Eof(Box<Finder<'static>>),
}

/// Takes the header byte by byte: it is short, and what follows it must stay where it is.
fn take_header(header: &mut Vec<u8>, input: &mut Bytes) -> Result<Option<Header>, RdbError> {
    while !input.is_empty() {
        header.push(input.get_u8());
        let ends = header.ends_with(b"\n");
        match header[0] {
            b'\n' => return Ok(Some(Header::Keepalive)),
            b'\r' if header.len() == 1 => {}
            b'\r' if ends => return Ok(Some(Header::Keepalive)),
            b'-' if ends || header.len() == REPLY_BYTES_MAX => {
                let reply = String::from_utf8_lossy(header[1..].trim_ascii_end()).into_owned();
                return Err(RdbError::Refused { reply });
            }
            b'-' => {}
            b'$' if header.starts_with(EOF_PREFIX) => {
                if header.len() == EOF_PREFIX.len() + EOF_MARK_LEN + 2 {
                    return eof_mark(header).map(Some);
                }
            }
            b'$' if ends => return length(header).map(Some),
            b'$' if header.len() < LENGTH_HEADER_BYTES_MAX => {}
            _ => {
                header.extend_from_slice(&input[..input.len().min(crate::EXCERPT_BYTES_MAX)]);
                return Err(malformed("an RDB header ($length or $EOF:mark)", header));
            }
        }
    }
    Ok(None)
}

fn eof_mark(header: &[u8]) -> Result<Header, RdbError> {
    let mark = header[EOF_PREFIX.len()..]
        .strip_suffix(b"\r\n")
        .ok_or_else(|| malformed("an RDB header with a mark of 40 bytes ($EOF:mark)", header))?;
    Ok(Header::Eof(Box::new(Finder::new(mark).into_owned())))
}

fn length(header: &[u8]) -> Result<Header, RdbError> {
    header[1..]
        .strip_suffix(b"\r\n")
        .filter(|digits| digits.iter().all(u8::is_ascii_digit))
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
        .map(Header::Length)
        .ok_or_else(|| malformed("an RDB header ($length or $EOF:mark)", header))
}

fn malformed(expected: &'static str, header: &[u8]) -> RdbError {
    RdbError::Malformed {
        expected,
        at: 0,
        found: Excerpt::of(header),
    }
}

enum Marked {
    NeedMore,
    /// Bytes that are not the mark's.
    Payload(Bytes),
    /// The mark came after these bytes.
    Found(Bytes),
}

impl Mark {
    fn take(&mut self, input: &mut Bytes) -> Marked {
        if input.is_empty() {
            return Marked::NeedMore;
        }
        if self.matched > 0 {
            return self.take_at_seam(input);
        }
        if let Some(at) = self.finder.find(input) {
            let payload = input.split_to(at);
            input.advance(EOF_MARK_LEN);
            return Marked::Found(payload);
        }
        self.matched = self.beginning_at_end_of(input);
        let payload = input.split_to(input.len() - self.matched);
        input.clear();
        if payload.is_empty() {
            Marked::NeedMore
        } else {
            Marked::Payload(payload)
        }
    }

    /// Goes on where the last piece ended with a beginning of the mark: looks at both sides of the seam together.
    fn take_at_seam(&mut self, input: &mut Bytes) -> Marked {
        let mark = self.finder.needle();
        // A mark that begins before the seam lies within this window.
        let head = input.len().min(EOF_MARK_LEN - 1);
        let window = [&mark[..self.matched], &input[..head]].concat();
        if let Some(at) = self.finder.find(&window) {
            input.advance(at + EOF_MARK_LEN - self.matched);
            self.matched = 0;
            return Marked::Found(Bytes::from(window).slice(..at));
        }
        if head < input.len() {
            let held_back = Bytes::copy_from_slice(&mark[..self.matched]);
            self.matched = 0;
            return Marked::Payload(held_back);
        }
        self.matched = self.beginning_at_end_of(&window);
        input.clear();
        let payload = Bytes::from(window);
        let payload = payload.slice(..payload.len() - self.matched);
        if payload.is_empty() {
            Marked::NeedMore
        } else {
            Marked::Payload(payload)
        }
    }

    /// The length of the longest beginning of the mark that `bytes` ends with.
    fn beginning_at_end_of(&self, bytes: &[u8]) -> usize {
        let mark = self.finder.needle();
        let len_max = bytes.len().min(EOF_MARK_LEN - 1);
        (1..=len_max)
            .rev()
            .find(|len| bytes.ends_with(&mark[..*len]))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::{eof_header, length_header};

    fn events(transfer: &mut RdbTransfer, input: &mut Bytes) -> Vec<RdbEvent> {
        std::iter::from_fn(|| transfer.feed(input).expect("the transfer is well-formed")).collect()
    }

    #[test]
    fn a_length_ends_the_rdb_and_the_stream_stays_in_the_input() {
        let mut input = Bytes::from([b"\n\n", &length_header(5)[..], b"HELLO*1\r\n"].concat());
        let expected = [
            RdbEvent::Keepalive,
            RdbEvent::Keepalive,
            RdbEvent::Start(RdbForm::Length(5)),
            RdbEvent::Payload(Bytes::from_static(b"HELLO")),
            RdbEvent::End,
        ];
        assert_eq!(events(&mut RdbTransfer::new(), &mut input), expected);
        assert_eq!(input, "*1\r\n");
    }

    #[test]
    fn a_mark_is_found_across_any_seam_and_after_false_starts() {
        // A mark that repeats itself is the worst case for what is held back.
        let mark: [u8; EOF_MARK_LEN] = *b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab";
        let payload = [b"x".as_slice(), &mark[..39], &mark[..20], b"c", &mark[..39]].concat();
        let whole = [&eof_header(&mark)[..], &payload, &mark, b"*1"].concat();
        for cut in 0..whole.len() {
            let mut transfer = RdbTransfer::new();
            let mut seen = Vec::new();
            let mut ended = false;
            let mut rest = Vec::new();
            for piece in [&whole[..cut], &whole[cut..]] {
                let mut input = Bytes::copy_from_slice(piece);
                for event in events(&mut transfer, &mut input) {
                    match event {
                        RdbEvent::Payload(bytes) => seen.extend_from_slice(&bytes),
                        RdbEvent::End => ended = true,
                        _ => {}
                    }
                }
                rest.extend_from_slice(&input);
            }
            assert!(ended && seen == payload && rest == b"*1", "cut at {cut}");
            assert_eq!(transfer.payload_bytes(), payload.len() as u64);
        }
    }

    #[test]
    fn what_is_no_transfer_is_an_error() {
        let feed = |bytes: &'static [u8]| RdbTransfer::new().feed(&mut Bytes::from_static(bytes));
        assert_eq!(
            feed(b"-ERR Unable to perform background save\r\n"),
            Err(RdbError::Refused {
                reply: "ERR Unable to perform background save".to_owned()
            })
        );
        for bad in [
            &b"*1\r\n$4\r\nPING\r\n"[..],
            b"$-1\r\n",
            b"$5\n",
            b"$+5\r\n",
            b"$\r\n",
            b"$99999999999999999999999",
        ] {
            assert!(
                matches!(feed(bad), Err(RdbError::Malformed { .. })),
                "{:?}",
                bad.escape_ascii().to_string()
            );
        }
    }
}
