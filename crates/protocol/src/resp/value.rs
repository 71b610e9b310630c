//! One RESP2 or RESP3 reply as a tree.

use bytes::Bytes;

/// A reply. Null bulk strings, null arrays and RESP3's null are all [`Value::Null`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `+text`
    Simple(Bytes),
    /// `-CODE text`, and RESP3's bulk error.
    Error(Bytes),
    /// `:number`
    Integer(i64),
    /// `$length`
    Bulk(Bytes),
    /// `$-1`, `*-1` or `_`
    Null,
    /// `*count`
    Array(Vec<Value>),
    /// `%pairs`
    Map(Vec<(Value, Value)>),
    /// `~count`
    Set(Vec<Value>),
    /// `>count`
    Push(Vec<Value>),
    /// `,number`
    Double(f64),
    /// `#t` or `#f`
    Boolean(bool),
    /// `(digits`
    BigNumber(Bytes),
    /// `=length`, the text after the three-letter format and its colon.
    Verbatim(Bytes),
}

impl Value {
    /// The bytes of a simple, bulk or verbatim string.
    pub fn as_bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Simple(bytes) | Self::Bulk(bytes) | Self::Verbatim(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text of a simple, bulk or verbatim string that is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        self.as_bytes().and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// The elements of an array, set or push.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(items) | Self::Set(items) | Self::Push(items) => Some(items),
            _ => None,
        }
    }

    /// The number of an integer, or of a string that is one (as `CONFIG GET` answers).
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            other => other.as_text().and_then(|text| text.parse().ok()),
        }
    }

    /// The text of an error reply without its `-`; what is not UTF-8 is replaced.
    pub fn as_error(&self) -> Option<std::borrow::Cow<'_, str>> {
        match self {
            Self::Error(text) => Some(String::from_utf8_lossy(text)),
            _ => None,
        }
    }

    /// Key and value pairs of a map, or of the flat array that RESP2 has in its place.
    pub fn as_pairs(&self) -> Option<Vec<(&Value, &Value)>> {
        match self {
            Self::Map(pairs) => Some(pairs.iter().map(|(key, value)| (key, value)).collect()),
            Self::Array(items) if items.len() % 2 == 0 => {
                Some(items.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect())
            }
            _ => None,
        }
    }
}
