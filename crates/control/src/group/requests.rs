//! What a person may ask of a group: checked against what is now, then kept as an operation.

use sterna_model::{Group, Operation, OperationKind, OperationState, Requester, ServiceName};

use super::owner::Owner;
use crate::error::ControlError;
use crate::gateway::new_operation;
use crate::handle::{Actor, GroupPatch, GroupRequest};
use crate::membership::REPLICAS_MAX;

impl Owner {
    pub(super) async fn on_request(&mut self, request: GroupRequest) {
        match request {
            GroupRequest::Update {
                patch,
                expected,
                reply,
            } => {
                let answer = match expected.filter(|expected| *expected != self.group.revision) {
                    Some(_) => Err(ControlError::Store(sterna_store::StoreError::Conflict {
                        key: format!("group {}", self.group.name),
                        now: self.group.revision,
                    })),
                    None => self.update(patch).await,
                };
                drop(reply.send(answer));
            }
            GroupRequest::Delete { actor, reply } => {
                let asked = self
                    .ask(
                        OperationKind::Delete,
                        None,
                        false,
                        &actor,
                        "the group is to be deleted",
                    )
                    .await;
                drop(reply.send(asked));
            }
            GroupRequest::Switchover { to, actor, reply } => {
                let answer = match self.may_switch_to(&to) {
                    Ok(()) => {
                        self.ask(
                            OperationKind::Switchover,
                            Some(to),
                            false,
                            &actor,
                            "planned change of primary",
                        )
                        .await
                    }
                    Err(error) => Err(error),
                };
                drop(reply.send(answer));
            }
            GroupRequest::Failover {
                to,
                force,
                actor,
                reply,
            } => {
                let answer = self.ask_failover(to, force, &actor).await;
                drop(reply.send(answer));
            }
            GroupRequest::AddReplica {
                service,
                overwrite,
                actor,
                reply,
            } => {
                let answer = self.ask_add(service, overwrite, &actor).await;
                drop(reply.send(answer));
            }
            GroupRequest::RemoveReplica {
                service,
                promote,
                actor,
                reply,
            } => {
                let answer = self.ask_remove(service, promote, &actor).await;
                drop(reply.send(answer));
            }
            GroupRequest::SetPaused { paused, actor, reply } => {
                let next = Group {
                    paused,
                    ..self.group.clone()
                };
                tracing::info!(group = %self.group.name, paused, by = actor.name, "paused or resumed");
                let answer = self.save_group(next).await;
                drop(reply.send(answer));
            }
            GroupRequest::Cancel {
                operation,
                actor,
                reply,
            } => {
                tracing::info!(group = %self.group.name, %operation, by = actor.name, "cancel");
                let answer = self.cancel(operation);
                drop(reply.send(answer));
            }
            GroupRequest::ServiceChanged(service) => {
                if self.access.contains_key(&service) {
                    self.nodes.retain(|node| node.key.service != service);
                    if let Err(error) = self.reach_services().await {
                        tracing::error!(group = %self.group.name, %service, %error, "the changed service can't be reached");
                    }
                    self.following = self.following && service != self.group.primary;
                }
            }
        }
    }

    async fn save_group(&mut self, next: Group) -> Result<Group, ControlError> {
        // A step that keeps the group must not cross this.
        if self.step.is_some() && self.operation.is_some() {
            return Err(self.busy());
        }
        let group = self.common.catalogue.save_group(next).await?;
        self.group = group.clone();
        Ok(group)
    }

    fn busy(&self) -> ControlError {
        match &self.operation {
            Some(operation) => ControlError::Busy {
                group: self.group.name.clone(),
                operation: operation.id,
            },
            None => ControlError::Stopping,
        }
    }

    async fn update(&mut self, patch: GroupPatch) -> Result<Group, ControlError> {
        let mut next = self.group.clone();
        if let Some(settings) = patch.settings {
            crate::membership::check_settings(&settings)?;
            next.settings = settings;
        }
        if let Some(order) = patch.replicas {
            let sorted = |names: &[ServiceName]| {
                let mut names = names.to_vec();
                names.sort();
                names
            };
            if sorted(&order) != sorted(&self.group.replicas) {
                return Err(ControlError::Invalid(
                    "replicas only takes the same services in another order; add and remove have requests of their own".to_owned(),
                ));
            }
            next.replicas = order;
        }
        self.save_group(next).await
    }

    async fn ask(
        &mut self,
        kind: OperationKind,
        service: Option<ServiceName>,
        force: bool,
        actor: &Actor,
        reason: &str,
    ) -> Result<Operation, ControlError> {
        let mut operation = new_operation(
            &self.group,
            kind,
            Requester::from(actor.name.clone()),
            format!("{reason}, asked for by {}", actor.name),
        );
        operation.service = service;
        operation.force = force;
        if kind == OperationKind::Failover {
            let now = jiff::Timestamp::now();
            operation
                .steps
                .push(super::begin::detect(operation.reason.clone(), now, now));
        }
        self.begin_operation(operation).await
    }

    fn must_be_replica(&self, service: &ServiceName) -> Result<(), ControlError> {
        if self.group.replicas.contains(service) {
            return Ok(());
        }
        let names = self
            .group
            .replicas
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", ");
        if *service == self.group.primary {
            return Err(ControlError::refused(
                format!("{service} is the primary of group {} already", self.group.name),
                format!("its replica services are {names}"),
            ));
        }
        Err(ControlError::refused(
            format!("{service} is not in group {}", self.group.name),
            format!("its replica services are {names}"),
        ))
    }

    fn may_switch_to(&self, to: &ServiceName) -> Result<(), ControlError> {
        self.must_be_replica(to)?;
        if self.former_primary(to).is_some() {
            return Err(ControlError::refused(
                format!("{to} was left behind by a failover and has not come back yet: it can't take over"),
                "bring its old primary node back, and wait until `sterna status` shows that it follows",
            ));
        }
        let now = tokio::time::Instant::now();
        let ready = self
            .nodes_of(to)
            .any(|(_, node)| node.fresh(now).is_some_and(|facts| facts.link_up));
        if !ready {
            return Err(ControlError::refused(
                format!("no node of {to} follows at the moment: a switchover would lose writes"),
                "see `sterna status`; where the primary is lost, `sterna failover` is what you want",
            ));
        }
        if self.verdict != crate::plan::health::Verdict::Healthy {
            return Err(ControlError::refused(
                format!(
                    "a switchover needs the primary, which hands over: {}",
                    self.verdict
                ),
                "where the primary is lost, `sterna failover` is what you want",
            ));
        }
        Ok(())
    }

    async fn ask_failover(
        &mut self,
        to: Option<ServiceName>,
        force: bool,
        actor: &Actor,
    ) -> Result<Operation, ControlError> {
        if let Some(to) = &to {
            self.must_be_replica(to)?;
            if self.former_primary(to).is_some() && !force {
                return Err(ControlError::refused(
                    format!("{to} was left behind by an earlier failover and has not come back yet"),
                    "choose another service, or bring it back first",
                ));
            }
        }
        let able = self.candidates(tokio::time::Instant::now());
        let able = able
            .iter()
            .filter(|candidate| candidate.answers && candidate.in_history);
        let wanted = to
            .as_ref()
            .and_then(|to| self.group.replicas.iter().position(|name| name == to));
        if !able
            .clone()
            .any(|candidate| wanted.is_none_or(|wanted| candidate.preference == wanted))
        {
            return Err(ControlError::refused(
                "no replica node answers that holds a whole copy, so nobody could take over. Nothing was changed",
                "see `sterna status`; bring a replica service back first",
            ));
        }
        let (bytes, time) = self.at_risk();
        let allowed = u64::from(self.group.settings.max_lag_on_failover_seconds);
        if time.as_secs() > allowed && !force {
            return Err(ControlError::refused(
                format!(
                    "{bytes} bytes of writes, {:.0} s of them, would be lost, and max_lag_on_failover_seconds allows {allowed} s",
                    time.as_secs_f64()
                ),
                "wait until the replica service has caught up, or accept the loss with --force",
            ));
        }
        self.ask(OperationKind::Failover, to, force, actor, "failover")
            .await
    }

    async fn ask_add(
        &mut self,
        service: ServiceName,
        overwrite: bool,
        actor: &Actor,
    ) -> Result<Operation, ControlError> {
        if self.group.services().any(|name| *name == service) {
            return Err(ControlError::refused(
                format!("{service} is in group {} already", self.group.name),
                "see `sterna status`",
            ));
        }
        if self.group.replicas.len() >= REPLICAS_MAX {
            return Err(ControlError::refused(
                format!(
                    "group {} has {REPLICAS_MAX} replica services already, which is the most",
                    self.group.name
                ),
                "remove one first",
            ));
        }
        crate::membership::must_be_free(&self.common, &service).await?;
        self.ask(
            OperationKind::AddReplica,
            Some(service),
            overwrite,
            actor,
            "a service joins",
        )
        .await
    }

    async fn ask_remove(
        &mut self,
        service: ServiceName,
        promote: bool,
        actor: &Actor,
    ) -> Result<Operation, ControlError> {
        self.must_be_replica(&service)?;
        if self.group.replicas.len() == 1 {
            return Err(ControlError::refused(
                format!(
                    "{service} is the last replica service of group {}",
                    self.group.name
                ),
                "delete the group instead: `sterna group delete`",
            ));
        }
        let kind = if promote {
            OperationKind::Detach
        } else {
            OperationKind::RemoveReplica
        };
        self.ask(kind, Some(service), false, actor, "a service leaves")
            .await
    }

    fn cancel(&mut self, id: sterna_model::OperationId) -> Result<Operation, ControlError> {
        let Some(operation) = self.operation.clone().filter(|operation| operation.id == id) else {
            return Err(ControlError::refused(
                format!("operation {id} is not under way"),
                "see `sterna operation show`",
            ));
        };
        if operation.committed || operation.state != OperationState::Running {
            return Err(ControlError::refused(
                format!("operation {id} is past its point of no return: what was decided is completed"),
                "wait for its end; a switchover brings the old primary back",
            ));
        }
        self.cancelled = true;
        Ok(operation)
    }
}
