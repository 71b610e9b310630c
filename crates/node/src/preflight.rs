//! The checks before anything is touched: can this source be copied to these targets, and what will bite later?
//!
//! [`run`] asks every node (`observe`, `rights`), then pure functions judge what was seen, one file for each group
//! of checks. Nothing is changed on any node.

mod data;
mod disk;
mod engine;
mod observe;
mod reach;
mod render;
mod report;
mod rights;
mod settings;
mod source;
mod topology;
mod units;

use std::net::IpAddr;
use std::path::PathBuf;

pub use render::wrap;
pub use report::{Check, Report, Subject, Verdict};
use sterna_protocol::ReplicationId;

use crate::address::NodeAddress;
use crate::client::COMMAND_TIMEOUT;
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
    /// Where the targets will be told to find the relay. An unspecified address (`0.0.0.0`) stands for the address
    /// under which the target sees this machine.
    pub relay: NodeAddress,
    /// Whether the relay speaks TLS.
    pub relay_tls: bool,
    /// The histories that a log in `data_dir` already holds; empty for a first start. A target in one of them
    /// continues with a partial resync: what it holds is this service's data and is no reason to refuse.
    pub known_histories: Vec<ReplicationId>,
}

/// Runs all checks. The caller is expected to set `replica-read-only`, `masteruser`, `masterauth` and
/// `tls-replication` at the targets when it attaches them, and to put them back after a promotion. Never fails: what can't be asked is itself a refused check.
pub async fn run(request: &PreflightRequest) -> Report {
    let mut checks = Vec::new();
    let found = observe::source(&request.from).await;
    let source = reach::judge(&Subject::From, found, &mut checks);
    if let Some(source) = &source {
        source::judge(source, &mut checks);
    }
    let mut targets = Vec::new();
    for dialer in &request.to {
        let subject = Subject::To(dialer.address.clone());
        let found = observe::target(dialer, COMMAND_TIMEOUT).await;
        let Some(target) = reach::judge(&subject, found, &mut checks) else {
            continue;
        };
        let pair = Pair {
            request,
            subject: &subject,
            target: &target,
            source: source.as_ref(),
            before: &targets,
        };
        engine::judge(&pair, &mut checks);
        topology::judge(&pair, &mut checks);
        data::judge(&pair, &mut checks);
        settings::judge(&pair, &mut checks);
        targets.push(target);
    }
    disk::judge(request, source.as_ref(), &mut checks);
    Report { checks }
}

/// One target, with everything that it is judged against.
struct Pair<'a> {
    request: &'a PreflightRequest,
    subject: &'a Subject,
    target: &'a observe::Node,
    /// Missing where the source can't be asked, which is refused already.
    source: Option<&'a observe::Node>,
    /// The targets that were named before this one.
    before: &'a [observe::Node],
}

impl Pair<'_> {
    /// Where this target will be told to find the relay.
    fn relay(&self) -> NodeAddress {
        let relay = &self.request.relay;
        match (relay.host.parse::<IpAddr>(), self.target.seen_from) {
            (Ok(ip), Some(local)) if ip.is_unspecified() => NodeAddress::new(local.to_string(), relay.port),
            _ => relay.clone(),
        }
    }

    /// Whether the target is in a history that the log here holds, or follows this gateway already.
    fn continues(&self) -> bool {
        let replication = &self.target.replication;
        self.request.known_histories.contains(&replication.replid)
            || replication.primary.as_ref() == Some(&self.relay())
    }
}

#[cfg(test)]
mod tests;
