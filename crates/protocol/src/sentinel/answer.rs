//! What a Sentinel answers, as a tree, and its bytes in RESP2 and RESP3.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Which version of RESP a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Proto {
    /// Every connection before `HELLO 3`.
    #[default]
    Resp2,
    /// After `HELLO 3`: maps, pushes and one null.
    Resp3,
}

impl Proto {
    /// The number that `HELLO` takes and gives.
    pub fn number(self) -> u8 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }
}

/// An answer or a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `+text`
    Simple(String),
    /// `-text`, which begins with its code.
    Error(String),
    /// `:number`
    Integer(i64),
    /// `$length`
    Bulk(Bytes),
    /// Nothing in the place of a string.
    Null,
    /// Nothing in the place of an array; RESP3 makes no difference.
    NullArray,
    /// `*count`
    Array(Vec<Answer>),
    /// `%pairs`; in RESP2 an array of keys and values in turn.
    Map(Vec<(Answer, Answer)>),
    /// `>count`; in RESP2 an array.
    Push(Vec<Answer>),
}

impl Answer {
    /// `+OK`
    pub fn ok() -> Self {
        Self::Simple("OK".to_owned())
    }

    /// Text for people, line by line, as `HELP` is answered.
    pub fn lines(lines: &[&str]) -> Self {
        Self::Array(
            lines
                .iter()
                .map(|line| Self::Simple((*line).to_owned()))
                .collect(),
        )
    }

    /// A bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// Appends its bytes to `out`.
    pub fn encode(&self, proto: Proto, out: &mut BytesMut) {
        match self {
            Self::Simple(text) => put_line(out, b'+', text),
            Self::Error(text) => put_line(out, b'-', text),
            Self::Integer(number) => put_line(out, b':', &number.to_string()),
            Self::Bulk(bytes) => {
                put_count(out, b'$', bytes.len());
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Self::Null | Self::NullArray if proto == Proto::Resp3 => out.put_slice(b"_\r\n"),
            Self::Null => out.put_slice(b"$-1\r\n"),
            Self::NullArray => out.put_slice(b"*-1\r\n"),
            Self::Array(items) => put_items(out, b'*', items, proto),
            Self::Push(items) => {
                let kind = if proto == Proto::Resp3 { b'>' } else { b'*' };
                put_items(out, kind, items, proto);
            }
            Self::Map(pairs) => {
                match proto {
                    Proto::Resp2 => put_count(out, b'*', 2 * pairs.len()),
                    Proto::Resp3 => put_count(out, b'%', pairs.len()),
                }
                for (key, value) in pairs {
                    key.encode(proto, out);
                    value.encode(proto, out);
                }
            }
        }
    }
}

fn put_items(out: &mut BytesMut, kind: u8, items: &[Answer], proto: Proto) {
    put_count(out, kind, items.len());
    for item in items {
        item.encode(proto, out);
    }
}

fn put_count(out: &mut BytesMut, kind: u8, count: usize) {
    put_line(out, kind, &count.to_string());
}

/// A line can't hold the end of a line: what a client sent and sees again must not look like a second answer.
fn put_line(out: &mut BytesMut, kind: u8, text: &str) {
    out.put_u8(kind);
    out.extend(
        text.bytes()
            .map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }),
    );
    out.put_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(answer: &Answer, proto: Proto) -> String {
        let mut out = BytesMut::new();
        answer.encode(proto, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn each_version_of_resp_has_its_own_maps_pushes_and_nulls() {
        let map = Answer::Map(vec![(Answer::bulk("name"), Answer::Integer(-7))]);
        assert_eq!(bytes(&map, Proto::Resp2), "*2\r\n$4\r\nname\r\n:-7\r\n");
        assert_eq!(bytes(&map, Proto::Resp3), "%1\r\n$4\r\nname\r\n:-7\r\n");
        let push = Answer::Push(vec![Answer::ok(), Answer::Null]);
        assert_eq!(bytes(&push, Proto::Resp2), "*2\r\n+OK\r\n$-1\r\n");
        assert_eq!(bytes(&push, Proto::Resp3), ">2\r\n+OK\r\n_\r\n");
        assert_eq!(bytes(&Answer::NullArray, Proto::Resp2), "*-1\r\n");
        assert_eq!(bytes(&Answer::NullArray, Proto::Resp3), "_\r\n");
        assert_eq!(bytes(&Answer::Array(vec![]), Proto::Resp3), "*0\r\n");
    }

    #[test]
    fn no_line_can_smuggle_in_a_second_answer() {
        let error = Answer::Error("ERR unknown 'a\r\n+OK'".to_owned());
        assert_eq!(bytes(&error, Proto::Resp2), "-ERR unknown 'a  +OK'\r\n");
    }
}
