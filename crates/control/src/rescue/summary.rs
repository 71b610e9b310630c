//! From a piece of replication stream to a file that `redis-cli --pipe` loads, and what is in it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{BuildHasher as _, RandomState};

use bytes::{Bytes, BytesMut};
use sterna_model::RescueSummary;
use sterna_protocol::Offset;
use sterna_protocol::resp::encode_command;
use sterna_protocol::stream::{Command, Commands, UnitScanner};

use super::SaveError;

/// The first keys are shown, so many...
const FIRST_KEYS_MAX: usize = 20;
/// ...and so much of each, in bytes.
const KEY_BYTES_MAX: usize = 120;
/// Different keys are counted exactly up to this.
const KEYS_COUNTED_MAX: usize = 10_000_000;

/// Takes the stream piece by piece, gives back what belongs into the file.
pub(super) struct Summariser {
    scanner: UnitScanner,
    at: Offset,
    rest: BytesMut,
    opened: bool,
    selected: Option<u32>,
    summary: RescueSummary,
    keys: HashSet<u64>,
    hasher: RandomState,
    databases: BTreeSet<u32>,
    by_command: BTreeMap<String, u64>,
}

impl Summariser {
    /// The stream begins after `after`, with this database selected.
    pub(super) fn new(after: Offset, selected: Option<u32>) -> Self {
        Self {
            scanner: UnitScanner::new(after, selected),
            at: after,
            rest: BytesMut::new(),
            opened: false,
            selected,
            summary: RescueSummary::default(),
            keys: HashSet::new(),
            hasher: RandomState::new(),
            databases: BTreeSet::new(),
            by_command: BTreeMap::new(),
        }
    }

    /// Whole units of what came so far, without what only concerns replication.
    pub(super) fn feed(&mut self, piece: &Bytes) -> Result<Vec<Bytes>, SaveError> {
        self.scanner
            .feed(piece)
            .map_err(|error| SaveError::Unreadable(error.to_string()))?;
        self.rest.extend_from_slice(piece);
        let ready = usize::try_from(self.scanner.unit_end().bytes_since(self.at)).unwrap_or(usize::MAX);
        let whole = self.rest.split_to(ready.min(self.rest.len())).freeze();
        let mut out = Vec::new();
        if !self.opened {
            self.opened = true;
            // The database selected at the cut is not in the stream.
            out.extend(
                self.selected
                    .map(|db| encoded(&[b"SELECT", db.to_string().as_bytes()])),
            );
        }
        let start = self.at;
        self.at = self.scanner.unit_end();
        for command in Commands::new(start, whole.clone()) {
            let command = command.map_err(|error| SaveError::Unreadable(error.to_string()))?;
            if self.note(&command) {
                let from = usize::try_from(command.start.bytes_since(start)).unwrap_or(0);
                let to = usize::try_from(command.end.bytes_since(start)).unwrap_or(0);
                out.push(whole.slice(from..to));
            }
        }
        Ok(out)
    }

    /// What was in it.
    pub(super) fn finish(mut self) -> RescueSummary {
        self.summary.keys = self.keys.len() as u64;
        self.summary.by_command = self.by_command;
        self.summary.databases = self.databases.into_iter().collect();
        self.summary
    }

    /// Counts a command; returns whether it belongs into the file.
    fn note(&mut self, command: &Command) -> bool {
        if command.is("PING") || command.is("REPLCONF") {
            return false;
        }
        if command.is("SELECT") {
            let db = command
                .args
                .get(1)
                .and_then(|db| std::str::from_utf8(db).ok()?.parse().ok());
            self.selected = db;
            return true;
        }
        if command.is("MULTI") {
            self.summary.transactions += 1;
            return true;
        }
        if command.is("EXEC") {
            return true;
        }
        self.summary.commands += 1;
        self.databases.extend(self.selected);
        let name = command.args.first().map_or_else(String::new, |name| {
            String::from_utf8_lossy(name).to_ascii_uppercase()
        });
        for key in keys_of(&name, &command.args) {
            self.note_key(key);
        }
        *self.by_command.entry(name).or_default() += 1;
        true
    }

    fn note_key(&mut self, key: &Bytes) {
        let hash = self.hasher.hash_one((self.selected, key));
        if self.keys.len() < KEYS_COUNTED_MAX
            && self.keys.insert(hash)
            && self.summary.first_keys.len() < FIRST_KEYS_MAX
        {
            let shown = &key[..key.len().min(KEY_BYTES_MAX)];
            self.summary
                .first_keys
                .push(String::from_utf8_lossy(shown).into_owned());
        }
    }
}

/// The keys of a command as primaries write it into the stream: the first argument, but for those that take several or
/// none.
fn keys_of<'a>(name: &str, args: &'a [Bytes]) -> Vec<&'a Bytes> {
    match name {
        "DEL" | "UNLINK" | "PFMERGE" | "SUNIONSTORE" | "SINTERSTORE" | "SDIFFSTORE" => {
            args.iter().skip(1).collect()
        }
        "MSET" | "MSETNX" => args.iter().skip(1).step_by(2).collect(),
        "RENAME" | "RENAMENX" | "SMOVE" | "COPY" | "LMOVE" | "RPOPLPUSH" => {
            args.iter().skip(1).take(2).collect()
        }
        "PUBLISH" | "SPUBLISH" | "FLUSHALL" | "FLUSHDB" | "FUNCTION" | "SCRIPT" | "SWAPDB" | "CLUSTER"
        | "EVAL" => Vec::new(),
        "XGROUP" | "XSETID" if args.len() > 2 => args
            .iter()
            .skip(if name == "XGROUP" { 2 } else { 1 })
            .take(1)
            .collect(),
        "BITOP" => args.iter().skip(2).collect(),
        _ => args.iter().skip(1).take(1).collect(),
    }
}

fn encoded(args: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    encode_command(&mut out, args);
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(commands: &[&[&str]]) -> Bytes {
        let mut out = BytesMut::new();
        for command in commands {
            encode_command(&mut out, command);
        }
        out.freeze()
    }

    #[test]
    fn the_file_has_every_write_and_nothing_of_replication_whatever_the_pieces() {
        let bytes = stream(&[
            &["SET", "a", "1"],
            &["PING"],
            &["SELECT", "3"],
            &["MULTI"],
            &["MSET", "a", "2", "b", "3"],
            &["EXEC"],
            &["REPLCONF", "GETACK", "*"],
            &["DEL", "x", "y"],
        ]);
        let wanted = stream(&[
            &["SELECT", "7"],
            &["SET", "a", "1"],
            &["SELECT", "3"],
            &["MULTI"],
            &["MSET", "a", "2", "b", "3"],
            &["EXEC"],
            &["DEL", "x", "y"],
        ]);
        for size in [1, 7, 4096] {
            let mut summariser = Summariser::new(Offset::new(99), Some(7));
            let mut file = BytesMut::new();
            for start in (0..bytes.len()).step_by(size) {
                let piece = bytes.slice(start..bytes.len().min(start + size));
                for part in summariser.feed(&piece).expect("commands") {
                    file.extend_from_slice(&part);
                }
            }
            assert_eq!(file, wanted, "pieces of {size}");
            let summary = summariser.finish();
            assert_eq!((summary.commands, summary.transactions), (3, 1));
            assert_eq!(summary.databases, [3, 7]);
            // The key `a` of two databases is two keys.
            assert_eq!(summary.keys, 5);
            assert_eq!(summary.by_command["MSET"], 1);
        }
    }
}
