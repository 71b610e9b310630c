//! A service that is registered or changed: it is found, and which nodes it has.

use sterna_model::{Revision, Secrets, Service, ServiceName, ServiceSpec};
use sterna_node::sentinel::listed::Listed;
use sterna_node::{FindError, NodeAddress, Upstream};
use sterna_store::Catalogue;

use crate::access::Access;
use crate::error::ControlError;

/// What is known of a service that was registered before.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// It is a replica service of a group, all of whose nodes are replicas.
    pub(crate) copies: bool,
    /// The nodes that it had.
    pub(crate) nodes: Vec<NodeAddress>,
}

/// Its primary is found and is of an engine that can be replicated, or one of its replicas is where it copies. What its Sentinels
/// list and nobody named is added where it is a node of the service, or was one before and does not answer. Returns where it
/// was found, too.
pub(crate) async fn reachable(
    catalogue: &Catalogue,
    mut spec: ServiceSpec,
    secrets: &Secrets,
    before: Known,
) -> Result<(String, ServiceSpec), ControlError> {
    let service = Service {
        spec: spec.clone(),
        has_password: secrets.password.is_some(),
        created_at: jiff::Timestamp::now(),
        revision: Revision(0),
    };
    let access = Access::read(service, secrets.clone()).await?;
    let failed = |error: &dyn std::fmt::Display| {
        let name = &spec.name;
        ControlError::Server(format!("service {name} can't be used as it is given: {error}"))
    };
    let copies = before.copies;
    let (found, watched) = match find(access.whole(), copies).await {
        Ok(found) => (found, access.watched().await.map_err(|error| failed(&error))?),
        // The Sentinels of a replica service should not watch it.
        Err(FindError::Sentinel(_)) if copies && !spec.nodes.is_empty() => {
            let found = find(access.named(), copies).await;
            (found.map_err(|error| failed(&error))?, None)
        }
        Err(error) => return Err(failed(&error)),
    };
    let Some(watched) = watched else {
        return Ok((found.to_string(), spec));
    };
    let listed = access
        .listed(&watched, &found)
        .await
        .map_err(|error| failed(&error))?;
    let others = nodes_but_of(catalogue, &spec.name).await?;
    for (node, what) in listed {
        let belongs = match &what {
            Listed::Node => !others.contains(&node),
            Listed::Silent(_) => before.nodes.contains(&node),
            Listed::SameAs(_) | Listed::Foreign(_) => false,
        };
        if spec.nodes.contains(&node) {
            continue;
        }
        if belongs {
            spec.nodes.push(node);
        } else {
            let service = &spec.name;
            tracing::info!(%service, address = %node, %what, "listed by a Sentinel, but no node of the service");
        }
    }
    Ok((found.to_string(), spec))
}

async fn find(upstream: Upstream, copies: bool) -> Result<NodeAddress, FindError> {
    match upstream.find_primary().await {
        Ok(found) => Ok(found.address),
        Err(error) => match error.answering_replica().filter(|_| copies) {
            Some(replica) => Ok(replica.clone()),
            None => Err(error),
        },
    }
}

/// The nodes of all services but this one.
async fn nodes_but_of(catalogue: &Catalogue, name: &ServiceName) -> Result<Vec<NodeAddress>, ControlError> {
    let services = catalogue.services.all().await?;
    let others = services.into_iter().filter(|other| other.spec.name != *name);
    Ok(others.flat_map(|other| other.spec.nodes).collect())
}
