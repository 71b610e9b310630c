//! Waiting until a group is healthy again, and doing what a person would where it says that it waits for one.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use sterna_harness::{GROUP, Gateway};
use sterna_model::{
    Activity, AlertReason, GroupReason, GroupState, GroupStatus, Operation, OperationState, OperationWait,
    PrimaryVerdict,
};
use sterna_testkit::server::SentinelServer;
use sterna_testkit::try_wait_until;

use super::judge::Afterwards;
use super::world::{FIRST, WATCHED, World, service_of};
use crate::operate::nodes::{Node, pause};

/// A group is healthy again this long after everything was healed, or says for whom it waits.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);
/// It stays healthy for so long before that is believed: the last fault's consequences are seen by then.
const STAYS: Duration = Duration::from_millis(2_500);
/// A Sentinel acts on a primary that follows somebody after its `down-after-milliseconds` and two of its looks, some 25 s.
const SENTINEL_ACTS: Duration = Duration::from_secs(35);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Waits for it.
pub(super) fn wait(world: &World<'_>) -> Afterwards {
    match world.site() {
        Ok(site) => wait_at(site, &world.run.nodes, world.sentinel.as_ref()),
        Err(error) => Afterwards::Stuck(format!("{error:#}")),
    }
}

fn wait_at(site: &Gateway, nodes: &[Node], sentinel: Option<&SentinelServer>) -> Afterwards {
    let healed = Instant::now();
    let healthy = |stays| healthy(site, nodes, stays);
    let first = healthy(STAYS);
    let after = healed.elapsed().saturating_sub(STAYS);
    // The Sentinel of a service that is a replica service now must leave its nodes alone.
    let moved = |site: &Gateway| {
        let status = site.status().ok();
        status.is_some_and(|status| {
            status
                .services
                .first()
                .is_some_and(|first| first.name.as_str() != FIRST)
        })
    };
    let first = first.and_then(|()| {
        if sentinel.is_some() && moved(site) {
            healthy(SENTINEL_ACTS)
        } else {
            Ok(())
        }
    });
    let Err(error) = first else {
        return Afterwards::Healthy(after);
    };
    let Some(wanted) = wanted_of_a_person(site) else {
        return match taken_away(site).zip(sentinel) {
            Some((alert, sentinel)) => without_sentinel(sentinel, alert, || healthy(STAYS)),
            None => Afterwards::Stuck(format!("{error:#}")),
        };
    };
    let asked: Result<Operation> = site
        .rest
        .post(&format!("/groups/{GROUP}/failover"), &json!({ "force": true }));
    let decided = asked.and_then(|operation| site.wait_operation(operation.id));
    match decided.and_then(|_| healthy(STAYS)) {
        Ok(()) => Afterwards::ByAPerson(wanted),
        Err(error) => Afterwards::Stuck(format!("after a person decided on {wanted:?}: {error:#}")),
    }
}

/// What it says of Sentinels that take nodes away from it, if it does.
fn taken_away(site: &Gateway) -> Option<String> {
    let status = site.status().ok()?;
    let mut alerts = status.alerts.into_iter();
    let alert = alerts.find(|alert| matches!(alert.reason, AlertReason::NodesTakenAway { .. }))?;
    Some(alert.reason.to_string())
}

/// A person does what the alert says: the Sentinel is told to leave the service alone.
fn without_sentinel(
    sentinel: &SentinelServer,
    alert: String,
    healthy: impl FnOnce() -> Result<()>,
) -> Afterwards {
    let told = sentinel
        .connect()
        .and_then(|mut client| client.cmd(&["SENTINEL", "REMOVE", WATCHED]));
    match told.and_then(|_| healthy()) {
        Ok(()) => Afterwards::ByAPerson(alert),
        Err(error) => Afterwards::Stuck(format!(
            "after SENTINEL REMOVE, as wanted by {alert:?}: {error:#}"
        )),
    }
}

/// Waits until it is healthy for so long without a break.
fn healthy(site: &Gateway, nodes: &[Node], stays: Duration) -> Result<()> {
    let mut since: Option<Instant> = None;
    try_wait_until(
        HEALTHY_WITHIN + stays,
        "the group to be healthy",
        || -> Result<()> {
            pause(LOOK_EVERY);
            let is_well = is_healthy(site)
                .and_then(|()| all_joined(site, nodes))
                .and_then(|()| one_primary(nodes));
            if let Err(error) = is_well {
                since = None;
                return Err(error);
            }
            let lasts = since.get_or_insert_with(Instant::now).elapsed();
            if lasts < stays {
                bail!("healthy for {lasts:?}");
            }
            Ok(())
        },
    )
}

fn is_healthy(site: &Gateway) -> Result<()> {
    let status = site.status()?;
    let former = site
        .group()?
        .map(|group| group.former_primaries().cloned().collect::<Vec<_>>())
        .unwrap_or_default();
    if status.summary.state == GroupState::Healthy && status.summary.operation.is_none() && former.is_empty()
    {
        return Ok(());
    }
    bail!("{}; former primaries {former:?}", told(site, &status))
}

/// A failover ends an operation that adds a service, and says so: a person asks for it again.
fn all_joined(site: &Gateway, nodes: &[Node]) -> Result<()> {
    let members = site.status()?.services;
    let outside = nodes
        .iter()
        .map(|node| service_of(&node.name))
        .find(|service| members.iter().all(|member| member.name.as_str() != *service));
    let Some(service) = outside else { return Ok(()) };
    let asked: Operation = site.rest.post(
        &format!("/groups/{GROUP}/replicas"),
        &json!({ "service": service }),
    )?;
    bail!("operation {} adds {service} once more", asked.id)
}

/// Whether one node alone holds itself for a primary: a Sentinel demotes the one that it replaced after some 10 s.
fn one_primary(nodes: &[Node]) -> Result<()> {
    let mut primaries = Vec::new();
    for node in nodes {
        let role = node.server.connect_locally()?.info_field("replication", "role")?;
        if role == "master" {
            primaries.push(&node.name);
        }
    }
    ensure!(
        primaries.len() == 1,
        "it is healthy, and these are primaries: {primaries:?}"
    );
    Ok(())
}

/// A status in a few words, with what its operation does.
fn told(site: &Gateway, status: &GroupStatus) -> String {
    let summary = &status.summary;
    let mut words = vec![format!("{}: {}", summary.state.as_str(), summary.reason)];
    for service in status.services.iter().filter(|service| !service.ok) {
        words.push(format!("{}: {}", service.name, service.condition));
    }
    if let Some(operation) = summary.operation.and_then(|id| site.operation(id).ok()) {
        let now = operation.now.map(|now| now.to_string()).unwrap_or_default();
        words.push(format!("operation {} ({}): {now}", operation.id, operation.kind));
    }
    words.extend(status.alerts.iter().map(|alert| format!("alert {alert:?}")));
    words.join("; ")
}

/// What it says that a person has to decide, if it does.
fn wanted_of_a_person(site: &Gateway) -> Option<String> {
    let status = site.status().ok()?;
    match &status.summary.reason {
        GroupReason::Primary {
            verdict: PrimaryVerdict::LeftToPeople(obstacle),
            ..
        } => return Some(obstacle.to_string()),
        GroupReason::Holds(reason) => return Some(reason.to_string()),
        _ => {}
    }
    let operations = site.operations().ok()?;
    let forced = operations.iter().any(|operation| {
        operation.state == OperationState::Running
            && operation.now == Some(Activity::Wait(OperationWait::Force))
    });
    forced.then(|| OperationWait::Force.to_string())
}
