//! What an application goes on writing: overwrites, removals, transactions, scripts, expiry.

use super::{Batch, Noise, SHORT_LIVED_DB};

/// Every kind of value lives under so many keys, which are changed again and again.
const KEYS: usize = 2000;

/// Its effects, not the script, go to the replicas: the time and the random member would differ there.
const SCRIPT: &str = "redis.call('HSET', KEYS[1], 'at', redis.call('TIME')[1]) \
                      return redis.call('SPOP', KEYS[2])";

/// Makes one change after the other.
#[derive(Debug)]
pub(in super::super) struct Live {
    noise: Noise,
}

impl Live {
    pub(in super::super) fn new() -> Self {
        Self { noise: Noise::new(2) }
    }

    /// Adds the commands of the next change. Before and after it, database 0 is selected.
    pub(in super::super) fn push(&mut self, batch: &mut Batch) {
        let n = self.noise.below(KEYS);
        match self.noise.below(20) {
            0..3 => self.with_value(batch, "SET", &format!("live:string:{n}"), 400),
            3 => self.with_value(batch, "APPEND", &format!("live:string:{n}"), 40),
            4 => {
                let value = self.noise.value(16, 200);
                batch.push(&[b"HSET", format!("live:hash:{n}").as_bytes(), b"field", &value]);
            }
            5 => batch.words(&format!("HINCRBYFLOAT live:hash:{n} sum 0.1")),
            6 => {
                self.with_value(batch, "RPUSH", &format!("live:list:{n}"), 100);
                batch.words(&format!("LTRIM live:list:{n} -20 -1"));
            }
            7 => batch.words(&format!("LPOP live:list:{n}")),
            8 => self.with_value(batch, "SADD", &format!("live:set:{n}"), 40),
            9 => batch.words(&format!("SPOP live:set:{n}")),
            10 => batch.words(&format!(
                "ZINCRBY live:scores {}.25 player:{n}",
                self.noise.below(100)
            )),
            11 => batch.words("ZPOPMIN live:scores"),
            12 => self.stream(batch),
            13 => self.transaction(batch, n),
            14 => {
                let (hash, set) = (format!("live:hash:{n}"), format!("live:set:{n}"));
                batch.push(&[b"EVAL", SCRIPT.as_bytes(), b"2", hash.as_bytes(), set.as_bytes()]);
            }
            15 => self.sessions(batch),
            16 => {
                batch.words(&format!("SET live:new:{n} 1"));
                batch.words(&format!("RENAME live:new:{n} live:renamed:{n}"));
            }
            17 => batch.words(&format!("UNLINK live:string:{n} live:renamed:{n}")),
            18 => batch.words(&format!("PFADD live:visitors {}", self.noise.below(1 << 30))),
            _ => {
                batch.select(1);
                self.with_value(batch, "SET", &format!("live:other:{n}"), 100);
                batch.select(0);
            }
        }
    }

    fn with_value(&mut self, batch: &mut Batch, command: &str, key: &str, most: usize) {
        let value = self.noise.value(8, most);
        batch.push(&[command.as_bytes(), key.as_bytes(), &value]);
    }

    fn stream(&mut self, batch: &mut Batch) {
        let value = self.noise.value(16, 200);
        batch.push(&[
            b"XADD",
            b"live:stream",
            b"MAXLEN",
            b"~",
            b"5000",
            b"*",
            b"payload",
            &value,
        ]);
    }

    /// One unit of the stream: it reaches a replica as a whole or not at all.
    fn transaction(&mut self, batch: &mut Batch, n: usize) {
        let amount = self.noise.below(100);
        batch.words("MULTI");
        batch.words(&format!("DECRBY live:account:{n} {amount}"));
        batch.words(&format!("INCRBY live:account:{} {amount}", KEYS - n));
        batch.words("EXEC");
    }

    fn sessions(&mut self, batch: &mut Batch) {
        let n = self.noise.below(1 << 30);
        let millis = 200 + self.noise.below(2000);
        batch.select(SHORT_LIVED_DB);
        batch.words(&format!("SET session:{n} token PX {millis}"));
        batch.words(&format!("HSET visit:{n} from nowhere"));
        batch.words(&format!("PEXPIRE visit:{n} {millis}"));
        batch.select(0);
    }
}
