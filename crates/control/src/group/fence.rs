//! The fence at the primary: in place, as it should be, or lifted.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use sterna_model::{Fencing, Group, GroupName};
use sterna_node::adopt::{self, Before};
use sterna_node::info::AttachedReplica;
use sterna_node::{Client, ClientError};
use sterna_replication::LinkState;
use sterna_store::Catalogue;
use tokio::time::Instant;

use super::change::connect;
use super::owner::Owner;
use super::steps::{Action, Effect, Record};
use crate::observe::Lease;
use crate::plan::NodeId;

/// The fence is not set again sooner.
const ARM_PAUSE: Duration = Duration::from_secs(5);

/// For how long the fence is lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lift {
    /// In the node's configuration file too.
    ForGood,
    /// Its configuration file keeps the fence. Should it die meanwhile and another take over, it comes back shut.
    UntilRestart,
}

/// What a step of the fence gives.
type Work = Pin<Box<dyn Future<Output = Result<Effect, String>> + Send>>;

impl Owner {
    pub(super) fn arm(&mut self, record: Record, node: NodeId) {
        let work = self.arm_work(node);
        self.begin_step(record, move |_, group| work(group));
    }

    /// Puts the fence in place at the primary and keeps that it is.
    pub(super) fn arm_work(&mut self, node: NodeId) -> impl FnOnce(Group) -> Work + Send + 'static + use<> {
        self.nodes[node.0].shut_run = None;
        let (dialer, key) = (self.dialer(node), self.nodes[node.0].key.clone());
        let lease = self.wanted_lease(node);
        let catalogue = self.common.catalogue.clone();
        move |group| {
            Box::pin(async move {
                let mut client = connect(&dialer).await?;
                remember(&catalogue, &group.name, &mut client).await?;
                check_counted(&mut client, lease).await?;
                set(&mut client, lease).await.map_err(|error| error.to_string())?;
                let kept = adopt::keep(&mut client).await;
                let fenced = Group {
                    fence_in_place: true,
                    ..group
                };
                let group = catalogue
                    .save_group(fenced)
                    .await
                    .map_err(|error| error.to_string())?;
                let said = format!("{key} takes writes only while the gateway hears it");
                Ok(Effect {
                    group: Some(group),
                    kept: Some((key, kept)),
                    ..Effect::said(said)
                })
            })
        }
    }

    /// The fence as it should be at the primary: one replica more than it has of its own.
    pub(super) fn wanted_lease(&self, node: NodeId) -> Lease {
        Lease {
            min_replicas: 1 + u32::try_from(self.local_replicas(node)).unwrap_or(0),
            max_lag_seconds: self.group.settings.lease_seconds,
        }
    }

    /// Replicas of a primary node that are not us, and that it counts as replicas: a full copy to them is over.
    pub(super) fn local_replicas(&self, node: NodeId) -> usize {
        let relay = self.relay_for(node).address;
        let replicas = self.nodes[node.0].facts.iter().flat_map(|facts| &facts.replicas);
        replicas
            .filter(|replica| replica.address.port != 0 && replica.address != relay && is_counted(replica))
            .count()
    }

    /// Whether the primary counts the gateway among its replicas: after a full copy it does so at the first
    /// acknowledgement that comes when its own child process has ended. With the fence in place before, it would refuse
    /// writes until then.
    pub(super) fn is_counted_by(&self, node: NodeId, now: Instant) -> bool {
        let wanted = self.wanted_lease(node).min_replicas;
        self.nodes[node.0]
            .fresh(now)
            .is_some_and(|facts| counted(&facts.replicas) >= wanted)
    }

    /// Whether the fence at the primary is not as it should be.
    pub(super) fn fence_is_off(&self, now: Instant) -> bool {
        let Some(primary) = self.primary() else {
            return false;
        };
        let node = &self.nodes[primary.0];
        let streaming = self.following && self.shard_status.borrow().link == LinkState::Streaming;
        let recently = node
            .repaired_at
            .is_some_and(|at| now.saturating_duration_since(at) < ARM_PAUSE);
        let Some(facts) = node.fresh(now).filter(|_| streaming && !recently) else {
            return false;
        };
        match self.group.settings.fencing {
            Fencing::None => self.group.fence_in_place,
            Fencing::Lease => {
                let as_wanted = facts
                    .lease
                    .is_none_or(|lease| lease == self.wanted_lease(primary));
                !as_wanted || !self.group.fence_in_place
            }
        }
    }

    /// Puts the fence in place, or lifts it, as the settings say.
    pub(super) fn mend_fence(&mut self) {
        let Some(primary) = self.primary() else { return };
        self.nodes[primary.0].repaired_at = Some(Instant::now());
        if self.group.settings.fencing == Fencing::Lease {
            let work = self.arm_work(primary)(self.group.clone());
            return self.begin_work(Action::Work, work);
        }
        let lift = self.lift_work(Lift::ForGood);
        let catalogue = self.common.catalogue.clone();
        let unfenced = Group {
            fence_in_place: false,
            ..self.group.clone()
        };
        self.begin_work(Action::Work, async move {
            let group = catalogue
                .save_group(unfenced)
                .await
                .map_err(|error| error.to_string())?;
            let effect = lift.await?;
            Ok(Effect {
                group: Some(group),
                ..effect
            })
        });
    }

    /// Puts the fence at the primary back to what it was before, or off.
    pub(super) fn lift_work(
        &self,
        lift: Lift,
    ) -> impl Future<Output = Result<Effect, String>> + Send + 'static + use<> {
        let primary = self
            .primary()
            .map(|primary| (self.dialer(primary), self.nodes[primary.0].key.clone()));
        let (catalogue, group) = (self.common.catalogue.clone(), self.group.name.clone());
        async move {
            let Some((dialer, key)) = primary else {
                return Ok(Effect::default());
            };
            let mut node = connect(&dialer).await?;
            let before = before(&catalogue, &group, &node).await?.unwrap_or_default();
            let min = before
                .raised
                .iter()
                .find(|(name, _)| name == "min-replicas-to-write");
            let min = min.map_or("0", |(_, value)| value.as_str());
            node.config_set("min-replicas-to-write", min)
                .await
                .map_err(|error| error.to_string())?;
            Ok(Effect::said(match lift {
                Lift::ForGood => {
                    adopt::keep(&mut node).await;
                    format!("{key} takes writes without the gateway")
                }
                Lift::UntilRestart => format!("{key} takes writes without the gateway until it restarts"),
            }))
        }
    }
}

fn is_counted(replica: &AttachedReplica) -> bool {
    replica.state == "online"
}

/// How many replicas the fence would count.
fn counted(replicas: &[AttachedReplica]) -> u32 {
    let counted = replicas.iter().filter(|replica| is_counted(replica)).count();
    u32::try_from(counted).unwrap_or(u32::MAX)
}

/// Refuses where the fence would close the node at once.
async fn check_counted(node: &mut Client, lease: Lease) -> Result<(), String> {
    let info = node.info().await.map_err(|error| error.to_string())?;
    let seen = info.replication().map_err(|error| error.to_string())?;
    let counted = counted(&seen.replicas);
    if counted >= lease.min_replicas {
        return Ok(());
    }
    Err(format!(
        "{} counts {counted} replicas and would refuse writes with the fence, which asks for {}",
        node.address(),
        lease.min_replicas
    ))
}

/// Sets the fence at a node, the time before the number: it closes for want of replicas, not for an old lag.
pub(super) async fn set(node: &mut Client, lease: Lease) -> Result<(), ClientError> {
    node.config_set("min-replicas-max-lag", &lease.max_lag_seconds.to_string())
        .await?;
    node.config_set("min-replicas-to-write", &lease.min_replicas.to_string())
        .await
}

/// Keeps what a node was before the group changed anything at it, the first time.
pub(super) async fn remember(
    catalogue: &Catalogue,
    group: &GroupName,
    node: &mut Client,
) -> Result<(), String> {
    if before(catalogue, group, node).await?.is_some() {
        return Ok(());
    }
    let found = adopt::look(node).await.map_err(|error| error.to_string())?;
    let value = serde_json::to_value(found).map_err(|error| error.to_string())?;
    catalogue
        .save_node_before(group, node.address(), value)
        .await
        .map_err(|error| error.to_string())
}

/// What a node was before the group changed anything at it.
pub(super) async fn before(
    catalogue: &Catalogue,
    group: &GroupName,
    node: &Client,
) -> Result<Option<Before>, String> {
    let value = catalogue
        .node_before(group, node.address())
        .await
        .map_err(|error| error.to_string())?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}
