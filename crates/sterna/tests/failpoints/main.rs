//! The gateway is killed in every step of every operation: after its restart the group converges, and I1 to I5 hold.
//!
//! Which steps there are is learnt from a real run of each operation; each is a row of a table: operation, step, place. A
//! few rows run with the ordinary tests, all of them with `make failpoints`. `STERNA_FAILPOINTS=all` is all,
//! `STERNA_FAILPOINTS="switchover: promote"` those that begin so.

#![expect(
    clippy::print_stderr,
    reason = "a long run shows how far it is, and then its table"
)]

mod case;
mod checks;
mod follow;
mod gateway;
mod order;
mod points;
mod probe;
mod scenario;
mod table;
mod world;

use case::Case;
use scenario::Scenario;

/// Rows that run with the ordinary tests: one place of every step.
fn is_quick(case: &Case) -> bool {
    matches!(case.scenario, Scenario::Switchover | Scenario::FailoverKilled)
        && matches!(case.place.as_str(), "before" | "wait")
}

#[test]
fn a_gateway_that_is_killed_in_any_step_completes_it_or_takes_it_back() {
    let wanted = std::env::var("STERNA_FAILPOINTS")
        .ok()
        .filter(|text| !text.is_empty());
    let scenarios = Scenario::ALL
        .into_iter()
        .filter(|scenario| match wanted.as_deref() {
            None => matches!(scenario, Scenario::Switchover | Scenario::FailoverKilled),
            Some("all") => true,
            Some(text) => {
                let whole = format!("{}: ", scenario.name());
                whole.starts_with(text) || text.starts_with(&whole)
            }
        });
    let is_wanted = |case: &Case| match wanted.as_deref() {
        None => is_quick(case),
        Some("all") => true,
        Some(text) => case.to_string().starts_with(text),
    };
    table::run(scenarios.collect(), is_wanted);
}
