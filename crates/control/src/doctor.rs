//! Is a service fit for its role? Check by check, with what to change.

use std::path::Path;

use sterna_model::{
    Check, DoctorReport, Fencing, Group, ServiceName, ServiceRole, ShardId, Subject, Verdict, verdict,
};
use sterna_node::checks::{self, CopyRequest, Purpose};
use sterna_node::{Dialer, NodeAddress};

use crate::access::Access;
use crate::context::Context;
use crate::error::ControlError;

/// Services that are to be joined.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) primary: Access,
    pub(crate) replicas: Vec<Access>,
    pub(crate) overwrite: bool,
    pub(crate) group: Group,
    pub(crate) shard: ShardId,
}

/// Whether the replica services can copy the primary; returns its primary node, or what stands against it.
pub(crate) async fn fit(context: &Context, joining: Joining) -> Result<NodeAddress, String> {
    let found = joining.primary.whole().find_primary().await.map_err(|error| {
        format!(
            "the primary service {} can't be used: {error}",
            joining.primary.service.spec.name
        )
    })?;
    let node = joining.group.shard(joining.shard).primary_node.clone();
    let node = node.unwrap_or(found.address);
    let fenced = joining.group.settings.fencing == Fencing::Lease;
    let to: Vec<Dialer> = joining
        .replicas
        .iter()
        .flat_map(|access| {
            access
                .service
                .spec
                .nodes
                .iter()
                .map(|address| access.node(address))
        })
        .collect();
    let log_dir = context.log_dir(&joining.group.name, joining.shard);
    let known_histories = known_histories(&log_dir);
    let checks = checks::copy(&CopyRequest {
        purpose: Purpose::Group { fenced },
        from: joining.primary.upstream(&node),
        to,
        overwrite: joining.overwrite,
        data_dir: log_dir,
        log_max_bytes: joining.group.settings.log_max_bytes,
        relay: context.relay_endpoint(),
        relay_tls: context.settings.relay.tls.is_some(),
        known_histories,
    })
    .await;
    match verdict(&checks) {
        Verdict::Refuse => Err(refusals(&checks)),
        Verdict::Pass | Verdict::Warn => Ok(node),
    }
}

fn known_histories(log_dir: &Path) -> Vec<sterna_protocol::ReplicationId> {
    let history = sterna_log::read_history(&sterna_log::RealFs, log_dir);
    let entries = history.ok().flatten();
    entries
        .iter()
        .flat_map(sterna_log::History::entries)
        .map(|entry| entry.id)
        .collect()
}

fn refusals(checks: &[Check]) -> String {
    let refused = checks.iter().filter(|check| check.verdict == Verdict::Refuse);
    let texts: Vec<_> = refused
        .map(|check| match &check.advice {
            Some(advice) => format!("{}: {} ({advice})", check.subject, check.detail),
            None => format!("{}: {}", check.subject, check.detail),
        })
        .collect();
    texts.join("; ")
}

/// Looks at a service for a role, without changing anything.
pub(crate) async fn examine(
    context: &Context,
    service: &ServiceName,
    role: ServiceRole,
) -> Result<DoctorReport, ControlError> {
    let access = context.access(service).await?;
    let nodes = &access.service.spec.nodes;
    let nodes: Vec<_> = nodes.iter().map(|address| access.node(address)).collect();
    let mut checks = checks::service(&nodes, role, access.config_rewrite()).await;
    if checks.is_empty() {
        checks.push(Check::refuse(
            &Subject::Service(service.clone()),
            "nodes",
            "the service names no nodes",
            "name them with `sterna service update`",
        ));
    }
    Ok(DoctorReport {
        service: service.clone(),
        role,
        checks,
    })
}
