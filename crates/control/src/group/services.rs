//! How the services of a group are reached, and who looks at their nodes.

use std::collections::BTreeMap;
use std::sync::Arc;

use sterna_model::ServiceName;
use sterna_node::Dialer;
use sterna_node::sentinel::SentinelError;
use tokio::sync::mpsc;

use crate::access::Access;
use crate::context::Context;
use crate::known::{KnownService, SentinelView};
use crate::observe::{NodeKey, NodeWatch, Observation};
use crate::time::Clock;

/// The services of a group.
#[derive(Debug)]
pub(super) struct Services {
    access: Arc<BTreeMap<ServiceName, Access>>,
    watches: BTreeMap<NodeKey, NodeWatch>,
    observations: mpsc::Sender<Observation>,
    clock: Clock,
}

impl Services {
    pub(super) fn new(observations: mpsc::Sender<Observation>, clock: Clock) -> Self {
        Self {
            access: Arc::default(),
            watches: BTreeMap::new(),
            observations,
            clock,
        }
    }

    /// How they are reached.
    pub(super) fn access(&self) -> &Arc<BTreeMap<ServiceName, Access>> {
        &self.access
    }

    /// They are reached like this from now on; their nodes are looked at, and no others. A service that is reached in
    /// another way than before is looked at anew.
    pub(super) fn reached(&mut self, access: BTreeMap<ServiceName, Access>) -> Vec<KnownService> {
        let revision = |access: &Access| access.service.revision;
        let same = |name: &ServiceName| self.access.get(name).map(revision) == access.get(name).map(revision);
        let keys: Vec<_> = access.values().flat_map(Access::nodes).collect();
        self.watches
            .retain(|key, _| keys.contains(key) && same(&key.service));
        for key in keys {
            let dialer = access[&key.service].node(&key.address);
            let observations = self.observations.clone();
            self.watches
                .entry(key.clone())
                .or_insert_with(|| NodeWatch::start(key, dialer, self.clock, observations));
        }
        self.access = Arc::new(access);
        self.access.values().map(known).collect()
    }

    /// How to reach every node.
    pub(super) fn dialers(&self) -> impl Iterator<Item = Dialer> {
        let services = self.access.values();
        services.flat_map(|access| access.nodes().map(|node| access.node(&node.address)))
    }

    /// Looks at a node at once, at its settings as well.
    pub(super) fn look(&self, node: &NodeKey) {
        if let Some(watch) = self.watches.get(node) {
            watch.look_now();
        }
    }

    /// Looks at a node so often from now on.
    pub(super) fn look_every(&self, node: &NodeKey, interval: std::time::Duration) {
        if let Some(watch) = self.watches.get(node) {
            watch.every(interval);
        }
    }
}

fn known(access: &Access) -> KnownService {
    let spec = &access.service.spec;
    KnownService {
        name: spec.name.clone(),
        nodes: spec.nodes.clone(),
        watched_as: spec
            .sentinel
            .as_ref()
            .map(|sentinel| sentinel.master_name.clone()),
    }
}

/// What a service's own Sentinels say of it; none where it has none.
pub(super) async fn sentinel_view(access: &Access) -> Result<Option<SentinelView>, SentinelError> {
    let watched = access.watched().await?;
    Ok(watched.map(|watched| SentinelView {
        service: access.service.spec.name.clone(),
        primary: watched.primary,
        fail_over: watched.fails_over,
    }))
}

/// Reads how services are reached. One that can't be is left out: what does not need it goes on.
pub(super) async fn read(context: &Context, names: Vec<ServiceName>) -> BTreeMap<ServiceName, Access> {
    let mut access = BTreeMap::new();
    for name in names {
        match context.access(&name).await {
            Ok(found) => {
                access.insert(name, found);
            }
            Err(error) => {
                tracing::error!(service = %name, %error, "a service can't be reached as it is registered");
            }
        }
    }
    access
}
