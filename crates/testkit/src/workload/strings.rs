//! Strings, numbers, bitmaps and `HyperLogLog`s.

use super::Op;
use super::generator::{Generator, command, op};

pub(super) fn op(g: &mut Generator) -> Op {
    match g.rng.below(10) {
        0..4 => set(g),
        4..6 => change(g),
        6 => number(g),
        7..9 => bits(g),
        _ => hyperloglog(g),
    }
}

fn set(g: &mut Generator) -> Op {
    let (key, value) = (g.key("string"), g.value());
    match g.rng.below(12) {
        0 => op!["SET", key, value, "EX", g.lifetime_s()],
        1 => op!["SET", key, value, "PX", g.lifetime_ms()],
        2 => op!["SET", key, value, "EXAT", g.far_time_s()],
        3 => op!["SET", key, value, "PXAT", g.far_time_s() * 1000 + 7],
        4 => op!["SET", key, value, "KEEPTTL"],
        5 => op!["SET", key, value, g.rng.pick(&["NX", "XX"])],
        6 => op!["SET", key, value, "GET", "PX", g.lifetime_ms()],
        7 => op!["SETEX", key, g.lifetime_s(), value],
        8 => op!["PSETEX", key, g.lifetime_ms(), value],
        9 => op!["SETNX", key, value],
        _ => op!["SET", key, value],
    }
}

fn change(g: &mut Generator) -> Op {
    let key = g.key("string");
    match g.rng.below(10) {
        0 | 1 => op!["APPEND", key, g.value()],
        2 => op!["SETRANGE", key, g.rng.between(0, 500), g.member()],
        3 => op!["GETDEL", key],
        4 => op!["GETEX", key, "PX", g.lifetime_ms()],
        5 => op!["GETEX", key, "PERSIST"],
        6 => op!["GETSET", key, g.value()],
        7 => g.repeated(command!["MSETNX"], |g| vec![g.key("string"), g.member()]),
        _ => g.repeated(command!["MSET"], |g| vec![g.key("string"), g.value()]),
    }
}

fn number(g: &mut Generator) -> Op {
    let key = g.key("number");
    match g.rng.below(6) {
        0 => op!["INCR", key],
        1 => op!["DECR", key],
        2 => op!["INCRBY", key, g.small()],
        3 => op!["DECRBY", key, g.small()],
        4 => op!["INCRBYFLOAT", key, g.fraction()],
        // A fresh start, since INCRBYFLOAT leaves what INCR refuses.
        _ => op!["SET", key, g.small()],
    }
}

fn bits(g: &mut Generator) -> Op {
    let key = g.key("bits");
    match g.rng.below(5) {
        0 | 1 => op!["SETBIT", key, g.rng.between(0, 20_000), g.rng.between(0, 1)],
        2 => {
            let kind = g.rng.pick(&["AND", "OR", "XOR"]);
            g.repeated(command!["BITOP", kind, key], |g| vec![g.key("bits")])
        }
        3 => op!["BITOP", "NOT", key, g.key("bits")],
        _ => {
            let overflow = g.rng.pick(&["WRAP", "SAT", "FAIL"]);
            let (first, second) = (g.rng.between(0, 100), g.rng.between(0, 400));
            op![
                "BITFIELD",
                key,
                "SET",
                "u8",
                first,
                g.small().abs(),
                "OVERFLOW",
                overflow,
                "INCRBY",
                "i5",
                second,
                g.small()
            ]
        }
    }
}

fn hyperloglog(g: &mut Generator) -> Op {
    let key = g.key("hll");
    match g.rng.below(4) {
        0 => g.repeated(command!["PFMERGE", key], |g| vec![g.key("hll")]),
        // Counting writes: it stores the estimate in the value.
        1 => op!["PFCOUNT", key],
        _ => g.repeated(command!["PFADD", key], |g| vec![g.value()]),
    }
}
