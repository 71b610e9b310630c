//! A second, slow and simple opinion on where units end, to compare the scanner with. The fuzz target uses it too.

use bytes::Bytes;
use sterna_protocol::Offset;
use sterna_protocol::stream::{Commands, StreamError};

/// What a scanner should say after these bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) unit_end: Offset,
    pub(crate) db: Option<u32>,
    pub(crate) commands: u64,
    pub(crate) getack: Option<Offset>,
    /// Whether the bytes are no stream of a primary.
    pub(crate) failed: bool,
}

impl Model {
    /// Walks over the stream's bytes after `start`.
    pub(crate) fn of(start: Offset, db: Option<u32>, bytes: &[u8]) -> Self {
        let mut model = Self {
            unit_end: start,
            db,
            commands: 0,
            getack: None,
            failed: false,
        };
        let mut queued: Option<Option<u32>> = None;
        for command in Commands::new(start, Bytes::copy_from_slice(bytes)) {
            let command = match command {
                Ok(command) => command,
                Err(StreamError::Truncated { .. }) => break,
                Err(_) => {
                    model.failed = true;
                    break;
                }
            };
            let args: Vec<String> = command
                .args
                .iter()
                .take(2)
                .map(|arg| String::from_utf8_lossy(arg).to_uppercase())
                .collect();
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let alone = command.args.len() == 1;
            let legal = match (&args[..], queued) {
                (["MULTI", ..], None) if alone => {
                    queued = Some(model.db);
                    true
                }
                // Servers refuse it and go on with the transaction.
                (["MULTI", ..], Some(_)) if alone => true,
                (["EXEC", ..], Some(db)) if alone => {
                    model.db = db;
                    queued = None;
                    true
                }
                (["DISCARD", ..], Some(_)) if alone => {
                    queued = None;
                    true
                }
                (["SELECT", text], _) if command.args.len() == 2 => {
                    let digits = text.len() <= 10 && text.bytes().all(|byte| byte.is_ascii_digit());
                    let db = text.parse().ok().filter(|_| digits);
                    match &mut queued {
                        Some(queued) => *queued = db.or(*queued),
                        None => model.db = db.or(model.db),
                    }
                    db.is_some()
                }
                (["MULTI" | "EXEC" | "DISCARD" | "SELECT", ..], _) => false,
                (["REPLCONF", "GETACK"], _) => {
                    model.getack = Some(command.start);
                    true
                }
                _ => true,
            };
            if !legal {
                model.failed = true;
                break;
            }
            model.commands += 1;
            if queued.is_none() {
                model.unit_end = command.end;
            }
        }
        model
    }
}
