//! A connection that speaks RESP2 or RESP3 and shows answers as they are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use bytes::BytesMut;
use sterna_protocol::resp::{ReplyReader, Value, encode_command};

/// How long an answer or an event may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A client.
pub(crate) struct Wire {
    stream: TcpStream,
    input: BytesMut,
    replies: ReplyReader,
}

impl Wire {
    /// In RESP2, or in RESP3 after a `HELLO 3`.
    pub(crate) fn connect(address: SocketAddr, resp: u8) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a timeout can be set");
        let mut wire = Self {
            stream,
            input: BytesMut::new(),
            replies: ReplyReader::default(),
        };
        if resp == 3 {
            assert!(matches!(wire.ask("HELLO 3"), Value::Map(_)));
        }
        wire
    }

    /// A command, with spaces between its words, and its answer.
    pub(crate) fn ask(&mut self, line: &str) -> Value {
        let mut out = BytesMut::new();
        let words: Vec<&str> = line.split(' ').collect();
        encode_command(&mut out, &words);
        self.stream.write_all(&out).expect("it can be written to");
        self.next()
    }

    /// The next answer or push.
    pub(crate) fn next(&mut self) -> Value {
        self.try_next().expect("an answer comes")
    }

    /// The next answer or push; none when the connection is closed instead.
    pub(crate) fn try_next(&mut self) -> Option<Value> {
        loop {
            if let Some(value) = self.replies.feed(&mut self.input).expect("it speaks RESP") {
                return Some(value);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return None,
                Ok(count) => self.input.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// Names and values of a map, or of the flat array in its place.
pub(crate) fn fields(value: &Value) -> Vec<(String, String)> {
    let pairs = value
        .as_pairs()
        .unwrap_or_else(|| panic!("{value:?} has no fields"));
    pairs
        .into_iter()
        .map(|(name, value)| {
            let text = |value: &Value| value.as_text().expect("a string").to_owned();
            (text(name), text(value))
        })
        .collect()
}

/// The words of a message: channel and text.
pub(crate) fn message(value: &Value) -> (String, String) {
    let words = value
        .as_array()
        .unwrap_or_else(|| panic!("{value:?} is no message"));
    let text = |value: &Value| value.as_text().expect("a string").to_owned();
    match words {
        [kind, channel, message] if kind.as_text() == Some("message") => (text(channel), text(message)),
        [kind, _, channel, message] if kind.as_text() == Some("pmessage") => (text(channel), text(message)),
        _ => panic!("{value:?} is no message"),
    }
}
