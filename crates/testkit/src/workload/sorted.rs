//! Sorted sets and places.

use super::Op;
use super::generator::{Generator, command, op};

pub(super) fn op(g: &mut Generator) -> Op {
    if g.rng.once_in(5) { geo(g) } else { sorted_set(g) }
}

fn sorted_set(g: &mut Generator) -> Op {
    let key = g.key("zset");
    match g.rng.below(16) {
        0..4 => add(g, key),
        4 => op!["ZINCRBY", key, g.fraction(), g.member()],
        5 => op![g.rng.pick(&["ZPOPMIN", "ZPOPMAX"]), key, g.few()],
        6 => g.repeated(command!["ZREM", key], |g| vec![g.member()]),
        7 => op!["ZREMRANGEBYRANK", key, g.position(), g.position()],
        8 => op!["ZREMRANGEBYSCORE", key, format!("({}", g.small()), g.small()],
        9 => by_name(g),
        10 => op!["ZRANGESTORE", key, g.key("zset"), "0", g.few()],
        11 => {
            op![
                "ZRANGESTORE",
                key,
                g.key("zset"),
                "-inf",
                g.small(),
                "BYSCORE",
                "LIMIT",
                "1",
                g.few()
            ]
        }
        12 => combination(g, key),
        13 if g.since(7, 0) => op!["ZMPOP", "1", key, g.rng.pick(&["MIN", "MAX"]), "COUNT", g.few()],
        14 => Op::Commands(vec![
            command!["ZADD", &key, "1", "one"],
            command!["BZPOPMAX", key, "0.01"],
        ]),
        _ => op!["ZADD", key, score(g), g.member()],
    }
}

/// Ranges of names, on sorted sets of their own with one score for all: with several scores, what is removed depends on
/// the random levels of a server's skip list, and native replicas differ.
fn by_name(g: &mut Generator) -> Op {
    let key = g.key("lex");
    if g.rng.once_in(3) {
        return op!["ZREMRANGEBYLEX", key, "[member:1", "(member:2"];
    }
    g.repeated(command!["ZADD", key], |g| vec![b"0".to_vec(), g.member()])
}

fn add(g: &mut Generator, key: Vec<u8>) -> Op {
    let flags = match g.rng.below(7) {
        0 => command!["ZADD", key, "NX"],
        1 => command!["ZADD", key, "XX", "CH"],
        2 => command!["ZADD", key, "GT", "CH"],
        3 => command!["ZADD", key, "LT"],
        4 => return op!["ZADD", key, "INCR", g.fraction(), g.member()],
        _ => command!["ZADD", key],
    };
    g.repeated(flags, |g| vec![score(g).into_bytes(), g.member()])
}

fn combination(g: &mut Generator, key: Vec<u8>) -> Op {
    let other = if g.rng.once_in(3) { "set" } else { "zset" };
    let (one, other) = (g.key("zset"), g.key(other));
    let name = g.rng.pick(&["ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"]);
    if name == "ZDIFFSTORE" {
        return op![name, key, "2", one, other];
    }
    let aggregate = g.rng.pick(&["SUM", "MIN", "MAX"]);
    op![
        name,
        key,
        "2",
        one,
        other,
        "WEIGHTS",
        g.small(),
        g.fraction(),
        "AGGREGATE",
        aggregate
    ]
}

fn score(g: &mut Generator) -> String {
    match g.rng.below(20) {
        0 => "inf".to_owned(),
        1 => "-inf".to_owned(),
        2..8 => g.small().to_string(),
        _ => g.fraction(),
    }
}

fn geo(g: &mut Generator) -> Op {
    let key = g.key("geo");
    match g.rng.below(4) {
        0 => op![
            "GEOSEARCHSTORE",
            key,
            g.key("geo"),
            "FROMLONLAT",
            "15",
            "37",
            "BYRADIUS",
            "3000",
            "km",
            "ASC",
            "COUNT",
            g.few()
        ],
        1 => {
            op![
                "GEOSEARCHSTORE",
                key,
                g.key("geo"),
                "FROMLONLAT",
                "-20",
                "60",
                "BYBOX",
                "9000",
                "9000",
                "km",
                "STOREDIST"
            ]
        }
        _ => g.repeated(command!["GEOADD", key], |g| {
            let longitude = format!("{}.{}", g.rng.between(-179, 179), g.rng.below(10_000));
            let latitude = format!("{}.{}", g.rng.between(-84, 84), g.rng.below(10_000));
            vec![longitude.into_bytes(), latitude.into_bytes(), g.member()]
        }),
    }
}
