//! A run as the judge reads it: what clients were told, what the group keeps and said, what its rescue files hold.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use sterna_harness::{Rescues, absent, keys};
use sterna_model::{HistoryCause, OperationId, StepName};
use sterna_testkit::compare::equal_over;

use super::acts::Done;
use super::clients::Clients;
use super::judge::{Account, Afterwards, Bound, End, Gone, GoneWhy, Lost, Moment, Term, Write};
use super::watch::Seen;
use super::world::{World, service_of};
use crate::operate::nodes::Node;

/// A Sentinel names its new primary within this after it was promoted, or one look of the watch later.
const SENTINEL_PROMOTES: Duration = Duration::from_millis(2_500);
/// A gateway that sees the nodes has noticed a promotion by then, and nobody writes to the old primary any more.
const NOTICED_WITHIN: Duration = Duration::from_secs(2);

/// Gathers it all. Clients have stopped, and the group is at rest.
pub(super) fn account(
    world: &World<'_>,
    clients: &Clients,
    done: Done,
    seen: &Seen,
    afterwards: Afterwards,
) -> Result<Account> {
    let services = world.services();
    let terms = terms(world, &services, seen)?;
    let mut gone = done.gone;
    for (at, _) in seen.watched.iter().skip(1) {
        // While the gateway sees nothing of it, it can do nothing about it.
        let blind =
            |(from, until): &(Moment, Moment)| (from.saturating_sub(NOTICED_WITHIN)..=*until).contains(at);
        let Some((_, until)) = done.gateway_sees_nothing.filter(blind) else {
            continue;
        };
        gone.push(Gone {
            why: GoneWhy::Sentinel,
            service: 0,
            from: at.saturating_sub(SENTINEL_PROMOTES),
            until: until + NOTICED_WITHIN,
        });
    }
    let primary = primary(world)?;
    let writes = writes(world, clients, &services)?;
    Ok(Account {
        lost: lost(world, clients, &writes, primary)?,
        // Of a group that does not come to rest nothing can be compared.
        differences: match afterwards {
            Afterwards::Stuck(_) => None,
            _ => differences(world, primary)?,
        },
        copies_within_history: world.site()?.status()?.needless_full_syncs(),
        nothing_to_go_on_from: world.plan.keeps_nothing_but_a_small_tail(),
        services,
        writes,
        terms,
        exceptions: done.exceptions,
        gone,
        samples: seen.samples.clone(),
        afterwards,
    })
}

/// The node that is the primary at the end.
fn primary<'a>(world: &'a World<'_>) -> Result<&'a Node> {
    let status = world.site()?.status()?;
    let address = status
        .shards
        .first()
        .and_then(|shard| shard.primary_node.as_ref());
    let port = address.context("no primary is known at the end")?.port;
    let found = world.run.nodes.iter().find(|node| node.server.port() == port);
    found.with_context(|| format!("the primary is at port {port}, and nobody of the run is"))
}

/// The terms, as the group's history and operations tell them.
fn terms(world: &World<'_>, services: &[String], seen: &Seen) -> Result<Vec<Term>> {
    let site = world.site()?;
    let operations = site.operations()?;
    let moment = |wall| world.moment(wall);
    let mut terms: Vec<Term> = Vec::new();
    for entry in site.history()? {
        let service = services
            .iter()
            .position(|service| service == entry.primary.as_str());
        let operation = entry
            .operation
            .and_then(|id| operations.iter().find(|known| known.id == id));
        let promoted = operation.and_then(|operation| {
            let promote = operation.steps.iter().find(|step| step.name == StepName::Promote);
            promote.map(|step| step.started_at)
        });
        let from = match entry.cause {
            HistoryCause::Created => Moment::ZERO,
            HistoryCause::WithinService => moment(entry.at),
            HistoryCause::Failover | HistoryCause::Switchover => {
                moment(promoted.with_context(|| format!("no promotion in {operation:#?}"))?)
            }
        };
        if let Some(last) = terms.last_mut() {
            last.to = Some(from);
            last.end = Some(match entry.operation {
                Some(id) => ended_by(id, &seen.reports),
                None => End::Unreported,
            });
        }
        terms.push(Term {
            epoch: entry.epoch.0,
            service: service.context("a primary that is no service of the run")?,
            from,
            to: None,
            end: None,
        });
    }
    Ok(terms)
}

fn ended_by(id: OperationId, reports: &BTreeMap<OperationId, Vec<Bound>>) -> End {
    reports
        .get(&id)
        .map_or(End::Unreported, |bounds| End::Reported(bounds.clone()))
}

fn writes(world: &World<'_>, clients: &Clients, services: &[String]) -> Result<Vec<Write>> {
    let mut places = BTreeMap::new();
    for node in &world.run.nodes {
        let service = services
            .iter()
            .position(|service| service == service_of(&node.name));
        places.insert(node.server.address(), service.context("a service of each node")?);
    }
    let mut writes = Vec::new();
    for (writer, client) in clients.writers.iter().enumerate() {
        for write in client.writes.acknowledgements() {
            let service = places.get(&write.by);
            writes.push(Write {
                writer,
                number: write.number,
                at: write.at.saturating_duration_since(world.begin),
                service: *service.with_context(|| format!("nobody of the run is at {}", write.by))?,
            });
        }
    }
    Ok(writes)
}

/// The acknowledged writes that the primary does not have, and whether a rescue file has them.
fn lost(world: &World<'_>, clients: &Clients, writes: &[Write], primary: &Node) -> Result<Vec<Lost>> {
    let rescues = Rescues::load(world.site()?)?;
    let mut all = Vec::new();
    for (index, client) in clients.writers.iter().enumerate() {
        let own: Vec<&Write> = writes.iter().filter(|write| write.writer == index).collect();
        let numbers: Vec<u64> = own.iter().map(|write| write.number).collect();
        let mut connection = primary.server.connect_locally()?;
        let missing = absent(&mut connection, &keys(&client.prefix, &numbers))?;
        let nowhere: BTreeSet<String> = rescues.without(&missing)?.into_iter().collect();
        let missing: BTreeSet<String> = missing.into_iter().collect();
        for write in own {
            let key = format!("{}:{}", client.prefix, write.number);
            if missing.contains(&key) {
                all.push(Lost {
                    write: *write,
                    bytes: stream_bytes(&key, write.number),
                    rescued: !nowhere.contains(&key),
                });
            }
        }
    }
    all.sort_by_key(|lost| lost.write.at);
    Ok(all)
}

/// What `SET key number` takes in the stream.
fn stream_bytes(key: &str, number: u64) -> u64 {
    let mut wire = Vec::new();
    sterna_testkit::client::encode(&mut wire, &["SET", key, &number.to_string()]);
    wire.len() as u64
}

/// How the data of the group's nodes differ from the primary's.
fn differences(world: &World<'_>, primary: &Node) -> Result<Option<String>> {
    let status = world.site()?.status()?;
    let members: Vec<&str> = status
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    for node in &world.run.nodes {
        let belongs = members.contains(&service_of(&node.name)) && node.name != primary.name;
        if !belongs {
            continue;
        }
        // From beside them: nothing is slow there.
        let equal = equal_over(
            || primary.server.connect_locally(),
            || node.server.connect_locally(),
        );
        if let Err(error) = equal {
            return Ok(Some(format!("{} and {}: {error:#}", primary.name, node.name)));
        }
    }
    Ok(None)
}
