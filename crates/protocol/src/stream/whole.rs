//! The fast path: walks over one command that is whole in the bytes at hand.
//!
//! It knows only "whole and well-formed" and "anything else"; the latter is `super::partial`'s to wait for or to
//! complain about. It reads headers eight bytes at a time: `*4\r\n$3\r\n`, the usual beginning of a command, is one
//! load and one comparison, and so is `\r\n$100\r\n` between two arguments.

use super::kind::{Kind, classify, may_matter};
use super::{STREAM_ARG_BYTES_MAX, STREAM_ARGS_MAX};

/// A command that is whole and well-formed.
pub(super) struct Whole {
    /// Position after its last byte.
    pub(super) end: usize,
    pub(super) kind: Kind,
}

/// `*?\r\n$?\r\n` as a little-endian word, the digits left out.
const START: u64 = u64::from_le_bytes(*b"*\0\r\n$\0\r\n");
const START_MASK: u64 = u64::from_le_bytes([0xff, 0, 0xff, 0xff, 0xff, 0, 0xff, 0xff]);
/// `\r\n$`
const NEXT: u64 = u64::from_le_bytes(*b"\r\n$\0\0\0\0\0");
const NEXT_MASK: u64 = 0xff_ffff;
const CRLF: u64 = 0x0a0d;

/// Walks over the command at `start`.
#[inline]
pub(super) fn whole(bytes: &[u8], start: usize) -> Option<Whole> {
    let (args, name_len, name_at) = match short_start(bytes, start) {
        Some(short) => short,
        None => long_start(bytes, start)?,
    };
    let name_end = name_at.checked_add(name_len)?;
    let mut at = name_end;
    for _ in 1..args {
        let (len, arg_at) = next_arg(bytes, at)?;
        at = arg_at.checked_add(len)?;
    }
    if bytes.get(at..)?.first_chunk() != Some(b"\r\n") {
        return None;
    }
    let name = bytes.get(name_at..name_end)?;
    let kind = if may_matter(name) {
        kind_of(bytes, name, name_end, args)
    } else {
        Kind::Other
    };
    Some(Whole { end: at + 2, kind })
}

#[cold]
fn kind_of(bytes: &[u8], name: &[u8], name_end: usize, args: u64) -> Kind {
    let second = if args < 2 { None } else { next_arg(bytes, name_end) };
    let second = second.and_then(|(len, at)| bytes.get(at..)?.get(..len));
    classify(name, second, args)
}

#[inline]
fn load(bytes: &[u8], at: usize) -> Option<u64> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|word| u64::from_le_bytes(*word))
}

/// The digit in the lowest byte; 10 or more where there is none.
#[inline]
fn digit(word: u64) -> u64 {
    (word & 0xff).wrapping_sub(u64::from(b'0'))
}

/// `(arguments, length of the name, where the name is)` where both numbers have one digit.
#[inline]
fn short_start(bytes: &[u8], at: usize) -> Option<(u64, usize, usize)> {
    let word = load(bytes, at)?;
    let (args, name_len) = (digit(word >> 8), digit(word >> 40));
    if word & START_MASK == START && args.wrapping_sub(1) < 9 && name_len < 10 {
        Some((args, usize::try_from(name_len).ok()?, at + 8))
    } else {
        None
    }
}

fn long_start(bytes: &[u8], at: usize) -> Option<(u64, usize, usize)> {
    let (args, at) = number(bytes, at, b"*", STREAM_ARGS_MAX)?;
    let (name_len, at) = number(bytes, at, b"$", STREAM_ARG_BYTES_MAX)?;
    if args == 0 {
        return None;
    }
    Some((args, usize::try_from(name_len).ok()?, at))
}

/// `(length, where it is)` of the argument after the one that ends at `at`.
#[inline]
fn next_arg(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    if let Some(word) = load(bytes, at)
        && word & NEXT_MASK == NEXT
    {
        let (a, b, c) = (digit(word >> 24), digit(word >> 32), digit(word >> 40));
        let short = if (word >> 32) & 0xffff == CRLF && a < 10 {
            Some((a, 6))
        } else if (word >> 40) & 0xffff == CRLF && a.wrapping_sub(1) < 9 && b < 10 {
            Some((a * 10 + b, 7))
        } else if word >> 48 == CRLF && a.wrapping_sub(1) < 9 && b < 10 && c < 10 {
            Some((a * 100 + b * 10 + c, 8))
        } else {
            None
        };
        if let Some((len, header_len)) = short {
            return Some((usize::try_from(len).ok()?, at + header_len));
        }
    }
    let (len, at) = number(bytes, at, b"\r\n$", STREAM_ARG_BYTES_MAX)?;
    Some((usize::try_from(len).ok()?, at))
}

/// Reads `prefix`, a number without leading zeros, and `\r\n`; gives the number and the position after it.
fn number(bytes: &[u8], at: usize, prefix: &[u8], limit: u64) -> Option<(u64, usize)> {
    let digits = bytes.get(at..)?.strip_prefix(prefix)?;
    let mut value: u64 = 0;
    let mut len = 0;
    while let Some(byte) = digits.get(len)
        && byte.is_ascii_digit()
    {
        if len > 0 && value == 0 {
            return None;
        }
        value = value * 10 + u64::from(byte - b'0');
        if value > limit {
            return None;
        }
        len += 1;
    }
    if len == 0 || digits.get(len..)?.first_chunk() != Some(b"\r\n") {
        return None;
    }
    Some((value, at + prefix.len() + len + 2))
}
