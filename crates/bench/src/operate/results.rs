//! What was measured, as rows of a file that later runs add to.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_testkit::Engine;

/// Where lost acknowledged writes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Losses {
    /// Acknowledged writes that the group does not have at the end.
    pub(super) lost: u64,
    /// Of these, in a rescue file.
    pub(super) rescued: u64,
    /// Writes in rescue files that no client was told of as done.
    pub(super) unacknowledged: u64,
}

/// One run of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    /// When it was measured.
    pub(super) at: Timestamp,
    /// The servers.
    pub(super) engine: String,
    /// What failed.
    pub(super) failed: String,
    /// What Sterna did, as its operations say.
    pub(super) did: String,
    /// The number of the run, or its seed.
    pub(super) run: u64,
    /// How long clients had no primary that took writes, in milliseconds.
    pub(super) without_writes_ms: f64,
    /// The same as the gateway reports it.
    pub(super) reported_ms: Option<f64>,
    /// Data.
    pub(super) losses: Losses,
}

impl Row {
    pub(super) fn new(failed: &str, did: &str, run: u64, without_writes_ms: f64, losses: Losses) -> Self {
        Self {
            at: Timestamp::now(),
            engine: Engine::default().name,
            failed: failed.to_owned(),
            did: did.to_owned(),
            run,
            without_writes_ms,
            reported_ms: None,
            losses,
        }
    }
}

/// The rows of a file; none where there is no file.
pub(super) fn read(path: &Path) -> Result<Vec<Row>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    serde_json::from_str(&text).with_context(|| path.display().to_string())
}

/// Adds a row, so that what was measured survives whatever comes next.
pub(super) fn append(path: Option<&Path>, row: &Row) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let mut rows = read(path)?;
    rows.push(row.clone());
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, serde_json::to_string_pretty(&rows)?)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| path.display().to_string())
}
