//! A lot of data, fast: for the demo and benchmarks.

mod mixed;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::client::{Client, encode};
use crate::rng::Rng;
pub use mixed::{SHORT_LIVED_DB, fill_mixed};

/// Bytes that are sent before the replies of the batch before are read.
const BATCH_BYTES: usize = 1 << 20;
/// Keys that [`stream_sets`] writes over and over.
const STREAM_KEYS: u64 = 100_000;
/// Random bytes that values are cut from.
const POOL_BYTES: usize = 1 << 20;

/// What a fill has done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filled {
    /// Commands executed.
    pub commands: u64,
    /// Bytes sent, in wire form.
    pub bytes: u64,
    /// Time taken.
    pub took: Duration,
}

/// Strings of half-compressible data: `key:000000000000` and on, so many of them.
pub fn fill_keys(client: &mut Client, count: u64, value_bytes: usize) -> Result<Filled> {
    let mut filler = Filler::new(client, 1);
    for number in 0..count {
        filler.key("key", number);
        let value = filler.cut(value_bytes);
        filler.add(&["SET".into(), Part::Key, Part::Pool(value)])?;
    }
    filler.finish()
}

/// `SET`s over a fixed set of keys until `total_bytes` of stream are written.
pub fn stream_sets(client: &mut Client, total_bytes: u64, value_bytes: usize) -> Result<Filled> {
    let mut filler = Filler::new(client, 2);
    while filler.bytes < total_bytes {
        let number = filler.rng.below(STREAM_KEYS);
        filler.key("over", number);
        let value = filler.cut(value_bytes);
        filler.add(&["SET".into(), Part::Key, Part::Pool(value)])?;
    }
    filler.finish()
}

/// A part of a command.
enum Part<'a> {
    Text(&'a str),
    /// The key that was set last.
    Key,
    /// A piece of the pool of random bytes.
    Pool(std::ops::Range<usize>),
}

impl<'a> From<&'a str> for Part<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

struct Filler<'a> {
    client: &'a mut Client,
    rng: Rng,
    pool: Vec<u8>,
    key: Vec<u8>,
    batch: Vec<u8>,
    in_batch: usize,
    unread: usize,
    commands: u64,
    bytes: u64,
    start: Instant,
}

impl<'a> Filler<'a> {
    fn new(client: &'a mut Client, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut pool = vec![0; POOL_BYTES];
        rng.fill(&mut pool);
        // Half of every piece is text, so that compression finds about what real data offers.
        for chunk in pool.chunks_mut(64) {
            chunk[..32].copy_from_slice(b"{\"name\":\"sterna\",\"kind\":\"tern\"} ");
        }
        Self {
            client,
            rng,
            pool,
            key: Vec::new(),
            batch: Vec::with_capacity(BATCH_BYTES * 2),
            in_batch: 0,
            unread: 0,
            commands: 0,
            bytes: 0,
            start: Instant::now(),
        }
    }

    fn key(&mut self, kind: &str, number: u64) {
        self.key.clear();
        write!(self.key, "{kind}:{number:012}").expect("a Vec takes all");
    }

    /// A random piece of the pool.
    fn cut(&mut self, length: usize) -> std::ops::Range<usize> {
        while self.pool.len() < length * 2 {
            self.pool.extend_from_within(..);
        }
        let start = self.rng.index(self.pool.len() - length);
        start..start + length
    }

    /// A value of `least` to `most` bytes.
    fn value(&mut self, least: usize, most: usize) -> Vec<u8> {
        let length = least + self.rng.index(most - least + 1);
        let range = self.cut(length);
        self.pool[range].to_vec()
    }

    /// Adds a command.
    fn command(&mut self, args: &[&[u8]]) -> Result<()> {
        let before = self.batch.len();
        encode(&mut self.batch, args);
        self.added(before)
    }

    /// Adds a command whose words have no spaces.
    fn words(&mut self, command: &str) -> Result<()> {
        let args: Vec<_> = command.split(' ').map(str::as_bytes).collect();
        self.command(&args)
    }

    fn add(&mut self, parts: &[Part<'_>]) -> Result<()> {
        let before = self.batch.len();
        let args: Vec<&[u8]> = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_bytes(),
                Part::Key => &self.key,
                Part::Pool(range) => &self.pool[range.clone()],
            })
            .collect();
        encode(&mut self.batch, &args);
        self.added(before)
    }

    /// Counts the command that begins at this byte of the batch.
    fn added(&mut self, before: usize) -> Result<()> {
        self.bytes += (self.batch.len() - before) as u64;
        self.commands += 1;
        self.in_batch += 1;
        if self.batch.len() >= BATCH_BYTES {
            self.turn()
        } else {
            Ok(())
        }
    }

    /// Sends this batch, then reads the replies of the one before: the server is never idle.
    fn turn(&mut self) -> Result<()> {
        self.client.send_raw(&self.batch);
        self.client.flush()?;
        self.batch.clear();
        let unread = std::mem::replace(&mut self.unread, self.in_batch);
        self.in_batch = 0;
        self.client.discard(unread)
    }

    fn finish(mut self) -> Result<Filled> {
        self.turn()?;
        self.client.discard(self.unread)?;
        Ok(Filled {
            commands: self.commands,
            bytes: self.bytes,
            took: self.start.elapsed(),
        })
    }
}
