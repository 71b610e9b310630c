use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use sterna_protocol::Offset;
use sterna_protocol::resp::encode_command;
use sterna_protocol::stream::{Commands, UnitScanner};

use super::pieces::{Cuts, cuts, damage, damaged};
use super::stream_model::Model;

const START: Offset = Offset::new(1_000_000);

fn words(text: &str) -> Vec<Bytes> {
    text.split(' ')
        .map(|word| Bytes::copy_from_slice(word.as_bytes()))
        .collect()
}

fn data() -> impl Strategy<Value = Vec<Bytes>> {
    let name = prop::sample::select(vec![
        "SET", "hset", "ZADD", "HMSET", "SETBIT", "PUBLISH", "PSETEX", "DEL", "execs",
    ]);
    let arg = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..20),
        prop::collection::vec(any::<u8>(), 95..105),
        prop::collection::vec(any::<u8>(), 995..1005),
        Just(b"\r\n*1\r\n$5\r\nMULTI\r\n".to_vec()),
    ];
    (name, prop::collection::vec(arg.prop_map(Bytes::from), 1..12)).prop_map(|(name, mut args)| {
        args.insert(0, Bytes::from(name));
        args
    })
}

fn command() -> impl Strategy<Value = Vec<Bytes>> {
    prop_oneof![
        4 => data(),
        1 => prop::sample::select(vec!["PING", "REPLCONF GETACK *", "replconf getack *", "REPLCONF ACK 1"]).prop_map(words),
        1 => any::<u32>().prop_map(|db| words(&format!("select {db}"))),
    ]
}

/// A MULTI there is refused by servers, and changes nothing.
fn inside_a_transaction() -> impl Strategy<Value = Vec<Bytes>> {
    prop_oneof![
        6 => command(),
        1 => Just(words("MULTI")),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let unit = prop_oneof![
        3 => prop::collection::vec(command(), 1..2),
        1 => (prop::collection::vec(inside_a_transaction(), 0..4), prop::sample::select(vec!["EXEC", "exec", "DISCARD"]))
            .prop_map(|(mut commands, end)| {
                commands.insert(0, words("MULTI"));
                commands.push(words(end));
                commands
            }),
    ];
    prop::collection::vec(unit, 0..8).prop_map(|units| {
        let mut out = BytesMut::new();
        for args in units.concat() {
            encode_command(&mut out, &args);
        }
        out.to_vec()
    })
}

/// Scans the pieces, and gives what the scanner knows at the end in the model's terms.
fn scan(pieces: &[&[u8]]) -> Model {
    let mut scanner = UnitScanner::new(START, Some(3));
    let mut model = Model {
        unit_end: START,
        db: Some(3),
        commands: 0,
        getack: None,
        failed: false,
    };
    let mut fed_bytes = 0;
    for piece in pieces {
        match scanner.feed(piece) {
            Ok(fed) => {
                fed_bytes += piece.len() as u64;
                assert_eq!(scanner.position(), START + fed_bytes);
                model.commands += fed.commands;
                model.getack = fed.getack.or(model.getack);
            }
            Err(error) => {
                assert_eq!(scanner.feed(b""), Err(error));
                model.failed = true;
                break;
            }
        }
    }
    assert!(scanner.unit_end() <= scanner.position());
    Model {
        unit_end: scanner.unit_end(),
        db: scanner.selected_db(),
        ..model
    }
}

fn same(mut scanned: Model, model: Model) -> Result<(), TestCaseError> {
    if scanned.failed && model.failed {
        // What a failed feed had seen is not told.
        (scanned.commands, scanned.getack) = (model.commands, model.getack);
    }
    prop_assert_eq!(scanned, model);
    Ok(())
}

fn check(bytes: &[u8], cuts: &Cuts) -> Result<(), TestCaseError> {
    let model = Model::of(START, Some(3), bytes);
    same(scan(&[bytes]), model.clone())?;
    same(scan(&cuts.pieces(bytes)), model)
}

proptest! {
    #[test]
    fn the_scanner_agrees_with_the_model_in_any_pieces(bytes in stream(), cuts in cuts()) {
        prop_assert!(!scan(&[&bytes]).failed);
        prop_assert_eq!(scan(&[&bytes]).unit_end, START + bytes.len() as u64);
        check(&bytes, &cuts)?;
    }

    #[test]
    fn a_cut_stream_is_waited_for(bytes in stream(), cut in any::<prop::sample::Index>(), cuts in cuts()) {
        let bytes = &bytes[..cut.index(bytes.len() + 1)];
        prop_assert!(!scan(&[bytes]).failed);
        check(bytes, &cuts)?;
    }

    #[test]
    fn damage_gives_the_same_outcome_in_any_pieces(bytes in stream(), damage in damage(), cuts in cuts()) {
        check(&damaged(bytes, &damage), &cuts)?;
    }

    #[test]
    fn noise_never_panics(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"*$\r\n0123456789".to_vec())], 0..60),
        cuts in cuts(),
    ) {
        check(&bytes, &cuts)?;
    }

    #[test]
    fn commands_are_what_was_encoded(commands in prop::collection::vec(command(), 0..6)) {
        let mut out = BytesMut::new();
        for args in &commands {
            encode_command(&mut out, args);
        }
        let mut at = START;
        let mut seen = Vec::new();
        for command in Commands::new(START, out.freeze()) {
            let command = command.expect("the stream is well-formed");
            prop_assert_eq!(command.start, at);
            at = command.end;
            seen.push(command.args);
        }
        prop_assert_eq!(seen, commands);
    }
}
