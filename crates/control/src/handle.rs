//! What the API may ask of control. Cheap to clone, usable from any thread.

use std::path::PathBuf;
use std::sync::Arc;

use sterna_model::{
    CatalogueItem, DoctorReport, Event, EventKind, Group, GroupName, GroupPatch, GroupSpec, GroupStatus,
    Operation, OperationId, OperationKind, RescueId, Revision, Secrets, Service, ServiceName, ServiceRole,
    ServiceSpec,
};
use sterna_protocol::ReplicationId;
use sterna_replication::Status;
use sterna_store::{Catalogue, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::client_settings;
use crate::error::ControlError;
use crate::events::EventBus;
use crate::membership;
use crate::plan::admission::MissingUser;
use crate::registration::{self, Known};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name of the token.
    pub name: String,
}

/// An operation that a person may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Planned change of primary, to this service.
    Switchover {
        /// The new primary service.
        to: ServiceName,
        /// Even if it lacks ACL users that clients of the primary use.
        allow_missing_users: bool,
    },
    /// Unplanned change of primary.
    Failover {
        /// The new primary service; the best one where none is named.
        to: Option<ServiceName>,
        /// Whatever the fence can't promise and the loss would be.
        force: bool,
    },
    /// A service joins.
    AddReplica {
        /// Which.
        service: ServiceName,
        /// Whatever it holds now.
        overwrite: bool,
    },
    /// A replica service leaves.
    RemoveReplica {
        /// Which.
        service: ServiceName,
        /// As a primary of its own; else it stays as it is, read-only.
        promote: bool,
    },
    /// The group is deleted: its services stay as they are, replica services read-only.
    Delete,
}

impl Change {
    pub(crate) fn kind(&self) -> OperationKind {
        match self {
            Self::Switchover { .. } => OperationKind::Switchover,
            Self::Failover { .. } => OperationKind::Failover,
            Self::AddReplica { .. } => OperationKind::AddReplica,
            Self::RemoveReplica { promote: true, .. } => OperationKind::Detach,
            Self::RemoveReplica { promote: false, .. } => OperationKind::RemoveReplica,
            Self::Delete => OperationKind::Delete,
        }
    }

    /// The service that it is about.
    pub(crate) fn service(&self) -> Option<&ServiceName> {
        match self {
            Self::Switchover { to: service, .. }
            | Self::AddReplica { service, .. }
            | Self::RemoveReplica { service, .. } => Some(service),
            Self::Failover { to, .. } => to.as_ref(),
            Self::Delete => None,
        }
    }

    /// Whether a person lifted the limits that protect data.
    pub(crate) fn force(&self) -> bool {
        match self {
            Self::Failover { force, .. } => *force,
            Self::AddReplica { overwrite, .. } => *overwrite,
            Self::Switchover { .. } | Self::RemoveReplica { .. } | Self::Delete => false,
        }
    }
}

/// What is asked of the supervisor.
#[derive(Debug)]
pub(crate) enum Request {
    /// Make a group.
    CreateGroup {
        spec: GroupSpec,
        actor: Actor,
        reply: Reply<Operation>,
    },
    /// A service was changed: whoever uses it connects anew.
    ServiceChanged(ServiceName),
    /// Look at a service.
    Doctor {
        service: ServiceName,
        role: ServiceRole,
        reply: Reply<DoctorReport>,
    },
}

/// What is asked of a group.
#[derive(Debug)]
pub(crate) enum GroupRequest {
    /// Begin an operation.
    Begin {
        change: Change,
        actor: Actor,
        /// Where the service that is to take over lacks users that clients of the primary use.
        missing_users: Vec<MissingUser>,
        reply: Reply<Operation>,
    },
    /// Change settings or order.
    Update {
        patch: GroupPatch,
        expected: Option<Revision>,
        reply: Reply<Group>,
    },
    /// Change nothing by oneself, or go on with that.
    SetPaused {
        paused: bool,
        actor: Actor,
        reply: Reply<Group>,
    },
    /// Follow the primary whatever it offers.
    AcceptHistory {
        offered: Option<ReplicationId>,
        actor: Actor,
        reply: Reply<Group>,
    },
    /// End an operation.
    Cancel {
        operation: OperationId,
        actor: Actor,
        reply: Reply<Operation>,
    },
    /// A service of the group was changed.
    ServiceChanged(ServiceName),
}

impl GroupRequest {
    /// Answers that nothing was done.
    pub(crate) fn refuse(self, why: impl FnOnce() -> ControlError) {
        match self {
            Self::Update { reply, .. }
            | Self::SetPaused { reply, .. }
            | Self::AcceptHistory { reply, .. } => {
                drop(reply.send(Err(why())));
            }
            Self::Begin { reply, .. } | Self::Cancel { reply, .. } => drop(reply.send(Err(why()))),
            Self::ServiceChanged(_) => {}
        }
    }
}

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, ControlError>>;

/// A group's status, its operation, and the status of its shard, as they change.
#[derive(Debug, Clone)]
pub struct GroupView {
    /// The last status.
    pub status: watch::Receiver<GroupStatus>,
    /// The operation under way, with what it is doing at this moment.
    pub operation: watch::Receiver<Option<Operation>>,
    /// Its shard.
    pub shard: watch::Receiver<Status>,
    pub(crate) requests: mpsc::Sender<GroupRequest>,
}

/// The handle.
#[derive(Debug, Clone)]
pub struct Control {
    pub(crate) catalogue: Catalogue,
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) views: watch::Receiver<Arc<std::collections::BTreeMap<GroupName, GroupView>>>,
    pub(crate) events: EventBus,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) rescue_dir: PathBuf,
}

impl Control {
    /// The store, for what is only read, and for tokens and the audit.
    pub fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Registers a service: its nodes are asked, and another engine is refused.
    pub async fn add_service(
        &self,
        spec: ServiceSpec,
        secrets: Secrets,
        actor: Actor,
    ) -> Result<Service, ControlError> {
        let (access, spec) =
            registration::reachable(&self.catalogue, spec, &secrets, Known::default()).await?;
        tracing::info!(service = %spec.name, by = actor.name, primary = %access, "service added");
        let service = self
            .catalogue
            .services
            .create(spec, secrets, jiff::Timestamp::now())
            .await?;
        self.events
            .changed(CatalogueItem::Service, service.spec.name.as_str());
        Ok(service)
    }

    /// Changes a service; without secrets those that are kept stay.
    pub async fn update_service(
        &self,
        spec: ServiceSpec,
        secrets: Option<Secrets>,
        expected: Option<Revision>,
        actor: Actor,
    ) -> Result<Service, ControlError> {
        let name = spec.name.clone();
        let kept = match &secrets {
            Some(secrets) => secrets.clone(),
            None => self.catalogue.services.secrets(&name).await?,
        };
        let copies = self
            .catalogue
            .groups
            .all()
            .await?
            .iter()
            .any(|group| group.replicas.contains(&name));
        let nodes = self.catalogue.services.get(&name).await?.spec.nodes;
        let (_, spec) =
            registration::reachable(&self.catalogue, spec, &kept, Known { copies, nodes }).await?;
        tracing::info!(service = %name, by = actor.name, "service changed");
        let service = self.catalogue.services.update(spec, secrets, expected).await?;
        self.events.changed(CatalogueItem::Service, name.as_str());
        // A gateway that stops takes the change up when it starts.
        let _ = self.requests.send(Request::ServiceChanged(name)).await;
        Ok(service)
    }

    /// Forgets a service that is in no group.
    pub async fn remove_service(
        &self,
        name: &ServiceName,
        expected: Option<Revision>,
        actor: Actor,
    ) -> Result<(), ControlError> {
        for group in self.catalogue.groups.all().await? {
            if group.services().any(|service| service == name) {
                return Err(ControlError::refused(
                    format!("service {name} is in group {}", group.name),
                    "remove it there first, or delete the group",
                ));
            }
        }
        tracing::info!(service = %name, by = actor.name, "service removed");
        self.catalogue.services.delete(name, expected).await?;
        self.events.changed(CatalogueItem::Service, name.as_str());
        Ok(())
    }

    /// Whether a service is fit for a role, check by check.
    pub async fn doctor(
        &self,
        service: ServiceName,
        role: ServiceRole,
    ) -> Result<DoctorReport, ControlError> {
        self.ask(|reply| Request::Doctor { service, role, reply }).await
    }

    /// Makes a group; the operation ends when every replica service holds a copy.
    pub async fn create_group(&self, spec: GroupSpec, actor: Actor) -> Result<Operation, ControlError> {
        self.ask(|reply| Request::CreateGroup { spec, actor, reply })
            .await
    }

    /// Changes settings or the order of preference.
    pub async fn update_group(
        &self,
        name: GroupName,
        patch: GroupPatch,
        expected: Option<Revision>,
    ) -> Result<Group, ControlError> {
        self.ask_group(&name, |reply| GroupRequest::Update {
            patch,
            expected,
            reply,
        })
        .await
    }

    /// Begins an operation.
    pub async fn begin(
        &self,
        name: GroupName,
        change: Change,
        actor: Actor,
    ) -> Result<Operation, ControlError> {
        if let Change::AddReplica { service, .. } = &change {
            membership::must_be_free(&self.catalogue, service, Some(&name)).await?;
        }
        let missing_users = match &change {
            Change::Switchover {
                to,
                allow_missing_users: false,
            } => client_settings::missing_users(&self.catalogue, &name, to).await,
            _ => Vec::new(),
        };
        self.ask_group(&name, |reply| GroupRequest::Begin {
            change,
            actor,
            missing_users,
            reply,
        })
        .await
    }

    /// Stops deciding by oneself, or goes on with it.
    pub async fn set_paused(
        &self,
        name: GroupName,
        paused: bool,
        actor: Actor,
    ) -> Result<Group, ControlError> {
        self.ask_group(&name, |reply| GroupRequest::SetPaused { paused, actor, reply })
            .await
    }

    /// Lets a primary on which replication holds be followed, whatever it offers: the replica services get its data anew, and
    /// lose what only they hold. `offered` is the replication id that was shown, where one was.
    pub async fn accept_history(
        &self,
        name: GroupName,
        offered: Option<ReplicationId>,
        actor: Actor,
    ) -> Result<Group, ControlError> {
        self.ask_group(&name, |reply| GroupRequest::AcceptHistory {
            offered,
            actor,
            reply,
        })
        .await
    }

    /// Ends an operation before it is committed.
    pub async fn cancel(&self, operation: OperationId, actor: Actor) -> Result<Operation, ControlError> {
        let name = self.catalogue.operations.get(operation).await?.group;
        self.ask_group(&name, |reply| GroupRequest::Cancel {
            operation,
            actor,
            reply,
        })
        .await
    }

    /// The groups' statuses.
    pub fn views(&self) -> Arc<std::collections::BTreeMap<GroupName, GroupView>> {
        Arc::clone(&self.views.borrow())
    }

    /// Tells those who listen that a token was made or revoked.
    pub fn token_changed(&self, name: &str) {
        self.events.changed(CatalogueItem::Token, name);
    }

    /// An operation: as it is at this moment if it is under way, else as it is kept.
    pub async fn operation(&self, id: OperationId) -> Result<Operation, ControlError> {
        for view in self.views().values() {
            let now = view.operation.borrow().clone();
            if let Some(operation) = now.filter(|operation| operation.id == id && !operation.state.is_final())
            {
                return Ok(operation);
            }
        }
        Ok(self.catalogue.operations.get(id).await?)
    }

    /// How groups are doing, as the events that a subscription begins with. A change that one of them has already is known
    /// by its revision.
    pub fn snapshot(&self) -> Vec<Event> {
        let id = self.events.last_id();
        let views = self.views();
        let statuses = views.values().map(|view| view.status.borrow().clone());
        statuses
            .map(|status| Event {
                id,
                at: status.at,
                group: Some(status.group.clone()),
                kind: EventKind::Status {
                    status: Box::new(status),
                },
            })
            .collect()
    }

    /// What happens, from now on. Who is too slow is told that it missed some.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Whether every group was taken up after the start.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Where a rescue file lies.
    pub async fn rescue_file(&self, id: RescueId) -> Result<PathBuf, ControlError> {
        let rescue = self.catalogue.rescues.get(id).await?;
        Ok(self.rescue_dir.join(rescue.file))
    }

    async fn ask_group<T>(
        &self,
        name: &GroupName,
        ask: impl FnOnce(Reply<T>) -> GroupRequest,
    ) -> Result<T, ControlError> {
        let requests = self.views().get(name).map(|view| view.requests.clone());
        let requests = requests.ok_or_else(|| {
            ControlError::Store(StoreError::NotFound {
                what: "group",
                name: name.to_string(),
            })
        })?;
        let (reply, answer) = oneshot::channel();
        requests
            .send(ask(reply))
            .await
            .map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, ControlError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| ControlError::Stopping)?;
        answer.await.map_err(|_| ControlError::Stopping)?
    }
}
