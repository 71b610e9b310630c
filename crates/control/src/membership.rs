//! A new group, before it has an owner: what is asked for is checked and kept.

use sterna_model::{
    Epoch, Group, GroupName, GroupSettings, GroupSpec, HistoryCause, Operation, OperationKind,
    OperationReason, Requester, Revision, ServiceName, ShardRecord,
};

use sterna_store::Catalogue;

use crate::context::Context;
use crate::error::ControlError;
use crate::plan::admission::REPLICAS_MAX;
use crate::plan::record;

/// Checks what needs no node to be asked, keeps the group and the operation that makes it.
pub(crate) async fn prepare(
    context: &Context,
    spec: GroupSpec,
    by: &str,
) -> Result<(Group, Operation), ControlError> {
    check_settings(&spec.settings).map_err(ControlError::Invalid)?;
    if spec.replicas.is_empty() || spec.replicas.len() > REPLICAS_MAX {
        return Err(ControlError::Invalid(format!(
            "a group has 1 to {REPLICAS_MAX} replica services, not {}",
            spec.replicas.len()
        )));
    }
    let mut names: Vec<&ServiceName> = spec.replicas.iter().chain([&spec.primary]).collect();
    names.sort();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ControlError::Invalid("a service is named twice".to_owned()));
    }
    for name in names {
        must_be_free(&context.catalogue, name, None).await?;
    }
    let now = context.clock.now().wall;
    let group = Group {
        name: spec.name,
        primary: spec.primary,
        replicas: spec.replicas,
        settings: spec.settings,
        shards: ShardRecord::standalone(),
        epoch: Epoch(1),
        paused: false,
        failed_over_at: None,
        primary_since: now,
        created_at: now,
        revision: Revision(0),
    };
    let reason = OperationReason::Requested {
        operation: OperationKind::Create,
        by: Requester::from(by.to_owned()),
    };
    let mut operation = Operation::begun(
        &group.name,
        group.epoch,
        OperationKind::Create,
        reason.clone(),
        now,
    );
    operation.force = spec.overwrite;
    let entry = record::term(&group, HistoryCause::Created, None, reason);
    context.failpoint.pass(OperationKind::Create, "ask", "before");
    let made = context.catalogue.groups.begin(group, operation, entry).await?;
    context.failpoint.pass(OperationKind::Create, "ask", "after");
    Ok(made)
}

/// A service is in one group at most: two would fight over it. Of the group `but` nothing is said here.
pub(crate) async fn must_be_free(
    catalogue: &Catalogue,
    service: &ServiceName,
    but: Option<&GroupName>,
) -> Result<(), ControlError> {
    catalogue.services.get(service).await?;
    for group in catalogue.groups.all().await? {
        if Some(&group.name) != but && group.services().any(|name| name == service) {
            return Err(ControlError::refused(
                format!("service {service} is in group {} already", group.name),
                "remove it there first; a service is in one group at most",
            ));
        }
    }
    Ok(())
}

/// Settings that would do harm are refused, with the reason.
pub(crate) fn check_settings(settings: &GroupSettings) -> Result<(), String> {
    let invalid = |text: &str| Err(text.to_owned());
    if !(1..=600).contains(&settings.lease_seconds) {
        return invalid("lease_seconds must be between 1 and 600");
    }
    if settings.down_after_ms < 200 {
        return invalid(
            "down_after_ms must be at least 200: a shorter pause of a healthy server would cause a failover",
        );
    }
    if !(100..=600_000).contains(&settings.switchover_timeout_ms) {
        return invalid("switchover_timeout_ms must be between 100 and 600000");
    }
    if settings.log_max_bytes < 16 << 20 {
        return invalid("log_max_bytes must be at least 16 MiB");
    }
    if settings.tail_bytes < 1 << 20 {
        return invalid("tail_bytes must be at least 1 MiB");
    }
    if settings.unit_bytes_max < 1 << 20 {
        return invalid("unit_bytes_max must be at least 1 MiB");
    }
    Ok(())
}
