//! Measures [`UnitScanner`]: `cargo run --release -p sterna-protocol --example scan_speed`.
//!
//! Prints nanoseconds per command and seconds per GiB for a few kinds of stream, read in pieces as from a socket:
//! from memory (every byte comes from a buffer larger than the caches) and from cache (as just received).

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::hint::black_box;
use std::time::Instant;

use bytes::BytesMut;
use sterna_protocol::Offset;
use sterna_protocol::resp::encode_command;
use sterna_protocol::stream::UnitScanner;

const STREAM_BYTES: usize = 128 << 20;
const CACHED_BYTES: usize = 128 << 10;
const SCANNED_BYTES: usize = 1 << 30;
const PIECE_BYTES: usize = 64 << 10;
const RUNS: usize = 5;

fn main() {
    println!(
        "{:<28} {:>12} {:>12} {:>12} {:>12}",
        "stream", "bytes/cmd", "source", "ns/cmd", "s/GiB"
    );
    for (name, write) in WORKLOADS {
        for (source, len) in [("memory", STREAM_BYTES), ("cache", CACHED_BYTES)] {
            let stream = stream_of(len, write);
            let (commands, seconds) = (0..RUNS)
                .map(|_| scan(&stream, SCANNED_BYTES / stream.len()))
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .expect("there is a run");
            let bytes = count(SCANNED_BYTES / stream.len() * stream.len());
            println!(
                "{name:<28} {:>12.0} {source:>12} {:>12.1} {:>12.3}",
                bytes / commands,
                seconds * 1e9 / commands,
                seconds * f64::from(1 << 30) / bytes
            );
        }
    }
}

type Write = fn(&mut BytesMut, &mut Random);

const WORKLOADS: [(&str, Write); 5] = [
    ("SET, 3 arguments", |out, random| {
        let key = format!("key:{:012}", random.next() % 1_000_000_000_000);
        encode_command(out, &[b"SET", key.as_bytes(), &[b'v'; 100]]);
    }),
    ("HSET, 4 arguments", |out, random| {
        let key = format!("key:{:012}", random.next() % 1_000_000_000_000);
        let field = format!("field:{:06}", random.next() % 1_000_000);
        encode_command(out, &[b"HSET", key.as_bytes(), field.as_bytes(), &[b'v'; 80]]);
    }),
    ("SET of 1 to 200 bytes", |out, random| {
        let key = format!("k:{}", random.next() % 1_000_000);
        let value = vec![b'v'; 1 + (random.next() % 200) as usize];
        encode_command(out, &[b"SET", key.as_bytes(), &value]);
    }),
    ("MULTI, 3 commands, EXEC", |out, random| {
        encode_command(out, &["MULTI"]);
        for _ in 0..3 {
            let key = format!("key:{}", random.next() % 1_000_000);
            encode_command(out, &["INCRBY", &key, "1"]);
        }
        encode_command(out, &["EXEC"]);
    }),
    ("SET of 16 KiB", |out, random| {
        let key = format!("k:{}", random.next() % 1_000_000);
        encode_command(out, &[b"SET", key.as_bytes(), &vec![b'v'; 16 << 10]]);
    }),
];

fn stream_of(len: usize, write: Write) -> BytesMut {
    let mut stream = BytesMut::with_capacity(len + (32 << 10));
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    while stream.len() < len {
        write(&mut stream, &mut random);
    }
    stream
}

/// Scans `stream` so many times over; gives the number of commands and of seconds.
fn scan(stream: &[u8], times: usize) -> (f64, f64) {
    let mut scanner = UnitScanner::new(Offset::ZERO, Some(0));
    let mut commands: u64 = 0;
    let start = Instant::now();
    for _ in 0..times {
        for piece in stream.chunks(PIECE_BYTES) {
            let fed = scanner.feed(black_box(piece)).expect("the stream is well-formed");
            commands += fed.commands;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(scanner.unit_end(), scanner.position());
    (count(commands), seconds)
}

fn count(number: impl TryInto<u32>) -> f64 {
    f64::from(
        number
            .try_into()
            .ok()
            .expect("a run has fewer than 2^32 bytes and commands"),
    )
}

/// A xorshift generator: enough to vary keys and lengths, the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
