//! What needs a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sterna_log::KeptAside;
use sterna_model::{
    Alert, AlertCode, AlertReason, AlertSubject, LinkState, OperationKind, ServiceName, StepDetail,
};
use sterna_node::adopt::{ConfigPersistence, NotKept};
use sterna_store::Room;

use crate::plan::NodeId;
use crate::plan::health::Verdict;
use crate::state::GroupState;
use crate::time::{Moment, Now};

/// Once may be a person's doing.
const TAKEN_AWAY_MIN: usize = 2;

/// Since when each alert has stood, by its code and subject.
#[derive(Debug, Default)]
pub(super) struct AlertsSince(BTreeMap<(AlertCode, AlertSubject), Timestamp>);

impl AlertsSince {
    /// What needs a person now, each with the time since when; `tls` is what is wrong with TLS files that have changed, `aside`
    /// what is kept aside of the log.
    pub(super) fn alerts(
        &mut self,
        state: &GroupState,
        tls: &[String],
        aside: &[KeptAside],
        now: Now,
    ) -> Vec<Alert> {
        let mut found = found(state, now.at);
        if let Some(last) = aside.last() {
            let reason = AlertReason::LogDamaged {
                error: last.why.clone(),
                kept_in: aside.iter().map(|kept| kept.dir.display().to_string()).collect(),
            };
            found.push((reason, AlertSubject::Gateway));
        }
        // One at the most: it is about the gateway, and names the files.
        if !tls.is_empty() {
            let error = tls.join("; ");
            found.push((AlertReason::TlsFiles { error }, AlertSubject::Gateway));
        }
        let key = |(reason, subject): &(AlertReason, AlertSubject)| (reason.code(), subject.clone());
        self.0
            .retain(|known, _| found.iter().any(|alert| key(alert) == *known));
        found
            .into_iter()
            .map(|alert| {
                let since = *self.0.entry(key(&alert)).or_insert(now.wall);
                let (reason, subject) = alert;
                Alert {
                    since,
                    severity: reason.code().severity(),
                    reason,
                    subject,
                }
            })
            .collect()
    }
}

fn found(state: &GroupState, now: Moment) -> Vec<(AlertReason, AlertSubject)> {
    let known = state.known();
    let mut found = Vec::new();
    let mut add = |reason, subject| found.push((reason, subject));
    for node in &known.nodes {
        let subject = || AlertSubject::Node {
            service: node.key.service.clone(),
            address: node.key.address.clone(),
        };
        if let Some(ConfigPersistence::UntilRestart(NotKept { error, by_hand })) = node.kept.clone() {
            add(AlertReason::ConfigNotKept { error, by_hand }, subject());
        }
        if let Some(milliseconds) = node.clock.step_millis(now) {
            add(AlertReason::ClockStep { milliseconds }, subject());
        }
        if let Some(error) = node.repair_failure.clone() {
            add(AlertReason::RepairFailed { error }, subject());
        }
    }
    let link = &known.link.status;
    for (id, node) in known
        .nodes
        .iter()
        .enumerate()
        .map(|(place, node)| (NodeId(place), node))
    {
        if let Some(obstacle) = super::status::held_copy(known, id) {
            let subject = AlertSubject::Node {
                service: node.key.service.clone(),
                address: node.key.address.clone(),
            };
            add(AlertReason::CopyHeld(obstacle.clone()), subject);
        }
    }
    let service = |name: &ServiceName| AlertSubject::Service {
        service: name.clone(),
    };
    let primary = &known.record.primary;
    for name in &known.record.replicas {
        let times = known.taken_away(name);
        if times >= TAKEN_AWAY_MIN {
            let watched_as = known.sentinels.name_of(name).map(str::to_owned);
            add(AlertReason::NodesTakenAway { times, watched_as }, service(name));
        }
    }
    if let LinkState::Holding(reason) = &link.link {
        add(AlertReason::ReplicationHolds(reason.clone()), service(primary));
    }
    if let Some(error) = link.copy_error.clone() {
        add(AlertReason::CopyFails { error }, service(primary));
    }
    if let Some(error) = link.disk_error.clone() {
        add(AlertReason::LogDisk { error }, AlertSubject::Gateway);
    }
    if known.store_room != Room::Enough {
        let decisions = known.store_room == Room::Decisions;
        add(AlertReason::StoreDisk { decisions }, AlertSubject::Gateway);
    }
    let rejoin = state.run().map(|run| &run.operation);
    let last = rejoin
        .filter(|operation| operation.kind == OperationKind::Rejoin)
        .and_then(|operation| operation.steps.last());
    if let Some(StepDetail::Failed { error }) = last.map(|step| &step.detail) {
        for former in &known.shard().former_primaries {
            let error = error.clone();
            add(AlertReason::RejoinStuck { error }, service(&former.service));
        }
    }
    if let Verdict::LeftToPeople(obstacle) = *state.verdict() {
        add(AlertReason::PrimaryLost(obstacle), service(primary));
    }
    found
}
