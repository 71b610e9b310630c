//! Which points there are: learnt from one real run of each scenario, so that a new step is covered by itself.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use sterna_model::StepName;

use crate::case::{self, ASK, Case};
use crate::scenario::Scenario;

/// The beginning and the end of an operation are points too, and no steps.
const BESIDE_STEPS: [&str; 2] = [ASK, "finish"];

/// The points of a scenario, in the order in which they are passed.
pub(crate) fn of(scenario: Scenario) -> Result<Vec<Case>> {
    let (operation, log) = case::record(scenario)?;
    let kind = scenario.kind().as_str();
    let mut cases: Vec<Case> = Vec::new();
    for point in log.lines().filter_map(passed) {
        let parts: Vec<&str> = point.split('.').collect();
        if let [of_kind, step, place] = parts[..]
            && of_kind == kind
        {
            let case = Case {
                scenario,
                step: step.to_owned(),
                place: place.to_owned(),
            };
            if !cases.contains(&case) {
                cases.push(case);
            }
        }
    }
    // A step without a point would go untested.
    let steps: BTreeSet<&str> = operation.steps.iter().map(|step| step.name.as_str()).collect();
    let covered: BTreeSet<&str> = cases.iter().map(|case| case.step.as_str()).collect();
    let bare: Vec<_> = steps
        .difference(&covered)
        .filter(|step| **step != StepName::Detect.as_str())
        .collect();
    ensure!(bare.is_empty(), "no failpoint in {bare:?} of {operation:#?}");
    let odd: Vec<_> = covered
        .difference(&steps)
        .filter(|step| !BESIDE_STEPS.contains(step))
        .collect();
    ensure!(
        odd.is_empty(),
        "failpoints in {odd:?}, which are no steps of {operation:#?}"
    );
    Ok(cases)
}

/// The point in a line of the log.
fn passed(line: &str) -> Option<&str> {
    let (_, point) = line.split_once("failpoint passed point=")?;
    Some(point.split_whitespace().next()?.trim_matches('"'))
}
