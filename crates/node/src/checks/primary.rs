//! A node as the primary: its role, its rivals, its backlog, its room, and whether the fence can be set at it.

use super::Purpose;
use super::observe::Node;
use crate::backlog::{self, BACKLOG_SECONDS_MIN};
use crate::info::Role;
use sterna_model::units;
use sterna_model::{Check, Subject};

/// Redis's own default (Valkey 8 has 10 MiB); less than that was set by somebody.
const BACKLOG_BYTES_MIN: u64 = 1 << 20;

/// From this much of its backlog the writes that a failover leaves behind are fetched, in bytes.
const RESCUE_BACKLOG_BYTES_MIN: u64 = 16 << 20;

/// The node that is copied.
pub(super) fn judge(subject: &Subject, source: &Node, purpose: Purpose, checks: &mut Vec<Check>) {
    checks.push(Check::pass(subject, "engine", source.engine.to_string()));
    role(subject, source, checks);
    fitness(subject, source, purpose, checks);
}

/// A node of a service that is to be the primary: the primary node, or a local replica, which may become it.
pub(super) fn judge_member(subject: &Subject, node: &Node, purpose: Purpose, checks: &mut Vec<Check>) {
    checks.push(Check::pass(subject, "engine", node.engine.to_string()));
    if node.replication.role == Role::Primary {
        role(subject, node, checks);
    } else {
        let detail = "it is a replica; another node must be the primary";
        checks.push(Check::pass(subject, "role", detail));
    }
    fitness(subject, node, purpose, checks);
}

fn fitness(subject: &Subject, node: &Node, purpose: Purpose, checks: &mut Vec<Check>) {
    backlog(subject, node, purpose, checks);
    checks.extend(headroom(subject, node));
    if purpose != Purpose::Link {
        checks.push(super::replica::config_file(subject, node));
    }
    checks.extend(fence(subject, node));
}

/// A full copy needs memory at the primary too, for what it writes meanwhile.
fn headroom(subject: &Subject, node: &Node) -> Option<Check> {
    let memory = node.info.memory();
    let (used, max) = (memory.used_bytes?, memory.maxmemory_bytes?);
    (used > max / 10 * 9).then(|| {
        let detail = format!("{} of {} are in use", units::bytes(used), units::bytes(max));
        Check::warn(subject, "memory", detail, "raise maxmemory: a copy needs room")
    })
}

/// Not every managed service lets the settings be changed that the fence needs. It was tried with the value that it has.
fn fence(subject: &Subject, node: &Node) -> Option<Check> {
    const NAME: &str = "fence";
    Some(match node.fence.as_ref()? {
        Ok(()) => Check::pass(
            subject,
            NAME,
            "min-replicas-to-write and min-replicas-max-lag can be set",
        ),
        Err(reason) => Check::refuse(
            subject,
            NAME,
            format!("it does not let min-replicas-max-lag be set ({reason}), which the lease fence needs"),
            "give the user +config, or create the group with fencing = none and read what that risks",
        ),
    })
}

fn role(subject: &Subject, source: &Node, checks: &mut Vec<Check>) {
    let replication = &source.replication;
    if !source.conflicts.is_empty() {
        let others: Vec<_> = source.conflicts.iter().map(ToString::to_string).collect();
        checks.push(Check::warn(
            subject,
            "role",
            format!(
                "{} and {} all call themselves primary; {0} is taken",
                source.address,
                others.join(", ")
            ),
            "the service is split: find out which of them clients write to before you replicate it",
        ));
    } else if replication.role == Role::Primary {
        let replicas = units::counted(replication.replicas.len() as u64, "replica");
        checks.push(Check::pass(
            subject,
            "role",
            format!("primary at offset {}, {replicas}", replication.offset),
        ));
    } else {
        let of = replication
            .primary
            .as_ref()
            .map(|primary| format!(" of {primary}"))
            .unwrap_or_default();
        let (link, advice) = if replication.link_up {
            (
                "",
                "name the primary itself, so that a failover of the service is followed at once",
            )
        } else {
            (
                " and its link is down",
                "bring its link up first, or name the primary: it gives no data until then",
            )
        };
        checks.push(Check::warn(
            subject,
            "role",
            format!("it is itself a replica{of}{link}"),
            advice,
        ));
    }
}

/// What is set at every node when it joins.
pub(super) fn raised(subject: &Subject, node: &Node) -> Option<Check> {
    let size = node.replication.backlog_size_bytes?;
    let wanted = backlog::wanted(backlog::rate(&node.info, &node.replication));
    let have = units::bytes(size);
    let detail = if size < wanted {
        format!(
            "{have}; when it joins, repl-backlog-size is set to {} and repl-backlog-ttl to 0, and put back when it leaves",
            units::bytes(wanted)
        )
    } else {
        format!("{have}; when it joins, repl-backlog-ttl is set to 0, and put back when it leaves")
    };
    Some(Check::pass(subject, "backlog", detail))
}

/// How long the gateway may be away before the source has forgotten where it was.
fn backlog(subject: &Subject, source: &Node, purpose: Purpose, checks: &mut Vec<Check>) {
    const NAME: &str = "backlog";
    let Some(size) = source.replication.backlog_size_bytes else {
        return;
    };
    let rate = backlog::rate(&source.info, &source.replication);
    let have = units::bytes(size);
    let seconds = size / rate.max(1);
    if matches!(source.fence, Some(Ok(()))) {
        checks.extend(raised(subject, source));
        return;
    }
    let advice = "raise it on the source: CONFIG SET repl-backlog-size 256mb, and in its configuration file";
    if rate > 0 && seconds < BACKLOG_SECONDS_MIN {
        let rate = units::bytes(rate);
        let detail = format!(
            "{have} at {rate}/s: a connection lost for more than {seconds} s costs a full copy instead of a partial one"
        );
        checks.push(Check::warn(subject, NAME, detail, advice));
    } else if purpose != Purpose::Link && size < RESCUE_BACKLOG_BYTES_MIN {
        checks.push(Check::warn(
            subject,
            NAME,
            format!("{have}: writes that a failover leaves behind are fetched from it, and more than it holds is not there"),
            "set repl-backlog-size to 64mb or more, so that a rescue finds all of them",
        ));
    } else if size < BACKLOG_BYTES_MIN {
        let detail =
            format!("{have}: a short loss of the connection costs a full copy instead of a partial one");
        checks.push(Check::warn(subject, NAME, detail, advice));
    } else {
        checks.push(Check::pass(
            subject,
            NAME,
            format!("{have}; at most {}/s come in", units::bytes(rate)),
        ));
    }
}
