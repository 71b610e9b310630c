//! Runs the cases, two at a time, and prints what became of each.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::case::{self, Case, Row};
use crate::points;
use crate::scenario::Scenario;

/// Cases at a time: most of each is waiting, and every one has up to four servers and a gateway.
const AT_A_TIME: usize = 2;

/// Learns the points of these scenarios, runs the cases that are wanted, prints the table; panics where any failed.
pub(crate) fn run(scenarios: Vec<Scenario>, is_wanted: impl Fn(&Case) -> bool) {
    let begin = Instant::now();
    let recorded = two_at_a_time(scenarios, |scenario| (scenario, points::of(scenario)));
    let (mut cases, mut failures) = (Vec::new(), Vec::new());
    for (scenario, points) in recorded {
        match points {
            Ok(points) => cases.extend(points.into_iter().filter(&is_wanted)),
            Err(error) => {
                eprintln!("{}, undisturbed: {error:#}", scenario.name());
                failures.push(format!("{}, undisturbed: {error:#}", scenario.name()));
            }
        }
    }
    eprintln!(
        "{} cases; {:.0} s to learn them",
        cases.len(),
        begin.elapsed().as_secs_f64()
    );
    assert!(!cases.is_empty() || !failures.is_empty(), "no such case");
    let rows = two_at_a_time(cases, |case| {
        let row = case::run(case);
        eprintln!("{} ({:.1} s): {}", row.case, row.took.as_secs_f64(), ended(&row));
        row
    });
    print(&rows, begin.elapsed());
    for row in &rows {
        if let Err(error) = &row.ended {
            failures.push(format!("{}: {error:#}", row.case));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases failed:\n\n{}",
        failures.len(),
        rows.len(),
        failures.join("\n\n")
    );
}

fn two_at_a_time<T: Send, R: Send>(work: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    let waiting: Mutex<VecDeque<_>> = Mutex::new(work.into_iter().enumerate().collect());
    let done = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some((index, item)) = next() {
                    let result = run(item);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push((index, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn print(rows: &[Row], took: Duration) {
    eprintln!(
        "{:<28} {:<12} {:<7} {:>6}  ended",
        "operation", "step", "place", "s"
    );
    for row in rows {
        eprintln!(
            "{:<28} {:<12} {:<7} {:>6.1}  {}",
            row.case.scenario.name(),
            row.case.step,
            row.case.place,
            row.took.as_secs_f64(),
            ended(row).lines().next().unwrap_or_default()
        );
    }
    let good = rows.iter().filter(|row| row.ended.is_ok()).count();
    eprintln!(
        "{good} of {} cases good, in {:.0} s",
        rows.len(),
        took.as_secs_f64()
    );
}

fn ended(row: &Row) -> String {
    match &row.ended {
        Ok(None) => "there was nothing to wait for this time".to_owned(),
        Ok(Some(outcome)) => {
            let operation = outcome.operation.as_ref();
            let words = operation.map_or_else(
                || "forgotten, and everything is as it was".to_owned(),
                |operation| {
                    let result = operation.result.as_ref().map(ToString::to_string);
                    format!("{:?}: {}", operation.state, result.unwrap_or_default())
                },
            );
            format!("{words}; lost {}, rescue files {}", outcome.lost, outcome.rescues)
        }
        Err(error) => format!("FAILED: {error:#}"),
    }
}
