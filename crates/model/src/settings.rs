//! A group's settings, each with a default that is safe for most.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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

/// How many replication connections of the gateway's own a primary with a lease has. The server counts any good replica, so
/// where others follow it, one more than those makes the lease independent of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FenceLinks {
    /// One more than others can be there, where the primary is near (a round trip of under 5 ms); where it is far, one, and
    /// the others that are good are counted at each look.
    #[default]
    Auto,
    /// So many. Where no fewer others follow, those that are good are counted at each look.
    Number(u8),
}

impl fmt::Display for FenceLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

/// What was given is no number of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is `auto` or a number from 1 to {FENCE_LINKS_MAX}")]
pub struct InvalidFenceLinks;

/// More connections for a lease than this are never kept.
pub const FENCE_LINKS_MAX: u8 = 16;

impl FromStr for FenceLinks {
    type Err = InvalidFenceLinks;

    fn from_str(text: &str) -> Result<Self, InvalidFenceLinks> {
        match text {
            "auto" => Ok(Self::Auto),
            number => match number.parse() {
                Ok(number @ 1..=FENCE_LINKS_MAX) => Ok(Self::Number(number)),
                _ => Err(InvalidFenceLinks),
            },
        }
    }
}

impl Serialize for FenceLinks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FenceLinks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// What an acknowledgement to the primary means (invariant I6), and so what `WAIT 1 ms` there means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Acknowledge {
    /// The bytes are on the gateway's disk, for `WAITAOF` too.
    Gateway,
    /// Every attached replica node has applied them; with none attached nothing new is acknowledged. For `WAITAOF`: has them in
    /// its append-only file.
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
    /// How much longer than that an old primary is waited for, in milliseconds: what the clocks of two machines, and the way
    /// of the last acknowledgement, may add. With servers whose clocks may be set back, by how much at the most.
    pub lease_margin_ms: u64,
    /// How many replication connections of the gateway's own the primary has for its lease: `auto`, or a number.
    #[schema(value_type = String)]
    pub fence_links: FenceLinks,
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
    /// The largest command or transaction that is taken, in bytes, which waits on disk until it is whole; never more than
    /// `log_max_bytes`. With a larger one the replica services are given a full copy in its place.
    pub unit_bytes_max: u64,
    /// What is done with writes that a failover left behind.
    pub rescue: RescueSettings,
}

impl Default for GroupSettings {
    fn default() -> Self {
        Self {
            automatic_failover: true,
            fencing: Fencing::default(),
            lease_seconds: 3,
            lease_margin_ms: 150,
            fence_links: FenceLinks::default(),
            down_after_ms: 1000,
            sentinel_grace_seconds: 45,
            failover_pause_seconds: 30,
            max_lag_on_failover_seconds: 30,
            switchover_timeout_ms: 5000,
            acknowledge: Acknowledge::default(),
            log_max_bytes: 8 << 30,
            tail_bytes: 16 << 20,
            unit_bytes_max: 1 << 30,
            rescue: RescueSettings::default(),
        }
    }
}
