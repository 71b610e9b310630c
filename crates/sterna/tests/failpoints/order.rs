//! I1 from what nodes did: the writes that they executed, in the order of their common clock, change hands exactly as the
//! terms of the group did.

use anyhow::{Result, ensure};

use crate::probe::Write;

/// Whose writes follow on whose, and from when on.
fn turns<'a>(writes: &[(&'a str, Vec<Write>)]) -> Vec<(&'a str, u64)> {
    let all = writes
        .iter()
        .flat_map(|(name, writes)| writes.iter().map(|write| (write.at_us, *name)));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let mut turns: Vec<(&str, u64)> = Vec::new();
    for (at_us, name) in all {
        if turns.last().is_none_or(|(last, _)| *last != name) {
            turns.push((name, at_us));
        }
    }
    turns
}

/// Whether the turns are a part of the row of primaries, in its order.
pub(crate) fn demand(writes: &[(&str, Vec<Write>)], primaries: &[&str]) -> Result<()> {
    let turns = turns(writes);
    let mut left = primaries.iter();
    let in_order = turns.iter().all(|(name, _)| left.any(|primary| primary == name));
    ensure!(
        in_order,
        "the primaries were {primaries:?}, and writes were executed by {turns:?}"
    );
    Ok(())
}

#[test]
fn writes_that_cross_are_found() {
    let at = |times: &[u64]| {
        let writes = times.iter().map(|&at_us| Write { at_us, number: at_us });
        writes.collect::<Vec<_>>()
    };
    let clean = [("eu", at(&[1, 2, 3])), ("us", at(&[4, 5]))];
    demand(&clean, &["eu", "us"]).expect("one after the other");
    demand(&clean, &["us"]).expect_err("eu was no primary");
    let crossing = [("eu", at(&[1, 2, 5])), ("us", at(&[4, 6]))];
    demand(&crossing, &["eu", "us"]).expect_err("eu took a write in the term of us");
    demand(&crossing, &["eu", "us", "eu", "us"]).expect("four terms");
}
