//! What must be true at the end of every case: the invariants I1 to I5, and an operation that has ended.

use anyhow::{Context as _, Result, bail, ensure};
use sterna_harness::{Rescues, absent};
use sterna_model::{Certainty, Group, Operation, OperationState, ServiceName};
use sterna_testkit::{Reply, digests_equal};

use crate::follow::PREFIX;
use crate::order;
use crate::scenario::Scenario;
use crate::world::{AP, Before, EU, WITNESS, World};

/// What a case came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// None where nobody knew of it after the restart.
    pub(crate) operation: Option<Operation>,
    /// Writes that were acknowledged and that the primary does not have.
    pub(crate) lost: usize,
    /// Rescue files.
    pub(crate) rescues: usize,
}

/// Checks everything. All clients are stopped, and the gateway runs.
pub(crate) fn all(
    scenario: Scenario,
    world: &World,
    before: &Before,
    operation: Option<Operation>,
) -> Result<Outcome> {
    let state = operation.as_ref().map(|operation| operation.state);
    let succeeded = state == Some(OperationState::Succeeded);
    let services = if succeeded {
        scenario.services_after()
    } else {
        scenario.services()
    };
    let fits = operation
        .as_ref()
        .is_none_or(|operation| scenario.may_end(operation));
    ensure!(fits, "it ended otherwise: {operation:#?}");
    everything_has_ended(world)?;
    let group = world.gateway.group()?;
    members(world, before, group.as_ref(), services, succeeded)?;
    let rescues = Rescues::load(&world.gateway)?;
    let lost = match services {
        [] => 0,
        [primary, replicas @ ..] => {
            for replica in replicas {
                digests_equal(world.server(primary)?, world.server(replica)?)
                    .with_context(|| format!("I2: {replica} differs from {primary}"))?;
            }
            let lost = losses(scenario, world, primary, &rescues).context("I3")?;
            copies(scenario, world, before, &rescues).context("I5")?;
            reported(&world.gateway.operations()?, &rescues)?;
            lost
        }
    };
    nobody_was_emptied(scenario, world, before, succeeded).context("I4")?;
    one_writer(scenario, world, services, succeeded).context("I1")?;
    Ok(Outcome {
        operation,
        lost,
        rescues: rescues.len(),
    })
}

/// No operation stays under way, and what is past its point of no return was completed.
fn everything_has_ended(world: &World) -> Result<()> {
    for operation in world.gateway.operations()? {
        ensure!(operation.state.is_final(), "it is never over: {operation:#?}");
        ensure!(
            operation.state == OperationState::Succeeded || !operation.committed,
            "it was decided, and not completed: {operation:#?}"
        );
    }
    Ok(())
}

/// The group has these services, in a term that is the last of an ever growing row; nothing changed where nothing should.
fn members(
    world: &World,
    before: &Before,
    group: Option<&Group>,
    services: &[&str],
    succeeded: bool,
) -> Result<()> {
    let Some(group) = group else {
        ensure!(services.is_empty(), "the group is gone");
        return Ok(());
    };
    let names: Vec<&str> = group.services().map(ServiceName::as_str).collect();
    ensure!(
        names == services,
        "the group has {names:?} instead of {services:?}"
    );
    let history = world.gateway.history()?;
    let grows = history.windows(2).all(|pair| pair[0].epoch < pair[1].epoch);
    let last = history.last().context("a group has a history")?;
    ensure!(grows && last.epoch == group.epoch, "{group:#?}, {history:#?}");
    ensure!(last.primary == group.primary, "{group:#?}, {history:#?}");
    if let Some(before) = &before.group {
        ensure!(
            before.epoch <= group.epoch,
            "epoch {} after {}",
            group.epoch,
            before.epoch
        );
        let nodes = |group: &Group| -> Vec<_> {
            let shards = group.shards.values();
            shards.map(|shard| shard.primary_node.clone()).collect()
        };
        let same = nodes(before) == nodes(group) && before.epoch == group.epoch;
        ensure!(succeeded || same, "something changed: {before:#?}, {group:#?}");
    }
    let fenced = group.shards.values().all(|shard| shard.fence_in_place);
    ensure!(fenced, "the fence is not in place: {group:#?}");
    Ok(())
}

/// I3: what was acknowledged and is not at the primary is in a rescue file. How many writes that are.
fn losses(scenario: Scenario, world: &World, primary: &str, rescues: &Rescues) -> Result<usize> {
    let mut client = world.server(primary)?.connect()?;
    let writer = world.writer.as_ref().context("clients were started")?;
    let numbers = writer.acknowledgements();
    let mut acknowledged: Vec<String> = numbers
        .iter()
        .map(|write| format!("{PREFIX}:{}", write.number))
        .collect();
    for (name, probe) in &world.probes {
        // What it takes after it left is its own.
        if scenario == Scenario::Detach && *name == AP {
            continue;
        }
        let own = probe.writes().into_iter();
        acknowledged.extend(own.map(|write| format!("{}:{}", probe.prefix, write.number)));
    }
    let lost = absent(&mut client, &acknowledged)?;
    let count = lost.len();
    let nowhere = rescues.without(&lost)?;
    ensure!(
        nowhere.is_empty() || scenario.memory_is_lost(),
        "{} acknowledged writes are nowhere: {nowhere:?}",
        nowhere.len()
    );
    if matches!(scenario, Scenario::Switchover | Scenario::SwitchoverTakenBack) {
        ensure!(count == 0, "a planned change of primary lost {count} writes");
        ensure!(
            rescues.is_empty(),
            "a planned change of primary left writes behind"
        );
    }
    Ok(count)
}

/// I5: a full copy went only to who could not continue.
fn copies(scenario: Scenario, world: &World, before: &Before, rescues: &Rescues) -> Result<()> {
    let needless = world.gateway.status()?.needless_full_syncs();
    ensure!(needless == 0, "{needless} full copies that were not needed");
    let now = world.now()?;
    let mut any = false;
    for (index, node) in world.nodes.iter().enumerate() {
        let (was, is) = (before.copies_taken[index], now.copies_taken[index]);
        let needs = scenario.needs_copy().contains(&node.name) || rescues.has(node.name);
        ensure!(is == was || needs, "{} was copied {} times", node.name, is - was);
        any |= is != was;
    }
    if any {
        return Ok(());
    }
    for (index, node) in world.nodes.iter().enumerate() {
        let (was, is) = (&before.copies_given[index], &now.copies_given[index]);
        let restarted = was.is_none() || is.as_deref() == Some("0");
        ensure!(
            was == is || restarted,
            "{} has given full copies: {was:?}, now {is:?}",
            node.name
        );
    }
    Ok(())
}

/// The report of a change of primary counts what was saved.
fn reported(operations: &[Operation], rescues: &Rescues) -> Result<()> {
    let exact = operations
        .iter()
        .filter_map(|operation| operation.report.as_ref())
        .find(|report| report.rpo.certainty == Certainty::Exact);
    if let Some(report) = exact {
        let (says, saved) = (report.rpo.commands, rescues.commands());
        ensure!(
            says == Some(saved),
            "{saved} writes were saved, and the report says {report:#?}"
        );
    }
    Ok(())
}

/// I4: no node was ever seen without its data, except around a full copy, which I5 judges; and none is at the end.
fn nobody_was_emptied(scenario: Scenario, world: &World, before: &Before, succeeded: bool) -> Result<()> {
    let now = world.now()?;
    for (index, node) in world.nodes.iter().enumerate() {
        let copied = now.copies_taken[index] > before.copies_taken[index];
        for (_, probe) in world.probes.iter().filter(|(name, _)| *name == node.name) {
            let empty = probe.without_witness();
            ensure!(
                copied || empty == 0,
                "{} was seen {empty} times without its data",
                node.name
            );
        }
    }
    let members = [&[EU], scenario.services()].concat();
    for node in &world.nodes {
        // One that never joined has nothing of the group's.
        if !succeeded && !members.contains(&node.name) {
            continue;
        }
        let there = node.server.connect()?.cmd(&["EXISTS", WITNESS])?.int();
        ensure!(there == Some(1), "{} has lost its data", node.name);
    }
    Ok(())
}

/// I1: one service took writes at a time, and now it is the primary alone.
fn one_writer(scenario: Scenario, world: &World, services: &[&str], succeeded: bool) -> Result<()> {
    // A group that was deleted has no terms any more; those that leave take no writes either.
    if !services.is_empty() {
        let known: Vec<_> = world.gateway.history()?;
        let primaries: Vec<&str> = known.iter().map(|entry| entry.primary.as_str()).collect();
        let members = world
            .probes
            .iter()
            .filter(|(name, _)| services.contains(name) && scenario.out_of_order() != Some(name));
        let writes: Vec<_> = members.map(|(name, probe)| (*name, probe.writes())).collect();
        order::demand(&writes, &primaries)?;
    }
    let primary = services.first().copied().unwrap_or(EU);
    for node in &world.nodes {
        let answer = node.server.connect()?.raw(&["SET", "whose", node.name])?;
        let detached = scenario == Scenario::Detach && node.name == AP && succeeded;
        // One that never joined is nobody's replica.
        let apart = !succeeded && !services.contains(&node.name);
        match answer {
            Reply::Simple(_) if node.name == primary || detached || apart => {}
            Reply::Error(text) if node.name != primary && !detached && text.starts_with("READONLY") => {}
            answer => bail!("{} answers {answer:?}, and the primary is {primary}", node.name),
        }
    }
    Ok(())
}
