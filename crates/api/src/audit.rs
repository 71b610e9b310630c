//! The audit's side of a request: who, from where, what, on what, with what result.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use sterna_model::AuditRecord;
use sterna_protocol::text::one_line;
use sterna_store::Audit;
use tokio::time::Instant;

use crate::limit::{Limiter, Rate};

/// Who has no token could push everything else out of the audit, and make the disk work: so refusals have a rate of their
/// own. What goes beyond it is counted, and the next one that is recorded says how many there were.
const REFUSALS: Rate = Rate {
    burst: 100,
    per_second: 0.1,
};
/// The longest text of a record, in characters.
const TEXT_CHARS_MAX: usize = 500;

/// What a handler has to say about its request; the handler has a clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct AuditNote(Arc<NoteFields>);

#[derive(Debug, Default)]
struct NoteFields {
    target: OnceLock<String>,
    detail: OnceLock<String>,
}

impl AuditNote {
    /// On what: where the path does not say it. The first word counts.
    pub(crate) fn target(&self, target: impl Into<String>) {
        let _ = self.0.target.set(target.into());
    }

    /// More about what was asked for, in a few words. Never a secret.
    pub(crate) fn detail(&self, detail: impl Into<String>) {
        let _ = self.0.detail.set(detail.into());
    }

    pub(crate) fn target_text(&self) -> Option<&str> {
        self.0.target.get().map(String::as_str)
    }

    pub(crate) fn detail_text(&self) -> Option<&str> {
        self.0.detail.get().map(String::as_str)
    }
}

/// One request, as the audit keeps it.
#[derive(Debug, Clone)]
pub(crate) struct AuditEntry {
    pub(crate) actor: String,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) action: &'static str,
    pub(crate) target: String,
    pub(crate) outcome: &'static str,
    pub(crate) detail: Option<String>,
}

/// Writes entries to the audit.
#[derive(Debug)]
pub(crate) struct Recorder {
    audit: Audit,
    refusals: Limiter<()>,
    unrecorded: AtomicU64,
    failed: AtomicU64,
}

impl Recorder {
    pub(crate) fn new(audit: Audit) -> Self {
        Self {
            audit,
            refusals: Limiter::new(REFUSALS),
            unrecorded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// Records what was done, or tried by somebody who may.
    pub(crate) async fn done(&self, entry: AuditEntry) {
        self.write(entry, 0).await;
    }

    /// Records what was refused before a handler saw it.
    pub(crate) async fn refused(&self, entry: AuditEntry) {
        if self.refusals.take((), Instant::now()).is_err() {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = self.unrecorded.swap(0, Ordering::Relaxed);
        self.write(entry, before).await;
    }

    /// Records that could not be written since the start.
    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    async fn write(&self, entry: AuditEntry, unrecorded: u64) {
        let more =
            (unrecorded > 0).then(|| format!("{unrecorded} more refusals before this one were not recorded"));
        let details: Vec<String> = entry.detail.into_iter().chain(more).collect();
        let detail = details.join("; ");
        let record = AuditRecord {
            id: 0,
            at: Timestamp::now(),
            actor: entry.actor,
            remote: entry.remote.map(|remote| remote.to_canonical().to_string()),
            action: entry.action.to_owned(),
            target: shortened(&entry.target),
            outcome: entry.outcome.to_owned(),
            detail: (!detail.is_empty()).then(|| shortened(&detail)),
        };
        let (action, actor) = (entry.action, record.actor.clone());
        if let Err(error) = self.audit.append(record).await {
            self.failed.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, action, actor, "a request could not be written to the audit");
        }
    }
}

/// Bounded, and on one line: the names in a path are whatever somebody asked for, with a token or without.
fn shortened(text: &str) -> String {
    let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
    one_line(&text).into_owned()
}
