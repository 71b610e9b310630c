//! RDB contents: any pieces give the same header and verdict.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sterna_protocol::rdb::{RdbHeader, RdbInspector, RdbSummary};

fn inspect<'a>(
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(Option<RdbHeader>, Result<RdbSummary, String>), ()> {
    let mut inspector = RdbInspector::new();
    for piece in pieces {
        inspector.feed(piece).map_err(|_| ())?;
    }
    let summary = inspector.finish().map_err(|error| error.to_string());
    if let Some(header) = inspector.header() {
        let _ = (
            header.repl_id(),
            header.repl_offset(),
            header.repl_stream_db(),
            header.ctime_s(),
        );
    }
    Ok((inspector.header().cloned(), summary))
}

fuzz_target!(|data: &[u8]| {
    let Some((piece_len, bytes)) = data.split_first() else {
        return;
    };
    let whole = inspect(std::iter::once(bytes));
    assert_eq!(inspect(bytes.chunks(usize::from(*piece_len).max(1))), whole);
});
