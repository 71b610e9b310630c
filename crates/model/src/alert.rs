//! What needs a person: the codes, and from one table what each means and what to do.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sterna_protocol::NodeAddress;
use utoipa::ToSchema;

use crate::copy::CopyObstacle;
use crate::link::HoldReason;
use crate::names::ServiceName;
use crate::primary::FailoverObstacle;
use crate::told::{Told, told};

/// How much an alert matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It works, but a person should know.
    Warning,
    /// Data or service is in danger.
    Critical,
}

impl Severity {
    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What an alert is about. The same code and subject are the same alert, for as long as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AlertCode {
    /// A node's settings are not in its configuration file.
    ConfigNotKept,
    /// A node that is not as it should be can't be put right.
    RepairFailed,
    /// The primary does not continue what the replica services hold.
    ReplicationHolds,
    /// A full copy that a replica node needs does not come to its end.
    CopyFails,
    /// A replica node needs a full copy that it could not load.
    CopyHeld,
    /// The log is not written to disk.
    LogDisk,
    /// The disk of the gateway's store is full.
    StoreDisk,
    /// TLS files have changed and can't be used.
    TlsFiles,
    /// A node's clock was set.
    ClockStep,
    /// A former primary can't be made a replica service.
    RejoinStuck,
    /// Somebody else promotes or repoints the nodes of a replica service again and again.
    NodesTakenAway,
    /// The primary is lost, and no failover happens by itself.
    PrimaryLost,
}

/// What there is to say about a code.
struct Entry {
    severity: Severity,
    subject: &'static str,
    meaning: &'static str,
    advice: &'static str,
}

impl AlertCode {
    /// Every code.
    pub const ALL: [Self; 12] = [
        Self::PrimaryLost,
        Self::ReplicationHolds,
        Self::RejoinStuck,
        Self::RepairFailed,
        Self::NodesTakenAway,
        Self::CopyFails,
        Self::CopyHeld,
        Self::LogDisk,
        Self::StoreDisk,
        Self::TlsFiles,
        Self::ClockStep,
        Self::ConfigNotKept,
    ];

    /// As in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigNotKept => "config-not-kept",
            Self::RepairFailed => "repair-failed",
            Self::ReplicationHolds => "replication-holds",
            Self::CopyFails => "copy-fails",
            Self::CopyHeld => "copy-held",
            Self::LogDisk => "log-disk",
            Self::StoreDisk => "store-disk",
            Self::TlsFiles => "tls-files",
            Self::ClockStep => "clock-step",
            Self::RejoinStuck => "rejoin-stuck",
            Self::NodesTakenAway => "nodes-taken-away",
            Self::PrimaryLost => "primary-lost",
        }
    }

    /// How much it matters.
    pub fn severity(self) -> Severity {
        self.entry().severity
    }

    /// What happened, and what it means for the data.
    pub fn meaning(self) -> &'static str {
        self.entry().meaning
    }

    /// What to do.
    pub fn advice(self) -> &'static str {
        self.entry().advice
    }

    fn entry(self) -> Entry {
        match self {
            Self::PrimaryLost => Entry {
                severity: Severity::Critical,
                subject: "the primary service",
                meaning: "The primary takes no writes, and no failover happens by itself; the text says why: failover is \
                          not automatic, paused, too much would be lost, or nobody is fit to take over",
                advice: "Bring the primary back, or decide on the loss: `sterna failover GROUP` says what it would be and \
                         asks",
            },
            Self::ReplicationHolds => Entry {
                severity: Severity::Critical,
                subject: "the primary service",
                meaning: "The primary came back empty, from an older file, or as another server. The replica services keep \
                          their data and get none of its writes",
                advice: "Look at the primary. If its data is lost, `sterna failover GROUP` goes on with a replica service; \
                         if the primary is right, `sterna group accept-history GROUP` shows what each side holds, and copies \
                         the primary's data to the replica services anew",
            },
            Self::RejoinStuck => Entry {
                severity: Severity::Critical,
                subject: "the former primary service",
                meaning: "A former primary is back and can't be made a replica service yet; its writes are blocked. Writes \
                          that only it has may not be saved yet, so nothing there is overwritten",
                advice: "Mend what the text names; it is tried again by itself. Or remove the service from the group",
            },
            Self::RepairFailed => Entry {
                severity: Severity::Critical,
                subject: "the node",
                meaning: "A node is writable, follows somebody else, or lost its settings, and can't be put right. Its data \
                          may part from the group's, and it does not take over",
                advice: "Mend what the text names: as a rule, rights of the gateway's user, or another program that sets \
                         the node too. It is tried again by itself",
            },
            Self::NodesTakenAway => Entry {
                severity: Severity::Critical,
                subject: "the replica service",
                meaning: "Somebody else makes nodes of a replica service primaries, or replicas of another, again and again: as a \
                          rule its own Sentinels, which take nodes that follow a relay for a primary that is lost. Each time \
                          the node is let follow again, which may cost a full copy, and what is written to it in between \
                          ends in a rescue file",
                advice: "Let nobody else manage the service while it copies: `SENTINEL REMOVE NAME` on each of its Sentinels; \
                         `SENTINEL MONITOR` again once it is the primary service. Where it has none, look for an operator \
                         (Kubernetes), a script or a person",
            },
            Self::CopyFails => Entry {
                severity: Severity::Critical,
                subject: "the primary service",
                meaning: "A replica node needs a full copy, and the primary does not send one to its end. The stream is kept \
                          meanwhile, writes go on, and the node keeps the data that it has",
                advice: "Mend what the text names: as a rule, what the primary's own log says of its background save, or \
                         what stands between. It is asked for again by itself",
            },
            Self::CopyHeld => Entry {
                severity: Severity::Critical,
                subject: "the node",
                meaning: "A replica node needs a full copy that it could not load: the primary was upgraded first, or it has \
                          more databases or other modules. A node empties itself before it loads a copy, so it is given none: \
                          it keeps the data that it has, gets no new writes, and does not take over",
                advice: "Upgrade the node, or give it what the text names; it is asked again by itself and then given the copy",
            },
            Self::LogDisk => Entry {
                severity: Severity::Critical,
                subject: "`gateway`",
                meaning: "The disk refuses the replication log, which goes on in memory. Nothing is lost and nothing stalls, \
                          but a replica node that is away for longer than the memory reaches back needs a full copy, and \
                          a restart of the gateway forgets what is in memory alone",
                advice: "Free space on the gateway's disk, or mend it; the log then goes on there by itself",
            },
            Self::StoreDisk => Entry {
                severity: Severity::Critical,
                subject: "`gateway`",
                meaning: "The disk of the gateway's store is full; the text says whether changes of primary can be kept",
                advice: "Free space on the gateway's disk; everything goes on by itself then",
            },
            Self::TlsFiles => Entry {
                severity: Severity::Warning,
                subject: "`gateway`",
                meaning: "TLS files of the gateway or of a service have changed, and can't be used as they are. What was read \
                          before is used on, until its certificates expire; what is connected stays",
                advice: "Put files there that fit together; they are read by themselves within seconds",
            },
            Self::ClockStep => Entry {
                severity: Severity::Warning,
                subject: "the node",
                meaning: "Within the last hour the clock of the node's machine was set, or the machine stood still (a paused \
                          virtual machine). Its lease runs on that clock: one that is set back while the node is \
                          cut off lets it take writes beside the new primary for as much longer; they end in a rescue file",
                advice: "Let the machine's clock be put right little by little (chrony without `makestep`, ntpd with `-x`); \
                         where steps can't be avoided, set `lease_margin_ms` to the largest",
            },
            Self::ConfigNotKept => Entry {
                severity: Severity::Warning,
                subject: "the node",
                meaning: "The node can't rewrite its configuration file, or is not let: with what that file includes it would \
                          not start any more, or without the fence. After a restart it is what that file says, without \
                          the fence and perhaps as a primary, until the gateway has put it right",
                advice: "Do what the text names: start the node with a configuration file that it can write, change what the \
                         file includes, or write the lines of the text at its end by hand",
            },
        }
    }

    /// The page that lists all alerts.
    pub fn reference() -> String {
        let mut page = "# Alerts\n\nGenerated by `sterna docs alerts`; do not edit.\n\n\
                        An alert stands for as long as its reason does, and needs no acknowledgement. `sterna status` and \
                        `GET /api/v1/groups/{group}/status` show\nthem, events on `/api/v1/events` tell of each change, and \
                        the metric `sterna_group_alerts` counts them by severity.\n\n\
                        | code | severity | about | what it means | what to do |\n| --- | --- | --- | --- | --- |\n"
            .to_owned();
        for code in Self::ALL {
            let Entry {
                severity,
                subject,
                meaning,
                advice,
            } = code.entry();
            let severity = severity.as_str();
            writeln!(
                page,
                "| `{code}` | {severity} | {subject} | {meaning} | {advice} |"
            )
            .expect("a String takes all");
        }
        page
    }
}

impl fmt::Display for AlertCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an alert is about, in its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum AlertReason {
    /// A node's settings are not in its configuration file.
    ConfigNotKept {
        /// What the node said, or what a rewrite would break.
        error: String,
        /// The lines that a person can write at the end of that file instead, below every `include`; none where there is no file.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        by_hand: Vec<String>,
    },
    /// A node that is not as it should be can't be put right.
    RepairFailed {
        /// What was in the way.
        error: String,
    },
    /// The primary does not continue what the replica services hold.
    ReplicationHolds(HoldReason),
    /// Somebody else promotes or repoints the nodes of a replica service again and again.
    NodesTakenAway {
        /// How often in the last 15 minutes.
        times: usize,
        /// The name under which its own Sentinels watch it, where it was registered with some.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watched_as: Option<String>,
    },
    /// A full copy that a replica node needs does not come to its end.
    CopyFails {
        /// What the primary or the network said.
        error: String,
    },
    /// A replica node needs a full copy that it could not load.
    CopyHeld(CopyObstacle),
    /// The log is not written to disk.
    LogDisk {
        /// What the disk said.
        error: String,
    },
    /// The disk of the gateway's store is full.
    StoreDisk {
        /// Whether changes of primary can be kept all the same.
        decisions: bool,
    },
    /// TLS files have changed and can't be used.
    TlsFiles {
        /// What is wrong with them.
        error: String,
    },
    /// A node's clock was set, or its machine stood still.
    ClockStep {
        /// By how much, forward or, below zero, back.
        milliseconds: i64,
    },
    /// A former primary can't be made a replica service.
    RejoinStuck {
        /// What was in the way.
        error: String,
    },
    /// The primary is lost, and no failover happens by itself.
    PrimaryLost(FailoverObstacle),
}

impl AlertReason {
    /// Its code.
    pub fn code(&self) -> AlertCode {
        match self {
            Self::ConfigNotKept { .. } => AlertCode::ConfigNotKept,
            Self::RepairFailed { .. } => AlertCode::RepairFailed,
            Self::ReplicationHolds(_) => AlertCode::ReplicationHolds,
            Self::NodesTakenAway { .. } => AlertCode::NodesTakenAway,
            Self::CopyFails { .. } => AlertCode::CopyFails,
            Self::CopyHeld(_) => AlertCode::CopyHeld,
            Self::LogDisk { .. } => AlertCode::LogDisk,
            Self::StoreDisk { .. } => AlertCode::StoreDisk,
            Self::TlsFiles { .. } => AlertCode::TlsFiles,
            Self::ClockStep { .. } => AlertCode::ClockStep,
            Self::RejoinStuck { .. } => AlertCode::RejoinStuck,
            Self::PrimaryLost(_) => AlertCode::PrimaryLost,
        }
    }
}

/// Whom an alert is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum AlertSubject {
    /// This gateway.
    Gateway,
    /// A service.
    Service {
        /// Which.
        service: ServiceName,
    },
    /// A node.
    Node {
        /// Its service.
        service: ServiceName,
        /// Where it is.
        #[schema(value_type = String)]
        address: NodeAddress,
    },
}

/// Something that needs a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// What it is about; `docs/alerts.md` lists the codes.
    #[serde(flatten, serialize_with = "told")]
    #[schema(value_type = Told<AlertReason>)]
    pub reason: AlertReason,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about.
    pub subject: AlertSubject,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

impl Alert {
    /// What it is about.
    pub fn code(&self) -> AlertCode {
        self.reason.code()
    }

    /// Whether it is the same alert, of whatever time and with whatever parameters.
    pub fn is_same(&self, other: &Self) -> bool {
        self.code() == other.code() && self.subject == other.subject
    }
}

#[cfg(test)]
mod tests {
    use sterna_protocol::Offset;

    use super::*;

    #[test]
    fn every_code_is_listed_once_and_spelled_as_in_json() {
        for code in AlertCode::ALL {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
        }
        let mut codes = AlertCode::ALL.to_vec();
        codes.sort();
        codes.dedup();
        // The last variant by its number: a new one that is not in ALL moves it.
        assert_eq!(codes.len(), AlertCode::PrimaryLost as usize + 1);
        let error = || "no".to_owned();
        let reasons = [
            AlertReason::PrimaryLost(FailoverObstacle::Paused),
            AlertReason::ReplicationHolds(HoldReason::WentBack {
                common: Offset::new(1),
                lost_bytes: 2,
            }),
            AlertReason::RejoinStuck { error: error() },
            AlertReason::RepairFailed { error: error() },
            AlertReason::NodesTakenAway {
                times: 2,
                watched_as: Some("orders".to_owned()),
            },
            AlertReason::CopyFails { error: error() },
            AlertReason::CopyHeld(CopyObstacle::Databases { needed: 17, has: 16 }),
            AlertReason::LogDisk { error: error() },
            AlertReason::StoreDisk { decisions: true },
            AlertReason::TlsFiles { error: error() },
            AlertReason::ClockStep {
                milliseconds: -30_000,
            },
            AlertReason::ConfigNotKept {
                error: error(),
                by_hand: vec!["min-replicas-to-write 1".to_owned()],
            },
        ];
        for (reason, code) in reasons.iter().zip(AlertCode::ALL) {
            assert_eq!(reason.code(), code);
            let alert = Alert {
                reason: reason.clone(),
                severity: code.severity(),
                subject: AlertSubject::Gateway,
                since: Timestamp::UNIX_EPOCH,
            };
            let json = serde_json::to_value(&alert).unwrap();
            assert_eq!(
                (&json["code"], &json["message"]),
                (&code.as_str().into(), &reason.to_string().into())
            );
            assert_eq!(serde_json::from_value::<Alert>(json).unwrap(), alert);
        }
        for severity in [Severity::Warning, Severity::Critical] {
            let json = serde_json::to_string(&severity).unwrap();
            assert_eq!(json, format!("\"{}\"", severity.as_str()));
        }
    }
}
