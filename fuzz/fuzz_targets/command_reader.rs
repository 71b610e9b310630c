//! Commands of followers: any pieces give the same commands, and encoding them again gives them back.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sterna_protocol::resp::{CommandReader, Incoming, RespError, encode_command};

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Incoming>, Option<(&'static str, u64)>) {
    let mut reader = CommandReader::new();
    let mut input = BytesMut::new();
    let mut seen = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.next(&mut input) {
                Ok(Some(incoming)) => seen.push(incoming),
                Ok(None) => break,
                Err(RespError::Malformed { expected, at, .. }) => return (seen, Some((expected, at))),
                Err(RespError::TooLarge { what, at, .. }) => return (seen, Some((what, at))),
            }
        }
    }
    (seen, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_len, bytes)) = data.split_first() else {
        return;
    };
    let whole = read(std::iter::once(bytes));
    assert_eq!(read(bytes.chunks(usize::from(*piece_len).max(1))), whole);
    for incoming in whole.0 {
        if let Incoming::Command(args) = incoming {
            assert!(!args.is_empty());
            let mut again = BytesMut::new();
            encode_command(&mut again, &args);
            assert_eq!(
                read(std::iter::once(&again[..])),
                (vec![Incoming::Command(args)], None)
            );
        }
    }
});
