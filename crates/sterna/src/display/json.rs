//! One JSON object per event, on stdout. Every object has `event` and `time`; the shape is stable.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sterna_model::Check;
use sterna_replication::{Notice, Status};

use super::Display;
use crate::output;

/// How often the status is printed.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Json {
    status_at: Option<Instant>,
}

impl Display for Json {
    fn checks(&mut self, checks: &[Check]) {
        for check in checks {
            print("check", json!(check));
        }
    }

    fn notice(&mut self, notice: &Notice) {
        let (event, fields) = notice_fields(notice);
        print(event, fields);
    }

    fn status(&mut self, status: &Status) {
        if self.status_at.is_some_and(|at| at.elapsed() < STATUS_INTERVAL) {
            return;
        }
        self.status_at = Some(Instant::now());
        print("status", status_fields(status));
    }

    fn end(&mut self, words: &str) {
        print("end", json!({ "message": words }));
    }
}

/// The status as fields.
pub(crate) fn status_fields(status: &Status) -> Value {
    json!({
        "state": status.link.word(),
        "primary": status.primary,
        "history": status.history,
        "log_start": status.log_start,
        "log_end": status.log_end,
        "log_durable": status.log_durable,
        "log_bytes": status.log_bytes,
        "disk_error": status.disk_error,
        "primary_offset": status.primary_offset,
        "lag_bytes": status.lag_bytes(),
        "lag_seconds": status.lag_seconds(tokio::time::Instant::now()),
        "copy": status.copy,
        "copy_error": status.copy_error,
        "memory_bytes": status.memory_bytes,
        "replicas": status.followers,
        "counters": status.counters,
    })
}

fn notice_fields(notice: &Notice) -> (&'static str, Value) {
    match notice {
        Notice::Connected { primary } => ("connected", json!({ "primary": primary })),
        Notice::Begun { id, offset, reason } => (
            "begun",
            json!({ "history": id, "offset": offset, "reason": reason }),
        ),
        Notice::CopyFailed { reason } => ("full-sync-failed", json!({ "reason": reason })),
        Notice::FullSyncStarted { id, offset, reason } => (
            "full-sync-started",
            json!({ "history": id, "offset": offset, "reason": reason }),
        ),
        Notice::FullSyncReceived { bytes, took } => (
            "full-sync-received",
            json!({ "bytes": bytes, "seconds": took.as_secs_f64() }),
        ),
        Notice::Resumed { offset, new_id } => ("resumed", json!({ "offset": offset, "new_history": new_id })),
        Notice::CutBack { to, bytes } => ("cut-back", json!({ "to": to, "bytes": bytes })),
        Notice::Holding(reason) => ("holding", json!({ "reason": reason.to_string() })),
        Notice::Lost { reason, retry_in } => (
            "lost",
            json!({ "reason": reason, "retry_in_seconds": retry_in.as_secs_f64() }),
        ),
        Notice::Corrupt { reason } => ("corrupt", json!({ "reason": reason })),
        Notice::CopyHeld { peer, obstacle } => (
            "full-sync-held",
            json!({ "peer": peer, "obstacle": obstacle, "reason": obstacle.to_string() }),
        ),
        Notice::FollowerFullSync { peer } => ("replica-full-sync", json!({ "peer": peer })),
        Notice::FollowerResumed { peer, offset } => {
            ("replica-resumed", json!({ "peer": peer, "offset": offset }))
        }
        Notice::FollowerOnline { peer } => ("replica-online", json!({ "peer": peer })),
        Notice::FollowerGone { peer, reason } => ("replica-gone", json!({ "peer": peer, "reason": reason })),
        Notice::DiskFailed { reason } => ("disk-failed", json!({ "reason": reason })),
        Notice::DiskRecovered => ("disk-recovered", json!({})),
    }
}

fn print(event: &str, fields: Value) {
    let mut object = serde_json::Map::new();
    object.insert("event".to_owned(), event.into());
    object.insert("time".to_owned(), jiff::Timestamp::now().to_string().into());
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    output::data(&Value::Object(object).to_string());
}
