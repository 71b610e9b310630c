//! Keys, values and numbers that the commands are made of.

use std::collections::VecDeque;

use super::{Command, Op, Options};
use crate::engine::{EngineKind, Version};
use crate::rng::Rng;

/// Entries of streams that later commands may name.
const RECENT_ENTRIES: usize = 300;
/// Streams are few, so that groups and entries meet.
const STREAMS: usize = 8;

/// An argument of a command.
pub(super) trait Argument {
    fn bytes(self) -> Vec<u8>;
}

impl Argument for Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self
    }
}

impl Argument for &Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self.clone()
    }
}

impl Argument for &str {
    fn bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Argument for String {
    fn bytes(self) -> Vec<u8> {
        self.into_bytes()
    }
}

impl Argument for i64 {
    fn bytes(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

/// A command of its parts.
macro_rules! command {
    ($($part:expr),+ $(,)?) => {
        vec![$($crate::workload::generator::Argument::bytes($part)),+]
    };
}

/// A step of a single command.
macro_rules! op {
    ($($part:expr),+ $(,)?) => {
        $crate::workload::Op::Commands(vec![$crate::workload::generator::command!($($part),+)])
    };
}

pub(super) use {command, op};

#[derive(Debug, Clone)]
pub(super) struct Generator {
    pub(super) rng: Rng,
    pub(super) options: Options,
    pub(super) database: u32,
    big_bytes_left: usize,
    entries: u64,
    recent: VecDeque<(usize, u64)>,
}

impl Generator {
    pub(super) fn new(seed: u64, options: Options) -> Self {
        Self {
            rng: Rng::new(seed),
            big_bytes_left: options.big_bytes_budget,
            options,
            database: 0,
            entries: 0,
            recent: VecDeque::new(),
        }
    }

    /// Whether the engines are of this version or later.
    pub(super) fn since(&self, major: u16, minor: u16) -> bool {
        self.options.version >= Version(major, minor, 0)
    }

    /// Whether the engines are Redis of this version or later.
    pub(super) fn redis_since(&self, major: u16, minor: u16) -> bool {
        self.options.kind == EngineKind::Redis && self.since(major, minor)
    }

    /// A key that should hold this type.
    pub(super) fn key(&mut self, kind: &str) -> Vec<u8> {
        let number = self.rng.index(self.options.keys);
        numbered_key(kind, number)
    }

    /// A key of any type.
    pub(super) fn any_key(&mut self) -> Vec<u8> {
        let kind = self.any_kind();
        if kind == "stream" {
            numbered_key(kind, self.rng.index(STREAMS))
        } else {
            self.key(kind)
        }
    }

    /// The kinds of keys.
    pub(super) fn any_kind(&mut self) -> &'static str {
        self.rng.pick(&[
            "string", "number", "bits", "hll", "list", "set", "hash", "zset", "geo", "stream",
        ])
    }

    /// Two keys of one type.
    pub(super) fn key_pair(&mut self, kind: &str) -> (Vec<u8>, Vec<u8>) {
        (self.key(kind), self.key(kind))
    }

    pub(super) fn any_database(&mut self) -> i64 {
        i64::try_from(self.rng.below(u64::from(self.options.databases))).expect("databases are few")
    }

    /// A value: mostly short, sometimes empty, rarely long, very rarely big.
    pub(super) fn value(&mut self) -> Vec<u8> {
        let most = match self.rng.below(1000) {
            0..50 => 0,
            50..700 => 20,
            700..920 => 200,
            920..990 => 4 << 10,
            990..999 => self.options.value_bytes_max,
            _ => return self.big_value(),
        };
        let length = self.rng.index(most.min(self.options.value_bytes_max) + 1);
        self.bytes(length)
    }

    /// A value of up to 64 MiB, as long as the budget lasts.
    fn big_value(&mut self) -> Vec<u8> {
        let most = self.options.big_value_bytes_max.min(self.big_bytes_left);
        // Lengths spread over the orders of magnitude.
        let length = most >> self.rng.index(8);
        if length <= self.options.value_bytes_max {
            return self.bytes(length);
        }
        self.big_bytes_left -= length;
        self.bytes(length)
    }

    /// A short value, for members of collections; few enough to meet again.
    pub(super) fn member(&mut self) -> Vec<u8> {
        match self.rng.below(20) {
            0 => self.value(),
            1 => vec![],
            2 => b"\r\n\0\xFF$-1\r\n".to_vec(),
            3..10 => self.rng.between(-50, 50).to_string().into_bytes(),
            _ => format!("member:{}", self.rng.below(80)).into_bytes(),
        }
    }

    /// Bytes that compress well or not at all, with what breaks careless parsers.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        match self.rng.below(4) {
            0 => self.rng.fill(&mut bytes),
            1 => bytes.fill(b'a' + u8::try_from(self.rng.below(26)).expect("below 26")),
            2 => bytes
                .iter_mut()
                .zip(b"*3\r\n$3\r\nSET\r\n\0\xFF".iter().cycle())
                .for_each(|(to, from)| *to = *from),
            _ => bytes
                .iter_mut()
                .zip(b"the quick brown fox ".iter().cycle())
                .for_each(|(to, from)| *to = *from),
        }
        bytes
    }

    /// A small whole number.
    pub(super) fn small(&mut self) -> i64 {
        self.rng.between(-100, 100)
    }

    /// An index into a collection, from either end.
    pub(super) fn position(&mut self) -> i64 {
        self.rng.between(-12, 12)
    }

    /// How many, from 1 to 8.
    pub(super) fn few(&mut self) -> i64 {
        self.rng.between(1, 8)
    }

    /// A number with a fraction.
    pub(super) fn fraction(&mut self) -> String {
        match self.rng.below(12) {
            0 => "3.0e-5".to_owned(),
            1 => "1e17".to_owned(),
            2 => "-0".to_owned(),
            _ => format!("{}.{}", self.rng.between(-1000, 1000), self.rng.below(1000)),
        }
    }

    /// A lifetime in milliseconds: mostly too long to matter, often so short that it really ends.
    pub(super) fn lifetime_ms(&mut self) -> i64 {
        match self.rng.below(10) {
            0..3 => self.rng.between(1, 20),
            3..5 => self.rng.between(20, 1500),
            _ => self.rng.between(3_600_000, 90_000_000),
        }
    }

    /// A lifetime in whole seconds.
    pub(super) fn lifetime_s(&mut self) -> i64 {
        if self.rng.once_in(4) {
            1
        } else {
            self.rng.between(3600, 90_000)
        }
    }

    /// A far point in time in seconds; the same in every run.
    pub(super) fn far_time_s(&mut self) -> i64 {
        self.rng.between(4_000_000_000, 4_100_000_000)
    }

    /// A key of a stream.
    pub(super) fn stream(&mut self) -> Vec<u8> {
        numbered_key("stream", self.rng.index(STREAMS))
    }

    /// A stream with the id of its next entry, which later commands may name.
    pub(super) fn new_entry(&mut self) -> (Vec<u8>, String) {
        let stream = self.rng.index(STREAMS);
        self.entries += 1;
        self.recent.push_back((stream, self.entries));
        if self.recent.len() > RECENT_ENTRIES {
            self.recent.pop_front();
        }
        (numbered_key("stream", stream), format!("{}-1", self.entries))
    }

    /// A stream with the id of an entry that it may still have.
    pub(super) fn old_entry(&mut self) -> (Vec<u8>, String) {
        if self.recent.is_empty() {
            return (numbered_key("stream", 0), "1-1".to_owned());
        }
        let (stream, entry) = self.recent[self.rng.index(self.recent.len())];
        (numbered_key("stream", stream), format!("{entry}-1"))
    }

    /// A command with one to four times what `part` gives.
    pub(super) fn repeated(&mut self, mut command: Command, part: impl Fn(&mut Self) -> Vec<Vec<u8>>) -> Op {
        for _ in 0..=self.rng.below(4) {
            command.extend(part(self));
        }
        Op::Commands(vec![command])
    }
}

/// Every fifth key is binary, and one is empty.
fn numbered_key(kind: &str, number: usize) -> Vec<u8> {
    let mut key = format!("{kind}:{number}").into_bytes();
    match (number, kind) {
        (0, "string") => key.clear(),
        (n, _) if n % 5 == 0 => key.extend_from_slice(b"\r\n\0\xFE*1\r\n"),
        _ => {}
    }
    key
}
