//! Reachable, authenticated, allowed: what every node is asked, on either side.

use super::observe::{Node, Protection, Unseen};
use super::rights::Right;
use crate::client::ClientError;
use crate::connect::Cause;
use crate::upstream::CandidateFailure;
use sterna_model::{Check, Subject};

/// Commands without which nothing works; the others are missed, but not fatally.
const ESSENTIAL: &[&str] = &["PSYNC", "REPLCONF", "REPLICAOF", "FAILOVER", "CONFIG SET", "INFO"];

/// Judges the first contact and hands the node on, where there is one.
pub(super) fn judge(subject: &Subject, found: Result<Node, Unseen>, checks: &mut Vec<Check>) -> Option<Node> {
    match found {
        Ok(node) => {
            seen(subject, &node, checks);
            Some(node)
        }
        Err(unseen) => {
            failed(subject, &unseen, checks);
            None
        }
    }
}

fn seen(subject: &Subject, node: &Node, checks: &mut Vec<Check>) {
    let micros = node.round_trip_us;
    let took = format!(
        "{} answers in {}.{:02} ms",
        node.address,
        micros / 1000,
        micros % 1000 / 10
    );
    checks.push(match node.protection {
        Protection::Plain => Check::pass(subject, "reachable", took),
        Protection::Verified => Check::pass(subject, "reachable", format!("{took}, TLS verified")),
        Protection::Unverified => Check::warn(
            subject,
            "reachable",
            format!("{took}, TLS without verification: anybody in between can read and change everything"),
            "give the CA's certificate with cacert=FILE and leave insecure=true out",
        ),
    });
    checks.push(Check::pass(
        subject,
        "authenticated",
        format!("as user {}", node.user),
    ));
    permissions(subject, node, checks);
    if node.info.cluster_enabled() {
        checks.push(Check::refuse(
            subject,
            "cluster mode",
            "it is a member of a Redis Cluster, which can't be replicated yet",
            "replicate a standalone service (`cluster-enabled no`)",
        ));
    }
    if node.info.persistence().loading {
        checks.push(Check::warn(
            subject,
            "loading",
            "it is still loading its data set",
            "wait until `INFO persistence` says loading:0; replication starts only then",
        ));
    }
}

fn permissions(subject: &Subject, node: &Node, checks: &mut Vec<Check>) {
    const NAME: &str = "permissions";
    let before = checks.len();
    let user = &node.user;
    for (command, right) in &node.rights {
        let essential = ESSENTIAL.contains(&command.as_str());
        let (detail, advice) = match right {
            Right::Allowed => continue,
            Right::Denied(reason) => (
                format!("user {user} may not run {command} ({reason})"),
                format!(
                    "on the node: ACL SETUSER {user} +{}",
                    command.to_lowercase().replace(' ', "|")
                ),
            ),
            Right::Missing => (
                format!(
                    "the node has no command {command}: it is renamed or removed, as on managed services"
                ),
                format!(
                    "replicate nodes of your own, or take `rename-command {command}` out of the configuration"
                ),
            ),
            Right::Unknown(reason) => {
                checks.push(Check::warn(
                    subject,
                    NAME,
                    format!("whether user {user} may run {command} can't be found out ({reason})"),
                    format!("make sure of it, or allow the user `+acl|dryrun` on the node (ACL SETUSER {user} +acl|dryrun)"),
                ));
                continue;
            }
        };
        checks.push(if essential {
            Check::refuse(subject, NAME, detail, advice)
        } else {
            Check::warn(subject, NAME, detail, advice)
        });
    }
    if checks.len() == before {
        let names: Vec<_> = node.rights.iter().map(|(name, _)| name.as_str()).collect();
        checks.push(Check::pass(subject, NAME, names.join(", ")));
    }
}

fn failed(subject: &Subject, unseen: &Unseen, checks: &mut Vec<Check>) {
    let text = &unseen.text;
    let answered = |checks: &mut Vec<Check>| {
        let address = unseen
            .address
            .as_ref()
            .map(|address| format!("{address} answers"))
            .unwrap_or_default();
        checks.push(Check::pass(subject, "reachable", address));
    };
    match &unseen.failure {
        Some(CandidateFailure::Client(error)) => match error {
            ClientError::Connect(connect) if matches!(connect.cause, Cause::Tls(_)) => {
                checks.push(Check::refuse(subject, "tls", text, error.hint()));
            }
            ClientError::Tls { .. } => checks.push(Check::refuse(subject, "tls", text, error.hint())),
            ClientError::Auth { .. } | ClientError::NoAuth { .. } | ClientError::ProtectedMode { .. } => {
                answered(checks);
                checks.push(Check::refuse(subject, "authenticated", text, error.hint()));
            }
            ClientError::Permission { .. } => {
                answered(checks);
                checks.push(Check::refuse(subject, "permissions", text, error.hint()));
            }
            ClientError::NotRedis { .. } | ClientError::Garbled { .. } => {
                checks.push(Check::refuse(subject, "engine", text, error.hint()));
            }
            _ => checks.push(Check::refuse(subject, "reachable", text, error.hint())),
        },
        Some(CandidateFailure::Unsupported(_) | CandidateFailure::Info(_)) => {
            answered(checks);
            checks.push(Check::refuse(
                subject,
                "engine",
                text,
                "replicate between Redis 7.0 or later, or between Valkey 7.2 or later, of your own",
            ));
        }
        Some(CandidateFailure::Replica(_)) => checks.push(Check::refuse(
            subject,
            "role",
            text,
            "name the primary too, or wait until a failover that is under way has ended",
        )),
        None => checks.push(Check::refuse(
            subject,
            "reachable",
            text,
            "check the Sentinels' addresses, the name that they watch the service under, and their password",
        )),
    }
}
