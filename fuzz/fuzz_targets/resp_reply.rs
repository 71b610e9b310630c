//! Replies: any pieces give the same values and the same kind of error.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sterna_protocol::resp::{ReplyReader, RespError};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<(&'static str, u64)>) {
    let mut reader = ReplyReader::new();
    let mut input = BytesMut::new();
    let mut values = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.feed(&mut input) {
                // As text: NaN is not equal to itself.
                Ok(Some(value)) => values.push(format!("{value:?}")),
                Ok(None) => break,
                Err(RespError::Malformed { expected, at, .. }) => return (values, Some((expected, at))),
                Err(RespError::TooLarge { what, at, .. }) => return (values, Some((what, at))),
            }
        }
    }
    (values, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_len, bytes)) = data.split_first() else {
        return;
    };
    let piece_len = usize::from(*piece_len).max(1);
    assert_eq!(read(bytes.chunks(piece_len)), read(std::iter::once(bytes)));
});
