//! Lists, sets and hashes.

use super::Op;
use super::generator::{Generator, command, op};

pub(super) fn list(g: &mut Generator) -> Op {
    let key = g.key("list");
    match g.rng.below(16) {
        0..3 => g.repeated(command!["RPUSH", key], |g| vec![g.member()]),
        3..5 => g.repeated(command!["LPUSH", key], |g| vec![g.member()]),
        5 => op![g.rng.pick(&["LPUSHX", "RPUSHX"]), key, g.member()],
        6 => op![g.rng.pick(&["LPOP", "RPOP"]), key, g.few()],
        7 => {
            let (from, to) = (g.rng.pick(&["LEFT", "RIGHT"]), g.rng.pick(&["LEFT", "RIGHT"]));
            op!["LMOVE", key, g.key("list"), from, to]
        }
        8 => op!["RPOPLPUSH", key, g.key("list")],
        9 => op![
            "LINSERT",
            key,
            g.rng.pick(&["BEFORE", "AFTER"]),
            g.member(),
            g.value()
        ],
        10 => op!["LTRIM", key, g.position(), g.rng.between(-3, 60)],
        11 => op!["LREM", key, g.rng.between(-2, 2), g.member()],
        12 => op!["LSET", key, g.position(), g.member()],
        13 if g.since(7, 0) => {
            op![
                "LMPOP",
                "2",
                key,
                g.key("list"),
                g.rng.pick(&["LEFT", "RIGHT"]),
                "COUNT",
                g.few()
            ]
        }
        14 => filled_pop(g, &key),
        _ if g.options.blocking && g.rng.once_in(8) => blocked_pop(g),
        _ => op![g.rng.pick(&["LPOP", "RPOP"]), key],
    }
}

/// A blocking command that finds what it wants.
fn filled_pop(g: &mut Generator, key: &Vec<u8>) -> Op {
    let pop = match g.rng.below(3) {
        0 => command!["BLMOVE", key, g.key("list"), "LEFT", "RIGHT", "0.01"],
        1 => command!["BLPOP", g.key("list"), key, "0.01"],
        _ => command!["BRPOP", key, "0.01"],
    };
    Op::Commands(vec![command!["RPUSH", key, g.member()], pop])
}

/// A blocking command that waits until it is served, on a key of its own.
fn blocked_pop(g: &mut Generator) -> Op {
    let key = g.key("served");
    let before = command!["DEL", &key];
    let push = command!["RPUSH", &key, g.member(), g.member()];
    let (blocked, served_by) = match g.rng.below(4) {
        0 => (command!["BLMOVE", key, g.key("list"), "LEFT", "RIGHT", "5"], push),
        1 => (command!["BRPOP", key, "5"], push),
        2 => (
            command!["BZPOPMIN", &key, "5"],
            command!["ZADD", key, g.small(), g.member()],
        ),
        _ => (command!["BLPOP", key, "5"], push),
    };
    Op::Served {
        before,
        blocked,
        served_by,
    }
}

pub(super) fn set(g: &mut Generator) -> Op {
    let key = g.key("set");
    match g.rng.below(10) {
        0..4 => g.repeated(command!["SADD", key], |g| vec![g.member()]),
        4 => g.repeated(command!["SREM", key], |g| vec![g.member()]),
        5 => op!["SPOP", key],
        6 => op!["SPOP", key, g.few()],
        7 => op!["SMOVE", key, g.key("set"), g.member()],
        _ => {
            let name = g.rng.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]);
            g.repeated(command![name, key], |g| vec![g.key("set")])
        }
    }
}

pub(super) fn hash(g: &mut Generator) -> Op {
    let key = g.key("hash");
    match g.rng.below(12) {
        0..4 => g.repeated(command!["HSET", key], |g| vec![field(g), g.value()]),
        4 => op!["HSETNX", key, field(g), g.value()],
        5 => op!["HINCRBY", key, "counter", g.small()],
        6 => op!["HINCRBYFLOAT", key, "fraction", g.fraction()],
        7 => g.repeated(command!["HDEL", key], |g| vec![field(g)]),
        _ if g.redis_since(7, 4) => field_lifetime(g, key),
        _ => op!["HSET", key, field(g), g.member()],
    }
}

fn field_lifetime(g: &mut Generator, key: Vec<u8>) -> Op {
    match g.rng.below(9) {
        0 => op!["HEXPIRE", key, g.lifetime_s(), "FIELDS", "1", field(g)],
        1 | 2 => op![
            "HPEXPIRE",
            key,
            g.lifetime_ms(),
            "FIELDS",
            "2",
            field(g),
            field(g)
        ],
        3 => op![
            "HPEXPIRE",
            key,
            g.lifetime_ms(),
            g.rng.pick(&["NX", "XX", "GT", "LT"]),
            "FIELDS",
            "1",
            field(g)
        ],
        4 => op!["HEXPIREAT", key, g.far_time_s(), "FIELDS", "1", field(g)],
        5 => op!["HPERSIST", key, "FIELDS", "1", field(g)],
        6 if g.redis_since(8, 0) => op!["HGETEX", key, "PX", g.lifetime_ms(), "FIELDS", "1", field(g)],
        7 if g.redis_since(8, 0) => op![
            "HSETEX",
            key,
            "PX",
            g.lifetime_ms(),
            "FIELDS",
            "1",
            field(g),
            g.member()
        ],
        8 if g.redis_since(8, 0) => op!["HGETDEL", key, "FIELDS", "1", field(g)],
        _ => op!["HPEXPIREAT", key, g.far_time_s() * 1000, "FIELDS", "1", field(g)],
    }
}

fn field(g: &mut Generator) -> Vec<u8> {
    if g.rng.once_in(10) {
        b"f\r\n\0".to_vec()
    } else {
        format!("field:{}", g.rng.below(30)).into_bytes()
    }
}
