//! A node as a replica: settings that decide how it behaves, above all over its next restart.

use sterna_model::{Check, ConfigRewrite, Subject, units};

use super::observe::Node;
use crate::info::Role;

/// A node that is to copy another one.
pub(super) fn judge(subject: &Subject, node: &Node, checks: &mut Vec<Check>) {
    checks.push(persistence(subject, node));
    checks.push(config_file(subject, node));
    checks.extend(super::primary::raised(subject, node));
    checks.extend(loading(subject, node));
    checks.extend(eviction(subject, node));
    if node
        .config
        .get("replica-read-only")
        .is_some_and(|value| value == "no")
    {
        let detail = "it takes writes as a replica (replica-read-only no), which will be turned off";
        checks.push(Check::pass(subject, "read-only", detail));
    }
}

/// A node that is to be a replica of nobody knows whom yet.
pub(super) fn judge_alone(subject: &Subject, node: &Node, checks: &mut Vec<Check>) {
    checks.push(Check::pass(subject, "engine", node.engine.to_string()));
    let replication = &node.replication;
    let role = match (replication.role, &replication.primary) {
        (Role::Primary, _) => "it is a primary".to_owned(),
        (Role::Replica, Some(primary)) => format!("it is a replica of {primary}"),
        (Role::Replica, None) => "it is a replica of nobody".to_owned(),
    };
    checks.push(Check::pass(subject, "role", role));
    let keys: u64 = node.info.keyspace().values().sum();
    checks.push(if keys == 0 {
        Check::pass(subject, "empty", "it holds no keys")
    } else if replication.role == Role::Replica {
        let held = units::counted(keys, "key");
        Check::pass(subject, "empty", format!("it holds {held} of another primary's"))
    } else {
        let held = units::counted(keys, "key");
        Check::warn(
            subject,
            "empty",
            format!("it holds {held} of its own, which are deleted when it becomes a replica"),
            "say --overwrite if that is meant",
        )
    });
    checks.extend(super::topology::sentinels(subject, node));
    judge(subject, node, checks);
}

/// A replica finds its place again after a restart only from an RDB file.
fn persistence(subject: &Subject, node: &Node) -> Check {
    const NAME: &str = "persistence";
    let setting = |name: &str| node.config.get(name).map(String::as_str);
    let aof = node.info.persistence().aof_enabled || setting("appendonly") == Some("yes");
    if aof {
        Check::warn(
            subject,
            NAME,
            "its append-only file is on: after each restart it needs a full copy",
            "if that matters, set `appendonly no` and `save` points at the target: an RDB keeps its place",
        )
    } else if setting("save") == Some("") {
        Check::warn(
            subject,
            NAME,
            "it saves nothing to disk: after each restart it needs a full copy",
            "if that matters, CONFIG SET save \"3600 1 300 100 60 10000\" at the target",
        )
    } else {
        Check::pass(subject, NAME, "RDB: after a restart it continues where it was")
    }
}

/// What is set at a node is to outlive its restart.
pub(super) fn config_file(subject: &Subject, node: &Node) -> Check {
    const NAME: &str = "configuration";
    let info = &node.info;
    match (info.get("config_file"), info.server().config_file) {
        (_, Some(path)) => rewrite(subject, node, &path),
        (Some(_), None) => Check::warn(
            subject,
            NAME,
            "it was started without a configuration file: after a restart it has forgotten whom to follow",
            "start it with a configuration file, an empty one will do",
        ),
        (None, None) => Check::warn(
            subject,
            NAME,
            "it does not say where its configuration file is",
            "make sure that CONFIG REWRITE works there: else a restart makes it forget whom to follow",
        ),
    }
}

/// Whether what is set can be written to its file.
fn rewrite(subject: &Subject, node: &Node, path: &str) -> Check {
    const NAME: &str = "configuration";
    let by_hand = by_hand(node);
    let Some(file) = &node.config_file else {
        let detail = format!("kept in {path}; what that includes could not be asked for");
        return Check::pass(subject, NAME, detail);
    };
    match (file.refusal(node.config_rewrite), node.config_rewrite) {
        (_, ConfigRewrite::Never) => Check::pass(
            subject,
            NAME,
            format!("{path} is not rewritten (config_rewrite never): {by_hand}"),
        ),
        (Some(risk), _) => Check::warn(
            subject,
            NAME,
            format!("{risk}. So {path} will not be rewritten, and a restart forgets what was set"),
            format!("{}; or {by_hand}", risk.advice(path)),
        ),
        (None, _) => Check::pass(
            subject,
            NAME,
            match &file.unread {
                None => format!("kept in {path}"),
                Some(reason) => format!(
                    "kept in {path}; what that includes can't be seen from here ({reason}): an include at its end would win"
                ),
            },
        ),
    }
}

/// What a person writes instead of the gateway.
fn by_hand(node: &Node) -> String {
    const NAMES: [&str; 4] = [
        "min-replicas-to-write",
        "min-replicas-max-lag",
        "repl-backlog-size",
        "repl-backlog-ttl",
    ];
    let value = |name| Some(format!("`{name} {}`", node.config.get(name)?));
    let fenced = node.config.get(NAMES[0]).is_some_and(|value| value != "0");
    if fenced {
        let lines: Vec<_> = NAMES.into_iter().filter_map(value).collect();
        format!("write by hand, at its end: {}", lines.join(", "))
    } else {
        format!(
            "once it is in a group, write {} at its end by hand: the doctor then says the lines",
            NAMES.join(", ")
        )
    }
}

fn loading(subject: &Subject, node: &Node) -> Option<Check> {
    const NAME: &str = "full copy";
    match node.config.get("repl-diskless-load").map(String::as_str) {
        Some("swapdb") => Some(Check::pass(
            subject,
            NAME,
            "repl-diskless-load swapdb: old data stays until the copy is loaded, with memory for both",
        )),
        Some(mode @ ("on-empty-db" | "flush-before-load")) => Some(Check::warn(
            subject,
            NAME,
            format!(
                "repl-diskless-load {mode}: it loads straight from the network, so a copy that breaks off leaves it empty"
            ),
            "CONFIG SET repl-diskless-load disabled at the target, if it serves reads meanwhile",
        )),
        _ => None,
    }
}

fn eviction(subject: &Subject, node: &Node) -> Option<Check> {
    const NAME: &str = "eviction";
    let memory = node.info.memory();
    let (limit, policy) = (
        memory.maxmemory_bytes?,
        memory.policy.filter(|policy| policy != "noeviction")?,
    );
    let detail = format!("it evicts by {policy} at {}", units::bytes(limit));
    Some(if node.ignores_maxmemory() {
        Check::warn(
            subject,
            NAME,
            format!("{detail}: not as a replica (replica-ignore-maxmemory yes), but once promoted"),
            "check that policy and maxmemory are the source's",
        )
    } else {
        Check::warn(
            subject,
            NAME,
            format!("{detail} even as a replica, so that it would lose keys that the source has"),
            "CONFIG SET replica-ignore-maxmemory yes at the target",
        )
    })
}
