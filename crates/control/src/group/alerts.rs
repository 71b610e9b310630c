//! What needs a person.

use jiff::Timestamp;
use sterna_model::{Alert, OperationKind, Severity, StepState};
use sterna_node::adopt::Kept;
use sterna_replication::LinkState;

use super::owner::Owner;
use crate::plan::health::Verdict;

impl Owner {
    /// What needs a person now, each with the time since when.
    pub(super) fn alerts(&mut self) -> Vec<Alert> {
        let mut found: Vec<(&'static str, Severity, String, String)> = Vec::new();
        for node in &self.nodes {
            let subject = node.key.to_string();
            if let Some(Kept::No(why)) = &node.kept {
                let text = format!(
                    "its settings are lost when it restarts ({why}): until the gateway puts it right it is then what its \
                     configuration file says, without the fence. Start it with a configuration file that it can write"
                );
                found.push(("config-not-kept", Severity::Warning, subject.clone(), text));
            }
            if let Some(why) = self.repair_failures.get(&node.key) {
                found.push(("repair-failed", Severity::Critical, subject, why.clone()));
            }
        }
        let shard = self.shard_status.borrow();
        if let LinkState::Holding(reason) = &shard.link {
            found.push((
                "replication-holds",
                Severity::Critical,
                self.group.primary.to_string(),
                reason.to_string(),
            ));
        }
        if let Some(error) = &shard.disk_error {
            let text = format!(
                "the replication log is kept in memory only: {error}. Replication goes on; a longer outage would mean a full copy. Free space on the gateway's disk"
            );
            found.push(("log-disk", Severity::Critical, "gateway".to_owned(), text));
        }
        drop(shard);
        for former in &self.group.former_primaries {
            if let Some(operation) = self
                .operation
                .as_ref()
                .filter(|operation| operation.kind == OperationKind::Rejoin)
                && let Some(step) = operation
                    .steps
                    .last()
                    .filter(|step| step.state == StepState::Failed)
            {
                found.push((
                    "rejoin-stuck",
                    Severity::Critical,
                    former.service.to_string(),
                    step.reason.clone(),
                ));
            }
        }
        if matches!(self.verdict, Verdict::LeftToPeople(_)) {
            found.push((
                "primary-lost",
                Severity::Critical,
                self.group.primary.to_string(),
                self.verdict.to_string(),
            ));
        }
        let at = Timestamp::now();
        let keys: Vec<_> = found
            .iter()
            .map(|(code, _, subject, _)| ((*code).to_owned(), subject.clone()))
            .collect();
        self.alerts.retain(|key, _| keys.contains(key));
        for key in keys {
            self.alerts.entry(key).or_insert(at);
        }
        found
            .into_iter()
            .map(|(code, severity, subject, text)| Alert {
                since: self
                    .alerts
                    .get(&(code.to_owned(), subject.clone()))
                    .copied()
                    .unwrap_or(at),
                code: code.to_owned(),
                severity,
                subject,
                text,
            })
            .collect()
    }
}
