//! What clients rely on beside the data, asked of the primary and of who may take its place.

use sterna_model::{Check, Group, GroupName, ServiceName, ShardId, Subject};
use sterna_node::client_settings::{ClientSettings, Difference};
use sterna_node::{Client, ClientError, Dialer, NodeAddress, checks};
use sterna_store::Catalogue;

use crate::access::{Access, COMMAND_TIMEOUT};
use crate::error::ControlError;
use crate::plan::admission::MissingUser;

/// The users of the primary that nodes of a service lack. Who can't be asked says nothing: whether the change may begin without that
/// is judged by what is known of the nodes.
pub(crate) async fn missing_users(
    catalogue: &Catalogue,
    group: &GroupName,
    to: &ServiceName,
) -> Vec<MissingUser> {
    try_missing_users(catalogue, group, to)
        .await
        .unwrap_or_else(|error| {
            tracing::warn!(%group, service = %to, %error, "whether it lacks ACL users can't be found out");
            Vec::new()
        })
}

async fn try_missing_users(
    catalogue: &Catalogue,
    group: &GroupName,
    to: &ServiceName,
) -> Result<Vec<MissingUser>, ControlError> {
    let group = catalogue.groups.get(group).await?;
    if !group.replicas.contains(to) {
        return Ok(Vec::new());
    }
    let Some(primary) = primary(catalogue, &group).await? else {
        return Ok(Vec::new());
    };
    let target = access(catalogue, to).await?;
    let mut missing = Vec::new();
    for address in &target.service.spec.nodes {
        let Ok(settings) = read(&target.node(address)).await else {
            continue;
        };
        let node = |found| match found {
            Difference::UserMissing { user, connections } => Some(MissingUser {
                user,
                connections,
                node: address.clone(),
            }),
            _ => None,
        };
        missing.extend(primary.1.missing_users(&settings).into_iter().filter_map(node));
    }
    Ok(missing)
}

/// What is different at the nodes of a service that is in a group, compared with that group's primary node.
pub(crate) async fn compare(catalogue: &Catalogue, service: &Access) -> Result<Vec<Check>, ControlError> {
    let name = &service.service.spec.name;
    let groups = catalogue.groups.all().await?;
    let Some(group) = groups
        .iter()
        .find(|group| group.services().any(|member| member == name))
    else {
        return Ok(Vec::new());
    };
    let Some((primary, settings)) = primary(catalogue, group).await? else {
        return Ok(Vec::new());
    };
    let mut checks = Vec::new();
    for address in service
        .service
        .spec
        .nodes
        .iter()
        .filter(|address| **address != primary)
    {
        // That a node does not answer is told by another check.
        if let Ok(found) = read(&service.node(address)).await {
            let subject = Subject::Node(address.clone());
            checks.extend(checks::clients::compare(&subject, &settings, &found));
        }
    }
    Ok(checks)
}

/// The group's primary node and what clients have there; none where it can't be asked.
async fn primary(
    catalogue: &Catalogue,
    group: &Group,
) -> Result<Option<(NodeAddress, ClientSettings)>, ControlError> {
    let Some(node) = group.shard(ShardId::STANDALONE).primary_node.clone() else {
        return Ok(None);
    };
    let access = access(catalogue, &group.primary).await?;
    let settings = read(&access.node(&node)).await.ok();
    Ok(settings.map(|settings| (node, settings)))
}

async fn access(catalogue: &Catalogue, service: &ServiceName) -> Result<Access, ControlError> {
    let secrets = catalogue.services.secrets(service).await?;
    Access::read(catalogue.services.get(service).await?, secrets).await
}

async fn read(node: &Dialer) -> Result<ClientSettings, ClientError> {
    let node = Dialer {
        connect_timeout: COMMAND_TIMEOUT,
        ..node.clone()
    };
    let mut client = Client::connect_with_timeout(&node, COMMAND_TIMEOUT).await?;
    let info = client.info().await?;
    ClientSettings::read(&mut client, &info).await
}
