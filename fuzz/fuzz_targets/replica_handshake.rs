//! The replica side of the handshake against any primary: any pieces give the same events, and nothing of the stream
//! is taken.

#![no_main]

use std::mem::{Discriminant, discriminant};

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use sterna_protocol::psync::{
    HandshakeError, PsyncRequest, ReplicaConfig, ReplicaEvent, ReplicaHandshake,
};
use sterna_protocol::{Credentials, Offset, ReplicationId, Secret};

fn config(flags: u8) -> ReplicaConfig {
    let credentials = Credentials {
        user: Some("user".to_owned()),
        password: Some(Secret::new("secret")),
    };
    ReplicaConfig {
        credentials: if flags & 1 == 0 { Credentials::default() } else { credentials },
        listening_port: 7801,
        announce_address: None,
        version: (flags & 2 != 0).then(|| "8.0.0".to_owned()),
        asks_client_id: flags & 16 != 0,
        rdb_only: flags & 4 != 0,
        position: if flags & 8 == 0 {
            PsyncRequest::Full
        } else {
            PsyncRequest::Resume {
                id: ReplicationId::ZERO,
                held: Offset::new(u64::from(flags)),
            }
        },
    }
}

type Heard = (Vec<ReplicaEvent>, Result<Bytes, Discriminant<HandshakeError>>);

fn hear<'a>(flags: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Heard {
    let mut handshake = ReplicaHandshake::new(config(flags));
    handshake.start();
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match handshake.feed(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Err(discriminant(&error))),
            }
        }
    }
    (events, Ok(input.freeze()))
}

fuzz_target!(|data: &[u8]| {
    let [piece_len, flags, bytes @ ..] = data else {
        return;
    };
    let whole = hear(*flags, std::iter::once(bytes));
    if let Ok(rest) = &whole.1 {
        assert!(bytes.ends_with(rest));
    }
    assert_eq!(hear(*flags, bytes.chunks(usize::from(*piece_len).max(1))), whole);
});
