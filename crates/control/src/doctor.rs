//! Is a service fit for its role? Check by check, with what to change.

use sterna_model::{Fencing, Group, ServiceName, ServiceRole};
use sterna_node::preflight::{self, PreflightRequest, Report, Verdict};
use sterna_node::{Dialer, NodeAddress};

use crate::access::Access;
use crate::context::Context;
use crate::error::ControlError;
use crate::handle::{DoctorCheck, DoctorReport, DoctorVerdict};

/// Services that are to be joined.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) primary: Access,
    pub(crate) replicas: Vec<Access>,
    pub(crate) overwrite: bool,
    pub(crate) group: Group,
}

/// Whether the replica services can copy the primary; returns its primary node, or what stands against it.
pub(crate) async fn fit(context: &Context, joining: Joining) -> Result<NodeAddress, String> {
    let found = joining.primary.whole().find_primary().await.map_err(|error| {
        format!(
            "the primary service {} can't be used: {error}",
            joining.primary.service.spec.name
        )
    })?;
    let node = joining.group.primary_node.clone().unwrap_or(found.address);
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
    let known_histories = known_histories(context, &joining.group);
    let report = preflight::run(&PreflightRequest {
        from: joining.primary.upstream(&node),
        to,
        overwrite: joining.overwrite,
        data_dir: context.log_dir(&joining.group.name),
        log_max_bytes: joining.group.settings.log_max_bytes,
        relay: context.relay_endpoint().seen_from(None),
        relay_tls: context.settings.relay.tls.is_some(),
        known_histories,
    })
    .await;
    if report.is_refused() {
        return Err(refusals(&report));
    }
    if fenced {
        can_be_fenced(&joining.primary, &node).await?;
    }
    Ok(node)
}

fn known_histories(context: &Context, group: &Group) -> Vec<sterna_protocol::ReplicationId> {
    let history = sterna_log::read_history(&sterna_log::RealFs, &context.log_dir(&group.name));
    let entries = history.ok().flatten();
    entries
        .iter()
        .flat_map(sterna_log::History::entries)
        .map(|entry| entry.id)
        .collect()
}

/// The fence needs settings that not every managed service lets be changed.
async fn can_be_fenced(primary: &Access, node: &NodeAddress) -> Result<(), String> {
    let dialer = primary.node(node);
    let mut client = crate::access::client(&dialer)
        .await
        .map_err(|error| error.to_string())?;
    let value = client.config_get("min-replicas-max-lag").await.map_err(|error| {
        format!(
            "{node} does not let min-replicas-to-write be set ({error}), which the lease fence needs: give the user \
             +config, or create the group with fencing = none and read what that risks"
        )
    })?;
    let value = value.get("min-replicas-max-lag").cloned().unwrap_or_default();
    client.config_set("min-replicas-max-lag", &value).await.map_err(|error| {
        format!(
            "{node} does not let min-replicas-max-lag be set ({error}), which the lease fence needs: give the user +config, \
             or create the group with fencing = none and read what that risks"
        )
    })
}

fn refusals(report: &Report) -> String {
    let refused = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Refuse);
    let texts: Vec<_> = refused
        .map(|check| {
            let advice = check
                .advice
                .as_ref()
                .map(|advice| format!(" ({advice})"))
                .unwrap_or_default();
            format!("{}: {}{advice}", check.subject, check.detail)
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
    let mut checks = Vec::new();
    for address in &access.service.spec.nodes {
        crate::examine::node(&access, address, role, &mut checks).await;
    }
    if checks.is_empty() {
        checks.push(DoctorCheck {
            subject: service.to_string(),
            name: "nodes".to_owned(),
            verdict: DoctorVerdict::Refuse,
            detail: "the service names no nodes".to_owned(),
            advice: Some("name them with `sterna service update`".to_owned()),
        });
    }
    Ok(DoctorReport {
        service: service.clone(),
        role,
        checks,
    })
}
