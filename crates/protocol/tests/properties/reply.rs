use bytes::{BufMut as _, Bytes, BytesMut};
use proptest::prelude::*;
use sterna_protocol::resp::{ReplyReader, RespError, Value};

use super::pieces::{cuts, damage, damaged};

fn text() -> impl Strategy<Value = Bytes> {
    "[ -~]{0,20}".prop_map(Bytes::from)
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        text().prop_map(Value::Simple),
        text().prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        binary().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i32>().prop_map(|number| Value::Double(f64::from(number) / 8.0)),
        "[0-9]{1,30}".prop_map(|digits| Value::BigNumber(Bytes::from(digits))),
        binary().prop_map(Value::Verbatim),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            items.clone().prop_map(Value::Array),
            items.clone().prop_map(Value::Set),
            items.prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
        ]
    })
}

fn encode(out: &mut BytesMut, value: &Value) {
    let header =
        |out: &mut BytesMut, kind: char, rest: &str| out.put_slice(format!("{kind}{rest}\r\n").as_bytes());
    let line = |out: &mut BytesMut, kind: u8, text: &[u8]| {
        out.put_u8(kind);
        out.put_slice(text);
        out.put_slice(b"\r\n");
    };
    match value {
        Value::Simple(text) => line(out, b'+', text),
        Value::Error(text) => line(out, b'-', text),
        Value::BigNumber(digits) => line(out, b'(', digits),
        Value::Integer(number) => header(out, ':', &number.to_string()),
        Value::Double(number) => header(out, ',', &number.to_string()),
        Value::Boolean(flag) => header(out, '#', if *flag { "t" } else { "f" }),
        Value::Null => header(out, '$', "-1"),
        Value::Bulk(bytes) => {
            header(out, '$', &bytes.len().to_string());
            out.put_slice(bytes);
            out.put_slice(b"\r\n");
        }
        Value::Verbatim(bytes) => {
            header(out, '=', &(bytes.len() + 4).to_string());
            out.put_slice(b"txt:");
            out.put_slice(bytes);
            out.put_slice(b"\r\n");
        }
        Value::Array(items) | Value::Set(items) | Value::Push(items) => {
            let kind = match value {
                Value::Array(_) => '*',
                Value::Set(_) => '~',
                _ => '>',
            };
            header(out, kind, &items.len().to_string());
            for item in items {
                encode(out, item);
            }
        }
        Value::Map(pairs) => {
            header(out, '%', &pairs.len().to_string());
            for (key, value) in pairs {
                encode(out, key);
                encode(out, value);
            }
        }
    }
}

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut out = BytesMut::new();
    for value in values {
        encode(&mut out, value);
    }
    out.to_vec()
}

/// What an error says, without its excerpt: how much there was to show depends on the pieces.
fn gist(error: &RespError) -> (&'static str, u64) {
    match error {
        RespError::Malformed { expected, at, .. } => (expected, *at),
        RespError::TooLarge { what, at, .. } => (what, *at),
    }
}

fn read(pieces: &[&[u8]]) -> (Vec<Value>, Option<(&'static str, u64)>) {
    let mut reader = ReplyReader::new();
    let mut input = BytesMut::new();
    let mut values = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match reader.feed(&mut input) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(gist(&error))),
            }
        }
    }
    (values, None)
}

proptest! {
    #[test]
    fn replies_are_read_back_in_any_pieces(values in prop::collection::vec(value(), 0..4), cuts in cuts()) {
        let bytes = encoded(&values);
        prop_assert_eq!(read(&cuts.pieces(&bytes)), (values, None));
    }

    #[test]
    fn a_cut_reply_is_waited_for(value in value(), cut in any::<prop::sample::Index>()) {
        let bytes = encoded(std::slice::from_ref(&value));
        let (values, error) = read(&[&bytes[..cut.index(bytes.len())]]);
        prop_assert_eq!(values, vec![]);
        prop_assert_eq!(error, None);
    }

    #[test]
    fn damage_gives_the_same_outcome_in_any_pieces(
        values in prop::collection::vec(value(), 1..4), damage in damage(), cuts in cuts(),
    ) {
        let bytes = damaged(encoded(&values), &damage);
        // Doubles may have become NaN, which is not equal to itself.
        prop_assert_eq!(format!("{:?}", read(&cuts.pieces(&bytes))), format!("{:?}", read(&[&bytes])));
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in cuts()) {
        prop_assert_eq!(read(&cuts.pieces(&bytes)).1, read(&[&bytes]).1);
    }
}

#[test]
fn depth_and_size_are_bounded() {
    let deep = b"*1\r\n".repeat(40);
    assert!(matches!(read(&[&deep]), (_, Some(("a reply (levels)", _)))));
    assert!(matches!(
        read(&[b"*4294967295\r\n"]),
        (_, Some(("a reply (elements)", _)))
    ));
    assert!(matches!(
        read(&[b"$99999999999\r\n"]),
        (_, Some(("a reply (bytes)", _)))
    ));
    assert!(matches!(
        read(&[&b"+".repeat(70_000)]),
        (_, Some(("a line (bytes)", _)))
    ));
    let mut small = ReplyReader::with_limit(16);
    let mut input = BytesMut::from(&b"$9\r\n123456789\r\n+OK\r\n"[..]);
    assert!(small.feed(&mut input).is_ok());
    let mut input = BytesMut::from(&b"$11\r\n"[..]);
    assert!(ReplyReader::with_limit(16).feed(&mut input).is_err());
}

#[test]
fn attributes_are_dropped() {
    let bytes = b"|1\r\n+ttl\r\n:3600\r\n*2\r\n:1\r\n|1\r\n+a\r\n+b\r\n:2\r\n";
    let expected = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(read(&[bytes]), (vec![expected], None));
}
