//! Transactions, scripts, functions and messages.

use super::generator::{Generator, command, op};
use super::{Command, Op, collections, sorted, strings};

const LIBRARY: &str = "#!lua name=workload\n\
    redis.register_function('fill', function(keys, args)\n\
      redis.call('SET', keys[1], args[1])\n\
      redis.call('PEXPIRE', keys[1], 3600000)\n\
      return redis.call('RPUSH', keys[2], args[1], redis.call('TIME')[1])\n\
    end)";
const OTHER_LIBRARY: &str =
    "#!lua name=other\nredis.register_function{function_name='one', callback=function() return 1 end}";
/// Writes of several kinds, with what only the primary can know.
const MANY_WRITES: &str = "redis.call('SET', KEYS[1], ARGV[1]) redis.call('APPEND', KEYS[1], redis.call('TIME')[2]) \
    for i = 1, 5 do redis.call('RPUSH', KEYS[2], math.random(1000)) end \
    redis.call('SPOP', KEYS[3]) redis.call('PEXPIRE', KEYS[1], ARGV[2])";
/// What was written before the error stays.
const HALF: &str = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])";
const CACHED: &str = "return redis.call('INCRBY', KEYS[1], ARGV[1])";
/// SHA-1 of [`CACHED`].
const CACHED_SHA: &str = "8cd00688c05c46bde4a2e60658ef20a2e5c0b248";

pub(super) fn op(g: &mut Generator) -> Op {
    match g.rng.below(20) {
        0..8 => transaction(g),
        8 => watched(g),
        9..16 => script(g),
        16..18 if g.since(7, 0) => function(g),
        _ => op!["PUBLISH", "chan\r\nnel", g.value()],
    }
}

fn transaction(g: &mut Generator) -> Op {
    let mut commands = vec![command!["MULTI"]];
    for _ in 0..=g.rng.below(6) {
        commands.extend(inner(g));
    }
    if g.rng.once_in(12) {
        commands.push(command!["DISCARD"]);
        return Op::Commands(commands);
    }
    if g.rng.once_in(8) && g.options.databases > 1 {
        // The stream must tell the database within the transaction, and the next one must tell it again.
        let database = g.any_database();
        g.database = u32::try_from(database).expect("a database is not negative");
        commands.extend([
            command!["SELECT", database],
            command!["SET", g.key("string"), g.member()],
        ]);
    }
    commands.push(command!["EXEC"]);
    Op::Commands(commands)
}

/// A step that may stand in a transaction.
fn inner(g: &mut Generator) -> Vec<Command> {
    let blocking = std::mem::replace(&mut g.options.blocking, false);
    let op = match g.rng.below(6) {
        0 | 1 => strings::op(g),
        2 => collections::list(g),
        3 => collections::set(g),
        4 => collections::hash(g),
        _ => sorted::op(g),
    };
    g.options.blocking = blocking;
    match op {
        Op::Commands(commands) => commands,
        Op::Served { served_by, .. } => vec![served_by],
    }
}

/// A transaction under WATCH, which fails every other time.
fn watched(g: &mut Generator) -> Op {
    let key = g.key("string");
    let mut commands = vec![command!["WATCH", &key], command!["GET", &key]];
    if g.rng.once_in(2) {
        commands.push(command!["SET", &key, g.member()]);
    }
    commands.extend([
        command!["MULTI"],
        command!["SET", &key, g.value()],
        command!["INCR", g.key("number")],
    ]);
    commands.push(command!["EXEC"]);
    Op::Commands(commands)
}

fn script(g: &mut Generator) -> Op {
    let (string, number, list, set) = (g.key("string"), g.key("number"), g.key("list"), g.key("set"));
    match g.rng.below(6) {
        0..3 => op![
            "EVAL",
            MANY_WRITES,
            "3",
            string,
            list,
            set,
            g.value(),
            g.lifetime_ms()
        ],
        3 => op!["EVAL", HALF, "2", string, list, g.member()],
        _ => Op::Commands(vec![
            command!["SCRIPT", "LOAD", CACHED],
            command!["EVALSHA", CACHED_SHA, "1", number, g.small()],
        ]),
    }
}

fn function(g: &mut Generator) -> Op {
    let load = command!["FUNCTION", "LOAD", "REPLACE", LIBRARY];
    match g.rng.below(10) {
        0 => op!["FUNCTION", "LOAD", "REPLACE", OTHER_LIBRARY],
        1 => op!["FUNCTION", "DELETE", "other"],
        2 if g.rng.once_in(5) => op!["FUNCTION", "FLUSH"],
        _ => Op::Commands(vec![
            load,
            command!["FCALL", "fill", "2", g.key("string"), g.key("list"), g.value()],
        ]),
    }
}
