//! The source by itself: its role, its rivals, its backlog.

use super::observe::Node;
use super::report::{Check, Subject};
use super::units;
use crate::info::Role;

/// A connection that is lost for this long should still continue with a partial resync.
const BACKLOG_SECONDS_MIN: u64 = 60;

/// Redis's own default (Valkey 8 has 10 MiB); less than that was set by somebody.
const BACKLOG_BYTES_MIN: u64 = 1 << 20;

pub(super) fn judge(source: &Node, checks: &mut Vec<Check>) {
    let subject = &Subject::From;
    checks.push(Check::pass(subject, "engine", source.engine.to_string()));
    role(subject, source, checks);
    backlog(subject, source, checks);
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
        let replicas = units::count(replication.replicas.len() as u64, "replica");
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

/// How long the gateway may be away before the source has forgotten where it was.
fn backlog(subject: &Subject, source: &Node, checks: &mut Vec<Check>) {
    const NAME: &str = "backlog";
    let Some(size) = source.replication.backlog_size_bytes else {
        return;
    };
    let now = source
        .info
        .parsed::<f64>("instantaneous_input_kbps")
        .unwrap_or(0.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate in bytes per second, estimated: clamped to what fits"
    )]
    let now = (now.max(0.0) * 1024.0) as u64;
    let average = source.replication.offset.get() / source.info.server().uptime_s.unwrap_or(0).max(1);
    let rate = now.max(average);
    let have = units::bytes(size);
    let seconds = size / rate.max(1);
    let advice = "raise it on the source: CONFIG SET repl-backlog-size 256mb, and in its configuration file";
    if rate > 0 && seconds < BACKLOG_SECONDS_MIN {
        let rate = units::bytes(rate);
        let detail = format!(
            "{have} at {rate}/s: a connection lost for more than {seconds} s costs a full copy instead of a partial one"
        );
        checks.push(Check::warn(subject, NAME, detail, advice));
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
