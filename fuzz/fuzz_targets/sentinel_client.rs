//! A client of the discovery endpoint: what it says is understood or refused, and every answer is one whole answer.

#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use sterna_protocol::resp::{CommandReader, Incoming, ReplyReader};
use sterna_protocol::sentinel::{Answer, ClientCommand, Event, Proto, Subscriptions, parse_client};

fn check(answer: &Answer, proto: Proto) {
    let mut bytes = BytesMut::new();
    answer.encode(proto, &mut bytes);
    let read = ReplyReader::new().feed(&mut bytes);
    assert!(matches!(read, Ok(Some(_))) && bytes.is_empty());
}

fuzz_target!(|data: &[u8]| {
    let mut commands = CommandReader::new();
    let mut input = BytesMut::from(data);
    let mut subscriptions = Subscriptions::default();
    let mut proto = Proto::Resp2;
    while let Ok(Some(incoming)) = commands.next(&mut input) {
        let Incoming::Command(args) = incoming else {
            continue;
        };
        let answers = match parse_client(&args) {
            Err(refused) => vec![Answer::Error(refused.into_text())],
            Ok(ClientCommand::Hello(hello)) => {
                proto = hello.proto.unwrap_or(proto);
                Vec::new()
            }
            Ok(ClientCommand::Command(question)) => vec![question.answer()],
            Ok(ClientCommand::Subscribe(names)) => subscriptions.subscribe(&names),
            Ok(ClientCommand::Unsubscribe(names)) => subscriptions.unsubscribe(&names),
            Ok(ClientCommand::PatternSubscribe(names)) => subscriptions.subscribe_patterns(&names),
            Ok(ClientCommand::PatternUnsubscribe(names)) => subscriptions.unsubscribe_patterns(&names),
            Ok(_) => Vec::new(),
        };
        for answer in &answers {
            check(answer, proto);
        }
        for message in subscriptions.deliver(&Event::switch_master("m1", ("a", 1), ("b", 2))) {
            check(&message, proto);
        }
    }
});
