//! Reads magic, version and auxiliary fields from the first bytes of an RDB, in any pieces.

use super::RdbError;
use super::header::{RDB_HEADER_BYTES_MAX, RdbHeader, RdbMagic};
use crate::Excerpt;

/// Magic and version: `REDIS0011`, `VALKEY080`.
const MAGIC_LEN: usize = 9;
/// Versions before this one end without a checksum, and no supported server writes them.
const RDB_VERSION_MIN: u32 = 5;
/// Opcode of an auxiliary field.
const AUX: u8 = 0xfa;

/// A header that is being read.
#[derive(Debug, Clone)]
pub(super) struct HeaderReader {
    header: Option<RdbHeader>,
    done: bool,
    /// Bytes that are not parsed yet.
    bytes: Vec<u8>,
    /// Bytes parsed.
    at: usize,
}

/// Why a field can't be read.
enum Stop {
    /// More bytes are needed.
    Incomplete,
    /// It would go on past the bound.
    TooLong,
    /// It is none of the encodings that strings have.
    Malformed,
}

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self {
            header: None,
            done: false,
            bytes: Vec::new(),
            at: 0,
        }
    }

    /// The header, once it is complete.
    pub(super) fn header(&self) -> Option<&RdbHeader> {
        self.header.as_ref().filter(|_| self.done)
    }

    pub(super) fn feed(&mut self, payload: &[u8]) -> Result<(), RdbError> {
        if self.done {
            return Ok(());
        }
        let room = RDB_HEADER_BYTES_MAX.saturating_sub(self.at + self.bytes.len());
        self.bytes.extend_from_slice(&payload[..payload.len().min(room)]);
        let mut parsed = 0;
        let stop = loop {
            match self.step(&self.bytes[parsed..]) {
                Ok(Step::Magic(header)) => {
                    parsed += MAGIC_LEN;
                    self.header = Some(header);
                }
                Ok(Step::Aux { len, field }) => {
                    parsed += len;
                    if let (Some(field), Some(header)) = (field, &mut self.header) {
                        header.aux.push(field);
                    }
                }
                Ok(Step::End) => break None,
                Err(stop) => break Some(stop),
            }
        };
        self.bytes.drain(..parsed);
        self.at += parsed;
        match stop {
            None => self.finish(false),
            Some(Stop::TooLong) => self.finish(true),
            Some(Stop::Incomplete) if self.at + self.bytes.len() >= RDB_HEADER_BYTES_MAX => self.finish(true),
            Some(Stop::Incomplete) => {}
            Some(Stop::Malformed) => {
                let expected = if self.header.is_none() {
                    "the magic of an RDB of version 5 or later (REDIS0009, VALKEY080, …)"
                } else {
                    "an RDB string in an auxiliary field"
                };
                let found = Excerpt::of(&self.bytes);
                return Err(RdbError::Malformed {
                    expected,
                    at: self.at as u64,
                    found,
                });
            }
        }
        Ok(())
    }

    fn finish(&mut self, cut: bool) {
        if let Some(header) = &mut self.header {
            header.cut = cut;
        }
        self.done = true;
        self.bytes = Vec::new();
    }

    fn step(&self, bytes: &[u8]) -> Result<Step, Stop> {
        if self.header.is_none() {
            return read_magic(bytes.first_chunk().ok_or(Stop::Incomplete)?)
                .map(Step::Magic)
                .ok_or(Stop::Malformed);
        }
        match bytes.split_first() {
            None => Err(Stop::Incomplete),
            Some((&AUX, field)) => {
                let mut rest = field;
                let key = read_string(&mut rest)?;
                let value = read_string(&mut rest)?;
                Ok(Step::Aux {
                    len: bytes.len() - rest.len(),
                    field: key.zip(value),
                })
            }
            Some(_) => Ok(Step::End),
        }
    }
}

enum Step {
    Magic(RdbHeader),
    Aux {
        len: usize,
        field: Option<(String, String)>,
    },
    End,
}

fn read_magic(bytes: &[u8; MAGIC_LEN]) -> Option<RdbHeader> {
    let (magic, version) = if let Some(version) = bytes.strip_prefix(b"REDIS") {
        (RdbMagic::Redis, version)
    } else {
        (RdbMagic::Valkey, bytes.strip_prefix(b"VALKEY")?)
    };
    let digits = version.iter().all(u8::is_ascii_digit).then_some(version)?;
    let version = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let header = RdbHeader {
        magic,
        version,
        aux: Vec::new(),
        cut: false,
    };
    (version >= RDB_VERSION_MIN).then_some(header)
}

/// Reads a string as text; `None` for a compressed one.
fn read_string(bytes: &mut &[u8]) -> Result<Option<String>, Stop> {
    Ok(match read_length(bytes)? {
        Length::Plain(len) => Some(String::from_utf8_lossy(take(bytes, len)?).into_owned()),
        Length::Int8 => Some(i8::from_le_bytes(take_array(bytes)?).to_string()),
        Length::Int16 => Some(i16::from_le_bytes(take_array(bytes)?).to_string()),
        Length::Int32 => Some(i32::from_le_bytes(take_array(bytes)?).to_string()),
        Length::Compressed => {
            let (Length::Plain(len), Length::Plain(_)) = (read_length(bytes)?, read_length(bytes)?) else {
                return Err(Stop::Malformed);
            };
            take(bytes, len)?;
            None
        }
    })
}

/// What the first byte of a string says.
enum Length {
    Plain(u64),
    Int8,
    Int16,
    Int32,
    Compressed,
}

fn read_length(bytes: &mut &[u8]) -> Result<Length, Stop> {
    let [first] = take_array(bytes)?;
    Ok(match (first >> 6, first & 0x3f) {
        (0, len) => Length::Plain(u64::from(len)),
        (1, high) => {
            let [low] = take_array(bytes)?;
            Length::Plain(u64::from(u16::from_be_bytes([high, low])))
        }
        (2, 0) => Length::Plain(u64::from(u32::from_be_bytes(take_array(bytes)?))),
        (2, 1) => Length::Plain(u64::from_be_bytes(take_array(bytes)?)),
        (3, 0) => Length::Int8,
        (3, 1) => Length::Int16,
        (3, 2) => Length::Int32,
        (3, 3) => Length::Compressed,
        _ => return Err(Stop::Malformed),
    })
}

fn take<'a>(bytes: &mut &'a [u8], len: u64) -> Result<&'a [u8], Stop> {
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= RDB_HEADER_BYTES_MAX)
        .ok_or(Stop::TooLong)?;
    let (taken, rest) = bytes.split_at_checked(len).ok_or(Stop::Incomplete)?;
    *bytes = rest;
    Ok(taken)
}

fn take_array<const LEN: usize>(bytes: &mut &[u8]) -> Result<[u8; LEN], Stop> {
    let (taken, rest) = bytes.split_first_chunk().ok_or(Stop::Incomplete)?;
    *bytes = rest;
    Ok(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: &[u8] = b"REDIS0011\
        \xfa\x09redis-ver\x05255.1\
        \xfa\x0aredis-bits\xc0\x40\
        \xfa\x05ctime\xc2\x15\xcd\x5b\x07\
        \xfa\x08used-mem\xc1\xe8\x03\
        \xfa\x0erepl-stream-db\xc0\x00\
        \xfa\x40\x03odd\x80\x00\x00\x00\x01x\
        \xfa\x03lzf\xc3\x04\x20abcd\
        \xfa\x0brepl-offset\x81\x00\x00\x00\x00\x00\x00\x00\x0299\
        \xfe\x00";

    #[test]
    fn every_string_encoding_is_read_in_any_pieces() {
        for piece_len in [1, 2, 7, FIELDS.len()] {
            let mut reader = HeaderReader::new();
            for piece in FIELDS.chunks(piece_len) {
                reader.feed(piece).expect("the header is well-formed");
            }
            let header = reader.header().expect("the database opcode ends the header");
            assert_eq!(
                (header.magic, header.version, header.cut),
                (RdbMagic::Redis, 11, false)
            );
            assert_eq!(header.server_version(), Some("255.1"));
            assert_eq!(header.aux("redis-bits"), Some("64"));
            assert_eq!(header.ctime_s(), Some(123_456_789));
            assert_eq!(header.used_mem_bytes(), Some(1000));
            assert_eq!(header.repl_stream_db(), Some(0));
            assert_eq!(header.aux("odd"), Some("x"));
            assert_eq!(header.aux("lzf"), None);
            assert_eq!(header.repl_offset(), Some(crate::Offset::new(99)));
        }
    }

    #[test]
    fn a_header_past_the_bound_is_given_up_and_not_an_error() {
        let long = [
            &FIELDS[..26],
            b"\xfa\x03big\x80\x00\x01\x00\x00",
            &vec![b'x'; RDB_HEADER_BYTES_MAX],
        ]
        .concat();
        for piece_len in [1000, long.len()] {
            let mut reader = HeaderReader::new();
            for piece in long.chunks(piece_len) {
                reader.feed(piece).expect("a long header is no error");
            }
            let header = reader.header().expect("the header was given up");
            assert!(header.cut && header.server_version().is_some());
        }
    }

    #[test]
    fn other_magics_are_refused() {
        for bad in [
            &b"REDIS0004"[..],
            b"REDIS00x1",
            b"VALKEY0+1",
            b"DFLY00001",
            b"\0\0\0\0\0\0\0\0\0",
        ] {
            assert!(HeaderReader::new().feed(bad).is_err());
        }
        let mut reader = HeaderReader::new();
        reader.feed(b"VALKEY080\xfe").expect("the magic is Valkey's");
        assert_eq!(
            reader.header().map(|header| (header.magic, header.version)),
            Some((RdbMagic::Valkey, 80))
        );
    }
}
