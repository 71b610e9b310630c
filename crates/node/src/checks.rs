//! The checks before anything is touched: is a node fit for a role, can this one be copied to those, and what will bite
//! later? One suite for `sterna replicate`, for a group's new replica services, and for the doctor.
//!
//! Every node is asked once (`observe`, `rights`); then pure functions judge what was seen: each node by itself
//! (`reach`), for its role (`primary`, `replica`), and two together (`engine`, `topology`, `data`, `relay`, `clients`); and this
//! machine (`disk`). Nothing is changed on any node.

pub mod clients;
mod data;
mod disk;
mod engine;
mod observe;
mod primary;
mod reach;
mod relay;
mod replica;
mod rights;
mod topology;

use std::path::PathBuf;

use sterna_model::{Check, ConfigRewrite, ServiceRole, Subject};
use sterna_protocol::{NodeAddress, ReplicationId};

use crate::client::COMMAND_TIMEOUT;
use crate::connect::Dialer;
use crate::relay_endpoint::RelayEndpoint;
use crate::upstream::Upstream;

/// What the nodes are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One link: the source is only read from.
    Link,
    /// A group, in which any node may become the primary.
    Group {
        /// Whether its primary is fenced by the lease.
        fenced: bool,
    },
}

/// A copy that is about to be made.
#[derive(Debug, Clone)]
pub struct CopyRequest {
    pub purpose: Purpose,
    /// The service to copy.
    pub from: Upstream,
    /// The nodes that are to become its replicas.
    pub to: Vec<Dialer>,
    /// Whether data at the targets may be overwritten.
    pub overwrite: bool,
    /// Where the replication log goes.
    pub data_dir: PathBuf,
    /// How large the log may grow, in bytes.
    pub log_max_bytes: u64,
    /// Where the targets will find the relay.
    pub relay: RelayEndpoint,
    /// Whether the relay speaks TLS.
    pub relay_tls: bool,
    /// The histories that a log in `data_dir` already holds; empty for a first start. A target in one of them
    /// continues with a partial resync: what it holds is this service's data and is no reason to refuse.
    pub known_histories: Vec<ReplicationId>,
}

/// Whether a service can be copied to some nodes. The caller is expected to set `replica-read-only`, `masteruser`,
/// `masterauth` and `tls-replication` at the targets when it attaches them, and to put them back after a promotion. Never
/// fails: what can't be asked is itself a refused check.
pub async fn copy(request: &CopyRequest) -> Vec<Check> {
    let mut checks = Vec::new();
    let found = observe::source(&request.from, request.purpose).await;
    let source = reach::judge(&Subject::From, found, &mut checks);
    if let Some(source) = &source {
        primary::judge(&Subject::From, source, request.purpose, &mut checks);
    }
    let mut targets = Vec::new();
    for dialer in &request.to {
        let subject = Subject::To(dialer.address.clone());
        let found = observe::target(dialer, COMMAND_TIMEOUT, request.purpose).await;
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
        replica::judge(&subject, &target, &mut checks);
        relay::judge(&pair, &mut checks);
        if let Some(source) = &source {
            checks.extend(clients::judge(&subject, source, &target));
        }
        targets.push(target);
    }
    let engines: Vec<_> = targets.iter().map(|target| target.engine).collect();
    checks.extend(
        source
            .as_ref()
            .and_then(|source| engine::one_for_all(source, &engines)),
    );
    disk::judge(request, source.as_ref(), &mut checks);
    checks
}

/// Whether the nodes of a service are fit to be the primary of a group, or replicas in one, each looked at by itself.
pub async fn service(nodes: &[Dialer], role: ServiceRole, config_rewrite: ConfigRewrite) -> Vec<Check> {
    let purpose = Purpose::Group { fenced: true };
    let mut checks = Vec::new();
    for dialer in nodes {
        let subject = Subject::Node(dialer.address.clone());
        let found = observe::target(dialer, COMMAND_TIMEOUT, purpose).await;
        let found = found.map(|node| observe::Node {
            config_rewrite,
            ..node
        });
        let Some(node) = reach::judge(&subject, found, &mut checks) else {
            continue;
        };
        if role == ServiceRole::Primary {
            primary::judge_member(&subject, &node, purpose, &mut checks);
        } else {
            replica::judge_alone(&subject, &node, &mut checks);
        }
    }
    checks
}

/// One target, with everything that it is judged against.
struct Pair<'a> {
    request: &'a CopyRequest,
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
        self.request.relay.seen_from(self.target.seen_from)
    }

    /// Whether the target is in a history that the log here holds, or follows this gateway already.
    fn continues(&self) -> bool {
        let replication = &self.target.replication;
        self.request.known_histories.contains(&replication.replid)
            || replication.primary.as_ref() == Some(&self.relay())
    }
}
