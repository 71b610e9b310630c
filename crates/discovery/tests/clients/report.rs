//! What every client program tells at its end, in one line of JSON.

use std::collections::BTreeMap;

/// The report of a client program.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Report {
    /// Library and version.
    pub(crate) client: String,
    /// Writes that were acknowledged.
    pub(crate) acknowledged: u64,
    /// The number that was acknowledged last; all before it were, too.
    pub(crate) last_number: u64,
    /// Writes that were tried.
    pub(crate) attempts: u64,
    /// Writes that failed.
    pub(crate) failed: u64,
    /// The longest time between two acknowledged writes, or between the last one and the end.
    pub(crate) longest_gap_ms: f64,
    /// The number whose write ended that time.
    pub(crate) gap_before: Option<u64>,
    /// The primaries that took writes, in order.
    pub(crate) primaries: Vec<String>,
    /// How often each error was seen.
    pub(crate) errors: BTreeMap<String, u64>,
    /// How long it ran.
    pub(crate) seconds: f64,
}
