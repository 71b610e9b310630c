//! What is made of a primary: whether it works, and why a failover would or would not happen.
//!
//! The planner decides in these values, and status shows them as they are. In JSON their durations are seconds.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is made of a primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum PrimaryVerdict {
    /// It works.
    Healthy,
    /// It is there, but something is wrong that a failover would not mend, or that is not known to be its end.
    Impaired(PrimaryImpairment),
    /// It seems to be lost; wait until that is sure.
    Waiting(FailoverWait),
    /// It is lost, and nothing is done by itself.
    LeftToPeople(FailoverObstacle),
    /// It is lost: promote a replica service.
    FailOver(FailoverCause),
}

/// Why a primary that is there does not do its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "impairment", rename_all = "kebab-case")]
pub enum PrimaryImpairment {
    /// Nothing is known yet.
    NotLookedAt,
    /// It answers, but not to this gateway.
    Denied,
    /// Somebody made it a replica.
    Demoted,
}

/// What a failover waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "wait", rename_all = "kebab-case")]
pub enum FailoverWait {
    /// For the primary to have been away long enough.
    DownAfter {
        /// So long it has been away.
        #[serde(rename = "quiet_for_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        quiet_for: Duration,
        /// So long it must have been.
        #[serde(rename = "down_after_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        down_after: Duration,
    },
    /// For its own Sentinels.
    Sentinel {
        /// So long they still have.
        #[serde(rename = "left_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        left: Duration,
    },
    /// For the last change of primary to be long enough ago.
    Pause {
        /// So long until it is.
        #[serde(rename = "left_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        left: Duration,
    },
}

/// Why no failover happens by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "obstacle", rename_all = "kebab-case")]
pub enum FailoverObstacle {
    /// It is switched off.
    NotAutomatic,
    /// The group is paused.
    Paused,
    /// The gateway reaches nobody.
    CutOff,
    /// The gateway's store could not keep the decision.
    StoreFull,
    /// Nobody could take over.
    NoCandidate,
    /// All that could take over have `replica-priority 0`.
    NeverPromoted,
    /// Too much would be lost.
    Loss {
        /// For so long writes would be lost.
        #[serde(rename = "loss_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        loss: Duration,
        /// So much would be allowed.
        #[serde(rename = "loss_max_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        loss_max: Duration,
    },
    /// Writes would be lost, and nobody can tell for how long they have been missing.
    LossUnknown,
    /// The old primary could go on taking writes.
    Unfenced,
}

/// Why a failover begins. Each has for how long nothing has served as the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum FailoverCause {
    /// No process listens at its host.
    Refused {
        /// For so long.
        #[serde(rename = "quiet_for_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        quiet_for: Duration,
    },
    /// It does not answer.
    Silent {
        /// For so long.
        #[serde(rename = "quiet_for_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        quiet_for: Duration,
    },
    /// It loads its data, or waits for somebody to make it a primary again.
    NotServing {
        /// For so long.
        #[serde(rename = "quiet_for_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        quiet_for: Duration,
    },
    /// It was decided on in the last change of primary, and could not be promoted.
    NotPromoted {
        /// For so long.
        #[serde(rename = "quiet_for_seconds", with = "seconds")]
        #[schema(value_type = f64)]
        quiet_for: Duration,
    },
    /// It came back without its data.
    LostItsData,
}

impl FailoverCause {
    /// For how long the primary had not served when it was taken for lost.
    pub fn quiet_for(self) -> Duration {
        match self {
            Self::Refused { quiet_for }
            | Self::Silent { quiet_for }
            | Self::NotServing { quiet_for }
            | Self::NotPromoted { quiet_for } => quiet_for,
            Self::LostItsData => Duration::ZERO,
        }
    }
}

/// Whether a failover would happen by itself if the primary were lost now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum FailoverReadiness {
    /// Nothing is known yet.
    Unknown,
    /// It would.
    Automatic,
    /// It would not: a person wanted that. `sterna failover` does it.
    ByHand(FailoverObstacle),
    /// It would not, since something is in its way.
    NotPossible(FailoverObstacle),
}

impl FailoverReadiness {
    /// What stands in the way; none means that it would happen by itself.
    pub fn of(obstacle: Option<FailoverObstacle>) -> Self {
        match obstacle {
            None => Self::Automatic,
            Some(by_hand @ (FailoverObstacle::NotAutomatic | FailoverObstacle::Paused)) => {
                Self::ByHand(by_hand)
            }
            Some(obstacle) => Self::NotPossible(obstacle),
        }
    }
}

/// Durations as seconds.
pub(crate) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}
