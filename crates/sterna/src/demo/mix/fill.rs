//! The data that is there before replication starts.

use super::{Batch, Noise, SHORT_LIVED_DB};

/// The other databases that are filled, in turn.
const DBS: [u32; 3] = [0, 1, 2];
/// So many keys go into one database before the next one's turn.
const TURN: u64 = 64;
/// One in so many keys is large.
const LARGE_EVERY: u64 = 4096;
const LARGE_BYTES: usize = 1 << 20;

/// Makes one key after the other.
#[derive(Debug)]
pub(in super::super) struct Fill {
    noise: Noise,
    made: u64,
}

impl Fill {
    pub(in super::super) fn new() -> Self {
        Self {
            noise: Noise::new(1),
            made: 0,
        }
    }

    /// Adds the commands for the next key.
    pub(in super::super) fn push(&mut self, batch: &mut Batch) {
        let n = self.made;
        self.made += 1;
        if n.is_multiple_of(TURN) {
            self.next_db(batch);
        }
        if n % LARGE_EVERY == LARGE_EVERY - 1 {
            let value = self.noise.value(LARGE_BYTES, LARGE_BYTES);
            batch.push(&[b"SET", format!("large:{n}").as_bytes(), &value]);
            return;
        }
        match self.noise.below(16) {
            0..4 => self.string(batch, n),
            4 => self.string_for_hours(batch, n),
            5 | 6 => self.hash(batch, n),
            7 | 8 => self.collection(batch, "RPUSH", &format!("list:{n}")),
            9 => self.collection(batch, "SADD", &format!("set:{n}")),
            10 => self.integers(batch, n),
            11 => self.sorted_set(batch, n),
            12 => self.stream(batch, n),
            13 => self.bits_and_places(batch, n),
            14 => batch.words(&format!("INCRBY counter:{n} {}", self.noise.below(1 << 40))),
            _ => {
                let value = self.noise.value(4 << 10, 4 << 10);
                batch.push(&[b"SET", format!("page:{n}").as_bytes(), &value]);
            }
        }
    }

    /// Moves on to the next database, by way of the one where a few keys live for seconds.
    fn next_db(&mut self, batch: &mut Batch) {
        let n = self.made;
        batch.select(SHORT_LIVED_DB);
        for i in 0..4 {
            let seconds = 2 + self.noise.below(4);
            batch.words(&format!("SET session:{n}:{i} token EX {seconds}"));
        }
        let turn = usize::try_from(n / TURN).unwrap_or(0);
        batch.select(DBS[turn % DBS.len()]);
    }

    fn string(&mut self, batch: &mut Batch, n: u64) {
        let value = self.noise.value(64, 1024);
        batch.push(&[b"SET", format!("string:{n}").as_bytes(), &value]);
    }

    fn string_for_hours(&mut self, batch: &mut Batch, n: u64) {
        let value = self.noise.value(64, 512);
        let seconds = (3600 + self.noise.below(86_400)).to_string();
        let key = format!("cached:{n}");
        batch.push(&[b"SET", key.as_bytes(), &value, b"EX", seconds.as_bytes()]);
    }

    fn hash(&mut self, batch: &mut Batch, n: u64) {
        let values: Vec<_> = (0..6).map(|_| self.noise.value(8, 80)).collect();
        let key = format!("hash:{n}");
        let names: [&[u8]; 6] = [b"name", b"mail", b"street", b"city", b"phone", b"notes"];
        let mut args: Vec<&[u8]> = vec![b"HSET", key.as_bytes()];
        args.extend(
            names
                .iter()
                .zip(&values)
                .flat_map(|(name, value)| [*name, value.as_slice()]),
        );
        batch.push(&args);
    }

    /// Ten elements at once.
    fn collection(&mut self, batch: &mut Batch, command: &str, key: &str) {
        let values: Vec<_> = (0..10).map(|_| self.noise.value(16, 64)).collect();
        let mut args: Vec<&[u8]> = vec![command.as_bytes(), key.as_bytes()];
        args.extend(values.iter().map(Vec::as_slice));
        batch.push(&args);
    }

    fn integers(&mut self, batch: &mut Batch, n: u64) {
        let members: Vec<_> = (0..20).map(|_| self.noise.below(1 << 30).to_string()).collect();
        batch.words(&format!("SADD integers:{n} {}", members.join(" ")));
    }

    fn sorted_set(&mut self, batch: &mut Batch, n: u64) {
        let members: Vec<_> = (0..10)
            .map(|i| format!("{}.5 player:{i}", self.noise.below(1 << 20)))
            .collect();
        batch.words(&format!("ZADD scores:{n} {}", members.join(" ")));
    }

    /// A stream of a few hundred entries, and now and then a consumer group that reads from it.
    fn stream(&mut self, batch: &mut Batch, n: u64) {
        let key = format!("stream:{}", n / 4096);
        let value = self.noise.value(64, 512);
        batch.push(&[
            b"XADD",
            key.as_bytes(),
            b"*",
            b"event",
            b"order",
            b"payload",
            &value,
        ]);
        if n.is_multiple_of(8) {
            let group = format!("group:{n}");
            batch.push(&[b"XGROUP", b"CREATE", key.as_bytes(), group.as_bytes(), b"0"]);
            let read = format!("XREADGROUP GROUP {group} reader COUNT 2 STREAMS {key} >");
            batch.words(&read);
        }
    }

    fn bits_and_places(&mut self, batch: &mut Batch, n: u64) {
        match n % 3 {
            0 => batch.words(&format!("SETBIT bits:{n} {} 1", self.noise.below(4096))),
            1 => batch.words(&format!("PFADD visitors:{n} a b c {}", self.noise.below(1 << 30))),
            _ => {
                let (longitude, latitude) = (self.noise.below(359), self.noise.below(160));
                batch.words(&format!(
                    "GEOADD places:{n} {}.25 {}.75 tern",
                    i64::try_from(longitude).unwrap_or(0) - 179,
                    i64::try_from(latitude).unwrap_or(0) - 80
                ));
            }
        }
    }
}
