//! Streams with consumer groups.

use super::Op;
use super::generator::{Generator, command, op};

const GROUPS: [&str; 3] = ["group", "gr\r\n\0oup", "third"];
const CONSUMERS: [&str; 3] = ["ann", "bob", "c\r\n"];

pub(super) fn op(g: &mut Generator) -> Op {
    let (group, consumer) = (g.rng.pick(&GROUPS), g.rng.pick(&CONSUMERS));
    match g.rng.below(24) {
        0..8 => add(g),
        8 => op![
            "XADD",
            g.key("autostream"),
            "MAXLEN",
            "~",
            "50",
            "*",
            "field",
            g.member()
        ],
        9 => trim(g),
        10..13 => op![
            "XREADGROUP",
            "GROUP",
            group,
            consumer,
            "COUNT",
            g.few(),
            "STREAMS",
            g.stream(),
            ">"
        ],
        13 => op![
            "XREADGROUP",
            "GROUP",
            group,
            consumer,
            "NOACK",
            "STREAMS",
            g.stream(),
            ">"
        ],
        14 => {
            let (stream, entry) = g.old_entry();
            op!["XACK", stream, group, entry, g.old_entry().1, g.old_entry().1]
        }
        15 => claim(g),
        16 => op![
            "XAUTOCLAIM",
            g.stream(),
            group,
            consumer,
            "0",
            "0-0",
            "COUNT",
            g.few()
        ],
        17 => op!["XAUTOCLAIM", g.stream(), group, consumer, "0", "0-0", "JUSTID"],
        18 => {
            let (stream, entry) = g.old_entry();
            op!["XDEL", stream, entry, g.old_entry().1]
        }
        19..21 => op![
            "XGROUP",
            "CREATE",
            g.stream(),
            group,
            g.rng.pick(&["0", "$"]),
            "MKSTREAM"
        ],
        21 => op![
            "XGROUP",
            g.rng.pick(&["CREATECONSUMER", "DELCONSUMER"]),
            g.stream(),
            group,
            consumer
        ],
        22 if g.rng.once_in(3) => op!["XGROUP", "DESTROY", g.stream(), group],
        22 => {
            let (stream, entry) = g.old_entry();
            op!["XGROUP", "SETID", stream, group, entry]
        }
        _ => {
            let (stream, entry) = g.new_entry();
            op!["XSETID", stream, entry]
        }
    }
}

fn add(g: &mut Generator) -> Op {
    let (stream, entry) = g.new_entry();
    let command = match g.rng.below(6) {
        0 => command!["XADD", stream, "MAXLEN", "~", "40", entry],
        1 => command!["XADD", stream, "NOMKSTREAM", "MAXLEN", "30", entry],
        2 => command!["XADD", stream, "MINID", "=", g.old_entry().1, entry],
        _ => command!["XADD", stream, entry],
    };
    g.repeated(command, |g| vec![g.member(), g.value()])
}

fn trim(g: &mut Generator) -> Op {
    match g.rng.below(3) {
        0 => op!["XTRIM", g.stream(), "MAXLEN", "=", g.rng.between(0, 40)],
        1 => op!["XTRIM", g.stream(), "MAXLEN", "~", "20", "LIMIT", "100"],
        _ => {
            let (stream, entry) = g.old_entry();
            op!["XTRIM", stream, "MINID", entry]
        }
    }
}

fn claim(g: &mut Generator) -> Op {
    let (stream, entry) = g.old_entry();
    let (group, consumer) = (g.rng.pick(&GROUPS), g.rng.pick(&CONSUMERS));
    match g.rng.below(5) {
        0 => op!["XCLAIM", stream, group, consumer, "0", entry, "FORCE"],
        1 => op![
            "XCLAIM",
            stream,
            group,
            consumer,
            "0",
            entry,
            "IDLE",
            "5000",
            "RETRYCOUNT",
            g.few()
        ],
        2 => op![
            "XCLAIM",
            stream,
            group,
            consumer,
            "0",
            entry,
            "TIME",
            "1700000000000",
            "JUSTID"
        ],
        _ => op!["XCLAIM", stream, group, consumer, "0", entry, g.old_entry().1],
    }
}
