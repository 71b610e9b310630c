//! What the target holds and what it has room for.

use std::collections::BTreeMap;

use super::Pair;
use crate::info::Role;
use sterna_model::Check;
use sterna_model::units;

pub(super) fn judge(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    checks.push(empty(pair));
    checks.extend(databases(pair));
    memory(pair, checks);
}

fn empty(pair: &Pair<'_>) -> Check {
    const NAME: &str = "empty";
    let keyspace = pair.target.info.keyspace();
    let keys: u64 = keyspace.values().sum();
    if keys == 0 {
        return Check::pass(pair.subject, NAME, "it holds no keys");
    }
    let held = units::counted(keys, "key");
    let replication = &pair.target.replication;
    if pair.continues() && replication.role == Role::Replica {
        return Check::pass(
            pair.subject,
            NAME,
            format!("it holds {held} of this history and continues"),
        );
    }
    if holds_only_the_past(pair) {
        return Check::warn(
            pair.subject,
            NAME,
            format!("its {held} are an earlier state of this history, which will be replaced by a full copy"),
            "nothing is lost; `save` points and CONFIG REWRITE at the target make it continue next time",
        );
    }
    let detail = format!("it holds {held} ({})", per_database(&keyspace));
    if pair.request.overwrite {
        Check::warn(
            pair.subject,
            NAME,
            format!("{detail}, which will be deleted (--overwrite)"),
            "make sure that nobody needs them; take a copy of its dump file if in doubt",
        )
    } else {
        Check::refuse(
            pair.subject,
            NAME,
            format!("{detail}, which replication would delete"),
            "name an empty node, or give --overwrite if these keys may go",
        )
    }
}

/// A node that was our replica and restarted as a primary has a new history of its own, but no byte in it yet.
fn holds_only_the_past(pair: &Pair<'_>) -> bool {
    let replication = &pair.target.replication;
    replication
        .replid2
        .is_some_and(|id| pair.request.known_histories.contains(&id))
        && replication.second_offset == Some(replication.offset)
}

fn per_database(keyspace: &BTreeMap<u32, u64>) -> String {
    const SHOWN_MAX: usize = 4;
    let mut parts: Vec<_> = keyspace
        .iter()
        .take(SHOWN_MAX)
        .map(|(database, keys)| format!("db{database}: {keys}"))
        .collect();
    if keyspace.len() > SHOWN_MAX {
        parts.push(format!("and {} more databases", keyspace.len() - SHOWN_MAX));
    }
    parts.join(", ")
}

/// A replica that is told to select a database beyond its own number of them exits.
fn databases(pair: &Pair<'_>) -> Option<Check> {
    const NAME: &str = "databases";
    let source = pair.source?;
    let number = |node: &super::observe::Node| node.config.get("databases")?.parse::<u32>().ok();
    let used = source.info.keyspace().keys().max().copied();
    let needed = used.map_or(1, |highest| highest + 1);
    let Some(has) = number(pair.target) else {
        return Some(Check::warn(
            pair.subject,
            NAME,
            "how many databases it has can't be found out (CONFIG GET databases)",
            format!("make sure that it has at least {needed}: a replica with too few exits"),
        ));
    };
    if has < needed {
        return Some(Check::refuse(
            pair.subject,
            NAME,
            format!(
                "it has {has}, but the source holds keys in db{}: it would exit",
                needed - 1
            ),
            format!(
                "set `databases {}` in its configuration file and restart it",
                number(source).unwrap_or(needed)
            ),
        ));
    }
    match number(source) {
        Some(at_source) if has < at_source => Some(Check::warn(
            pair.subject,
            NAME,
            format!(
                "it has {has}, the source {at_source}: it would exit when a client uses db{has} or higher"
            ),
            format!("set `databases {at_source}` in its configuration file and restart it"),
        )),
        _ => Some(Check::pass(
            pair.subject,
            NAME,
            format!("it has {has}, {needed} in use at the source"),
        )),
    }
}

fn memory(pair: &Pair<'_>, checks: &mut Vec<Check>) {
    const NAME: &str = "memory";
    let before = checks.len();
    let memory = pair.target.info.memory();
    let used = pair.source.and_then(|source| source.info.memory().used_bytes);
    let ignores = pair.target.ignores_maxmemory();
    if let (Some(used), Some(limit)) = (used, memory.maxmemory_bytes)
        && limit < used
    {
        let detail = format!(
            "its maxmemory is {}, the source uses {}",
            units::bytes(limit),
            units::bytes(used)
        );
        let advice = "raise maxmemory at the target to the source's";
        checks.push(if ignores {
            let later = "; it ignores the limit as a replica, but would evict or refuse writes once promoted";
            Check::warn(pair.subject, NAME, detail + later, advice)
        } else {
            let now = "; with replica-ignore-maxmemory no it would drop keys that the source has";
            Check::refuse(pair.subject, NAME, detail + now, advice)
        });
    }
    if let (Some(used), Some(physical)) = (used, memory.system_bytes)
        && physical < used
    {
        checks.push(Check::warn(
            pair.subject,
            NAME,
            format!(
                "its machine has {}, the source uses {}",
                units::bytes(physical),
                units::bytes(used)
            ),
            "give the target's machine more memory",
        ));
    }
    if checks.len() == before
        && let Some(used) = used
    {
        checks.push(Check::pass(
            pair.subject,
            NAME,
            format!("the source uses {}", units::bytes(used)),
        ));
    }
}
