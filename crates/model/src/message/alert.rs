//! Alerts. What each code means and what to do is in [`AlertCode`](crate::AlertCode).

use std::fmt;

use crate::alert::{AlertReason, AlertSubject};
use crate::primary::PrimaryVerdict;

impl fmt::Display for AlertReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigNotKept { error, by_hand } => {
                write!(
                    f,
                    "its settings are lost when it restarts: {error}. Until the gateway puts it right it is then what its \
                     configuration file says, without the fence. "
                )?;
                if by_hand.is_empty() {
                    return f.write_str("Start it with a configuration file that it can write");
                }
                let lines = by_hand.join("`, `");
                write!(f, "By hand, at the end of that file: `{lines}`")
            }
            Self::RepairFailed { error } | Self::RejoinStuck { error } => f.write_str(error),
            Self::ReplicationHolds(reason) => reason.fmt(f),
            Self::NodesTakenAway { times, watched_as } => {
                write!(
                    f,
                    "{times} times in 15 minutes one of its nodes was made a primary or told to follow another, and not by this \
                     gateway. Each time it may need a full copy. "
                )?;
                match watched_as {
                    Some(name) => write!(
                        f,
                        "Its own Sentinels watch it as {name} and take it for lost: SENTINEL REMOVE {name} on each of them, and \
                         SENTINEL MONITOR again once it is the primary service"
                    ),
                    None => f.write_str(
                        "Find out who does it: Sentinels that watch it (SENTINEL REMOVE on each), an operator, a script",
                    ),
                }
            }
            Self::CopyFails { error } => write!(
                f,
                "a replica node needs a full copy, and none comes to its end: {error}. It is asked for again; writes and the \
                 stream go on meanwhile"
            ),
            Self::CopyHeld(obstacle) => obstacle.fmt(f),
            Self::LogDisk { error } => write!(
                f,
                "the replication log is kept in memory only: {error}. Replication goes on; a longer outage would mean a \
                 full copy. Free space on the gateway's disk"
            ),
            Self::LogDamaged { error, kept_in } => write!(
                f,
                "the files of the replication log could not be used when the gateway started: {error}. Another log began, with \
                 what the replica nodes hold. The files are kept in {}, with what may be nowhere else; remove them when they are \
                 no longer needed",
                kept_in.join(" and ")
            ),
            Self::NotTakenUp { error } => write!(
                f,
                "the group can't be taken up: {error}. It is not replicated and not watched, and a primary with a fence takes no \
                 writes. It is tried again every 5 seconds"
            ),
            Self::StoreDisk { decisions: true } => f.write_str(
                "the disk of the gateway's store is full. Changes of primary have room of their own; other requests that change \
                 something are refused, and the audit has gaps. Make room on it",
            ),
            Self::StoreDisk { decisions: false } => f.write_str(
                "the disk of the gateway's store is full, and no change of primary can be kept: none begins, by itself or asked \
                 for. Make room on it",
            ),
            Self::TlsFiles { error } => write!(
                f,
                "TLS files have changed and can't be used: {error}. What was read before is used on. Put files there that \
                 fit together"
            ),
            Self::ClockStep { milliseconds } => {
                #[expect(clippy::cast_precision_loss, reason = "for people")]
                let seconds = milliseconds.unsigned_abs() as f64 / 1000.0;
                let (way, means) = if *milliseconds < 0 {
                    ("back", "a lease that began before was longer by as much")
                } else {
                    (
                        "forward",
                        "a lease may have ended early, and writes been refused for a moment",
                    )
                };
                write!(
                    f,
                    "its clock was set {way} by {seconds:.1} s, or its machine stood still: {means}. Set clocks little by \
                     little (slew), or raise lease_margin_ms"
                )
            }
            Self::PrimaryLost(obstacle) => PrimaryVerdict::LeftToPeople(*obstacle).fmt(f),
        }
    }
}

impl fmt::Display for AlertSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("gateway"),
            Self::Service { service } => service.fmt(f),
            Self::Node { service, address } => write!(f, "{service} ({address})"),
        }
    }
}
