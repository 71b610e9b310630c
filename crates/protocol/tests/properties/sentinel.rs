use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sterna_protocol::resp::{ReplyReader, Value};
use sterna_protocol::sentinel::{
    Answer, CHANNEL_BYTES_MAX, ClientCommand, Event, EventKind, Proto, SUBSCRIPTIONS_MAX, Subject,
    Subscriptions, glob_matches, parse_client,
};

use super::pieces::cuts;

fn word() -> impl Strategy<Value = Bytes> {
    let known = prop::sample::select(vec![
        "PING",
        "auth",
        "HELLO",
        "client",
        "COMMAND",
        "INFO",
        "role",
        "SENTINEL",
        "subscribe",
        "PSUBSCRIBE",
        "quit",
        "UNSUBSCRIBE",
        "punsubscribe",
        "masters",
        "MASTER",
        "replicas",
        "slaves",
        "sentinels",
        "get-master-addr-by-name",
        "CKQUORUM",
        "myid",
        "is-master-down-by-addr",
        "config",
        "get",
        "help",
        "failover",
        "setname",
        "SETINFO",
        "lib-name",
        "no-evict",
        "on",
        "reply",
        "docs",
        "2",
        "3",
        "-1",
        "*",
        "default",
        "",
    ]);
    prop_oneof![
        3 => known.prop_map(|word| Bytes::from_static(word.as_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Bytes::from),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let leaf = prop_oneof![
        "[ -~]{0,20}".prop_map(Answer::Simple),
        "[A-Z]{1,8} [ -~]{0,20}".prop_map(Answer::Error),
        any::<i64>().prop_map(Answer::Integer),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Answer::Bulk(bytes.into())),
        Just(Answer::Null),
        Just(Answer::NullArray),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Answer::Array),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Answer::Push),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Answer::Map),
        ]
    })
}

/// What a client reads that speaks this version.
fn expected(answer: &Answer, proto: Proto) -> Value {
    let each = |items: &[Answer]| items.iter().map(|item| expected(item, proto)).collect();
    match answer {
        Answer::Simple(text) => Value::Simple(Bytes::copy_from_slice(text.as_bytes())),
        Answer::Error(text) => Value::Error(Bytes::copy_from_slice(text.as_bytes())),
        Answer::Integer(number) => Value::Integer(*number),
        Answer::Bulk(bytes) => Value::Bulk(bytes.clone()),
        Answer::Null | Answer::NullArray => Value::Null,
        Answer::Push(items) if proto == Proto::Resp3 => Value::Push(each(items)),
        Answer::Array(items) | Answer::Push(items) => Value::Array(each(items)),
        Answer::Map(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(key, value)| (expected(key, proto), expected(value, proto)));
            match proto {
                Proto::Resp3 => Value::Map(pairs.collect()),
                Proto::Resp2 => Value::Array(pairs.flat_map(|(key, value)| [key, value]).collect()),
            }
        }
    }
}

/// The plainest meaning of `*`, `?` and letters.
fn matches_plainly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            matches_plainly(rest, text) || (!text.is_empty() && matches_plainly(pattern, &text[1..]))
        }
        ([b'?', rest @ ..], [_, text @ ..]) => matches_plainly(rest, text),
        ([letter, rest @ ..], [first, text @ ..]) => letter == first && matches_plainly(rest, text),
        _ => false,
    }
}

proptest! {
    #[test]
    fn whatever_a_client_says_is_understood_or_refused_with_a_code(words in prop::collection::vec(word(), 0..6)) {
        match parse_client(&words) {
            Ok(command) => prop_assert!(words[0].eq_ignore_ascii_case(command.name().as_bytes())),
            Err(refused) => {
                let text = refused.into_text();
                prop_assert!(text.starts_with("ERR ") || text.starts_with("NOPROTO "), "{}", text);
            }
        }
    }

    #[test]
    fn a_password_is_shown_by_no_command_and_no_error(
        before in prop::collection::vec(word(), 0..3), secret in "[0-9a-f]{40}", after in prop::collection::vec(word(), 0..2),
        user in prop::option::of("[a-z]{1,8}"),
    ) {
        // AUTH and HELLO, right or wrong, with too many words or too few.
        for name in ["AUTH", "HELLO"] {
            let mut words = vec![Bytes::from_static(name.as_bytes())];
            words.extend(before.clone());
            words.extend(user.clone().map(Bytes::from));
            words.push(Bytes::from(secret.clone()));
            words.extend(after.clone());
            let parsed = parse_client(&words);
            // As the name of a connection it is no secret any more.
            let named = matches!(&parsed, Ok(ClientCommand::Hello(hello)) if hello.name.as_deref() == Some(&secret));
            // Where a user is expected, it is a user.
            let used = match &parsed {
                Ok(ClientCommand::Auth { user, .. }) => user.as_ref().is_some_and(|user| *user == secret),
                Ok(ClientCommand::Hello(hello)) => hello.auth.as_ref().is_some_and(|(user, _)| *user == secret),
                _ => false,
            };
            prop_assert!(named || used || !format!("{parsed:?}").contains(&secret), "{parsed:?}");
            if let Err(refused) = parsed {
                prop_assert!(!refused.into_text().contains(&secret));
            }
        }
    }

    #[test]
    fn answers_are_read_back_by_a_client(answer in answer(), cuts in cuts(), third in any::<bool>()) {
        let proto = if third { Proto::Resp3 } else { Proto::Resp2 };
        let mut bytes = BytesMut::new();
        answer.encode(proto, &mut bytes);
        let (mut reader, mut input, mut seen) = (ReplyReader::new(), BytesMut::new(), Vec::new());
        for piece in cuts.pieces(&bytes) {
            input.extend_from_slice(piece);
            while let Some(value) = reader.feed(&mut input).expect("the answer is RESP") {
                seen.push(value);
            }
        }
        prop_assert_eq!(seen, vec![expected(&answer, proto)]);
        prop_assert!(input.is_empty());
    }

    #[test]
    fn patterns_mean_what_they_say(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
        prop_assert_eq!(
            glob_matches(pattern.as_bytes(), text.as_bytes()),
            matches_plainly(pattern.as_bytes(), text.as_bytes())
        );
    }

    #[test]
    fn no_pattern_panics_and_a_star_takes_all(pattern in prop::collection::vec(any::<u8>(), 0..12), text in "[+a-z-]{0,12}") {
        glob_matches(&pattern, text.as_bytes());
        prop_assert!(glob_matches(b"*", text.as_bytes()));
    }

    #[test]
    fn subscriptions_count_and_deliver_what_they_hold(
        steps in prop::collection::vec((0..4_u8, prop::collection::vec("[+a-z*-]{0,3}", 0..4)), 0..12),
    ) {
        let mut own = Subscriptions::default();
        for (kind, names) in steps {
            let names: Vec<_> = names.into_iter().map(Bytes::from).collect();
            let answers = match kind {
                0 => own.subscribe(&names),
                1 => own.subscribe_patterns(&names),
                2 => own.unsubscribe(&names),
                _ => own.unsubscribe_patterns(&names),
            };
            let (channels, patterns) = own.counts();
            prop_assert!(channels + patterns <= SUBSCRIPTIONS_MAX);
            prop_assert_eq!(own.is_empty(), channels + patterns == 0);
            if let Some(Answer::Push(last)) = answers.last() {
                prop_assert_eq!(&last[2], &Answer::Integer(i64::try_from(channels + patterns).expect("few")));
            }
        }
        own.unsubscribe(&[]);
        own.unsubscribe_patterns(&[]);
        let subject = Subject::Master { name: "m1", host: "a", port: 1 };
        let event = Event::about(EventKind::SubjectivelyDown, subject);
        prop_assert!(own.deliver(&event).is_empty());
        let long = Bytes::from(vec![b'*'; CHANNEL_BYTES_MAX]);
        own.subscribe_patterns(&[long]);
        prop_assert_eq!(own.deliver(&event).len(), 1);
    }
}
