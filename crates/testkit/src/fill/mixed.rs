//! Data of every type in several databases, the same in every run.

use anyhow::Result;

use super::{Filled, Filler};
use crate::client::Client;

/// The database of keys that live for seconds only. They have it to themselves, because a server that samples keys for
/// expiry finds the last ones soon only where most keys are due.
pub const SHORT_LIVED_DB: u32 = 3;

/// The other databases that are filled, in turn.
const DBS: [u32; 3] = [0, 1, 2];
/// So many keys go into one database before the next one's turn.
const TURN: u64 = 64;
/// One in so many keys is large.
const LARGE_EVERY: u64 = 4096;
const LARGE_BYTES: usize = 1 << 20;
/// Keys that add to one stream.
const STREAM_KEYS: u64 = 1024;

/// Strings, hashes, lists, sets, sorted sets, streams with consumer groups, bitmaps, counters, geo sets and
/// `HyperLogLog`s, `total_bytes` of commands in all and up to one large value more. Some keys expire in hours, a few in
/// seconds. Database 0 is selected afterwards.
pub fn fill_mixed(client: &mut Client, total_bytes: u64) -> Result<Filled> {
    let mut filler = Filler::new(client, 3);
    let mut number = 0;
    while filler.bytes < total_bytes {
        filler.mixed(number)?;
        number += 1;
    }
    filler.words("SELECT 0")?;
    filler.finish()
}

impl Filler<'_> {
    /// The commands for the next key.
    fn mixed(&mut self, n: u64) -> Result<()> {
        if n.is_multiple_of(TURN) {
            self.next_db(n)?;
        }
        if n % LARGE_EVERY == LARGE_EVERY - 1 {
            return self.string(&format!("large:{n}"), LARGE_BYTES, LARGE_BYTES);
        }
        match self.rng.below(16) {
            0..4 => self.string(&format!("string:{n}"), 64, 1024),
            4 => self.string_for_hours(n),
            5 | 6 => self.hash(n),
            7 | 8 => self.ten_values("RPUSH", &format!("list:{n}")),
            9 => self.ten_values("SADD", &format!("set:{n}")),
            10 => self.integers(n),
            11 => self.sorted_set(n),
            12 => self.stream(n),
            13 => self.bits_and_places(n),
            14 => {
                let by = self.rng.below(1 << 40);
                self.words(&format!("INCRBY counter:{n} {by}"))
            }
            _ => self.string(&format!("page:{n}"), 4 << 10, 4 << 10),
        }
    }

    /// Moves on to the next database, by way of the one where a few keys live for seconds.
    fn next_db(&mut self, n: u64) -> Result<()> {
        self.words(&format!("SELECT {SHORT_LIVED_DB}"))?;
        for i in 0..4 {
            let seconds = 2 + self.rng.below(4);
            self.words(&format!("SET session:{n}:{i} token EX {seconds}"))?;
        }
        let db = DBS[usize::try_from(n / TURN).unwrap_or(0) % DBS.len()];
        self.words(&format!("SELECT {db}"))
    }

    fn string(&mut self, key: &str, least: usize, most: usize) -> Result<()> {
        let value = self.value(least, most);
        self.command(&[b"SET", key.as_bytes(), &value])
    }

    fn string_for_hours(&mut self, n: u64) -> Result<()> {
        let value = self.value(64, 512);
        let seconds = (3600 + self.rng.below(86_400)).to_string();
        let key = format!("cached:{n}");
        self.command(&[b"SET", key.as_bytes(), &value, b"EX", seconds.as_bytes()])
    }

    fn hash(&mut self, n: u64) -> Result<()> {
        let key = format!("hash:{n}");
        let names: [&[u8]; 6] = [b"name", b"mail", b"street", b"city", b"phone", b"notes"];
        let values = names.map(|_| self.value(8, 80));
        let mut args: Vec<&[u8]> = vec![b"HSET", key.as_bytes()];
        for (name, value) in names.iter().zip(&values) {
            args.extend([name, value.as_slice()]);
        }
        self.command(&args)
    }

    fn ten_values(&mut self, command: &str, key: &str) -> Result<()> {
        let values: Vec<_> = (0..10).map(|_| self.value(16, 64)).collect();
        let mut args: Vec<&[u8]> = vec![command.as_bytes(), key.as_bytes()];
        args.extend(values.iter().map(Vec::as_slice));
        self.command(&args)
    }

    fn integers(&mut self, n: u64) -> Result<()> {
        let members: Vec<_> = (0..20).map(|_| self.rng.below(1 << 30).to_string()).collect();
        self.words(&format!("SADD integers:{n} {}", members.join(" ")))
    }

    fn sorted_set(&mut self, n: u64) -> Result<()> {
        let members: Vec<_> = (0..10)
            .map(|i| format!("{}.5 player:{i}", self.rng.below(1 << 20)))
            .collect();
        self.words(&format!("ZADD scores:{n} {}", members.join(" ")))
    }

    /// An entry, and now and then a consumer group that reads from the stream.
    fn stream(&mut self, n: u64) -> Result<()> {
        let key = format!("stream:{}", n / STREAM_KEYS);
        let value = self.value(64, 512);
        let entry: [&[u8]; 7] = [
            b"XADD",
            key.as_bytes(),
            b"*",
            b"event",
            b"order",
            b"payload",
            &value,
        ];
        self.command(&entry)?;
        if n.is_multiple_of(8) {
            let group = format!("group:{n}");
            self.words(&format!("XGROUP CREATE {key} {group} 0"))?;
            self.words(&format!(
                "XREADGROUP GROUP {group} reader COUNT 2 STREAMS {key} >"
            ))?;
        }
        Ok(())
    }

    fn bits_and_places(&mut self, n: u64) -> Result<()> {
        match n % 3 {
            0 => {
                let bit = self.rng.below(4096);
                self.words(&format!("SETBIT bits:{n} {bit} 1"))
            }
            1 => {
                let visitor = self.rng.below(1 << 30);
                self.words(&format!("PFADD visitors:{n} a b c {visitor}"))
            }
            _ => {
                let (longitude, latitude) = (self.rng.between(-179, 179), self.rng.between(-80, 80));
                self.words(&format!("GEOADD places:{n} {longitude}.25 {latitude}.75 tern"))
            }
        }
    }
}
