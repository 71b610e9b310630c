//! The stream scanner: fed whole and in pieces it agrees with the slow model built on the command iterator.

#![no_main]

#[path = "../../crates/protocol/tests/properties/stream_model.rs"]
mod stream_model;

use libfuzzer_sys::fuzz_target;
use sterna_protocol::Offset;
use sterna_protocol::stream::UnitScanner;

use stream_model::Model;

const START: Offset = Offset::new(7);

fn scan<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Model {
    let mut scanner = UnitScanner::new(START, None);
    let mut model = Model {
        unit_end: START,
        db: None,
        commands: 0,
        getack: None,
        failed: false,
    };
    for piece in pieces {
        match scanner.feed(piece) {
            Ok(fed) => {
                model.commands += fed.commands;
                model.getack = fed.getack.or(model.getack);
            }
            Err(error) => {
                assert_eq!(scanner.feed(b"*1\r\n$4\r\nPING\r\n"), Err(error));
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

fn assert_same(mut scanned: Model, model: &Model) {
    if scanned.failed && model.failed {
        // What a failed feed had seen is not told.
        (scanned.commands, scanned.getack) = (model.commands, model.getack);
    }
    assert_eq!(&scanned, model);
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_len, bytes)) = data.split_first() else {
        return;
    };
    let model = Model::of(START, None, bytes);
    assert_same(scan(std::iter::once(bytes)), &model);
    assert_same(scan(bytes.chunks(usize::from(*piece_len).max(1))), &model);
});
