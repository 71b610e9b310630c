//! Random writes over all data types and write commands, the same for the same seed.
//!
//! What is generated never depends on what the server answers, so a failing seed can be run again. Keys are grouped by
//! type, with some that are binary; a few commands meet a key of another type or none, as in life.

mod collections;
mod generator;
mod keyspace;
mod run;
mod scripts;
mod sorted;
mod streams;
mod strings;
mod writer;

use crate::engine::{Engine, EngineKind, Version};
use generator::Generator;
pub use run::Summary;
pub use writer::{Acknowledged, Rate, SequenceOptions, SequenceWriter, Writer};

/// A command: its name and arguments.
pub type Command = Vec<Vec<u8>>;

/// What a workload may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Databases 0 to this, less one; with 1 nothing crosses databases (as a cluster needs).
    pub databases: u32,
    /// Keys per type and database.
    pub keys: usize,
    /// The largest ordinary value; most are far smaller.
    pub value_bytes_max: usize,
    /// All big values together may be this long; 0 for none.
    pub big_bytes_budget: usize,
    /// The largest big value.
    pub big_value_bytes_max: usize,
    /// `FLUSHDB` and `FLUSHALL`, rarely.
    pub flushes: bool,
    /// Blocking pops that are served by a later push, over a second connection.
    pub blocking: bool,
    /// The family whose commands may be used.
    pub kind: EngineKind,
    /// The version whose commands may be used.
    pub version: Version,
}

impl Options {
    /// Everything that this engine can do, without big values.
    pub fn for_engine(engine: &Engine) -> Self {
        Self {
            databases: 16,
            keys: 60,
            value_bytes_max: 64 << 10,
            big_bytes_budget: 0,
            big_value_bytes_max: 64 << 20,
            flushes: true,
            blocking: true,
            kind: engine.kind,
            version: engine.version,
        }
    }

    /// What each of these engines can do: for a primary and replicas of several versions.
    pub fn for_engines(engines: &[&Engine]) -> Self {
        let mut options = Self::for_engine(engines[0]);
        for engine in &engines[1..] {
            options.version = options.version.min(engine.version);
            if engine.kind != options.kind {
                // What both families share is what Redis 7.2 had.
                options.kind = EngineKind::Valkey;
                options.version = options.version.min(Version(7, 2, 0));
            }
        }
        options
    }

    /// The same with values of up to 64 MiB, `budget` bytes of them in all.
    #[must_use]
    pub fn with_big_values(mut self, budget: usize) -> Self {
        self.big_bytes_budget = budget;
        self
    }

    /// The same within so many databases.
    #[must_use]
    pub fn with_databases(mut self, databases: u32) -> Self {
        self.databases = databases.max(1);
        self
    }
}

/// One step of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Commands that go out together, such as `MULTI` … `EXEC`.
    Commands(Vec<Command>),
    /// A command that blocks on a second connection until the other one is executed on the first.
    Served {
        /// What makes sure that it blocks, on the first connection.
        before: Command,
        blocked: Command,
        served_by: Command,
    },
}

/// A sequence of writes without end.
#[derive(Debug, Clone)]
pub struct Workload {
    generator: Generator,
}

impl Workload {
    /// The workload of a seed.
    pub fn new(seed: u64, options: Options) -> Self {
        Self {
            generator: Generator::new(seed, options),
        }
    }

    /// The database that the next step expects to be selected.
    pub fn database(&self) -> u32 {
        self.generator.database
    }

    /// The next step.
    pub fn next_op(&mut self) -> Op {
        let generator = &mut self.generator;
        match generator.rng.below(1000) {
            0..240 => strings::op(generator),
            240..360 => collections::list(generator),
            360..450 => collections::set(generator),
            450..560 => collections::hash(generator),
            560..680 => sorted::op(generator),
            680..790 => streams::op(generator),
            790..900 => keyspace::op(generator),
            _ => scripts::op(generator),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn options() -> Options {
        let engine = Engine {
            name: "redis-8.0.2".into(),
            program: vec![],
            kind: EngineKind::Redis,
            version: Version(8, 0, 2),
        };
        Options::for_engine(&engine)
    }

    fn ops(seed: u64, count: usize, options: Options) -> Vec<Op> {
        let mut workload = Workload::new(seed, options);
        (0..count).map(|_| workload.next_op()).collect()
    }

    fn commands(op: &Op) -> Vec<Command> {
        match op {
            Op::Commands(commands) => commands.clone(),
            Op::Served {
                before,
                blocked,
                served_by,
            } => vec![before.clone(), blocked.clone(), served_by.clone()],
        }
    }

    #[test]
    fn a_seed_gives_always_the_same_sequence() {
        assert_eq!(ops(1, 5000, options()), ops(1, 5000, options()));
        assert_ne!(ops(1, 100, options()), ops(2, 100, options()));
    }

    #[test]
    fn every_write_command_comes_up() {
        let used: BTreeSet<String> = ops(3, 200_000, options())
            .iter()
            .flat_map(commands)
            .map(|command| String::from_utf8_lossy(&command[0]).into_owned())
            .collect();
        let wanted = "APPEND BITFIELD BITOP BLMOVE BLPOP BRPOP BZPOPMIN COPY DECR DECRBY DEL EVAL EVALSHA EXEC EXPIRE \
                      EXPIREAT FCALL FLUSHALL FLUSHDB FUNCTION GEOADD GEOSEARCHSTORE GETDEL GETEX GETSET HDEL HEXPIRE \
                      HINCRBY HINCRBYFLOAT HPERSIST HPEXPIRE HSET HSETNX INCR INCRBY INCRBYFLOAT LINSERT LMOVE LMPOP \
                      LPOP LPUSH LPUSHX LREM LSET LTRIM MOVE MSET MSETNX MULTI PERSIST PEXPIRE PEXPIREAT PFADD PFCOUNT \
                      PFMERGE PSETEX PUBLISH RENAME RENAMENX RPOP RPOPLPUSH RPUSH RPUSHX SADD SCRIPT SDIFFSTORE SELECT \
                      SET SETBIT SETEX SETNX SETRANGE SINTERSTORE SMOVE SORT SPOP SREM SUNIONSTORE SWAPDB UNLINK WATCH \
                      XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XREADGROUP XSETID XTRIM ZADD ZDIFFSTORE ZINCRBY \
                      ZINTERSTORE ZMPOP ZPOPMAX ZPOPMIN ZRANGESTORE ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK \
                      ZREMRANGEBYSCORE ZUNIONSTORE WAIT";
        let missing: Vec<&str> = wanted
            .split_whitespace()
            .filter(|name| !used.contains(*name))
            .collect();
        assert!(missing.is_empty(), "never used: {missing:?}");
    }

    #[test]
    fn sizes_and_databases_keep_within_the_options() {
        let options = Options {
            databases: 3,
            big_value_bytes_max: 8 << 20,
            ..options()
        }
        .with_big_values(20 << 20);
        let all = ops(4, 50_000, options.clone());
        let longest = all.iter().flat_map(commands).flatten().map(|arg| arg.len()).max();
        assert!(longest.is_some_and(|length| length > 1 << 20 && length <= options.big_value_bytes_max));
        let big: usize = all
            .iter()
            .flat_map(commands)
            .flatten()
            .map(|arg| arg.len())
            .filter(|len| *len > 64 << 10)
            .sum();
        assert!(big <= options.big_bytes_budget);
        for command in all
            .iter()
            .flat_map(commands)
            .filter(|command| command[0] == b"SELECT")
        {
            assert!([&b"0"[..], b"1", b"2"].contains(&command[1].as_slice()));
        }
        let crossing = ["SELECT", "MOVE", "SWAPDB"];
        let single = ops(5, 20_000, options.with_databases(1));
        assert!(!single.iter().flat_map(commands).any(|command| {
            crossing.contains(&&*String::from_utf8_lossy(&command[0]))
                || command.iter().any(|arg| arg == b"DB")
        }));
    }
}
