//! What needs a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sterna_model::{Alert, AlertCode, OperationKind, StepState};
use sterna_node::adopt::ConfigPersistence;
use sterna_replication::LinkState;

use crate::plan::health::Verdict;
use crate::state::GroupState;

/// Since when each alert has stood, by its code and subject.
#[derive(Debug, Default)]
pub(super) struct AlertsSince(BTreeMap<(AlertCode, String), Timestamp>);

impl AlertsSince {
    /// What needs a person now, each with the time since when.
    pub(super) fn alerts(&mut self, state: &GroupState, now: Timestamp) -> Vec<Alert> {
        let found = found(state);
        let key = |alert: &Found| (alert.code, alert.subject.clone());
        self.0
            .retain(|known, _| found.iter().any(|alert| key(alert) == *known));
        found
            .into_iter()
            .map(|alert| Alert {
                since: *self.0.entry(key(&alert)).or_insert(now),
                code: alert.code,
                severity: alert.code.severity(),
                subject: alert.subject,
                text: alert.text,
            })
            .collect()
    }
}

struct Found {
    code: AlertCode,
    subject: String,
    text: String,
}

fn found(state: &GroupState) -> Vec<Found> {
    let known = state.known();
    let mut found = Vec::new();
    let mut add = |code, subject: String, text: String| {
        found.push(Found { code, subject, text });
    };
    for node in &known.nodes {
        if let Some(ConfigPersistence::UntilRestart(why)) = &node.kept {
            let text = format!(
                "its settings are lost when it restarts ({why}): until the gateway puts it right it is then what its \
                 configuration file says, without the fence. Start it with a configuration file that it can write"
            );
            add(AlertCode::ConfigNotKept, node.key.to_string(), text);
        }
        if let Some(why) = &node.repair_failure {
            add(AlertCode::RepairFailed, node.key.to_string(), why.clone());
        }
    }
    let link = &known.link.status;
    let primary = known.record.primary.to_string();
    if let LinkState::Holding(reason) = &link.link {
        add(AlertCode::ReplicationHolds, primary.clone(), reason.to_string());
    }
    if let Some(error) = &link.disk_error {
        let text = format!(
            "the replication log is kept in memory only: {error}. Replication goes on; a longer outage would mean a full \
             copy. Free space on the gateway's disk"
        );
        add(AlertCode::LogDisk, "gateway".to_owned(), text);
    }
    let rejoin = state.run().map(|run| &run.operation);
    let stuck = rejoin
        .filter(|operation| operation.kind == OperationKind::Rejoin)
        .and_then(|operation| operation.steps.last())
        .filter(|step| step.state == StepState::Failed);
    if let Some(step) = stuck {
        for former in &known.record.former_primaries {
            let subject = former.service.to_string();
            add(AlertCode::RejoinStuck, subject, step.reason.clone());
        }
    }
    if matches!(state.verdict(), Verdict::LeftToPeople(_)) {
        add(AlertCode::PrimaryLost, primary, state.verdict().to_string());
    }
    found
}
