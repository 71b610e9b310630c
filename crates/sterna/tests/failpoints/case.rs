//! One case: an operation, and a gateway that dies at one point of it.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use sterna_harness::{GROUP, look_until};
use sterna_model::Operation;

use crate::checks::{self, Outcome};
use crate::gateway::wait_death;
use crate::scenario::Scenario;
use crate::world::World;

/// Instead of a point: the gateway lives, and tells which points it passes.
pub(crate) const RECORD: &str = "record";

/// The point at which an operation is kept for the first time.
pub(crate) const ASK: &str = "ask";

/// Where the gateway dies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) step: String,
    /// `begin`: the step is not kept yet; `before` and `after` it is done; in the `wait`.
    pub(crate) place: String,
}

impl Case {
    /// As the gateway is told.
    pub(crate) fn failpoint(&self) -> String {
        format!("{}.{}.{}", self.scenario.kind(), self.step, self.place)
    }

    /// Whether nobody knows of the operation after the gateway died there: whoever asked has to ask again.
    fn is_forgotten(&self) -> bool {
        self.step == ASK && self.place == "before" && self.scenario.is_asked_for()
    }

    /// Whether this is a wait, which comes about or not.
    fn is_wait(&self) -> bool {
        self.place == "wait"
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.{}", self.scenario.name(), self.step, self.place)
    }
}

/// How a case ended.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) case: Case,
    /// None where the place is a wait that did not come about this time.
    pub(crate) ended: Result<Option<Outcome>>,
    pub(crate) took: Duration,
}

/// Runs it.
pub(crate) fn run(case: Case) -> Row {
    let begin = Instant::now();
    let scenario = case.scenario;
    let ended = World::start(&case.failpoint(), scenario.append_only()).and_then(|mut world| {
        let ended = through(scenario, &mut world, Some(&case)).and_then(|outcome| {
            ensure!(
                outcome.is_some() || case.is_wait(),
                "the failpoint was not reached"
            );
            Ok(outcome)
        });
        with_logs(ended, &world, &case.to_string())
    });
    Row {
        case,
        ended,
        took: begin.elapsed(),
    }
}

/// Runs a scenario with a gateway that lives: the operation, with its steps, and what the gateway has logged.
pub(crate) fn record(scenario: Scenario) -> Result<(Operation, String)> {
    let mut world = World::start(RECORD, scenario.append_only())?;
    let ended = through(scenario, &mut world, None);
    let outcome = with_logs(ended, &world, scenario.name())?.context("nothing kept it")?;
    let operation = outcome.operation.context("there was one")?;
    Ok((operation, world.gateway.log()))
}

/// The whole way; with a case, none where the operation ended without reaching it.
fn through(scenario: Scenario, world: &mut World, case: Option<&Case>) -> Result<Option<Outcome>> {
    let kind = scenario.kind();
    scenario.prepare(world).context("before the operation")?;
    let before = world.now()?;
    let known = world.gateway.newest(kind)?.map(|operation| operation.id);
    let struck = scenario.strike(world);
    if let Some(case) = case {
        let died = wait_death(&mut world.gateway, &case.failpoint(), kind, known);
        match (died, struck) {
            (Ok(true), _) => world.gateway.start_again()?,
            (Ok(false), Ok(())) => return Ok(None),
            (Ok(false), Err(error)) => return Err(error),
            (Err(error), struck) => return Err(error.context(format!("it was asked for: {struck:?}"))),
        }
    } else {
        struck?;
    }
    let forgotten = case.is_some_and(Case::is_forgotten);
    if !forgotten {
        look_until("the operation to end", || {
            let operation = world.gateway.newest(kind)?.context("it has not begun")?;
            ensure!(Some(operation.id) != known, "it has not begun");
            ensure!(scenario.may_end(&operation), "{operation:#?}");
            Ok(())
        })?;
    }
    scenario.mend(world)?;
    let services = if forgotten {
        scenario.services()
    } else {
        scenario.services_after()
    };
    if services.is_empty() {
        look_until("the group to be gone", || {
            ensure!(world.gateway.group()?.is_none(), "{:#?}", world.gateway.status()?);
            Ok(())
        })?;
    } else {
        world.gateway.wait_healthy()?;
    }
    world.wait_writes()?;
    world.stop_clients()?;
    let operation = world
        .gateway
        .newest(kind)?
        .filter(|operation| Some(operation.id) != known);
    checks::all(scenario, world, &before, operation).map(Some)
}

/// Keeps what was logged where something went wrong, and says where.
fn with_logs<T>(result: Result<T>, world: &World, name: &str) -> Result<T> {
    result.map_err(|error| {
        let file: String = name
            .chars()
            .map(|letter| {
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '-'
                }
            })
            .collect();
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{GROUP}-{file}.log"));
        let whole = format!("{error:#}\n{}", world.logs());
        match std::fs::write(&path, whole) {
            Ok(()) => error.context(format!("logs in {}", path.display())),
            Err(_) => error,
        }
    })
}
