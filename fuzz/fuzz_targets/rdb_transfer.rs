//! RDB transfers: any pieces give the same payload, end and rest.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use sterna_protocol::rdb::{RdbEvent, RdbForm, RdbTransfer};

#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    keepalives: u64,
    form: Option<RdbForm>,
    payload: Vec<u8>,
    ended: bool,
    failed: bool,
    rest: Vec<u8>,
}

fn receive<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let mut transfer = RdbTransfer::new();
    let mut seen = Seen::default();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match transfer.feed(&mut input) {
                Ok(Some(RdbEvent::Keepalive)) => seen.keepalives += 1,
                Ok(Some(RdbEvent::Start(form))) => seen.form = Some(form),
                Ok(Some(RdbEvent::Payload(bytes))) => {
                    assert!(!bytes.is_empty() && seen.form.is_some() && !seen.ended);
                    seen.payload.extend_from_slice(&bytes);
                }
                Ok(Some(RdbEvent::End)) => seen.ended = true,
                Ok(None) => break,
                Err(_) => return Seen { failed: true, ..seen },
            }
        }
        seen.rest.extend_from_slice(&input);
    }
    assert_eq!(transfer.payload_bytes(), seen.payload.len() as u64);
    assert!(seen.ended || seen.rest.is_empty());
    seen
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_len, bytes)) = data.split_first() else {
        return;
    };
    let whole = receive(std::iter::once(bytes));
    if let Some(RdbForm::Length(len)) = whole.form {
        assert_eq!(whole.ended, whole.payload.len() as u64 == len);
    }
    assert_eq!(receive(bytes.chunks(usize::from(*piece_len).max(1))), whole);
});
