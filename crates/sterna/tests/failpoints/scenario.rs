//! The operations: how each comes about, and what must be true at its end.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use sterna_harness::{GROUP, look_until};
use sterna_model::{GroupSettings, Operation, OperationKind, OperationState};

use crate::world::{AP, EU, US, World};

/// One way for an operation to come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// A group is made.
    Create,
    /// The primary is killed; later it comes back with everything that it acknowledged.
    FailoverKilled,
    /// A person asks for it, while the primary takes writes.
    FailoverAsked,
    /// The primary restarts without its data.
    FailoverEmptied,
    /// The primary is frozen; later it wakes up, with writes that came meanwhile.
    FailoverFrozen,
    /// A planned change of primary.
    Switchover,
    /// One whose target is frozen, so that it is taken back.
    SwitchoverTakenBack,
    /// An old primary comes back empty.
    RejoinEmpty,
    /// One comes back with nothing but what was copied.
    RejoinPrefix,
    /// One wakes up and takes writes that were waiting: they are saved from its backlog.
    RejoinCommands,
    /// One comes back with data, and nobody can tell which of its writes are extra: all of it is saved.
    RejoinSnapshot,
    /// Somebody made a replica node writable, and wrote to it.
    RejoinStray,
    /// A service joins.
    AddReplica,
    /// A service leaves and stays as it is.
    RemoveReplica,
    /// A service leaves as a primary of its own.
    Detach,
    /// The group is deleted.
    Delete,
}

impl Scenario {
    /// All of them.
    pub(crate) const ALL: [Self; 16] = [
        Self::Create,
        Self::FailoverKilled,
        Self::FailoverAsked,
        Self::FailoverEmptied,
        Self::FailoverFrozen,
        Self::Switchover,
        Self::SwitchoverTakenBack,
        Self::RejoinEmpty,
        Self::RejoinPrefix,
        Self::RejoinCommands,
        Self::RejoinSnapshot,
        Self::RejoinStray,
        Self::AddReplica,
        Self::RemoveReplica,
        Self::Detach,
        Self::Delete,
    ];

    /// A name for people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::FailoverKilled => "failover (killed)",
            Self::FailoverAsked => "failover (asked for)",
            Self::FailoverEmptied => "failover (came back empty)",
            Self::FailoverFrozen => "failover (frozen)",
            Self::Switchover => "switchover",
            Self::SwitchoverTakenBack => "switchover (taken back)",
            Self::RejoinEmpty => "rejoin (empty)",
            Self::RejoinPrefix => "rejoin (nothing extra)",
            Self::RejoinCommands => "rejoin (extra writes)",
            Self::RejoinSnapshot => "rejoin (other history)",
            Self::RejoinStray => "rejoin (made writable)",
            Self::AddReplica => "add-replica",
            Self::RemoveReplica => "remove-replica",
            Self::Detach => "detach",
            Self::Delete => "delete",
        }
    }

    /// The operation that it is about.
    pub(crate) fn kind(self) -> OperationKind {
        match self {
            Self::Create => OperationKind::Create,
            Self::FailoverKilled | Self::FailoverAsked | Self::FailoverEmptied | Self::FailoverFrozen => {
                OperationKind::Failover
            }
            Self::Switchover | Self::SwitchoverTakenBack => OperationKind::Switchover,
            Self::RejoinEmpty
            | Self::RejoinPrefix
            | Self::RejoinCommands
            | Self::RejoinSnapshot
            | Self::RejoinStray => OperationKind::Rejoin,
            Self::AddReplica => OperationKind::AddReplica,
            Self::RemoveReplica => OperationKind::RemoveReplica,
            Self::Detach => OperationKind::Detach,
            Self::Delete => OperationKind::Delete,
        }
    }

    /// Whether a person asks for it; everything else begins again by itself.
    pub(crate) fn is_asked_for(self) -> bool {
        match self.kind() {
            OperationKind::Rejoin => false,
            OperationKind::Failover => self == Self::FailoverAsked,
            _ => true,
        }
    }

    /// Whether the first primary keeps what it acknowledges on disk.
    pub(crate) fn append_only(self) -> bool {
        matches!(self, Self::FailoverKilled | Self::RejoinSnapshot)
    }

    /// The group's settings.
    pub(crate) fn settings(self) -> GroupSettings {
        let defaults = GroupSettings::default();
        match self {
            // Its restart must not look like an outage.
            Self::FailoverEmptied => GroupSettings {
                down_after_ms: 60_000,
                ..defaults
            },
            _ => defaults,
        }
    }

    /// The group's services before the operation, the primary first; none where there is no group.
    pub(crate) fn services(self) -> &'static [&'static str] {
        match self {
            Self::Create => &[],
            Self::AddReplica => &[EU, US],
            _ => &[EU, US, AP],
        }
    }

    /// What comes before the operation.
    pub(crate) fn prepare(self, world: &mut World) -> Result<()> {
        if self == Self::Create {
            return world.start_clients(&[EU]);
        }
        world.create_group(self.services(), &self.settings())?;
        world.start_clients(self.services())?;
        match self {
            Self::RejoinEmpty | Self::RejoinSnapshot => {
                world.server_mut(EU)?.kill9();
                failed_over(world)
            }
            Self::RejoinPrefix => {
                world.server_mut(EU)?.stop_gracefully(true)?;
                failed_over(world)
            }
            Self::RejoinCommands => {
                world.server(EU)?.pause()?;
                failed_over(world)
            }
            Self::RejoinStray => {
                let _: Value = world.gateway.rest.post(&of_group("/pause"), &json!({}))?;
                let mut stray = world.server(US)?.connect()?;
                stray.cmd(&["REPLICAOF", "NO", "ONE"])?;
                stray.cmd(&["CONFIG", "SET", "min-replicas-to-write", "0"])?;
                stray.cmd(&["SET", "stray", "1"])?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The operation begins. An error means nothing where the gateway died before it could answer.
    pub(crate) fn strike(self, world: &mut World) -> Result<()> {
        let asked = |asked: Result<Operation>| asked.map(drop);
        match self {
            Self::Create => {
                let spec = World::group_of(&[EU, US, AP], &self.settings());
                asked(world.gateway.rest.post("/groups", &spec))
            }
            Self::FailoverKilled => {
                world.server_mut(EU)?.kill9();
                Ok(())
            }
            Self::FailoverAsked => {
                let to = json!({ "to": US });
                asked(world.gateway.rest.post(&of_group("/failover"), &to))
            }
            Self::FailoverEmptied => {
                let eu = world.server_mut(EU)?;
                eu.kill9();
                eu.restart()
            }
            Self::FailoverFrozen => world.server(EU)?.pause(),
            Self::Switchover | Self::SwitchoverTakenBack => {
                if self == Self::SwitchoverTakenBack {
                    world.server(US)?.pause()?;
                }
                // The frozen one is not asked for its users first, which it would let time out until it is known to be away.
                let to = json!({ "to": US, "allow_missing_users": true });
                asked(world.gateway.rest.post(&of_group("/switchover"), &to))
            }
            Self::RejoinEmpty | Self::RejoinPrefix | Self::RejoinSnapshot => world.server_mut(EU)?.restart(),
            Self::RejoinCommands => world.server(EU)?.resume(),
            Self::RejoinStray => {
                let resumed: Result<Value> = world.gateway.rest.post(&of_group("/resume"), &json!({}));
                resumed.map(drop)
            }
            Self::AddReplica => {
                let service = json!({ "service": AP });
                asked(world.gateway.rest.post(&of_group("/replicas"), &service))
            }
            Self::RemoveReplica => asked(world.gateway.rest.delete(&of_group("/replicas/ap"))),
            Self::Detach => {
                let service = json!({ "service": AP });
                asked(world.gateway.rest.post(&of_group("/detach"), &service))
            }
            Self::Delete => asked(world.gateway.rest.delete(&of_group(""))),
        }
    }

    /// What was broken for the operation is whole again, now that it is over.
    pub(crate) fn mend(self, world: &mut World) -> Result<()> {
        match self {
            Self::FailoverKilled => world.server_mut(EU)?.restart(),
            Self::FailoverFrozen => world.server(EU)?.resume(),
            Self::SwitchoverTakenBack => world.server(US)?.resume(),
            _ => Ok(()),
        }
    }

    /// How the operation may end. Only before its point of no return may a change be given up.
    pub(crate) fn may_end(self, ended: &Operation) -> bool {
        let given_up = matches!(ended.state, OperationState::Cancelled | OperationState::Failed);
        match self {
            Self::Switchover if given_up => !ended.committed,
            Self::SwitchoverTakenBack => given_up && !ended.committed,
            _ => ended.state == OperationState::Succeeded,
        }
    }

    /// The services of the group when the operation has succeeded, the primary first; none where there is no group.
    pub(crate) fn services_after(self) -> &'static [&'static str] {
        match self {
            Self::Create | Self::SwitchoverTakenBack | Self::RejoinStray | Self::AddReplica => &[EU, US, AP],
            Self::FailoverKilled
            | Self::FailoverAsked
            | Self::FailoverEmptied
            | Self::FailoverFrozen
            | Self::Switchover
            | Self::RejoinEmpty
            | Self::RejoinPrefix
            | Self::RejoinCommands
            | Self::RejoinSnapshot => &[US, EU, AP],
            Self::RemoveReplica | Self::Detach => &[EU, US],
            Self::Delete => &[],
        }
    }

    /// Nodes that hold nothing to continue from, and so need a full copy. Others get one only where they had writes of
    /// their own, which are in a rescue file then.
    pub(crate) fn needs_copy(self) -> &'static [&'static str] {
        match self {
            Self::Create => &[US, AP],
            Self::FailoverKilled | Self::FailoverEmptied | Self::RejoinEmpty | Self::RejoinSnapshot => &[EU],
            Self::AddReplica => &[AP],
            _ => &[],
        }
    }

    /// Whether the first primary loses its memory: what only that held is lost without a trace.
    pub(crate) fn memory_is_lost(self) -> bool {
        matches!(self, Self::FailoverEmptied | Self::RejoinEmpty)
    }

    /// The node that takes writes that it must not take, by the nature of the fault: one that a person made writable, or
    /// one that wakes up with writes waiting. They must be in a rescue file.
    pub(crate) fn out_of_order(self) -> Option<&'static str> {
        match self {
            Self::FailoverFrozen | Self::RejoinCommands => Some(EU),
            Self::RejoinStray => Some(US),
            _ => None,
        }
    }
}

fn of_group(what: &str) -> String {
    format!("/groups/{GROUP}{what}")
}

/// Waits until the second service has taken over.
fn failed_over(world: &World) -> Result<()> {
    world.gateway.wait_kind(OperationKind::Failover)?;
    look_until("nothing to be under way", || {
        ensure!(world.gateway.status()?.summary.operation.is_none());
        Ok(())
    })?;
    world.wait_writes()
}
