//! A group's settings, each with a default that is safe for most.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How an old primary is kept from accepting writes after a failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Fencing {
    /// `min-replicas-to-write` at every node: the gateway's acknowledgements are the lease, and a primary that no longer
    /// hears them closes itself. A gateway that is down closes the primary too.
    #[default]
    Lease,
    /// Nothing: an old primary that is cut off goes on accepting writes, which end in a rescue file.
    None,
}

/// What an acknowledgement to the primary means (invariant I6), and so what `WAIT 1 ms` there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledge {
    /// The bytes are on the gateway's disk.
    Gateway,
    /// Every attached replica node has applied them; with none attached nothing new is acknowledged.
    #[default]
    Replica,
}

/// What is done with writes that a failover left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RescueSettings {
    /// The largest rescue file, in bytes. An old primary whose data is larger is left as it is, and an alert says so.
    pub max_bytes: u64,
    /// For how long rescue files are kept, in days.
    pub keep_days: u32,
}

impl Default for RescueSettings {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 30,
            keep_days: 30,
        }
    }
}

/// Settings of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GroupSettings {
    /// Whether a replica service is promoted without a person when the primary service is lost.
    pub automatic_failover: bool,
    /// How an old primary is kept from accepting writes.
    pub fencing: Fencing,
    /// `min-replicas-max-lag`: how long a primary goes on accepting writes without hearing from the gateway, in seconds.
    /// The server closes itself between this and 2 s later.
    pub lease_seconds: u32,
    /// How long the primary must have been away before a failover begins, in milliseconds.
    pub down_after_ms: u64,
    /// How long the service's own Sentinels have to promote one of its own nodes first, in seconds; only for services
    /// that have some.
    pub sentinel_grace_seconds: u32,
    /// No second automatic failover so soon after a failover, in seconds.
    pub failover_pause_seconds: u32,
    /// An automatic failover that would lose more than this is left to a person, in seconds of writes.
    pub max_lag_on_failover_seconds: u32,
    /// How long a switchover may keep writes waiting before it is given up, in milliseconds.
    pub switchover_timeout_ms: u64,
    /// What `WAIT` at the primary means.
    pub acknowledge: Acknowledge,
    /// The largest size of the replication log, in bytes: how long a replica service may be away without a recopy.
    pub log_max_bytes: u64,
    /// Memory for the hot end of the stream, in bytes.
    pub tail_bytes: u64,
    /// What is done with writes that a failover left behind.
    pub rescue: RescueSettings,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            automatic_failover: true,
            fencing: Fencing::default(),
            lease_seconds: 3,
            down_after_ms: 1000,
            sentinel_grace_seconds: 45,
            failover_pause_seconds: 30,
            max_lag_on_failover_seconds: 30,
            switchover_timeout_ms: 5000,
            acknowledge: Acknowledge::default(),
            log_max_bytes: 8 << 30,
            tail_bytes: 16 << 20,
            rescue: RescueSettings::default(),
        }
    }
}
