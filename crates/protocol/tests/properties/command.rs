use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sterna_protocol::resp::{COMMAND_ARGS_MAX, CommandReader, Incoming, RespError, encode_command};

use super::pieces::{cuts, damage, damaged};

#[derive(Debug, Clone)]
enum Sent {
    Newline(&'static str),
    Nothing(&'static str),
    Multibulk(Vec<Bytes>),
    Inline(Vec<String>, &'static str),
}

fn sent() -> impl Strategy<Value = Sent> {
    let arg = prop::collection::vec(any::<u8>(), 0..20).prop_map(Bytes::from);
    let end = prop::sample::select(vec!["\n", "\r\n"]);
    prop_oneof![
        end.clone().prop_map(Sent::Newline),
        prop::sample::select(vec!["*0\r\n", "*-1\r\n", "  \n"]).prop_map(Sent::Nothing),
        prop::collection::vec(arg, 1..6).prop_map(Sent::Multibulk),
        (
            prop::collection::vec("[a-zA-Z0-9?-][a-zA-Z0-9?*$-]{0,8}", 1..5),
            end
        )
            .prop_map(|(words, end)| Sent::Inline(words, end)),
    ]
}

fn encoded(sent: &[Sent]) -> (Vec<u8>, Vec<Incoming>) {
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    for sent in sent {
        match sent {
            Sent::Newline(end) => {
                out.extend_from_slice(end.as_bytes());
                expected.push(Incoming::Newline);
            }
            Sent::Nothing(text) => out.extend_from_slice(text.as_bytes()),
            Sent::Multibulk(args) => {
                encode_command(&mut out, args);
                expected.push(Incoming::Command(args.clone()));
            }
            Sent::Inline(words, end) => {
                out.extend_from_slice(words.join(" ").as_bytes());
                out.extend_from_slice(end.as_bytes());
                expected.push(Incoming::Command(
                    words.iter().cloned().map(Bytes::from).collect(),
                ));
            }
        }
    }
    (out.to_vec(), expected)
}

fn read(pieces: &[&[u8]]) -> (Vec<Incoming>, Option<(&'static str, u64)>) {
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

proptest! {
    #[test]
    fn commands_are_read_back_in_any_pieces(sent in prop::collection::vec(sent(), 0..6), cuts in cuts()) {
        let (bytes, expected) = encoded(&sent);
        prop_assert_eq!(read(&cuts.pieces(&bytes)), (expected, None));
    }

    #[test]
    fn a_cut_command_is_waited_for(args in prop::collection::vec("[a-z]{0,9}", 1..5), cut in any::<prop::sample::Index>()) {
        let mut bytes = BytesMut::new();
        encode_command(&mut bytes, &args);
        prop_assert_eq!(read(&[&bytes[..cut.index(bytes.len())]]), (vec![], None));
    }

    #[test]
    fn damage_gives_the_same_outcome_in_any_pieces(
        sent in prop::collection::vec(sent(), 1..5), damage in damage(), cuts in cuts(),
    ) {
        let bytes = damaged(encoded(&sent).0, &damage);
        prop_assert_eq!(read(&cuts.pieces(&bytes)), read(&[&bytes]));
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        prop_assert_eq!(read(&cuts.pieces(&bytes)), read(&[&bytes]));
    }
}

#[test]
fn arguments_and_bytes_are_bounded() {
    let too_many = COMMAND_ARGS_MAX + 1;
    assert!(matches!(
        read(&[format!("*{too_many}\r\n").as_bytes()]).1,
        Some(("a command (arguments)", _))
    ));
    assert!(read(&[b"*1\r\n$65536\r\n"]).1.is_some());
    assert!(read(&[&b"a".repeat(65_536)]).1.is_some());
    assert!(
        read(&[&[b"a ".repeat(too_many), b"\n".to_vec()].concat()])
            .1
            .is_some()
    );
    let halves = [
        b"*2\r\n$40000\r\n".to_vec(),
        vec![b'a'; 40_000],
        b"\r\n$40000\r\n".to_vec(),
    ]
    .concat();
    assert!(matches!(read(&[&halves]).1, Some(("a command (bytes)", _))));
}
