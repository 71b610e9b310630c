//! Who follows whom: a target must not be the source, stand above it, or belong to somebody else.

use super::Pair;
use super::observe::Node;
use crate::info::Role;
use sterna_model::{Check, Subject, units};

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    if let Some(check) = same_node(pair).or_else(|| above_source(pair)) {
        checks.push(check);
        return;
    }
    checks.push(role(pair));
    checks.extend(sentinels(pair.subject, pair.target));
    super::relay::judge_address(pair, checks);
}

/// Sentinels promote and repoint a replica that follows nobody whom they know.
pub(super) fn sentinels(subject: &Subject, node: &Node) -> Option<Check> {
    (node.sentinels > 0).then(|| {
        Check::warn(
            subject,
            "sentinel",
            format!(
                "{} Sentinel(s) watch it and may promote or repoint it on their own",
                node.sentinels
            ),
            "stop their watch first (SENTINEL REMOVE name, on each), and start it again after a promotion",
        )
    })
}

fn same_node(pair: &Pair<'_>) -> Option<Check> {
    let run_id = pair.target.info.server().run_id?;
    let is = |node: &super::observe::Node| node.info.server().run_id.as_deref() == Some(run_id.as_str());
    if pair.source.is_some_and(is) {
        return Some(Check::refuse(
            pair.subject,
            "topology",
            "it is the source itself, under this or another name",
            "name another node with --to: a node can't be its own replica",
        ));
    }
    let twin = pair.before.iter().find(|node| is(node))?;
    Some(Check::refuse(
        pair.subject,
        "topology",
        format!("it is the same node as {}", twin.address),
        "name every node once",
    ))
}

fn above_source(pair: &Pair<'_>) -> Option<Check> {
    let source = pair.source?;
    let run_id = pair.target.info.server().run_id?;
    if source
        .chain
        .iter()
        .any(|hop| hop.run_id.as_deref() == Some(run_id.as_str()))
    {
        return Some(Check::refuse(
            pair.subject,
            "topology",
            "the source replicates from it: they would follow each other in a ring and lose all writes",
            "swap --from and --to, or take the source out of its replication first (REPLICAOF NO ONE)",
        ));
    }
    let unknown = source.chain.iter().find(|hop| hop.run_id.is_none())?;
    Some(Check::warn(
        pair.subject,
        "topology",
        format!(
            "the source replicates from {}, which can't be asked whether it is this node",
            unknown.address
        ),
        "make sure that it is another node: a ring would lose all writes",
    ))
}

fn role(pair: &Pair<'_>) -> Check {
    const NAME: &str = "role";
    let replication = &pair.target.replication;
    let offset = replication.offset;
    if replication.role == Role::Primary {
        let detail = match replication.replicas.len() as u64 {
            0 => "primary without replicas".to_owned(),
            replicas => {
                format!(
                    "primary; its {} will follow along",
                    units::counted(replicas, "replica")
                )
            }
        };
        return Check::pass(pair.subject, NAME, detail);
    }
    let Some(primary) = &replication.primary else {
        return Check::pass(pair.subject, NAME, "replica of nobody");
    };
    if pair.continues() {
        return Check::pass(
            pair.subject,
            NAME,
            format!("already a replica by way of {primary}, at offset {offset}"),
        );
    }
    if pair.before.iter().any(|node| node.address == *primary) {
        return Check::pass(
            pair.subject,
            NAME,
            format!("replica of {primary}, which is a target too"),
        );
    }
    let whose = match pair.source {
        Some(source) if source.replication.replid == replication.replid => " (in the source's own history)",
        _ => "",
    };
    let detail = format!("it is a replica of {primary}{whose}");
    if pair.request.overwrite {
        Check::warn(
            pair.subject,
            NAME,
            format!("{detail} and will be taken from it"),
            "make sure that nobody counts on it there (a Sentinel, a read pool)",
        )
    } else {
        Check::refuse(
            pair.subject,
            NAME,
            detail,
            "name another node, or give --overwrite to take it from there and replace its data",
        )
    }
}
