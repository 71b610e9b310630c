//! Is a service fit for its role? Check by check, with what to change.

use std::path::Path;

use sterna_model::{
    Check, DoctorReport, Fencing, Group, ServiceName, ServiceRole, ShardId, Subject, Verdict, verdict,
};
use sterna_node::checks::{self, CopyRequest, Purpose};
use sterna_node::sentinel::listed::Listed;
use sterna_node::{Dialer, NodeAddress};

use crate::access::Access;
use crate::client_settings;
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
    for check in checks.iter().filter(|check| check.verdict == Verdict::Warn) {
        tracing::warn!(group = %joining.group.name, subject = %check.subject, check = check.name, detail = check.detail, "joining");
    }
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
    let subject = Subject::Service(service.clone());
    sentinels(&access, role, &subject, &mut checks).await;
    checks.extend(client_settings::compare(&context.catalogue, &access).await?);
    if checks.is_empty() {
        checks.push(Check::refuse(
            &subject,
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

/// What the service's own Sentinels would do to it, and whom they take for its nodes.
async fn sentinels(access: &Access, role: ServiceRole, subject: &Subject, checks: &mut Vec<Check>) {
    const NAME: &str = "sentinel";
    let watched = match access.watched().await {
        Ok(None) => return,
        Ok(Some(watched)) => watched,
        // Whoever took the advice below has none that know it.
        Err(error) => {
            let detail = format!("its own Sentinels don't watch it: {error}");
            checks.push(match role {
                ServiceRole::Primary => {
                    Check::warn(subject, NAME, detail, "SENTINEL MONITOR it on each of them")
                }
                _ => Check::pass(subject, NAME, detail),
            });
            return;
        }
    };
    let spec = access.service.spec.sentinel.as_ref();
    let name = spec.map_or("", |spec| spec.master_name.as_str());
    checks.push(match role {
        ServiceRole::Primary => Check::pass(subject, NAME, format!("its own Sentinels watch it as {name}")),
        _ => Check::warn(
            subject,
            NAME,
            format!(
                "its own Sentinels watch it as {name}: once its nodes follow the relay they take it for lost, promote one of its \
                 nodes, and again when that follows again, with a full copy each time"
            ),
            format!(
                "SENTINEL REMOVE {name} on each of them while it is a replica service, and SENTINEL MONITOR {name} again once it \
                 is the primary service"
            ),
        ),
    });
    let listed = access
        .listed(&watched, &watched.primary)
        .await
        .unwrap_or_default();
    let nodes = &access.service.spec.nodes;
    let others = listed.into_iter().filter(|(address, what)| {
        matches!(what, Listed::Foreign(_) | Listed::Silent(_)) && !nodes.contains(address)
    });
    checks.extend(others.map(|(address, what)| {
        Check::warn(
            subject,
            NAME,
            format!("its Sentinels list {address}, which is taken for no node of it: {what}"),
            format!("SENTINEL RESET {name} on each of them, when all of its own nodes answer"),
        )
    }));
}
