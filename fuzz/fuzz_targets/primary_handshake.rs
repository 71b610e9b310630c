//! The relay's side of the handshake against any follower: nothing before the secret, nothing after PSYNC.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sterna_protocol::psync::{PrimaryAction, PrimaryHandshake};
use sterna_protocol::Secret;
use sterna_protocol::resp::CommandReader;

const SECRET: &[u8] = b"secret";

fuzz_target!(|data: &[u8]| {
    let [flags, bytes @ ..] = data else {
        return;
    };
    let auth_required = flags & 1 != 0;
    let mut primary = PrimaryHandshake::new(auth_required);
    let mut reader = CommandReader::new();
    let mut input = BytesMut::from(bytes);
    let (mut welcome, mut follows) = (!auth_required, false);
    while let Ok(Some(incoming)) = reader.next(&mut input) {
        let mut action = primary.on(incoming);
        if let PrimaryAction::CheckSecret { secret, .. } = &action {
            // The secret never shows: every one is printed alike. The user name may say what it likes.
            assert!(!follows && format!("{secret:?}") == format!("{:?}", Secret::new("another")));
            let correct = secret.expose() == SECRET;
            welcome |= correct;
            action = primary.secret_checked(correct);
        }
        let silent = match &action {
            PrimaryAction::Reply(reply) => {
                assert!(reply.ends_with(b"\r\n"));
                false
            }
            PrimaryAction::Close { reply, .. } => reply.is_empty(),
            PrimaryAction::Alive => true,
            PrimaryAction::Ack(_) => {
                assert!(follows);
                true
            }
            PrimaryAction::Psync { .. } | PrimaryAction::Query(_) => {
                assert!(welcome);
                false
            }
            PrimaryAction::CheckSecret { .. } => unreachable!("the secret was checked"),
        };
        assert!(silent || !follows);
        follows |= matches!(action, PrimaryAction::Psync { .. });
        if matches!(action, PrimaryAction::Close { .. }) {
            break;
        }
    }
});
