//! Takes lines off the front of a buffer without looking at any byte twice.

use bytes::{Bytes, BytesMut};

/// A line without its end.
#[derive(Debug)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) text: Bytes,
    /// Whether it ended in `\r\n`, not in a bare `\n`.
    pub(crate) has_cr: bool,
    /// The bytes it took, its end included.
    pub(crate) len: usize,
}

/// No line end within the bound.
#[derive(Debug)]
pub(crate) struct LineTooLong;

/// Remembers how much of the buffer has no line end in it.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    searched: usize,
}

impl LineReader {
    /// Takes the next line; `None` when its end has not come yet.
    pub(crate) fn take(&mut self, input: &mut BytesMut, len_max: usize) -> Result<Option<Line>, LineTooLong> {
        let window = &input[..input.len().min(len_max)];
        let unsearched = window.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', unsearched) else {
            if input.len() >= len_max {
                return Err(LineTooLong);
            }
            self.searched = window.len();
            return Ok(None);
        };
        let len = self.searched + at + 1;
        self.searched = 0;
        let mut text = input.split_to(len).freeze();
        text.truncate(len - 1);
        let has_cr = text.last() == Some(&b'\r');
        if has_cr {
            text.truncate(len - 2);
        }
        Ok(Some(Line { text, has_cr, len }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_may_come_byte_by_byte_and_what_follows_stays() {
        let mut reader = LineReader::default();
        let mut input = BytesMut::new();
        for byte in b"+OK\r" {
            input.extend_from_slice(&[*byte]);
            assert!(matches!(reader.take(&mut input, 16), Ok(None)));
        }
        input.extend_from_slice(b"\nrest\n");
        let line = reader
            .take(&mut input, 16)
            .ok()
            .flatten()
            .expect("the line is whole");
        assert_eq!((&line.text[..], line.has_cr, line.len), (&b"+OK"[..], true, 5));
        let line = reader
            .take(&mut input, 16)
            .ok()
            .flatten()
            .expect("the line is whole");
        assert_eq!((&line.text[..], line.has_cr, line.len), (&b"rest"[..], false, 5));
        assert!(input.is_empty());
    }

    #[test]
    fn the_bound_includes_the_line_end() {
        let mut input = BytesMut::from(&b"1234\n"[..]);
        assert!(matches!(LineReader::default().take(&mut input, 5), Ok(Some(_))));
        let mut input = BytesMut::from(&b"12345\n"[..]);
        assert!(LineReader::default().take(&mut input, 5).is_err());
    }
}
