//! What all groups of a gateway share.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use jiff::Timestamp;
use sterna_model::{AuditRecord, EventKind, GroupName, ServiceName, ShardId};
use sterna_node::{NodeAddress, RelayEndpoint};
use sterna_replication::{DataThreads, Relay, RelaySettings, SilenceLimits};
use sterna_store::{Catalogue, Room};
use tokio::sync::watch;

use crate::access::Access;
use crate::error::ControlError;
use crate::events::EventBus;
use crate::failpoint::Failpoint;
use crate::time::{Clock, Moment};

/// In the data directory: the logs of groups...
pub(crate) const GROUPS_DIR: &str = "groups";
/// ...and their rescue files.
pub(crate) const RESCUE_DIR: &str = "rescue";

/// What the gateway is told when it starts.
#[derive(Debug, Clone)]
pub struct GatewaySettings {
    /// Where logs, rescue files and the store are.
    pub data_dir: PathBuf,
    /// Threads that the shards are spread over.
    pub data_threads: NonZeroUsize,
    /// The port for replica nodes.
    pub relay: RelaySettings,
    /// Where nodes find the relay, if it is not the address from which we reach them.
    pub relay_announce: Option<NodeAddress>,
    /// For how long nodes that say nothing are waited for.
    pub silence: SilenceLimits,
}

/// What all groups of a gateway share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) settings: GatewaySettings,
    pub(crate) catalogue: Catalogue,
    pub(crate) data: DataThreads,
    pub(crate) relay: Relay,
    pub(crate) clock: Clock,
    /// When this process began.
    pub(crate) started: Moment,
    pub(crate) failpoint: Failpoint,
    pub(crate) events: EventBus,
    /// What the store has room for.
    pub(crate) store_room: watch::Receiver<Room>,
}

impl Context {
    /// Tells whoever listens.
    pub(crate) fn tell(&self, group: Option<&GroupName>, kind: EventKind) {
        self.events.publish(group, kind);
    }

    /// Where rescue files lie.
    pub(crate) fn rescue_dir(&self) -> PathBuf {
        self.settings.data_dir.join(RESCUE_DIR)
    }

    /// Everything that is kept of a group beside the store.
    pub(crate) fn group_dir(&self, group: &GroupName) -> PathBuf {
        self.settings.data_dir.join(GROUPS_DIR).join(group.as_str())
    }

    /// The directory of a shard's log.
    pub(crate) fn log_dir(&self, group: &GroupName, shard: ShardId) -> PathBuf {
        let shards = self.group_dir(group).join("shards");
        shards.join(shard.to_string()).join("log")
    }

    /// Where nodes find the relay.
    pub(crate) fn relay_endpoint(&self) -> RelayEndpoint {
        RelayEndpoint {
            announced: self.settings.relay_announce.clone(),
            listen: self.relay.address(),
        }
    }

    /// Notes in the audit what the gateway did by itself. The work goes on if the audit can't be written.
    pub(crate) async fn note(&self, action: &str, target: &str, outcome: &str, detail: Option<String>) {
        let record = AuditRecord {
            id: 0,
            at: Timestamp::now(),
            actor: "sterna".to_owned(),
            remote: None,
            action: action.to_owned(),
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            detail,
        };
        if let Err(error) = self.catalogue.audit.append(record).await {
            tracing::warn!(%error, "the audit can't be written");
        }
    }

    /// How a service is reached.
    pub(crate) async fn access(&self, name: &ServiceName) -> Result<Access, ControlError> {
        let service = self.catalogue.services.get(name).await?;
        let secrets = self.catalogue.services.secrets(name).await?;
        Access::read(service, secrets).await
    }
}
