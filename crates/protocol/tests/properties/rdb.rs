use bytes::Bytes;
use proptest::prelude::*;
use sterna_protocol::rdb::{
    EOF_MARK_LEN, RdbError, RdbEvent, RdbForm, RdbInspector, RdbSummary, RdbTransfer, eof_header,
    length_header,
};

use super::pieces::{cuts, damage, damaged};

/// A transfer as bytes, with its form and payload. The mark is of two letters, so that payloads nearly hold it.
fn transfer() -> impl Strategy<Value = (Vec<u8>, RdbForm, Vec<u8>)> {
    let mark = prop_oneof![
        Just([b'a'; EOF_MARK_LEN - 1].to_vec()),
        prop::collection::vec(prop::sample::select(b"ab".to_vec()), EOF_MARK_LEN - 1),
    ];
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..30).prop_map(|bytes| (bytes, 0..0)),
        (0..EOF_MARK_LEN, 0..EOF_MARK_LEN).prop_map(|(a, b)| (Vec::new(), a.min(b)..a.max(b))),
    ];
    (mark, prop::collection::vec(part, 0..8), any::<bool>(), 0_usize..3).prop_map(
        |(mark, parts, eof, newlines)| {
            // It ends in a letter of its own: no payload holds it by chance.
            let mark: [u8; EOF_MARK_LEN] = [mark, vec![b'#']]
                .concat()
                .try_into()
                .expect("the mark has 40 bytes");
            let payload: Vec<u8> = parts
                .into_iter()
                .flat_map(|(noise, of_mark)| [noise, mark[of_mark].to_vec()].concat())
                .map(|byte| if byte == b'#' { b'!' } else { byte })
                .collect();
            let keepalives = vec![b'\n'; newlines];
            if eof {
                let bytes = [&keepalives, &eof_header(&mark)[..], &payload, &mark].concat();
                (bytes, RdbForm::Eof, payload)
            } else {
                let len = payload.len() as u64;
                let bytes = [&keepalives, &length_header(len)[..], &payload].concat();
                (bytes, RdbForm::Length(len), payload)
            }
        },
    )
}

#[derive(Debug, PartialEq, Eq, Default)]
struct Seen {
    keepalives: usize,
    form: Option<RdbForm>,
    payload: Vec<u8>,
    ended: bool,
    rest: Vec<u8>,
    error: Option<&'static str>,
}

fn receive(pieces: &[&[u8]]) -> Seen {
    let mut transfer = RdbTransfer::new();
    let mut seen = Seen::default();
    for piece in pieces {
        let mut input = Bytes::copy_from_slice(piece);
        loop {
            match transfer.feed(&mut input) {
                Ok(Some(RdbEvent::Keepalive)) => seen.keepalives += 1,
                Ok(Some(RdbEvent::Start(form))) => seen.form = Some(form),
                Ok(Some(RdbEvent::Payload(bytes))) => {
                    assert!(!bytes.is_empty() && !seen.ended);
                    seen.payload.extend_from_slice(&bytes);
                }
                Ok(Some(RdbEvent::End)) => seen.ended = true,
                Ok(None) => break,
                Err(error) => {
                    seen.error = Some(match error {
                        RdbError::Malformed { expected, .. } => expected,
                        RdbError::Refused { .. } => "refused",
                        _ => "other",
                    });
                    return seen;
                }
            }
        }
        seen.rest.extend_from_slice(&input);
    }
    assert_eq!(transfer.payload_bytes(), seen.payload.len() as u64);
    seen
}

fn inspect(pieces: &[&[u8]]) -> Result<RdbSummary, String> {
    let mut inspector = RdbInspector::new();
    for piece in pieces {
        // How much an error can show depends on the pieces.
        inspector.feed(piece).map_err(|_| "no RDB".to_owned())?;
    }
    inspector.finish().map_err(|error| error.to_string())
}

fn rdb() -> impl Strategy<Value = Vec<u8>> {
    let magic = prop::sample::select(vec!["REDIS0009", "REDIS0011", "VALKEY080"]);
    let string = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..60).prop_map(|text| {
            [
                &[u8::try_from(text.len()).expect("60 fits in six bits")],
                &text[..],
            ]
            .concat()
        }),
        any::<i8>().prop_map(|number| [&[0xc0], &number.to_le_bytes()[..]].concat()),
        any::<i16>().prop_map(|number| [&[0xc1], &number.to_le_bytes()[..]].concat()),
        any::<i32>().prop_map(|number| [&[0xc2], &number.to_le_bytes()[..]].concat()),
        prop::collection::vec(any::<u8>(), 64..200).prop_map(|text| {
            let len = u32::try_from(text.len()).expect("200 fits in 32 bits");
            [&[0x80], &len.to_be_bytes()[..], &text].concat()
        }),
    ];
    let field = (string.clone(), string).prop_map(|(key, value)| [&[0xfa], &key[..], &value].concat());
    let data = prop::collection::vec(any::<u8>(), 0..60).prop_map(|data| [b"\xfe\x00", &data[..]].concat());
    (magic, prop::collection::vec(field, 0..5), data).prop_map(|(magic, fields, data)| {
        [magic.as_bytes(), &fields.concat(), &data, b"\xff\0\0\0\0\0\0\0\0"].concat()
    })
}

proptest! {
    #[test]
    fn a_transfer_is_read_back_in_any_pieces(
        (bytes, form, payload) in transfer(), rest in prop::collection::vec(any::<u8>(), 0..50), cuts in cuts(),
    ) {
        let all = [&bytes[..], &rest].concat();
        let keepalives = bytes.iter().take_while(|byte| **byte == b'\n').count();
        let expected = Seen { keepalives, form: Some(form), payload, ended: true, rest, error: None };
        prop_assert_eq!(receive(&cuts.pieces(&all)), expected);
    }

    #[test]
    fn a_cut_transfer_is_waited_for(
        (bytes, _, payload) in transfer(), cut in any::<prop::sample::Index>(), cuts in cuts(),
    ) {
        let bytes = &bytes[..cut.index(bytes.len())];
        let seen = receive(&cuts.pieces(bytes));
        prop_assert!(!seen.ended && seen.error.is_none() && seen.rest.is_empty());
        prop_assert!(payload.starts_with(&seen.payload));
    }

    #[test]
    fn damage_gives_the_same_outcome_in_any_pieces(
        (bytes, _, _) in transfer(), damage in damage(), cuts in cuts(),
    ) {
        let bytes = damaged(bytes, &damage);
        prop_assert_eq!(receive(&cuts.pieces(&bytes)), receive(&[&bytes]));
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..100), cuts in cuts()) {
        prop_assert_eq!(receive(&cuts.pieces(&bytes)), receive(&[&bytes]));
        prop_assert_eq!(inspect(&cuts.pieces(&bytes)), inspect(&[&bytes]));
    }

    #[test]
    fn an_rdb_is_inspected_in_any_pieces(bytes in rdb(), damage in damage(), cuts in cuts()) {
        prop_assert!(inspect(&[&bytes]).is_ok());
        let bytes = damaged(bytes, &damage);
        prop_assert_eq!(inspect(&cuts.pieces(&bytes)), inspect(&[&bytes]));
    }
}
