//! Groups.

use std::fmt;

use crate::link::LinkState;
use crate::status::GroupReason;
use crate::units::counted;

impl fmt::Display for GroupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLookedAt => f.write_str("the gateway has just begun to look at it"),
            Self::NotTakenUp { error } => write!(f, "the gateway can't take it up: {error}"),
            Self::InOrder => f.write_str("the primary takes writes and every replica service follows"),
            Self::Operation {
                operation,
                step: Some(step),
            } => write!(f, "{operation}: {}", step.message()),
            Self::Operation {
                operation,
                step: None,
            } => write!(f, "{operation} begins"),
            Self::Primary {
                verdict,
                error: Some(error),
            } => write!(f, "{verdict} ({error})"),
            Self::Primary { verdict, error: None } => verdict.fmt(f),
            Self::FullCopyArrives => f.write_str("a full copy of the primary is arriving"),
            Self::Holds(reason) => reason.fmt(f),
            Self::RefusesWrites { good, min_replicas } => write!(
                f,
                "the primary refuses writes (NOREPLICAS): it counts {}, and min-replicas-to-write is {min_replicas}",
                counted((*good).into(), "good replica")
            ),
            Self::NoStream {
                link: LinkState::Retrying { error },
            } => write!(f, "the primary's stream is missing: {error}"),
            Self::NoStream { link } => write!(f, "the primary's stream is not here yet: {link}"),
            Self::Service { service, condition } => write!(f, "{service}: {condition}"),
        }
    }
}
