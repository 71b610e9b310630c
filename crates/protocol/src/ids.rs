//! Newtypes for the two coordinates of Redis replication: which history, and how far along it.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of a replication id in hexadecimal digits.
pub const REPLICATION_ID_LEN: usize = 40;

/// The name of a history: the 40 hexadecimal digits that a primary calls `master_replid`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplicationId([u8; REPLICATION_ID_LEN]);

/// The text is not a replication id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a replication id is {REPLICATION_ID_LEN} hexadecimal digits, not {0:?}")]
pub struct InvalidReplicationId(pub String);

impl ReplicationId {
    /// The id of 40 zeros that servers report where they have none (`master_replid2` of a fresh node).
    pub const ZERO: Self = Self([b'0'; REPLICATION_ID_LEN]);

    /// Reads an id from its wire form.
    pub fn from_bytes(text: &[u8]) -> Result<Self, InvalidReplicationId> {
        match <[u8; REPLICATION_ID_LEN]>::try_from(text) {
            Ok(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(Self(digits)),
            _ => Err(InvalidReplicationId(
                String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned(),
            )),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }

    /// Whether this is [`ReplicationId::ZERO`].
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl FromStr for ReplicationId {
    type Err = InvalidReplicationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Display for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ReplicationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReplicationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReplicationId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of a server's process, new at each start: what `INFO server` calls `run_id`. It has the form of a
/// replication id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(ReplicationId);

impl FromStr for RunId {
    type Err = InvalidReplicationId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A position in a history, in bytes: how much of the stream has been consumed (Redis's `master_repl_offset`).
///
/// The stream byte that follows offset `n` is the one the wire calls `n + 1`: a replica that holds `n` asks
/// `PSYNC id n+1` ([`Offset::wire_next`]), and `+FULLRESYNC id n` means that the first stream byte comes after `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(u64);

impl Offset {
    /// The start of every history.
    pub const ZERO: Self = Self(0);

    /// The offset after `bytes` bytes of stream.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The number of stream bytes consumed.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// What a replica that holds this offset asks for in `PSYNC`.
    pub const fn wire_next(self) -> u64 {
        self.0.saturating_add(1)
    }

    /// The offset held by a replica that asks for wire position `next`; `None` for 0, which no replica asks for.
    pub const fn from_wire_next(next: u64) -> Option<Self> {
        match next.checked_sub(1) {
            Some(held) => Some(Self(held)),
            None => None,
        }
    }

    /// Bytes from `earlier` to this offset, 0 if `earlier` is in fact later.
    pub const fn bytes_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Offset {
    type Output = Self;

    fn add(self, bytes: u64) -> Self {
        Self(self.0.saturating_add(bytes))
    }
}

impl AddAssign<u64> for Offset {
    fn add_assign(&mut self, bytes: u64) {
        *self = *self + bytes;
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_forty_hex_digits_and_nothing_else() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(
            text.parse::<ReplicationId>().map(|id| id.to_string()),
            Ok(text.to_owned())
        );
        for bad in ["", "?", &text[..39], &format!("{text}0"), &text.replace('a', "g")] {
            assert!(bad.parse::<ReplicationId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn the_wire_asks_for_the_byte_after_the_offset() {
        assert_eq!(Offset::new(41).wire_next(), 42);
        assert_eq!(Offset::from_wire_next(42), Some(Offset::new(41)));
        assert_eq!(Offset::from_wire_next(0), None);
    }
}
