//! What applies to keys of any type, and to whole databases.

use super::Op;
use super::generator::{Generator, command, op};

pub(super) fn op(g: &mut Generator) -> Op {
    match g.rng.below(100) {
        0..40 => expiry(g),
        40..50 => g.repeated(command!["DEL"], |g| vec![g.any_key()]),
        50..54 => g.repeated(command!["UNLINK"], |g| vec![g.any_key()]),
        54..62 => {
            let kind = g.any_kind();
            let (from, to) = g.key_pair(kind);
            op![g.rng.pick(&["RENAME", "RENAMENX"]), from, to]
        }
        62..70 => copy(g),
        70..76 => sort(g),
        76..80 => restore(g),
        80..96 => select(g),
        96..98 => crossing(g),
        _ => flush(g),
    }
}

fn expiry(g: &mut Generator) -> Op {
    let key = g.any_key();
    match g.rng.below(12) {
        0 | 1 => op!["EXPIRE", key, g.lifetime_s()],
        2..6 => op!["PEXPIRE", key, g.lifetime_ms()],
        6 => op!["EXPIREAT", key, g.far_time_s()],
        7 => op!["PEXPIREAT", key, g.far_time_s() * 1000 + 3],
        // In the past: the key goes at once, as a DEL in the stream.
        8 => op!["EXPIREAT", key, "1000000000"],
        9 => op!["PEXPIRE", key, "-1"],
        10 if g.since(7, 0) => op![
            "PEXPIRE",
            key,
            g.lifetime_ms(),
            g.rng.pick(&["NX", "XX", "GT", "LT"])
        ],
        _ => op!["PERSIST", key],
    }
}

fn copy(g: &mut Generator) -> Op {
    let kind = g.any_kind();
    let (from, to) = g.key_pair(kind);
    if g.options.databases > 1 && g.rng.once_in(2) {
        return op!["COPY", from, to, "DB", g.any_database(), "REPLACE"];
    }
    if g.rng.once_in(2) {
        op!["COPY", from, to]
    } else {
        op!["COPY", from, to, "REPLACE"]
    }
}

fn sort(g: &mut Generator) -> Op {
    let source = if g.rng.once_in(2) { "set" } else { "list" };
    op![
        "SORT",
        g.key(source),
        "BY",
        "nosort",
        "ALPHA",
        "LIMIT",
        "0",
        g.few(),
        "STORE",
        g.key("list")
    ]
}

/// DUMP and RESTORE in one script, since a payload must come from this very server.
fn restore(g: &mut Generator) -> Op {
    let kind = g.any_kind();
    let (from, to) = g.key_pair(kind);
    let script = "local dump = redis.call('DUMP', KEYS[1]) \
                  if dump then return redis.call('RESTORE', KEYS[2], ARGV[1], dump, 'REPLACE') end";
    op!["EVAL", script, "2", from, to, g.lifetime_ms()]
}

fn select(g: &mut Generator) -> Op {
    if g.options.databases == 1 {
        return op!["PUBLISH", "channel", g.member()];
    }
    let database = g.any_database();
    g.database = u32::try_from(database).expect("a database is not negative");
    op!["SELECT", database]
}

fn crossing(g: &mut Generator) -> Op {
    if g.options.databases == 1 {
        return op!["TOUCH", g.any_key()];
    }
    if g.rng.once_in(3) {
        op!["SWAPDB", g.any_database(), g.any_database()]
    } else {
        op!["MOVE", g.any_key(), g.any_database()]
    }
}

fn flush(g: &mut Generator) -> Op {
    if !g.options.flushes {
        return op!["DEL", g.any_key()];
    }
    match g.rng.below(60) {
        0 => op!["FLUSHALL"],
        1..4 => op!["FLUSHDB", "ASYNC"],
        4..8 => op!["FLUSHDB", "SYNC"],
        // WAIT puts GETACK into the stream; it blocks for a millisecond at most.
        8..14 => op!["WAIT", "1", "1"],
        _ => op!["DEL", g.any_key()],
    }
}
