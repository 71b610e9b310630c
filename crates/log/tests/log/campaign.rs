//! The crash campaign: random operations on a simulated disk that fails, fills up and loses power, over and over.
//!
//! `STERNA_LOG_SEEDS=20000 cargo test --release -p sterna-log campaign` runs a longer one; `STERNA_LOG_SEED=7` one seed.

mod driver;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use driver::Driver;

/// Seeds that once failed, or that once were the only ones to find a step left out on purpose.
const PERMANENT_SEEDS: [u64; 12] = [2, 13, 48, 68, 83, 87, 136, 238, 239, 406, 723, 2523];

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("the variable is a number"))
}

fn run(seed: u64) {
    let result = catch_unwind(AssertUnwindSafe(|| Driver::new(seed).run()));
    if let Err(panic) = result {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        panic!("seed {seed}: {}", text.unwrap_or_default());
    }
}

#[test]
fn nothing_durable_is_lost_and_nothing_wrong_is_found() {
    match number_from("STERNA_LOG_SEED") {
        Some(seed) => run(seed),
        None => (0..number_from("STERNA_LOG_SEEDS").unwrap_or(500)).for_each(run),
    }
}

#[test]
fn seeds_that_failed_once_never_fail_again() {
    PERMANENT_SEEDS.into_iter().for_each(run);
}
