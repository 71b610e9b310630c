use proptest::prelude::*;
use sterna_protocol::resp::{CommandReader, ReplyReader, encode_command};

use super::*;
use crate::answers::Identity;
use crate::observed::Observed;
use crate::samples::{route, routes};

const PASSWORD: &str = "correct horse battery staple";

/// Everything that is answered to these pieces, with an event after each, and how the conversation ended.
fn converse(pieces: &[&[u8]], password: Option<&str>, events: bool) -> (BytesMut, Option<&'static str>) {
    let observed = Observed::first(
        routes([route("m1", "a", &["b"]), route("m2", "c", &[])]).into(),
        Duration::ZERO,
    );
    let identity = Identity {
        address: ([127, 0, 0, 1], 7802).into(),
        id: "0123456789abcdef0123456789abcdef01234567".to_owned(),
        announce: None,
    };
    let facts = Facts {
        observed: &observed,
        now: Duration::from_secs(9),
        identity: &identity,
        connections: 1,
    };
    let peer = ([127, 0, 0, 1], 5000).into();
    let logins = password.map_or_else(Logins::default, |password| {
        Logins::with_default(Secret::new(password))
    });
    let mut session = Session::new(1, peer, logins, Duration::ZERO);
    let (mut commands, mut input, mut out) = (CommandReader::new(), BytesMut::new(), BytesMut::new());
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match commands.next(&mut input) {
                Ok(Some(incoming)) => {
                    if let Flow::Close(reason) = session.on(incoming, &facts, &mut out) {
                        return (out, Some(reason));
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    session.protocol_error(&error, &mut out);
                    return (out, Some("no RESP"));
                }
            }
        }
        if events {
            session.publish(&Event::switch_master("m1", ("a", 1), ("b", 2)), &mut out);
        }
    }
    (out, None)
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "PING", "PING hi", "ROLE", "INFO", "INFO sentinel", "HELLO", "HELLO 2", "HELLO 3", "HELLO 3 SETNAME a",
            "SENTINEL MASTERS", "SENTINEL MASTER m1", "SENTINEL MASTER no", "SENTINEL REPLICAS m1",
            "SENTINEL GET-MASTER-ADDR-BY-NAME m2", "SENTINEL GET-MASTER-ADDR-BY-NAME no", "SENTINEL CKQUORUM m1",
            "SENTINEL CONFIG GET *", "SENTINEL HELP", "SENTINEL IS-MASTER-DOWN-BY-ADDR a 6379 0 *", "CLIENT INFO",
            "CLIENT ID", "CLIENT GETNAME", "COMMAND", "COMMAND COUNT", "COMMAND DOCS", "COMMAND INFO ping nope",
            "SUBSCRIBE +switch-master", "SUBSCRIBE a b", "PSUBSCRIBE *", "UNSUBSCRIBE", "PUNSUBSCRIBE *", "GET a",
            "AUTH default x", "AUTH x", "AUTH a b c",
        ])
        .prop_map(str::to_owned),
        1 => "[ -~]{1,30}",
    ]
}

fn wire(lines: &[String]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    for line in lines {
        encode_command(&mut bytes, &line.split(' ').collect::<Vec<_>>());
    }
    bytes.to_vec()
}

fn whole_answers(mut out: BytesMut) -> usize {
    let mut reader = ReplyReader::new();
    let mut count = 0;
    while reader.feed(&mut out).expect("what is answered is RESP").is_some() {
        count += 1;
    }
    assert!(out.is_empty(), "an answer is not whole");
    count
}

proptest! {
    #[test]
    fn a_conversation_is_the_same_in_any_pieces(
        lines in prop::collection::vec(line(), 0..12), damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        len in 1..40_usize,
    ) {
        let mut bytes = wire(&lines);
        if let Some((at, byte)) = damage.filter(|_| !bytes.is_empty()) {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let pieces: Vec<&[u8]> = bytes.chunks(len).collect();
        let whole = converse(&[&bytes], None, false);
        prop_assert_eq!(&converse(&pieces, None, false), &whole);
        whole_answers(whole.0);
    }

    #[test]
    fn every_command_is_answered_with_whole_answers_also_between_events(
        lines in prop::collection::vec(line(), 0..12),
    ) {
        let wires: Vec<_> = lines.iter().map(|line| wire(std::slice::from_ref(line))).collect();
        let pieces: Vec<&[u8]> = wires.iter().map(Vec::as_slice).collect();
        let (out, ended) = converse(&pieces, None, true);
        let answers = whole_answers(out);
        prop_assert!(ended.is_some() || answers >= lines.len(), "{answers} answers to {lines:?}");
    }

    #[test]
    fn without_the_password_nothing_but_refusals_is_heard(lines in prop::collection::vec(line(), 0..12)) {
        let bytes = wire(&lines);
        let (mut out, _) = converse(&[&bytes], Some(PASSWORD), true);
        let mut reader = ReplyReader::new();
        while let Some(answer) = reader.feed(&mut out).expect("what is answered is RESP") {
            let text = answer.as_error().map(std::borrow::Cow::into_owned).unwrap_or_default();
            prop_assert!(text.starts_with("NOAUTH ") || text.starts_with("WRONGPASS "), "{answer:?}");
        }
    }
}
