//! Server-sent events: the stream's lines become events.

use std::io::{self, BufRead, BufReader, Read};

/// The longest line that is taken, in bytes.
const LINE_BYTES_MAX: u64 = 8 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ServerEvent {
    /// Its `event:` field.
    pub(super) kind: String,
    /// Its `data:` fields, with newlines between them.
    pub(super) data: String,
}

/// The events of a stream.
#[derive(Debug)]
pub(super) struct Events<R>(BufReader<R>);

impl<R: Read> Events<R> {
    /// Events from a body.
    pub(super) fn new(body: R) -> Self {
        Self(BufReader::new(body))
    }

    /// The next event; none at the end of the stream. Comments and unknown fields are passed over, as the standard
    /// demands.
    pub(super) fn next(&mut self) -> io::Result<Option<ServerEvent>> {
        let mut event = ServerEvent::default();
        let mut has_data = false;
        loop {
            let mut line = Vec::new();
            let read = self
                .0
                .by_ref()
                .take(LINE_BYTES_MAX)
                .read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(None);
            }
            if line.last() != Some(&b'\n') {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the event stream broke off within a line, or has one that is too long",
                ));
            }
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if has_data || !event.kind.is_empty() {
                    return Ok(Some(event));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "data" => {
                    if has_data {
                        event.data.push('\n');
                    }
                    has_data = true;
                    event.data.push_str(value);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_comments_and_the_end() {
        let text = ": hello\n\nevent: status\nid: 7\ndata: {\"a\":\ndata: 1}\n\n:\n\nevent:missed\r\n\r\ndata: x\n\n";
        let mut events = Events::new(text.as_bytes());
        let event = |kind: &str, data: &str| ServerEvent {
            kind: kind.to_owned(),
            data: data.to_owned(),
        };
        assert_eq!(
            events.next().expect("readable"),
            Some(event("status", "{\"a\":\n1}"))
        );
        assert_eq!(events.next().expect("readable"), Some(event("missed", "")));
        assert_eq!(events.next().expect("readable"), Some(event("", "x")));
        assert_eq!(events.next().expect("readable"), None);
    }

    #[test]
    fn a_stream_that_breaks_off_is_no_event() {
        let mut events = Events::new("event: status\ndata: {\"half".as_bytes());
        assert!(events.next().is_err());
        let mut events = Events::new("data: whole line, no end\n".as_bytes());
        assert_eq!(events.next().expect("readable"), None);
    }
}
