//! Services and nodes.

use std::fmt;

use crate::primary::{PrimaryImpairment, PrimaryVerdict};
use crate::status::{FenceState, NodeCondition, ServiceCondition};
use crate::units::counted;

impl fmt::Display for ServiceCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakesWrites { local_replicas: 0 } => f.write_str("takes writes"),
            Self::TakesWrites { local_replicas: 1 } => f.write_str("takes writes, with 1 replica of its own"),
            Self::TakesWrites { local_replicas } => {
                write!(f, "takes writes, with {local_replicas} replicas of its own")
            }
            Self::PrimaryNotWell { verdict } => f.write_str(not_well(*verdict)),
            Self::Follows => f.write_str("follows"),
            Self::NodeDoesNotFollow { address, condition } => write!(f, "{address}: {condition}"),
            Self::NoNodes => f.write_str("it has no nodes"),
            Self::LeftBehind { divergence_offset } => write!(
                f,
                "was left behind by a failover at offset {divergence_offset} and has not come back yet"
            ),
        }
    }
}

/// Short: the group's reason says it in full.
fn not_well(verdict: PrimaryVerdict) -> &'static str {
    match verdict {
        PrimaryVerdict::Healthy => "takes writes",
        PrimaryVerdict::Impaired(PrimaryImpairment::NotLookedAt) => "was not looked at yet",
        PrimaryVerdict::Impaired(PrimaryImpairment::Denied) => "refuses this gateway",
        PrimaryVerdict::Impaired(PrimaryImpairment::Demoted) => "was made a replica by somebody",
        PrimaryVerdict::Waiting(_) => "seems to be lost",
        PrimaryVerdict::LeftToPeople(_) => "is lost",
        PrimaryVerdict::FailOver(_) => "is lost; a failover begins",
    }
}

impl fmt::Display for NodeCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedAt => f.write_str("was not looked at yet"),
            Self::Refused { error } | Self::Denied { error } | Self::Silent { error: Some(error) } => {
                f.write_str(error)
            }
            Self::Silent { error: None } => f.write_str("has not answered for some seconds"),
            Self::Loading => f.write_str("loads its data"),
            Self::TakesWrites => f.write_str("takes writes"),
            Self::WritesBlocked => f.write_str("its writes are blocked"),
            Self::UnexpectedPrimary => f.write_str("is a primary of its own, and should not be"),
            Self::Follows => f.write_str("follows"),
            Self::ReceivesFullCopy => f.write_str("receives a full copy"),
            Self::CopyHeld(obstacle) => obstacle.fmt(f),
            Self::LinkDown => f.write_str("its link to the relay is down"),
            Self::ReplicaOf {
                address: Some(address),
            } => write!(f, "is a replica of {address}"),
            Self::ReplicaOf { address: None } => f.write_str("is a replica of nobody"),
        }
    }
}

impl fmt::Display for FenceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str(
                "off: an old primary that is cut off goes on taking writes; they end in a rescue file",
            ),
            Self::InPlace {
                lease_seconds,
                links,
                others,
                counts_others,
                ..
            } => {
                write!(
                    f,
                    "in place: the primary stops taking writes {lease_seconds} to {} s after it last heard from the gateway",
                    lease_seconds + 2
                )?;
                let who = counted((*others).into(), "other replica");
                match (others, counts_others) {
                    (0, _) => Ok(()),
                    (_, false) => write!(
                        f,
                        ", independently of {who}: {links} connections of the gateway count"
                    ),
                    (_, true) => write!(
                        f,
                        "; {who} can be counted too, and keep it open while the gateway is cut off (fence_links)"
                    ),
                }
            }
            Self::NotYet => f.write_str("not in place yet: it follows the first copy"),
            Self::Lifted => f.write_str(
                "lifted: nobody is fit to take over, so it would only take writes away; it is put back when somebody is",
            ),
        }
    }
}
